"""Reading of Parquet and Arrow files up to a limit of expanded size.

A few bytes can stand for gigabytes: compressed buffers of zeros, or one long text that a dictionary repeats
in each row. Sizes are therefore checked before data is decoded.
"""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError
from inficond.core.tables.parquet_footer import ColumnChunk, read_row_groups

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MOST_BYTES = 2 << 30
"""Expanded size of the columns of a table, or of a group of rows with pictures."""
MOST_ROWS = 50_000_000
MOST_VALUES = 400_000_000
"""Values of all columns, those in lists included."""
_BATCH = 1 << 14


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> "pa.Table":
    """Read columns of a Parquet file.

    Parameters
    ----------
    path : Path
        A regular file.
    columns : sequence of str, optional
        Names, or paths of fields of a struct such as ``image.path``; all by default.

    Raises
    ------
    InputError
        The columns expand to more than `MOST_BYTES`, or have too many rows or values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as footer:
        texts, rows = _check_footer(path, footer, columns)
        schema = footer.schema_arrow
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        expanded, batches = 0, []
        for batch in file.iter_batches(rows, columns=None if columns is None else list(columns)):
            expanded += sum(_expanded(column) for column in batch.columns)
            if expanded > MOST_BYTES:
                raise _too_large(path, f"more than {MOST_BYTES:,} bytes")
            batches.append(batch)
        if batches:
            table = pa.Table.from_batches(batches)
            return pa.Table.from_arrays(
                [_plain(column, schema) for column in table.columns],
                table.column_names,
                metadata=schema.metadata,
            )
        return file.read(columns=None if columns is None else list(columns))


def read_group(
    file: "pq.ParquetFile",
    group: int,
    column: str,
    path: Path,
    groups: Sequence[Sequence[ColumnChunk]] | None = None,
) -> "pa.ChunkedArray":
    """Read one column of one row group, such as pictures.

    Parameters
    ----------
    file : ParquetFile
    group : int
    column : str
    path : Path
        Of the same file.
    groups : sequence of sequence of ColumnChunk, optional
        What `read_row_groups` returned for this file; read again by default.

    Returns
    -------
    ChunkedArray

    Raises
    ------
    InputError
        It expands to more than `MOST_BYTES`.
    """
    import pyarrow as pa

    wanted = (read_row_groups(path) if groups is None else groups)[group : group + 1]
    size = sum(chunk.uncompressed_size for _, chunk in _chunks(file, [column], wanted))
    if size > MOST_BYTES:
        raise _too_large(path, f"{size:,} bytes in one row group")
    expanded, parts = 0, []
    for batch in file.iter_batches(_rows(size, 16), row_groups=[group], columns=[column], use_threads=False):
        expanded += batch.nbytes
        if expanded > MOST_BYTES:
            raise _too_large(path, f"more than {MOST_BYTES:,} bytes in one row group")
        parts.append(batch.column(0))
    return pa.chunked_array(parts)


def read_arrow(path: Path) -> "pa.Table":
    """Read an Arrow file or stream; buffers that are not compressed stay in the file, memory-mapped.

    Raises
    ------
    InputError
        Its compressed buffers expand to more than `MOST_BYTES`, or it has too many rows.
    """
    import pyarrow as pa

    source = pa.memory_map(str(path))
    start = 8 if source.read(6) == b"ARROW1" else 0  # a file is a stream between two marks
    source.seek(start)
    expanded = rows = 0
    for message in _messages(pa.ipc.MessageReader.open_stream(source)):
        length, size = _record_batch(message)
        rows, expanded = rows + length, expanded + size
        if expanded > MOST_BYTES:
            raise _too_large(path, f"{expanded:,} bytes")
        if rows > MOST_ROWS:
            raise _too_large(path, f"{rows:,} rows")
    source.seek(start)
    return pa.ipc.open_stream(source).read_all()


def read_arrow_schema(path: Path) -> "pa.Schema":
    """Return the columns of an Arrow file or stream."""
    import pyarrow as pa

    source = pa.memory_map(str(path))
    source.seek(8 if source.read(6) == b"ARROW1" else 0)
    return pa.ipc.open_stream(source).schema


def _check_footer(path: Path, file: "pq.ParquetFile", columns: Sequence[str] | None) -> tuple[list[str], int]:
    """Check the sizes in the footer; return the columns of texts, and rows that are read at once.

    A dictionary can be read without expanding it, but not inside a list or struct: there a batch has so few
    rows that it fits even if each of them repeats the whole dictionary.
    """
    meta = file.metadata
    if meta.num_rows > MOST_ROWS:
        raise _too_large(path, f"{meta.num_rows:,} rows")
    size = values = nested = 0
    texts: dict[str, None] = {}
    for column, chunk in _chunks(file, columns, read_row_groups(path)):
        size, values = size + chunk.uncompressed_size, values + chunk.num_values
        if column.physical_type == "BYTE_ARRAY" and "." not in column.path:
            texts[column.path] = None
        elif column.physical_type == "BYTE_ARRAY":
            nested = max(nested, chunk.uncompressed_size)
    if size > MOST_BYTES:
        raise _too_large(path, f"{size:,} bytes")
    if values > MOST_VALUES:
        raise _too_large(path, f"{values:,} values")
    return list(texts), _rows(nested, _BATCH)


def _rows(size: int, most: int) -> int:
    """Return how many rows are read at once if each may repeat `size` bytes."""
    return max(1, min(most, MOST_BYTES // 4 // max(1, size)))


def _chunks(
    file: "pq.ParquetFile", columns: Sequence[str] | None, groups: Sequence[Sequence[ColumnChunk]]
) -> Iterator[tuple[Any, ColumnChunk]]:
    """Yield columns of the schema, each with its chunk of each row group."""
    schema = file.metadata.schema
    wanted, fields = frozenset(columns or ()), tuple(f"{name}." for name in columns or ())
    for group in groups:
        if len(group) != len(schema):
            raise ValueError(f"a row group has {len(group):,} columns, and the schema {len(schema):,}")
        for i, chunk in enumerate(group):
            column = schema.column(i)
            name = column.path
            if columns is None or name in wanted or name.startswith(fields):
                yield column, chunk


def _expanded(array: Any) -> int:
    """Return the bytes of an array in which dictionaries are replaced by their values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = array.type
    if pa.types.is_dictionary(kind):
        lengths = pc.binary_length(array.dictionary)
        return int(pc.sum(pc.take(lengths, array.indices)).as_py() or 0) + array.indices.nbytes
    if pa.types.is_struct(kind):
        return sum(_expanded(field) for field in array.flatten())
    if pa.types.is_map(kind):
        return array.offsets.nbytes + _expanded(array.keys) + _expanded(array.items)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return array.offsets.nbytes + _expanded(array.flatten())
    return array.nbytes


def _plain(column: "pa.ChunkedArray", schema: "pa.Schema") -> "pa.ChunkedArray":
    """Return a column in which dictionaries are replaced by their values."""
    kind = _plain_type(column.type)
    return column if kind == column.type else column.cast(kind)


def _plain_type(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_plain_type(f.type)) for f in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_plain_type(kind.value_type)))
    return kind


def _messages(reader: Any) -> Iterator[Any]:
    """Yield the messages of a stream."""
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _record_batch(message: Any) -> tuple[int, int]:
    """Return the number of rows and the expanded bytes of a message's compressed buffers.

    Each compressed buffer begins with its expanded size (Arrow columnar format, "Compression"). The tables of
    the message are FlatBuffers: a table begins with the distance to its vtable, which lists the places of its
    fields.
    """
    if message.type not in ("record batch", "dictionary"):
        return 0, 0
    data, body = message.metadata.to_pybytes(), message.body
    table = _Table(data, struct.unpack_from("<I", data)[0]).table(2)
    if message.type == "dictionary":
        table = None if table is None else table.table(1)
    if table is None:
        raise ValueError("a message has no record batch")
    rows = table.int64(0)
    if message.type == "dictionary":
        rows = 0
    if table.table(3) is None:  # not compressed
        return rows, 0
    size = 0
    for offset, length in table.pairs(2):
        if length >= 8 and offset + 8 <= len(body):
            size += max(0, struct.unpack_from("<q", body, offset)[0])
    return rows, size


class _Table:
    """A table of a FlatBuffer."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def _place(self, field: int) -> int | None:
        """Return where a field lies, or None if the table lacks it."""
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._data, self._fields + entry)[0] if entry < self._size else 0
        return self._at + offset if offset else None

    def _target(self, place: int) -> int:
        return place + struct.unpack_from("<I", self._data, place)[0]

    def table(self, field: int) -> "_Table | None":
        """Return a field that is a table."""
        place = self._place(field)
        return None if place is None else _Table(self._data, self._target(place))

    def int64(self, field: int) -> int:
        """Return a field that is a number of 64 bits."""
        place = self._place(field)
        return 0 if place is None else struct.unpack_from("<q", self._data, place)[0]

    def pairs(self, field: int) -> Iterator[tuple[int, int]]:
        """Yield a field that is a vector of pairs of 64-bit numbers."""
        place = self._place(field)
        if place is None:
            return
        start = self._target(place)
        for i in range(struct.unpack_from("<I", self._data, start)[0]):
            yield struct.unpack_from("<qq", self._data, start + 4 + 16 * i)


def _too_large(path: Path, what: str) -> InputError:
    return InputError(f"{path} expands to {what}, which is too large: divide it into several files")
