"""Strict parsing of untrusted JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.strict_json import DEEPEST, LONGEST_NUMBER, parse_json

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(DOCUMENTS)
def test_documents_written_by_json_are_read_unchanged(document: object) -> None:
    assert parse_json(json.dumps(document, ensure_ascii=False).encode()) == document
    assert parse_json(json.dumps(document)) == document


def test_a_byte_order_mark_is_ignored() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_nesting_beyond_the_limit_is_refused() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST) is not None
    assert parse_json(json.dumps([[] for _ in range(1000)])) == [[]] * 1000
    for depth in (DEEPEST + 1, 900, 200_000):
        with pytest.raises(ValueError, match="more than 64 deep"):
            parse_json("[" * depth + "]" * depth)
        with pytest.raises(ValueError, match="more than 64 deep"):
            parse_json('{"a":' * depth + "1" + "}" * depth)


def test_integers_beyond_the_range_of_floats_are_refused() -> None:
    assert math.isfinite(float(parse_json("9" * LONGEST_NUMBER)))
    for digits in (LONGEST_NUMBER + 1, 10_000):
        with pytest.raises(ValueError, match="digits"):
            parse_json("9" * digits)


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'{"\udfff": 1}', rb'["x", {"a": "\uD83D"}]'])
def test_an_unpaired_surrogate_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="unpaired surrogate"):
        parse_json(text)


def test_a_surrogate_pair_is_one_character() -> None:
    assert parse_json(rb'"\ud83d\udc26"') == "🐦"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", "é".encode("latin-1"), '"x"'.encode("utf-16"), b"nul", b'"\xed\xa0\x80"']
)
def test_invalid_json_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)
