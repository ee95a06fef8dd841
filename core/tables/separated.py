"""Reading of separated text, such as CSV, as tables."""

# pyright: reportAttributeAccessIssue=false
# pyarrow.compute creates its functions when it is imported.

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inficond.core.errors import InputError
from inficond.core.file_access import read_given
from inficond.core.tables.dialect import Dialect, check_quotes, is_blank, record_line, sniff
from inficond.core.tables.encoding import decode_text
from inficond.core.tables.names import is_image_column
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable
from inficond.core.tables.signatures import JSON_START, refuse_foreign

if TYPE_CHECKING:
    import pyarrow as pa


def read_separated(path: Path, options: TableOptions) -> RawTable:
    """Read separated text; see `read_table`."""
    import pyarrow as pa
    import pyarrow.csv as pc

    data = read_given(path, wanted="a table")
    refuse_foreign(path, data)
    if JSON_START.match(data):
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
