"""Reading of Parquet and Arrow files as tables."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

from pathlib import Path
from typing import TYPE_CHECKING

from inficond.core.errors import InputError
from inficond.core.file_access import check_regular, open_regular
from inficond.core.strict_json import parse_json
from inficond.core.tables.expansion import read_arrow, read_parquet
from inficond.core.tables.raw_table import Column, RawTable
from inficond.core.tables.signatures import JSON_START, refuse_foreign

if TYPE_CHECKING:
    import pyarrow as pa

PARQUET_SUFFIXES = (".parquet", ".pq")
ARROW_SUFFIXES = (".arrow", ".feather", ".ipc")
_ARROW_MARKS = (b"ARROW1", b"\xff\xff\xff\xff")
_HEAD = 4096


def read_columnar(path: Path) -> RawTable:
    """Read a Parquet or Arrow file, which its ending decides; see `read_table`."""
    check_regular(path)
    is_parquet = path.suffix.lower() in PARQUET_SUFFIXES
    _check_content(path, is_parquet)
    return _from_parquet(path) if is_parquet else _table(path, read_arrow(path), "Arrow")


def _check_content(path: Path, is_parquet: bool) -> None:
    """Refuse a file that does not begin like a Parquet or an Arrow file."""
    with open_regular(path) as file:
        head = file.read(_HEAD)
    kind, marks = ("Parquet", (b"PAR1",)) if is_parquet else ("Arrow", _ARROW_MARKS)
    if not head:
        raise InputError(f"{path} is empty")
    if head.startswith(marks) or (kind == "Arrow" and head[3:4] == b"\0"):  # the length of an old message
        return
    refuse_foreign(path, head)
    other = "JSON" if JSON_START.match(head) else "text" if b"\0" not in head else ""
    advice = (
        f"it may be {other}: let its name end in .{'json' if other == 'JSON' else 'csv'}" if other else ""
    )
    raise InputError(f"{path} does not begin like a file of {kind}: {advice or 'write or copy it again'}")


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
    return _table(path, read_parquet(path, wanted), "Parquet")


def _is_picture_struct(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and {"bytes", "path"} <= {
        kind.field(i).name for i in range(kind.num_fields)
    }


def _table(path: Path, table: "pa.Table", layout: str) -> RawTable:
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


def is_binary(kind: "pa.DataType") -> bool:
    """Return whether cells of an Arrow type hold bytes."""
    import pyarrow as pa

    t = pa.types
    return any(
        test(kind) for test in (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
    )
