"""Strict parsing of untrusted JSON."""

import json
from collections.abc import Callable
from typing import Any

DEEPEST = 64
"""Largest accepted nesting of lists and objects."""
LONGEST_NUMBER = 300
"""Largest accepted number of digits of an integer; a shorter one is a finite float too."""


def parse_json(data: bytes | str, pairs: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """Parse a JSON text.

    Parameters
    ----------
    data : bytes or str
        Bytes are UTF-8, with or without a byte order mark.
    pairs : callable, optional
        Makes an object from its pairs; `object_pairs_hook` of `json.loads`.

    Returns
    -------
    object
        As from `json.loads`, with limited nesting, texts that UTF-8 can encode, and integers within the range
        of floats.

    Raises
    ------
    ValueError
        For any other text; the message is the reason.
    """
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text, from byte {error.start} on") from None
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
        raise ValueError("it contains an unpaired surrogate, which is not a character") from None
    return value


TOO_DEEP = f"its lists and objects are nested more than {DEEPEST} deep"


def _whole(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise ValueError(f"it contains a number of {len(digits):,} digits")
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
