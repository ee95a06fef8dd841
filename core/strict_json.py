"""JSON that others wrote, read so that nothing in it can surprise whoever works with it afterwards."""

import json
from collections.abc import Callable
from typing import Any

DEEPEST = 64
"""Lists and objects within one another; ours have half a dozen."""
LONGEST_NUMBER = 300
"""Digits of a whole number: every shorter one is a finite float too."""


def parse_json(data: bytes | str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What a JSON text says.

    Parameters
    ----------
    data : bytes or str
        UTF-8 where it is bytes, with or without a byte order mark.
    pairs : callable, optional
        Makes an object of its pairs, as `json.loads` has it.

    Returns
    -------
    object
        As `json.loads` gives it: not too deep for a second look, its texts writable as UTF-8, its whole
        numbers within the range of floats.

    Raises
    ------
    ValueError
        Anything else; the message is the reason.
    """
    text = data if isinstance(data, str) else data.decode("utf-8-sig")
    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_int=_whole)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEEPEST:
        _check_depth(value)
    try:
        text.encode()
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text in it holds half of a surrogate pair, which is no character") from None
    return value


TOO_DEEP = f"its lists and objects lie more than {DEEPEST} deep in one another"


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"it holds a number of {len(digits):,} digits")
    return int(digits)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for one in level:
            inner += one.values() if isinstance(one, dict) else one if isinstance(one, list) else ()
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(TOO_DEEP)
