"""Tests of the harness: it finds each kind of bug."""

import json
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.fuzz import harness
from tests.fuzz.harness import ACCEPTED, REFUSED, Bug, Parser, fuzz, judge
from tests.fuzz.inputs import documents, mangled, messages, text, value
from tests.fuzz.parsers import parser_of
from tests.fuzz.test_sessions import run
from tests.fuzz.workshop import Workshop

from inficond.core.errors import InputError
from inficond.core.history.tree import Tree
from inficond.core.models.onnx_safety import Malformed, fields
from inficond.core.models.protobuf import field
from inficond.core.sessions import session as sessions
from inficond.core.tuning.state import ClassState


def parser(
    parse: Callable[[Any, Path], Any], holds: Callable[[Any, Any, Path], None] = lambda *_: None
) -> Parser:
    return Parser("made up", st.integers(0, 1000), parse, holds, ("number",))


def refuse(line: str) -> Callable[[Any, Path], Any]:
    def parse(given: Any, place: Path) -> Any:
        error = InputError("number")
        error.args = (line,)
        raise error

    return parse


def call(*_: Any) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.1", 9), 1):
        pass


def no_patience(*_: Any) -> None:
    while True:
        pass


def greedy(*_: Any) -> Any:
    return np.empty(harness.MEMORY // 8 + (64 << 20))


@pytest.mark.parametrize(
    ("parse", "what"),
    [
        (refuse(""), "not a printable line"),
        (refuse("a number\nand more"), "not a printable line"),
        (refuse("the number \x1b[2J"), "not a printable line"),
        (refuse("number " * 1000), "7,000 characters"),
        (refuse("something is wrong"), "names none of"),
        (lambda given, place: (place.parent / "outside").write_text("x"), "outside its folder: open"),
        (lambda given, place: (place.parent / "outside").mkdir(), r"outside its folder: os\.mkdir"),
        (call, r"outside its folder: socket\."),
    ],
)  # fmt: skip
def test_forbidden_behaviour_is_found(parse: Callable[[Any, Path], Any], what: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(Bug, match=what):
        judge(parser(parse), 1, place)


def test_threads_of_the_parser_are_watched_and_others_are_not(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    go, wrote = threading.Event(), threading.Event()

    def other_work() -> None:
        go.wait(30)
        (tmp_path / "other").write_text("x")
        wrote.set()

    def parse(given: Any, place: Path) -> None:
        go.set()
        assert wrote.wait(30)

    def parse_in_a_thread(given: Any, place: Path) -> None:
        thread = threading.Thread(target=(place.parent / "outside").write_text, args=("x",))
        thread.start()
        thread.join()

    threading.Thread(target=other_work, daemon=True).start()
    assert judge(parser(parse), 1, place) == ACCEPTED
    with pytest.raises(Bug, match="outside its folder: open"):
        judge(parser(parse_in_a_thread), 1, place)


def test_a_hang_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "PATIENCE", 0.2)
    with pytest.raises(Bug, match="not done after"):
        judge(parser(no_patience), 1, tmp_path)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells and limits")
def test_unlimited_memory_is_found(tmp_path: Path) -> None:
    with pytest.raises(Bug, match="needs more than"):
        judge(parser(greedy), 1, tmp_path)
    assert greedy().nbytes > harness.MEMORY, "and nothing is limited afterwards"


def test_a_rare_bug_is_found_and_shrunk(tmp_path: Path) -> None:
    def parse(given: int, place: Path) -> int:
        if given > 700:
            raise KeyError(given)
        if given % 2:
            raise InputError(f"the number {given} is odd")
        return given

    with pytest.raises(KeyError, match="701"):
        fuzz(parser(parse), 200, tmp_path, repeatable=True)
    tally = harness.TALLIES.pop()
    assert tally.bugs
    tally = fuzz(
        Parser("made up", st.integers(0, 600), parse, lambda *_: None, ("number",)), 150, tmp_path, True
    )
    assert harness.TALLIES.pop() is tally
    assert tally.cases == 150, "different ones, counted"
    assert 0 < tally.accepted < tally.cases
    assert not tally.bugs
    assert judge(parser(parse), 3, tmp_path) == REFUSED


@pytest.mark.parametrize(
    ("name", "where", "broken"),
    [
        ("archive", "inficond.core.bundle.contents.unsafe", lambda name: None),
        ("recipe", "inficond.core.history.recipe.are_names", lambda value: True),
        ("onnx", "inficond.core.models.onnx_protobuf.text_of", lambda content: bytes(content).decode()),
        ("manifest", "inficond.core.models.manifest.is_count", lambda value: True),
        ("page request", "inficond.gradio_app.rpc.text_field", lambda request, name: request.get(name)),
    ],
)  # fmt: skip
def test_a_removed_check_is_found(
    name: str,
    where: str,
    broken: Callable[..., Any],
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each parser with one check removed: the inputs reveal it."""
    made = parser_of(name, workshop)
    monkeypatch.setattr(where, broken)
    with pytest.raises(Exception):  # noqa: B017  (whatever the parser raises without its check)
        fuzz(made, 1500, tmp_path, repeatable=True, shrink=False)
    assert harness.TALLIES.pop().bugs


def test_errors_of_a_session_are_found(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few sequences of steps reveal each of these errors."""
    state = Tree.state
    errors: list[tuple[Any, str, Any]] = [
        (Tree, "state", lambda self, node: state(self, self.root.id)),
        (ClassState, "same_as", lambda self, other: True),
        (sessions, "bounds_of", lambda actions, weights, columns, in_force: dict(in_force or {})),
    ]
    for owner, name, error in errors:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, error)
            with pytest.raises((AssertionError, InputError, KeyError, ExceptionGroup)):
                run(workshop, "sigmoid", 30, 15, repeatable=True, shrink=False)
        harness.TALLIES.pop()


def drawn(strategy: st.SearchStrategy[Any]) -> list[Any]:
    found: list[Any] = []

    @settings(max_examples=300, derandomize=True, database=None, deadline=None, phases=(Phase.generate,))
    @given(strategy)
    def each(one: Any) -> None:
        found.append(one)

    each()
    return found


def test_inputs_are_nearly_valid() -> None:
    """Some inputs are unchanged, most have few changes, and lengths of messages are corrected."""
    seed = {"a": [1, {"b": "text"}], "c": None, "d": "more"}
    made = drawn(documents([seed]))
    assert seed in made, "how often is not said: Hypothesis leaves out what it has tried"
    assert sum(isinstance(d, dict) and d != seed and len(d.keys() & seed.keys()) >= 2 for d in made) > 100
    assert all(isinstance(text(d), str) for d in made)
    assert json.loads(text(seed)) == value(seed) == seed
    line = b"0123456789" * 5
    made = drawn(mangled([line]))
    assert line in made
    assert len(set(made)) > 120
    assert sum(b[:10] == b"0123456789" for b in made) > 50
    message = field(1, field(2, 7) + field(3, "name")) + field(2, 9)
    made = drawn(messages([message]))
    assert len(set(made)) > 100
    assert sum(reads_to_the_end(m) for m in made) > 200


def reads_to_the_end(message: bytes) -> bool:
    try:
        return bool(list(fields(memoryview(message))))
    except Malformed:
        return False
