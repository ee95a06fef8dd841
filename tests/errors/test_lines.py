"""Error messages are one printable line, whatever names they contain."""

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.errors import JOINERS, LONGEST, InputError, one_line, system_reason, unknown
from inficond.core.images import UnreadableImage

ANY = st.text(st.characters(codec=None), max_size=60)


@given(ANY)
def test_every_error_is_one_printable_line(text: str) -> None:
    for error in (
        InputError(f"bad {text}!"),
        UnreadableImage(f"bad {text}!"),
        unknown("class", text, [text, "boat"]),
    ):
        assert str(error).translate(dict.fromkeys(map(ord, JOINERS))).isprintable()
        assert len(str(error)) <= LONGEST
        str(error).encode()


def test_reasons_of_the_system_end_with_what_to_do() -> None:
    for name in ("ENOENT", "EACCES", "EROFS", "ENOSPC", "EMFILE", "EISDIR", "ENOTDIR", "EIO", "EAGAIN"):
        number = getattr(errno, name)
        reason, _, remedy = system_reason(OSError(number, os.strerror(number))).partition("; ")
        assert reason == os.strerror(number)
        assert remedy, name
    assert system_reason(OSError("of a library")) == "of a library"


def test_plain_text_is_unchanged() -> None:
    assert str(InputError("no “Straße” in\n  photos/名前.jpg")) == "no “Straße” in photos/名前.jpg"
    for joined in ("می\u200cخواهم", "👩\u200d🔬"):
        assert one_line(joined) == joined


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a\x1b[2Jb", r"a\x1b[2Jb"), ("a\u202eb", r"a\u202eb"), ("a\ud800b", r"a\ud800b"), ("a\0b", r"a\x00b")],
)
def test_control_characters_are_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_a_long_line_is_shortened_in_the_middle() -> None:
    line = str(InputError("the name " + "x" * 1_000_000 + " is too long: shorten it"))
    assert len(line) <= LONGEST
    assert line.startswith("the name xxx")
    assert line.endswith(" is too long: shorten it")
    assert "…" in line
    assert one_line("x" * LONGEST) == "x" * LONGEST


def test_a_name_a_million_letters_long_is_not_compared_with_every_name() -> None:
    assert str(unknown("class", "x" * 1_000_000, ["boat"])).endswith("there are: boat")
    assert str(unknown("class", "baot", ["boat", "bird"])).endswith("did you mean 'boat'?")
