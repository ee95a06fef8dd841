"""The parsers by name, and what they have in common."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.fuzz.harness import Parser, check_line
from tests.fuzz.workshop import Workshop

from inficond.core.errors import JOINERS, InputError

Maker = Callable[[Workshop], Parser]
MAKERS: dict[str, tuple[Maker, float]] = {}
"""By name: what makes a parser, and how large its share of the cases is."""
PICTURE = np.arange(31 * 40 * 3, dtype=np.uint8).reshape(31, 40, 3)


def parser(name: str, share: float = 1.0) -> Callable[[Maker], Maker]:
    """Enter a maker under a name."""

    def enter(make: Maker) -> Maker:
        MAKERS[name] = make, share
        return make

    return enter


def parser_of(name: str, shop: Workshop) -> Parser:
    """The parser of a name, made once for a workshop."""
    if name not in shop.made:
        shop.made[name] = MAKERS[name][0](shop)
    return shop.made[name]


def plain_text(text: str) -> bool:
    """Whether a text can be written into a file and sent to a browser."""
    return isinstance(text, str) and text.encode("utf-8", "replace").decode() == text


def told(ask: Callable[[], Any]) -> None:
    """It answers, or says in a line why not."""
    try:
        ask()
    except InputError as error:
        check_line(str(error), ("",))


def printable(text: str) -> bool:
    """Whether a text can be shown as it is; joiners are parts of some scripts' words."""
    return text.translate(dict.fromkeys(map(ord, JOINERS))).isprintable()


def finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


place_name = "case-"
"""In the path of everything that lies in a case's own folder."""


def npy_seeds() -> list[bytes]:
    """NumPy files of other kinds than wanted."""
    made = []
    for array in (
        np.zeros((2, 8)),
        np.zeros((3, 8), np.int16),
        np.zeros(3, np.complex64),
        np.array(["a"]),
        np.zeros((0, 8)),
    ):
        buffer = io.BytesIO()
        np.save(buffer, array)
        made.append(buffer.getvalue())
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
    for shape in (
        b"1000000000, 8",
        b"3, 8, 1000000000000",
        b"-1, 8",
        b"3, 8.0",
        b"2**70, 8",
        b"0, 9999999999999",
    ):
        text = header % shape
        text += b" " * (-(len(text) + 11) % 64) + b"\n"
        made.append(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\0" * 96)
    return made
