"""The footer of a Parquet file, read without Arrow's column metadata.

pyarrow's `RowGroupMetaData.column` aborts the process at a column whose metadata contradict the schema, for
instance by the length of a histogram: the C++ exception is not translated. Reading the data raises an error
for the same file. So what is checked before reading is parsed here, in Thrift's compact protocol
(https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md) with the field numbers of
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

CODECS = ("UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW")
ENCODINGS = (
    "PLAIN",
    "GROUP_VAR_INT",
    "PLAIN_DICTIONARY",
    "RLE",
    "BIT_PACKED",
    "DELTA_BINARY_PACKED",
    "DELTA_LENGTH_BYTE_ARRAY",
    "DELTA_BYTE_ARRAY",
    "RLE_DICTIONARY",
    "BYTE_STREAM_SPLIT",
)
MARK = b"PAR1"
MOST_FOOTER = 64 << 20
"""Bytes of a footer."""
MOST_VALUES = 4_000_000
"""Numbers, texts and structs in a footer; a column of a row group has about 30."""
_DEEPEST = 32
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT, _UUID = 1, 2, 3, 7, 8, 9, 10, 11, 12, 13
_ROW_GROUPS, _COLUMNS, _META = 4, 1, 3  # of FileMetaData, RowGroup and ColumnChunk
_ENCODINGS, _CODEC, _VALUES, _UNCOMPRESSED = 2, 4, 5, 6  # of ColumnMetaData


@dataclass(frozen=True)
class ColumnChunk:
    """One column of one row group.

    Parameters
    ----------
    codec : str
    encodings : tuple of str
    num_values : int
    uncompressed_size : int
        Bytes.
    """

    codec: str
    encodings: tuple[str, ...]
    num_values: int
    uncompressed_size: int


def read_row_groups(source: Path | BinaryIO) -> list[list[ColumnChunk]]:
    """Read the columns of all row groups.

    Parameters
    ----------
    source : Path or BinaryIO
        A Parquet file; an open file is left at another position.

    Returns
    -------
    list of list of ColumnChunk
        By row group, in the order of the columns.

    Raises
    ------
    ValueError
        It is not a Parquet file, or its footer is damaged or too large.
    OSError
        It cannot be read.
    """
    if isinstance(source, Path):
        with open(source, "rb") as file:
            return read_row_groups(file)
    size = source.seek(0, 2)
    source.seek(max(0, size - 8))
    tail = source.read(8)
    if len(tail) < 8 or tail[4:] != MARK:
        raise ValueError("it does not end as a Parquet file does")
    length = int.from_bytes(tail[:4], "little")
    if length > min(size - 8, MOST_FOOTER):
        raise ValueError(f"its footer has {length:,} bytes")
    source.seek(size - 8 - length)
    try:
        footer = _Reader(source.read(length)).struct({_ROW_GROUPS: {_COLUMNS: {_META: {}}}})
        return [[_chunk(column) for column in group.get(_COLUMNS, ())] for group in footer[_ROW_GROUPS]]
    except (IndexError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("its footer is damaged") from error


def _chunk(column: dict[int, Any]) -> ColumnChunk:
    meta = column[_META]
    numbers = [meta[_VALUES], meta[_UNCOMPRESSED]]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise ValueError("its footer states a negative size")
    return ColumnChunk(
        _name(CODECS, meta[_CODEC]), tuple(_name(ENCODINGS, code) for code in meta[_ENCODINGS]), *numbers
    )


def _name(names: tuple[str, ...], code: int) -> str:
    return names[code] if 0 <= code < len(names) else f"unknown ({code})"


class _Reader:
    """Reader of Thrift's compact protocol."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at, self._left = data, 0, MOST_VALUES

    def struct(self, wanted: dict[int, Any], depth: int = 0) -> dict[int, Any]:
        """Return the numbers, lists and structs of a struct.

        Parameters
        ----------
        wanted : dict from field number to dict
            Fields that are structs, or lists of structs, and what is wanted of these. Other structs are
            skipped, numbers and lists of numbers are always returned.
        depth : int
        """
        if depth > _DEEPEST:
            raise ValueError("its footer is nested too deeply")
        found: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._integer()
            kind = head & 15
            if kind in (_TRUE, _FALSE):
                found[number] = kind == _TRUE
            else:
                found[number] = self._value(kind, wanted.get(number), depth)
        return found

    def _value(self, kind: int, wanted: dict[int, Any] | None, depth: int) -> Any:
        self._left -= 1
        if self._left < 0:
            raise ValueError(f"its footer has more than {MOST_VALUES:,} values")
        if kind in (_TRUE, _FALSE, _BYTE):  # of a list
            return self._byte()
        if _BYTE < kind < _DOUBLE:
            return self._integer()
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind in (_DOUBLE, _UUID):
            return self._skip(8 if kind == _DOUBLE else 16)
        if kind in (_LIST, _SET):
            head = self._byte()
            count = head >> 4 if head >> 4 < 15 else self._varint()
            if count > self._left:
                raise ValueError(f"its footer has more than {MOST_VALUES:,} values")
            values = (self._value(head & 15, wanted, depth + 1) for _ in range(count))
            return [value for value in values if value is not None]
        if kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            for _ in range(count):
                self._value(kinds >> 4, None, depth + 1)
                self._value(kinds & 15, None, depth + 1)
            return None
        if kind == _STRUCT:
            read = self.struct(wanted or {}, depth + 1)
            return None if wanted is None else read
        raise ValueError(f"its footer has a field of the unknown kind {kind}")

    def _byte(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("its footer has a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise ValueError("its footer is damaged")
        self._at += size
