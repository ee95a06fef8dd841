"""Images inside Parquet and Arrow files."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import struct
import threading
from bisect import bisect_right
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from inficond.core.errors import InputError, first_line
from inficond.core.file_access import check_regular, read_regular
from inficond.core.images.decode import UnreadableImage
from inficond.core.images.sources.record import MOST_BYTES, ImageRecord, Note, split_of_file, unique_ids
from inficond.core.images.sources.tables import RowFacts, row_facts
from inficond.core.tables import Column, RawTable, TableOptions
from inficond.core.tables.cells import class_name
from inficond.core.tables.columnar import ARROW_SUFFIXES, PARQUET_SUFFIXES, class_labels, is_binary
from inficond.core.tables.expansion import read_arrow, read_arrow_schema, read_group, read_parquet
from inficond.core.tables.names import CLASS_COLUMNS, IMAGE_COLUMNS, normal_name
from inficond.core.tables.parquet_footer import ColumnChunk, read_row_groups
from inficond.core.tables.raw_table import named_column

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (*PARQUET_SUFFIXES, *ARROW_SUFFIXES)
_NO_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_CACHED_GROUPS = 4
"""Row groups whose image bytes are kept in memory."""


class ArrowImages:
    """Images in a column of bytes, or of structs of bytes and path, as Hugging Face `datasets` writes them.

    Parameters
    ----------
    paths : sequence of Path
        Parquet or Arrow files with the same columns.
    options : TableOptions
    """

    def __init__(self, paths: Sequence[Path], options: TableOptions) -> None:
        self._paths, self._options = list(paths), options
        self._groups: OrderedDict[tuple[Path, int], Any] = OrderedDict()
        self._footers: dict[Path, tuple[Any, list[int], list[list[ColumnChunk]]]] = {}
        """By file: its version, the end of each row group, and the columns of each row group."""
        self._lock = threading.Lock()
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        found: list[tuple[Path, int, RowFacts]] = []
        column = ""
        for path in self._paths:
            try:
                table, column = self._light(path)
            except InputError as error:
                if len(self._paths) == 1:
                    raise
                note(path.name, str(error).removeprefix(f"{path} "))
                continue
            image = next(c for c in table.columns if c.name == column)
            facts = row_facts(table, self._options, image)
            rule, label = _partition(path)
            if rule and facts and not facts[0].rule:
                facts = [replace(fact, labels=label, rule=rule) for fact in facts]
            found += [(path, row, fact) for row, fact in enumerate(facts)]
            self.rule = self.rule or (facts[0].rule if facts else "")
        if not found:
            raise InputError(f"no images in {_named(self._paths)}")
        self.notes.append(f"{_named(self._paths)}: {len(found):,} rows; images in column {column!r}")
        names = [fact.name.replace("\\", "/").lstrip("./") for _, _, fact in found]
        ids = unique_ids(names, [fact.labels for _, _, fact in found])
        splits = {path: split_of_file(path) for path in self._paths}
        varied = len(set(splits.values())) > 1
        for id, (path, row, fact) in zip(ids, found):
            info = path.stat()
            yield ImageRecord(
                id,
                group=fact.group,
                split=fact.split or (splits[path] if varied else None),  # pyright: ignore[reportArgumentType]
                labels=fact.labels,
                load=lambda path=path, row=row: self._load(path, column, row),  # type: ignore[misc]
                location=f"{path}#{row}",
                version=f"{info.st_size} {info.st_mtime_ns} {row}",
            )

    def _light(self, path: Path) -> tuple[RawTable, str]:
        """Return the columns of a file without image bytes, and the name of the image column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            schema = read_schema(path)
            column = picture_column(path, schema, self._options)
            if column is None:
                raise InputError(f"{path} has no column of images: it has {', '.join(schema.names[:8])}")
            kind = schema.field(column).type
            has_path = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
            wanted = [f.name for f in schema if f.name != column and not _holds_bytes(f.type)]
            if path.suffix.lower() in PARQUET_SUFFIXES:
                import pyarrow.parquet as pq

                with pq.ParquetFile(path) as file:
                    rows = file.metadata.num_rows
                light = read_parquet(path, [*wanted, *([f"{column}.path"] if has_path else [])])
            else:
                light = read_arrow(path)
                rows = len(light)
            names = pc.struct_field(light.column(column), "path") if has_path else pa.nulls(rows, pa.string())
        except (pa.ArrowException, OSError, ValueError, KeyError, struct.error) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{path} cannot be read ({first_line(error)}): write, copy or download it again"
            ) from error
        labels = class_labels(schema.metadata)
        columns = [Column(column, 0, pa.chunked_array(names))] if not has_path else [Column(column, 0, names)]
        columns += [Column(n, i, light.column(n), labels.get(n, ())) for i, n in enumerate(wanted, 1)]
        return RawTable(path, tuple(columns), "Arrow"), column

    def _load(self, path: Path, column: str, row: int) -> bytes:
        """Read the bytes of one image."""
        if path.suffix.lower() in PARQUET_SUFFIXES:
            cell = self._from_group(path, column, row)
        else:
            cell = self._opened(path).column(column)[row].as_py()
        if isinstance(cell, dict):
            data, name = cell.get("bytes"), cell.get("path")
            if data is None and name:
                # The author of the table may name any file of this machine.
                return read_regular(path.parent / name, root=path.parent, limit=MOST_BYTES)
            cell = data
        if not cell:
            raise UnreadableImage("no picture in this row")
        if len(cell) > MOST_BYTES:
            raise UnreadableImage(f"larger than {MOST_BYTES >> 20} MiB")
        return bytes(cell)

    def _opened(self, path: Path) -> Any:
        with self._lock:
            if (path, -1) not in self._groups:
                self._groups[path, -1] = read_arrow(path)
            return self._groups[path, -1]

    def _from_group(self, path: Path, column: str, row: int) -> Any:
        """Return a cell of a Parquet file; whole row groups are read, and the latest are kept."""
        import pyarrow.parquet as pq

        info = path.stat()
        version = (info.st_size, info.st_mtime_ns, info.st_ino)
        with self._lock:
            held, ends, chunks = self._footers.get(path, (None, [], []))
            if held != version:
                with pq.ParquetFile(path) as file:
                    counts = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
                ends, chunks = list(accumulate(counts)), read_row_groups(path)
                self._footers[path] = version, ends, chunks
                for key in [key for key in self._groups if key[0] == path]:
                    del self._groups[key]
            group = bisect_right(ends, row)
            if group >= len(ends):
                raise UnreadableImage("no such row")
            if (path, group) not in self._groups:
                with pq.ParquetFile(path) as file:
                    self._groups[path, group] = read_group(file, group, column, path, chunks)
                while len(self._groups) > _CACHED_GROUPS:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((path, group))
            start = ends[group - 1] if group else 0
            return self._groups[path, group][row - start].as_py()


def _partition(path: Path) -> tuple[str, tuple[str, ...] | None]:
    """Return the label in the name of a folder such as ``label=cat``, as partitioned data sets have it."""
    name, equals, value = path.parent.name.partition("=")
    if not equals or normal_name(name) not in CLASS_COLUMNS:
        return "", None
    label = class_name(unquote(value))
    return f"classes in the folders {name}=…", None if label == _NO_PARTITION else (label,)


def read_schema(path: Path) -> "pa.Schema":
    """Return the columns of a Parquet or Arrow file."""
    import pyarrow.parquet as pq

    check_regular(path)
    if path.suffix.lower() in PARQUET_SUFFIXES:
        with pq.ParquetFile(path) as file:
            return file.schema_arrow
    return read_arrow_schema(path)


def _holds_bytes(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return is_binary(kind)


def picture_column(path: Path, schema: "pa.Schema", options: TableOptions) -> str | None:
    """Return the column that holds pictures, None where no column holds bytes.

    Raises
    ------
    InputError
        Several columns may be meant, or a given one is not there.
    """
    repeated = next((name for name, n in Counter(schema.names).items() if n > 1), None)
    if repeated is not None:
        raise InputError(f"{path} has the column {repeated!r} twice: rename one")
    if options.image_columns:
        empty = [Column(name, i, None) for i, name in enumerate(schema.names)]  # type: ignore[arg-type]
        column = named_column(RawTable(path, tuple(empty), ""), options.image_columns, "--image-column")
        return column.name if column and _holds_bytes(schema.field(column.name).type) else None
    held = [f.name for f in schema if _holds_bytes(f.type)]
    named = sorted(
        (name for name in held if normal_name(name) in IMAGE_COLUMNS),
        key=lambda name: IMAGE_COLUMNS.index(normal_name(name)),
    )
    if named:
        return named[0]
    if len(held) > 1:
        raise InputError(
            f"{path}: the images are in {' or '.join(map(repr, held))}; choose with --image-column"
        )
    return held[0] if held else None


def _named(paths: Sequence[Path]) -> str:
    return str(paths[0].name) + (f" and {len(paths) - 1:,} more files" if len(paths) > 1 else "")
