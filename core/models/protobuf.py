"""Reading and writing of the protocol buffer wire format.

A message is a sequence of fields. A field is a key (field number and wire type) followed by a value. Field
numbers and their meaning belong to the modules that know the messages: `onnx_safety`, `onnx_protobuf`.
"""

from collections.abc import Iterator

import numpy as np


class Malformed(ValueError):
    """The bytes are not a protocol buffer message."""


def fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message.

    Parameters
    ----------
    data : memoryview
        The message.

    Yields
    ------
    number : int
        The field number.
    value : int or memoryview
        A number (wire type varint), or bytes: a nested message, a string or a fixed-width value.

    Raises
    ------
    Malformed
        The message is truncated or uses an unknown wire type.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise Malformed("a field has number 0")
        if wire == 0:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = read_varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise Malformed(f"unknown wire type {wire}")
        if length > len(data) - at:
            raise Malformed("a field is longer than the file")
        yield number, data[at : at + length]
        at += length


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read a varint at an offset; return its value and the offset behind it."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed("a number is truncated")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def signed(value: int) -> int:
    """Interpret an unsigned 64-bit number as two's complement."""
    return value - (1 << 64) if value >= 1 << 63 else value


def integers(value: int | memoryview, limit: int) -> list[int]:
    """Return the first `limit` numbers of a repeated integer field, packed or not."""
    if isinstance(value, int):
        return [signed(value)]
    numbers: list[int] = []
    at = 0
    while at < len(value) and len(numbers) < limit:
        number, at = read_varint(value, at)
        numbers.append(signed(number))
    return numbers


def count_integers(value: int | memoryview) -> int:
    """Count the numbers of a repeated integer field without decoding them."""
    if isinstance(value, int):
        return 1
    last_bytes = np.frombuffer(value, np.uint8) < 0x80
    if len(last_bytes) and not last_bytes[-1]:
        raise Malformed("a number is truncated")
    return int(np.count_nonzero(last_bytes))


def text(value: int | memoryview) -> str:
    """Decode a string field; bytes that are not UTF-8 become replacement characters."""
    return bytes(value).decode("utf-8", "replace") if isinstance(value, memoryview) else str(value)


def message(value: int | memoryview) -> memoryview:
    """Return the bytes of a nested message.

    Raises
    ------
    Malformed
        The field holds a number.
    """
    if not isinstance(value, memoryview):
        raise Malformed("a number stands where a message belongs")
    return value


def varint(value: int) -> bytes:
    """Encode a number; a negative one as 64-bit two's complement."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | str | bytes | memoryview) -> bytes:
    """Encode a field: a number as a varint, a string or message with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    block = value.encode() if isinstance(value, str) else bytes(value)
    return varint(number << 3 | 2) + varint(len(block)) + block
