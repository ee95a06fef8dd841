"""Reading of table files: CSV and other separated text, Parquet, Arrow, JSON Lines."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

import json
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import LFS_POINTER, WEB_PAGE, check_regular, open_regular, read_given
from inficond.core.strict_json import parse_json
from inficond.core.tables.dialect import Dialect, check_quotes, is_blank, record_line, sniff
from inficond.core.tables.encoding import decode_text
from inficond.core.tables.expansion import read_arrow, read_parquet
from inficond.core.tables.names import FILE, is_image_column
from inficond.core.tables.options import TableOptions

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
JSON_SUFFIXES = (".jsonl", ".ndjson")
TEXT_SUFFIXES = (".csv", ".tsv")
UNREADABLE_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
SUFFIXES = (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *ARROW_SUFFIXES, *JSON_SUFFIXES, *UNREADABLE_SUFFIXES)
"""Endings of file names that are read as tables, or refused with advice."""

_FOREIGN = (
    (b"PK\x03\x04", "is a workbook or an archive: save the sheet as CSV in UTF-8, or unpack it"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook: save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "is compressed with gzip: decompress it first"),
    (b"BZh", "is compressed with bzip2: decompress it first"),
    (b"\xfd7zXZ", "is compressed with xz: decompress it first"),
    (b"\x28\xb5\x2f\xfd", "is compressed with Zstandard: decompress it first"),
    (b"PAR1", "is a Parquet file: let its name end in .parquet"),
    (b"ARROW1", "is an Arrow file: let its name end in .arrow"),
    (b"SQLite format 3", "is a database: export the table as CSV in UTF-8"),
    (b"%PDF", "is a PDF document: export the table as CSV in UTF-8"),
    *(
        (bytes([0x80, n]), "is a Python pickle, which is never loaded: save the table as CSV or Parquet")
        for n in range(2, 6)
    ),
    (b"\x93NUMPY", "is a NumPy array, which names no images: save a table as CSV or Parquet"),
    (b"\x89HDF", "is an HDF5 file: save the table as CSV or Parquet"),
    (b"ORC", "is an ORC file: save the table as CSV or Parquet"),
    (b"FEA1", "is a Feather file of version 1: write it again in version 2, or as Parquet"),
    (LFS_POINTER, "is a Git LFS pointer, not the table itself: run `git lfs pull`"),
)
_ARROW_MARKS = (b"ARROW1", b"\xff\xff\xff\xff")
_HEAD = 4096
_JSON = re.compile(rb"""[\xef\xbb\xbf\s]*(\[\s*)?\{\s*["}]""")


class Column:
    r"""One column of a table.

    Parameters
    ----------
    name : str
        Stripped; empty where the header has no name.
    position : int
        From 0.
    arrow : pyarrow.ChunkedArray
    class_names : tuple of str, optional
        Names that the integers of the column stand for (`ClassLabel` of Hugging Face `datasets`).

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import read_table
    >>> _ = Path("labels.csv").write_text("image,class\nboat 1.jpg,boat\n")
    >>> column = read_table(Path("labels.csv")).columns[1]
    >>> column.name, column.position, column.is_empty
    ('class', 1, False)
    """

    def __init__(
        self, name: str, position: int, arrow: "pa.ChunkedArray", class_names: tuple[str, ...] = ()
    ) -> None:
        self.name, self.position, self.arrow, self.class_names = name, position, arrow, class_names

    @property
    def shown(self) -> str:
        """The column as messages call it."""
        return f"column {self.name!r:.80}" if self.name else f"column {self.position + 1} (without a name)"

    @cached_property
    def values(self) -> list[Any]:
        """The cells as Python objects."""
        return self.arrow.to_pylist()

    @cached_property
    def texts(self) -> list[str]:
        """The cells as text; empty where there is none.

        Integers that stand for class names are replaced by them, a struct by its `path`.
        """
        import pyarrow as pa

        if pa.types.is_string(self.arrow.type) and not self.arrow.null_count:
            return self.values
        return [self._text(value) for value in self.values]

    def _text(self, value: Any) -> str:
        if isinstance(value, dict):
            value = value.get("path")
        if value is None:
            return ""
        if self.class_names and isinstance(value, int) and 0 <= value < len(self.class_names):
            return self.class_names[value]
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value)

    @cached_property
    def is_empty(self) -> bool:
        """Whether no cell holds anything."""
        return not any(text.strip() for text in self.texts)


@dataclass(frozen=True, eq=False)
class RawTable:
    r"""The columns of a table, without their meaning.

    Parameters
    ----------
    path : Path
    columns : tuple of Column
    layout : str
        Description of how the file was read.
    text : str
        Content of a text table; empty for other formats.
    dialect : Dialect, optional
        Of a text table.
    dropped : tuple of int
        Rows of the file that are left out because every cell is empty.
    sources : tuple of int
        By row, the record that it comes from, where records were expanded into several rows.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import read_table
    >>> _ = Path("labels.csv").write_text("image;class\nboat 1.jpg;boat\nbird 1.jpg;bird\n")
    >>> table = read_table(Path("labels.csv"))
    >>> table.layout
    'UTF-8, separated by semicolon'
    >>> table.named(["label", "class"]).position
    1
    """

    path: Path
    columns: tuple[Column, ...]
    layout: str
    text: str = ""
    dialect: Dialect | None = None
    dropped: tuple[int, ...] = ()
    sources: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.columns[0].arrow) if self.columns else 0

    def where(self, row: int, column: Column | None = None) -> str:
        """Return file, line and column of a cell, for messages."""
        row = self.sources[row] if self.sources else row
        for dropped in self.dropped:
            row += dropped <= row
        if self.dialect is None:
            place = f"line {row + 1}" if self.layout.startswith("JSON Lines") else f"row {row + 1}"
        else:
            place = f"line {record_line(self.text, self.dialect, row)}"
        return f"{self.path} {place}" + ("" if column is None else f", {column.shown}")

    def named(self, names: Sequence[str]) -> Column | None:
        """Return the first column that has one of these names, regardless of case where that is unique."""
        for name in names:
            exact = [c for c in self.columns if c.name == name.strip()]
            folded = [c for c in self.columns if c.name.casefold() == name.strip().casefold()]
            if exact or len(folded) == 1:
                return (exact or folded)[0]
        return None


def read_table(path: Path, options: TableOptions | None = None) -> RawTable:
    r"""Read a table file.

    Parameters
    ----------
    path : Path
        Its ending decides between text, Parquet, Arrow and JSON Lines.
    options : TableOptions, optional

    Returns
    -------
    RawTable
        At least one row; columns with unique names, except that names may be empty.

    Raises
    ------
    InputError
        The file is not there, damaged, empty or in an unknown format; a line and a remedy are named.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.tables import read_table
    >>> _ = Path("labels.csv").write_text("image;class\nboat 1.jpg;boat\nbird 1.jpg;bird\n")
    >>> table = read_table(Path("labels.csv"))
    >>> [(column.name, list(column.texts)) for column in table.columns]
    [('image', ['boat 1.jpg', 'bird 1.jpg']), ('class', ['boat', 'bird'])]
    """
    import pyarrow as pa

    options = options or TableOptions()
    try:
        suffix = path.suffix.lower()
        if path.is_dir():
            raise IsADirectoryError
        if suffix in (*PARQUET_SUFFIXES, *ARROW_SUFFIXES):
            check_regular(path)
            _check_content(path, suffix)
        if suffix in PARQUET_SUFFIXES:
            table = _from_parquet(path)
        elif suffix in ARROW_SUFFIXES:
            table = _from_arrow(path)
        elif suffix in JSON_SUFFIXES or suffix == ".json":
            table = _from_json(path, options)
        else:
            table = _from_text(path, options)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a table: name the file") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{path} cannot be read as a table: {system_reason(error)}") from error
        raise InputError(
            f"{path} cannot be read as a table ({_first_line(error)}): write or copy it again"
        ) from error
    return _checked(table)


def _check_content(path: Path, suffix: str) -> None:
    """Refuse a file that does not begin like a Parquet or an Arrow file."""
    with open_regular(path) as file:
        head = file.read(_HEAD)
    kind, marks = ("Parquet", (b"PAR1",)) if suffix in PARQUET_SUFFIXES else ("Arrow", _ARROW_MARKS)
    if not head:
        raise InputError(f"{path} is empty")
    if head.startswith(marks) or (kind == "Arrow" and head[3:4] == b"\0"):  # the length of an old message
        return
    refuse_foreign(path, head)
    other = "JSON" if _JSON.match(head) else "text" if b"\0" not in head else ""
    advice = (
        f"it may be {other}: let its name end in .{'json' if other == 'JSON' else 'csv'}" if other else ""
    )
    raise InputError(f"{path} does not begin like a file of {kind}: {advice or 'write or copy it again'}")


def refuse_foreign(path: Path, data: bytes) -> None:
    """Refuse content that is neither text nor a table, with what to do."""
    for magic, advice in _FOREIGN:
        if data.startswith(magic):
            raise InputError(f"{path} {advice}")
    if WEB_PAGE.match(data):
        raise InputError(
            f"{path} is an HTML or XML document, not a table: download or export it as CSV again"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _checked(table: RawTable) -> RawTable:
    """Leave out columns without name and content and rows without content; refuse repeated names."""
    path = table.path
    columns = tuple(c for c in table.columns if c.name or not c.is_empty)
    repeated = [name for name, count in Counter(c.name for c in columns if c.name).items() if count > 1]
    if repeated:
        raise InputError(f"{path} has the column {repeated[0]!r} twice: rename one")
    if not columns or not len(columns[0].arrow):
        raise InputError(f"{path} has no rows")
    return RawTable(path, columns, table.layout, table.text, table.dialect, table.dropped)


def _from_text(path: Path, options: TableOptions) -> RawTable:
    import pyarrow as pa
    import pyarrow.csv as pc

    data = read_given(path, wanted="a table")
    refuse_foreign(path, data)
    if _JSON.match(data):
        raise InputError(f"{path} is JSON: let its name end in .json")
    text, encoding = decode_text(data, path, options.encoding)

    def is_known(cell: str) -> bool:
        return is_image_column(cell) or cell in options.image_columns

    dialect = sniff(text, is_known, path, options.separator)
    width = len(dialect.header) + dialect.row_names + dialect.trailing
    body = text[dialect.body :]
    names = [str(i) for i in range(width)]
    if not body.strip("\r\n"):
        raise InputError(f"{path} has no rows")
    check_quotes(text, dialect, path)
    faults: list[pc.InvalidRow] = []

    def note(row: pc.InvalidRow) -> str:
        if is_blank(row.text, dialect.separator, len(dialect.header)):
            return "skip"
        faults.append(row)
        return "error"

    try:
        table = pc.read_csv(
            pa.BufferReader(body.encode()),
            read_options=pc.ReadOptions(column_names=names, use_threads=False, block_size=1 << 26),
            parse_options=pc.ParseOptions(
                delimiter=dialect.separator,
                quote_char=dialect.quote,
                newlines_in_values=True,
                invalid_row_handler=note,
            ),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid:
        if not faults:
            raise
        fault = faults[0]
        line = "" if fault.number is None else f" line {record_line(text, dialect, fault.number - 1)}"
        raise InputError(
            f"{path}{line} has {fault.actual_columns} cells, the header {len(dialect.header)}: quote "
            "cells that contain the separator"
        ) from None
    header = [""] * dialect.row_names + list(dialect.header) + [""] * dialect.trailing
    _refuse_other_header(path, table, header, text, dialect)
    empty, repeated = _rows_equal_to(table, [""] * len(header)), _rows_equal_to(table, header)
    layout = f"{encoding}, {dialect.spelled}"
    if repeated:
        layout += f", {len(repeated):,} repetition(s) of the header left out"
    dropped = tuple(sorted({*empty, *repeated}))
    if dropped:
        kept = np.ones(len(table), bool)
        kept[list(dropped)] = False
        table = table.filter(pa.array(kept))
    columns = tuple(Column(name, i, table.column(i)) for i, name in enumerate(header))
    return RawTable(path, columns, layout, text, dialect, dropped)


def _refuse_other_header(
    path: Path, table: "pa.Table", header: Sequence[str], text: str, dialect: Dialect
) -> None:
    """Refuse a row that repeats the header in another order: columns change their meaning there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    names = [name.lower() for name in header]
    first = pc.utf8_lower(pc.utf8_trim_whitespace(table.column(0)))
    others = pa.array(sorted({name for name in names if name}), pa.string())
    for row in pc.indices_nonzero(pc.is_in(first, others).combine_chunks()).to_pylist():
        cells = [str(column[row]).strip().lower() for column in table.columns]
        if cells != names and sorted(cells) == sorted(names):
            raise InputError(
                f"{path} line {record_line(text, dialect, row)} is a header in another order than the first: "
                "join tables of the same columns"
            )


def _rows_equal_to(table: "pa.Table", cells: Sequence[str]) -> list[int]:
    """Return rows whose cells are these but for white space and case.

    Spreadsheets write rows of empty cells, and files that are joined repeat the header.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    equal = None
    for column, cell in zip(table.columns, cells):
        same = pc.equal(pc.utf8_lower(pc.utf8_trim_whitespace(column)), cell.lower())
        equal = same if equal is None else pc.and_(equal, same)
        if not pc.any(equal).as_py():
            return []
    return pc.indices_nonzero(pa.chunked_array(equal).combine_chunks()).to_pylist()


def _from_parquet(path: Path) -> RawTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    heavy = [f for f in schema if _is_picture_struct(f.type)]
    wanted = None
    if heavy:  # the pictures themselves are not needed
        wanted = [
            f.name + ".path" if f in heavy else f.name for f in schema if not pa.types.is_binary(f.type)
        ]
    return _from_arrow_table(path, read_parquet(path, wanted), "Parquet")


def _is_picture_struct(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and {"bytes", "path"} <= {
        kind.field(i).name for i in range(kind.num_fields)
    }


def _from_arrow(path: Path) -> RawTable:
    return _from_arrow_table(path, read_arrow(path), "Arrow")


def _from_arrow_table(path: Path, table: "pa.Table", layout: str) -> RawTable:
    import pyarrow.compute as pc

    labels = class_labels(table.schema.metadata)
    columns = []
    for i, field in enumerate(table.schema):
        name = field.name.strip().removeprefix("\ufeff")
        cells = table.column(i)
        if _is_picture_struct(field.type):
            cells = pc.struct_field(cells, "path")
        column = Column(name, i, cells, labels.get(field.name, ()))
        column.values  # noqa: B018  # invalid UTF-8 and times out of range are found here
        columns.append(column)
    return RawTable(path, tuple(columns), layout)


def class_labels(metadata: dict[bytes, bytes] | None) -> dict[str, tuple[str, ...]]:
    """Return the class names that Hugging Face `datasets` stores in the metadata of Arrow and Parquet files.

    Parameters
    ----------
    metadata : dict or None
        Of an Arrow schema.

    Returns
    -------
    dict
        Column name -> class names, for `ClassLabel` columns.
    """
    try:
        features = parse_json((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: tuple(map(str, label["names"]))
            for name, feature in features.items()
            for label in [feature, feature.get("feature"), *(feature if isinstance(feature, list) else [])]
            if isinstance(label, dict) and label.get("_type") == "ClassLabel" and label.get("names")
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _from_json(path: Path, options: TableOptions) -> RawTable:
    """Return a JSON document or JSON Lines; programs write either under either ending."""
    data = read_given(path)
    refuse_foreign(path, data)
    text, _ = decode_text(data, path, options.encoding)
    if not text.strip():
        raise InputError(f"{path} is empty")
    if text.lstrip()[0] not in "[{":
        raise InputError(f"{path} is not JSON: if it is separated text, let its name end in .csv")
    is_document = text.lstrip()[:1] != "{" if path.suffix.lower() in JSON_SUFFIXES else not _has_lines(text)
    return _from_document(path, text) if is_document else _from_json_lines(path, text)


def _has_lines(text: str) -> bool:
    """Return whether each of the first two lines that are not empty is a JSON object."""
    lines = text.strip().split("\n", 2)[:2]
    try:
        return len(lines) == 2 and all(isinstance(parse_json(line), dict) for line in lines)
    except ValueError:
        return False


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object; refuse a key that is there twice, of which JSON readers keep the last value only."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(
            f"the key {next(k for k in keys if keys.count(k) > 1)!r:.80} is there twice in an object"
        )
    return made


def _from_json_lines(path: Path, text: str) -> RawTable:
    rows: list[dict[str, Any]] = []
    blank: list[int] = []
    for number, line in enumerate(text.split("\n")):
        if not line.strip():
            blank.append(number)
            continue
        try:
            row = parse_json(line, _without_repetition)
        except ValueError as error:
            reason = re.sub(r"(?: at)?: line 1 column (\d+) .*", r" at character \1", _first_line(error))
            raise InputError(
                f"{path} line {number + 1} is not JSON: {reason}; write one object per line"
            ) from None
        if not isinstance(row, dict):
            raise InputError(f'{path} line {number + 1} is not a JSON object like {{"file_name": …}}')
        rows.append(row)
    return RawTable(path, _json_columns(rows), "JSON Lines", dropped=tuple(blank))


def _from_document(path: Path, text: str) -> RawTable:
    """Return a JSON document: rows or columns in one of the forms that programs write; see `_json_rows`."""
    try:
        data = parse_json(text, _without_repetition)
    except ValueError as error:
        raise InputError(
            f"{path} is not JSON: {_first_line(error)}; correct it there, or write the table again"
        ) from None
    rows = _json_rows(data)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InputError(
            f'{path} is neither a COCO file nor a list of rows like [{{"image": "a.jpg", "cat": 0.9}}]'
        )
    return RawTable(path, _json_columns(rows), "JSON")


def _json_rows(data: Any) -> Any:
    """Return the rows of a JSON document; the document itself where it has none of these forms.

    A list of rows, also as the only list of objects in an object; ``{"a.jpg": {"cat": 0.9}}``;
    ``{"cat": {"a.jpg": 0.9}}``; ``{"a.jpg": "cat"}``; ``{"a.jpg": [["cat", 0.9]]}``; ``{"cat": ["a.jpg"]}``;
    ``{"image": ["a.jpg"], "cat": [0.9]}``; and what `to_json` of pandas writes by columns, split and as
    table.
    """
    if not isinstance(data, dict) or not data:
        return data
    if isinstance(data.get("data"), list) and data.keys() <= {"schema", "columns", "index", "data"}:
        columns, rows = data.get("columns"), data["data"]
        if isinstance(columns, list):
            if not all(isinstance(row, list) and len(row) == len(columns) for row in rows):
                return data
            return [dict(zip(map(str, columns), row)) for row in rows]
        return rows
    values = list(data.values())
    if all(map(FILE.fullmatch, data)) and not any(isinstance(cell, dict) for cell in values):
        named = all(
            isinstance(name, str) for cell in values for name in (cell if isinstance(cell, list) else [cell])
        )
        return [{"image": image, "labels" if named else "value": cell} for image, cell in data.items()]
    if not any(map(is_image_column, data)) and all(map(_is_list_of_files, values)):
        return [{"image": image, "class": name} for name, images in data.items() for image in images]
    lists = [cells for cells in values if _is_list_of_objects(cells)]
    if len(lists) == 1 and not any(map(is_image_column, data)):
        return lists[0]
    if all(isinstance(cells, list) for cells in values):
        if len({len(cells) for cells in values}) == 1:
            return [dict(zip(data, row)) for row in zip(*values)]
    elif all(isinstance(row, dict) for row in values):
        index = list(values[0])
        if any(map(is_image_column, data)) and all(list(cells) == index for cells in values):
            return [{name: cells[key] for name, cells in data.items()} for key in index]
        keys = dict.fromkeys(key for cells in values for key in cells)
        if keys and all(map(FILE.fullmatch, keys)) and not any(map(FILE.fullmatch, data)):
            return [{"image": key, **{name: cells.get(key) for name, cells in data.items()}} for key in keys]
        return [{"image": name, **row} for name, row in data.items()]
    return data


def _is_list_of_files(cells: Any) -> bool:
    return (
        isinstance(cells, list)
        and len(cells) > 0
        and all(isinstance(name, str) and FILE.fullmatch(name) for name in cells)
    )


def _is_list_of_objects(cells: Any) -> bool:
    return isinstance(cells, list) and len(cells) > 0 and all(isinstance(row, dict) for row in cells)


def _json_columns(rows: list[dict[str, Any]]) -> tuple[Column, ...]:
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    columns = []
    for i, name in enumerate(names):
        cells = [row.get(name) for row in rows]
        try:
            values = pa.chunked_array([pa.array(cells)])
        except (pa.ArrowException, OverflowError):  # cells of several kinds
            values = pa.chunked_array([pa.array([c if isinstance(c, str) else _spelled(c) for c in cells])])
        columns.append(Column(name.strip(), i, values))
    return tuple(columns)


def _spelled(cell: Any) -> str | None:
    return None if cell is None else json.dumps(cell, ensure_ascii=False)
