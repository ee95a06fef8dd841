"""Reading of table files: CSV and other separated text, Parquet, Arrow, JSON Lines."""

import struct
from collections import Counter
from pathlib import Path

from inficond.core.errors import InputError, system_reason
from inficond.core.tables.columnar import ARROW_SUFFIXES, PARQUET_SUFFIXES, read_columnar
from inficond.core.tables.json_rows import JSON_SUFFIXES, read_json
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import RawTable
from inficond.core.tables.separated import read_separated

TEXT_SUFFIXES = (".csv", ".tsv")
UNREADABLE_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
SUFFIXES = (*TEXT_SUFFIXES, *PARQUET_SUFFIXES, *ARROW_SUFFIXES, *JSON_SUFFIXES, *UNREADABLE_SUFFIXES)
"""Endings of file names that are read as tables, or refused with advice."""


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
            table = read_columnar(path)
        elif suffix in JSON_SUFFIXES or suffix == ".json":
            table = read_json(path, options)
        else:
            table = read_separated(path, options)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}: check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder, not a table: name the file") from None
    except (pa.ArrowException, OSError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, InputError):
            raise
        if isinstance(error, OSError) and error.errno:
            raise InputError(f"{path} cannot be read as a table: {system_reason(error)}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as a table ({reason}): write or copy it again") from error
    return _checked(table)


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
