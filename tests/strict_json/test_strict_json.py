"""JSON that others wrote: what is read can be looked through, written again and counted with."""

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
def test_what_json_writes_is_read_as_it_was(document: object) -> None:
    assert parse_json(json.dumps(document, ensure_ascii=False).encode()) == document
    assert parse_json(json.dumps(document)) == document


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


def test_depth_ends_where_a_second_look_could_fail() -> None:
    assert parse_json("[" * DEEPEST + "]" * DEEPEST) is not None
    assert parse_json(json.dumps([[] for _ in range(1000)])) == [[]] * 1000
    for depth in (DEEPEST + 1, 900, 200_000):
        with pytest.raises(ValueError, match="more than 64 deep"):
            parse_json("[" * depth + "]" * depth)
        with pytest.raises(ValueError, match="more than 64 deep"):
            parse_json('{"a":' * depth + "1" + "}" * depth)


def test_whole_numbers_are_within_the_range_of_floats() -> None:
    assert math.isfinite(float(parse_json("9" * LONGEST_NUMBER)))
    for digits in (LONGEST_NUMBER + 1, 10_000):
        with pytest.raises(ValueError, match="digits"):
            parse_json("9" * digits)


@pytest.mark.parametrize("text", [rb'"\ud800"', rb'{"\udfff": 1}', rb'["x", {"a": "\uD83D"}]'])
def test_an_unpaired_surrogate_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="unpaired surrogate"):
        parse_json(text)


def test_a_whole_pair_is_one() -> None:
    assert parse_json(rb'"\ud83d\udc26"') == "🐦"


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", "é".encode("latin-1"), '"x"'.encode("utf-16"), b"nul", b'"\xed\xa0\x80"']
)
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(data)
