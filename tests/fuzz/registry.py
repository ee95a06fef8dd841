"""Registry of parsers, and their common checks."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.fuzz.harness import Parser, check_line
from tests.fuzz.workshop import Workshop

from inficond.core.errors import JOINERS, InputError

Maker = Callable[[Workshop], Parser]
MAKERS: dict[str, tuple[Maker, float]] = {}
"""Name to maker of a parser and its share of the cases."""
PICTURE = np.arange(31 * 40 * 3, dtype=np.uint8).reshape(31, 40, 3)


def parser(name: str, share: float = 1.0) -> Callable[[Maker], Maker]:
    """Register a maker under a name."""

    def enter(make: Maker) -> Maker:
        MAKERS[name] = make, share
        return make

    return enter


def parser_of(name: str, shop: Workshop) -> Parser:
    """Return the parser of a name, created once per workshop."""
    if name not in shop.made:
        shop.made[name] = MAKERS[name][0](shop)
    return shop.made[name]


def plain_text(text: str) -> bool:
    """Return whether a text can be encoded."""
    return isinstance(text, str) and text.encode("utf-8", "replace").decode() == text


def told(ask: Callable[[], Any]) -> None:
    """Check that a call returns, or is refused in one line."""
    try:
        ask()
    except InputError as error:
        check_line(str(error), ("",))


def printable(text: str) -> bool:
    """Return whether a text is printable; joiners count as printable."""
    return text.translate(dict.fromkeys(map(ord, JOINERS))).isprintable()


def finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


place_name = "case-"
"""Part of the path of the folder of a case."""


def npy_seeds() -> list[bytes]:
    """NumPy files of other types than expected."""
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
