"""The table of a project's images, `images.parquet`."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.checksum import HashingFile
from inficond.core.errors import InputError
from inficond.core.file_access import open_regular
from inficond.core.project.arrays import FileEntry, damaged
from inficond.core.project.arrow_values import (
    boolean_array,
    booleans_of,
    holds_texts,
    number_array,
    numbers_of,
    optional_array,
    optional_numbers_of,
    text_array,
    text_ends,
    texts_of,
)
from inficond.core.tables.parquet_footer import ColumnChunk, read_row_groups

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

TEXT_COLUMNS = ("id", "path", "group")
EXAM = "exam"
"""Column of the images of the exam part; missing in a project without one."""
CODECS = ("SNAPPY", "UNCOMPRESSED")
"""Accepted compression: Snappy expands data at most 22 times, other codecs a thousand times and more."""
ENCODINGS = frozenset({"BIT_PACKED", "PLAIN", "PLAIN_DICTIONARY", "RLE", "RLE_DICTIONARY"})
"""Accepted encodings: in these a value is never longer than its stored bytes."""
MAX_COLUMNS = 32
MAX_TEXT = 8192
"""Bytes of a text."""
MAX_FOOTER, MAX_ROW = 1 << 20, 4 * MAX_TEXT
"""Bytes of the file: those of its footer, and those of a row."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image of a project.

    Parameters
    ----------
    id : str
        Path relative to the searched folder, POSIX form.
    path : str
        Path of the original: absolute, or relative to the project folder.
    group : str, optional
        Images of one group share a source: they are resampled together.
    width, height : int, optional
        Of the upright picture, in pixels.
    """

    id: str
    path: str
    group: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, eq=False)
class ImageTable:
    """The images of a project, N rows.

    Parameters
    ----------
    ids, paths : list of N str
    groups : list of N str or None
    sizes : (N, 2) int64
        Width and height; 0 where unknown.
    is_validation : (N,) bool
    n_exam : int
        Images of the exam part, which are the last rows.
    checksums : mapping from column to (N,) uint32
    """

    ids: list[str]
    paths: list[str]
    groups: list[str | None]
    sizes: NDArray[np.int64]
    is_validation: np.ndarray
    n_exam: int
    checksums: Mapping[str, np.ndarray]


def write_image_table(
    path: Path,
    rows: Sequence[ImageRow],
    is_validation: np.ndarray,
    checksums: Mapping[str, np.ndarray],
    n_exam: int = 0,
) -> FileEntry:
    """Write the table and return its entry for `project.json`.

    Parameters
    ----------
    path : Path
    rows : sequence of N ImageRow
    is_validation : (N,) bool
    checksums : mapping from column to (N,) uint32
    n_exam : int
        Images of the exam part, which are the last rows. Without any, the file has no column `exam`.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "id": text_array([r.id for r in rows]),
            "path": text_array([r.path for r in rows]),
            "group": text_array([r.group for r in rows]),
            "width": optional_array([r.width for r in rows]),
            "height": optional_array([r.height for r in rows]),
            "validation": boolean_array(is_validation),
            **({EXAM: boolean_array(np.arange(len(rows)) >= len(rows) - n_exam)} if n_exam else {}),
            **{key: number_array(np.asarray(values, np.uint32)) for key, values in checksums.items()},
        }
    )
    content = pa.BufferOutputStream()  # no file of Python: see _content
    pq.write_table(table, content, compression="snappy")
    with replacing(path) as file:
        out = HashingFile(file)
        out.write(memoryview(content.getvalue()))
    return {"sha256": out.sha256, "bytes": out.bytes}


def read_image_table(path: Path, root: Path, n: int, checksums: Sequence[str]) -> ImageTable:
    """Read the table; its footer is checked before any data is decoded.

    Parameters
    ----------
    path : Path
    root : Path
        Folder that must contain the file.
    n : int
        Number of rows that the project's arrays have.
    checksums : sequence of str
        Checksum columns that must exist.

    Raises
    ------
    InputError
        The file is missing, not a regular file, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with open_regular(path, root, limit=MAX_FOOTER + n * MAX_ROW) as file:
            content = _content(file)
            limit = 32 * len(content)
            footer = pq.ParquetFile(
                content, thrift_string_size_limit=1 << 20, thrift_container_size_limit=1 << 20
            )
            wanted = (*TEXT_COLUMNS, "width", "height", "validation", *checksums)
            if EXAM in footer.schema_arrow.names:
                wanted = (*wanted, EXAM)
            groups = read_row_groups(cast(BinaryIO, pa.BufferReader(content)))
            _check_footer(footer, groups, n, wanted, limit)
            parquet = pq.ParquetFile(content, metadata=footer.metadata, read_dictionary=list(TEXT_COLUMNS))
            batches = []
            # Texts are checked in dictionaries, before any is repeated. Arrow copies all texts of a row group
            # so far into each batch: small batches take time and memory that grow with the square of n.
            for batch in parquet.iter_batches(max(n, 1), columns=list(wanted), use_threads=False):
                _check_texts(batch)
                batches.append(batch)
        table = pa.Table.from_batches(batches, schema=None if batches else pa.schema([]))
        return _parsed(table, checksums)
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except InputError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged(path, str(error)) from error


def _content(file: BufferedReader) -> "pa.Buffer":
    """Return the content of a file in memory that Arrow owns.

    Given a file object of Python, Arrow's threads hold references to it. One of them that drops the last
    reference while the interpreter exits aborts the process (apache/arrow issue 34314).
    """
    import pyarrow as pa

    content = pa.allocate_buffer(os.fstat(file.fileno()).st_size)
    view = memoryview(content)
    position = 0
    while position < len(view):
        read = file.readinto(view[position:])
        if not read:
            raise OSError("the file became shorter while it was read")
        position += read
    return content


def _check_footer(
    footer: "pq.ParquetFile",
    groups: Sequence[Sequence[ColumnChunk]],
    n: int,
    wanted: Sequence[str],
    limit: int,
) -> None:
    meta = footer.metadata
    if meta.num_rows != n:
        raise ValueError(f"it lists {meta.num_rows:,} images and the arrays have {n:,} rows")
    if meta.num_row_groups > 1 + n // 1000 or meta.num_columns > MAX_COLUMNS:
        raise ValueError(f"it has {meta.num_row_groups:,} row groups and {meta.num_columns:,} columns")
    names = footer.schema_arrow.names
    for name in wanted:
        if names.count(name) != 1:
            raise ValueError(f"it has {names.count(name)} columns {name!r}, not one")
    size = 0
    for group in groups:
        if len(group) != meta.num_columns:
            raise ValueError(f"a row group has {len(group):,} of {meta.num_columns:,} columns")
        for chunk in group:
            size += chunk.uncompressed_size
            if chunk.codec not in CODECS or not ENCODINGS.issuperset(chunk.encodings):
                raise ValueError(f"it is compressed with {chunk.codec} {chunk.encodings}")
    if size > limit:
        raise ValueError(f"it expands to {size:,} bytes")


def _check_texts(batch: "pa.RecordBatch") -> None:
    import pyarrow as pa

    for name in TEXT_COLUMNS:
        column = batch.column(name)
        if not isinstance(column, pa.DictionaryArray) or not holds_texts(column.dictionary):
            raise ValueError(f"the column {name!r} does not hold texts")
        texts = column.dictionary
        # From the offsets, because pyarrow.compute takes longer to import than a small project to read.
        if len(texts) and np.diff(text_ends(texts)).max() > MAX_TEXT:
            raise ValueError(f"a text of the column {name!r} is longer than {MAX_TEXT:,} bytes")


def _parsed(table: "pa.Table", checksums: Sequence[str]) -> ImageTable:
    import pyarrow as pa

    def column(name: str, kind: Any) -> Any:
        """Return a column with values of a type; to convert some, Arrow imports pyarrow.compute."""
        values = table[name]
        return values if values.type == kind else values.cast(kind)

    def size(side: str) -> NDArray[np.int64]:
        return optional_numbers_of(column(side, pa.int32()), np.int32).astype(np.int64)

    if not table.num_rows:
        raise ValueError("it lists no images")
    has_exam = EXAM in table.column_names
    for name in ("id", "path", "validation", *([EXAM] if has_exam else []), *checksums):
        if table[name].null_count:
            raise ValueError(f"a value of the column {name!r} is missing")
    is_validation, n_exam = booleans_of(column("validation", pa.bool_())), 0
    if has_exam:
        is_exam = booleans_of(column(EXAM, pa.bool_()))
        n_exam = int(is_exam.sum())
        if is_exam[: len(is_exam) - n_exam].any() or (is_exam & is_validation).any():
            raise ValueError("the exam images are not the last rows, or are validation images too")
        if n_exam == len(is_exam):
            raise ValueError("all images are exam images")
    return ImageTable(
        cast(list[str], texts_of(table["id"])),
        cast(list[str], texts_of(table["path"])),
        texts_of(table["group"]),
        np.stack([size(side) for side in ("width", "height")], 1),
        is_validation,
        n_exam,
        {name: numbers_of(column(name, pa.uint32()), np.uint32) for name in checksums},
    )
