"""Expansion of cells that hold several classes with their values, as classification pipelines write them."""

import ast
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json
from inficond.core.tables import names
from inficond.core.tables.columns import Roles
from inficond.core.tables.image_column import image_column
from inficond.core.tables.names import normal_name
from inficond.core.tables.numbers import sample_numbers
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable

Pairs = list[tuple[str, Any]]

_STRUCTURE = re.compile(r"(?s)\s*[\[{].*[\]}]\s*")
_VALUE_NAMES = {*names.VALUE_COLUMNS, "logit"}


def expand_nested(table: RawTable, options: TableOptions) -> tuple[RawTable, Roles] | None:
    """Expand the cells of a table that hold classes with values into one row for each class.

    Three forms are read, as objects of JSON and Parquet or as their text in CSV:
    ``{"cat": 0.9, "dog": 0.1}``, ``[{"label": "cat", "score": 0.9}, …]`` or ``[["cat", 0.9], …]``, and two
    columns of lists, of names and of numbers.

    Parameters
    ----------
    table : RawTable
    options : TableOptions

    Returns
    -------
    (RawTable, Roles) or None
        None where the table names its classes in columns or in plain cells.

    Raises
    ------
    InputError
        A cell has another form than the other cells of its column; its row and column are named.
    """
    if options.class_columns or not any(map(_holds_structures, table.columns)):
        return None
    image = image_column(table, options)
    nested = [c for c in table.columns if c is not image and _holds_structures(c)]
    plain = {*table.columns} - {image, *nested}
    if not nested or any(map(_is_class_or_value, plain)):
        return None
    cells = {c.position: [_parsed(value) for value in c.values] for c in nested}
    found = _single(table, nested, cells) or _lists(table, nested, cells)
    if found is None:
        return None
    used, pairs = found
    return _expanded(table, image, used, list(pairs))


def _holds_structures(column: Column) -> bool:
    """Whether every cell that is not empty is a list or an object, or the text of one."""
    cells = [value for value in column.values[:1000] if value not in (None, "")]
    return len(cells) > 0 and all(
        isinstance(v, list | dict) or (isinstance(v, str) and _STRUCTURE.fullmatch(v) is not None)
        for v in cells
    )


def _is_class_or_value(column: Column) -> bool:
    """Whether a plain column may hold the classes or the values of the table."""
    name = normal_name(column.name)
    if name in names.CLASS_COLUMNS:
        return not column.is_empty
    if not column.name or name in names.OTHER_COLUMNS or names.is_index_column(column.name):
        return False
    return any(number is not None for number in sample_numbers(column))


def _parsed(value: Any) -> Any:
    """Return the object that a cell holds or spells; the text itself where it spells none."""
    if not isinstance(value, str):
        return value
    for parse in (parse_json, ast.literal_eval):
        try:
            return parse(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def _single(
    table: RawTable, nested: list[Column], cells: dict[int, list[Any]]
) -> tuple[list[Column], Iterator[Pairs]] | None:
    """Return the one column whose cells hold names and values."""
    able = [c for c in nested if any(_pairs_of(cell) for cell in cells[c.position])]
    if len(able) != 1:
        return None
    column = able[0]

    def read() -> Iterator[Pairs]:
        for row, cell in enumerate(cells[column.position]):
            pairs = _pairs_of(cell)
            if pairs is None:
                raise InputError(
                    f"{table.where(row, column)}: {str(cell)!r:.80} does not name classes with values as the "
                    'other cells do, like {"cat": 0.9} or [{"label": "cat", "score": 0.9}]'
                )
            yield pairs

    return [column], read()


def _pairs_of(cell: Any) -> Pairs | None:
    """Names and values of one cell; None where it holds none."""
    if cell in (None, ""):
        return []
    if isinstance(cell, dict):
        pair = _labelled(cell)
        known = {name: value for name, value in cell.items() if value is not None}
        if pair is not None:
            return [pair]
        return list(known.items()) if all(map(_is_number, known.values())) else None
    if not isinstance(cell, list | tuple):
        return None
    pair = _labelled(cell)
    if pair is not None:
        return [pair]
    pairs = [_labelled(entry) for entry in cell]
    return None if None in pairs else [pair for pair in pairs if pair is not None]


def _labelled(entry: Any) -> tuple[str, Any] | None:
    """Return class and value of an object like ``{"label": "cat", "score": 0.9}`` or a pair of both."""
    if isinstance(entry, list | tuple) and len(entry) == 2:
        name, value = entry if isinstance(entry[0], str) else entry[::-1]
        return (name, value) if isinstance(name, str) and _is_number(value) else None
    if not isinstance(entry, dict):
        return None
    labels = [
        v for k, v in entry.items() if normal_name(str(k)) in names.CLASS_COLUMNS and isinstance(v, str | int)
    ]
    values = [v for k, v in entry.items() if normal_name(str(k)) in _VALUE_NAMES]
    if len(labels) != 1 or len(values) != 1:
        return None
    return (str(labels[0]), values[0]) if _is_number(values[0]) else None


def _lists(
    table: RawTable, nested: list[Column], cells: dict[int, list[Any]]
) -> tuple[list[Column], Iterator[Pairs]] | None:
    """Return one column of lists of names beside one column of lists of numbers."""
    texts, numbers = [], []
    for column in nested:
        lists = [cell for cell in cells[column.position] if cell not in (None, "")]
        if not all(isinstance(cell, list) for cell in lists):
            continue
        flat = list(chain.from_iterable(lists))
        if flat and all(isinstance(entry, str) for entry in flat):
            texts.append(column)
        elif flat and all(map(_is_number, flat)):
            numbers.append(column)
    numbers = [c for c in numbers if not normal_name(c.name).startswith(names.OTHER_COLUMNS)] or numbers
    if len(texts) != 1 or len(numbers) != 1:
        return None

    def read() -> Iterator[Pairs]:
        for row in range(len(table)):
            names_, values = (cells[c.position][row] or [] for c in (texts[0], numbers[0]))
            if len(names_) != len(values):
                raise InputError(
                    f"{table.where(row, numbers[0])} has {len(values)} values for {len(names_)} classes in "
                    f"{texts[0].shown}"
                )
            yield list(zip(names_, values))

    return [texts[0], numbers[0]], read()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _expanded(
    table: RawTable, image: Column, used: list[Column], pairs: list[Pairs]
) -> tuple[RawTable, Roles]:
    """Return a row for each pair; an image without pairs keeps one row without class and value."""
    import pyarrow as pa

    rows = [row for row, held in enumerate(pairs) for _ in range(max(1, len(held)))]
    flat = [pair for held in pairs for pair in (held or [("", None)])]
    named = Column(image.name, 0, image.arrow.take(pa.array(rows, pa.int64())), image.class_names)
    label = Column(
        used[0].name, used[0].position, pa.chunked_array([pa.array([n for n, _ in flat], pa.string())])
    )
    values = pa.array([None if v is None else float(v) for _, v in flat], pa.float64())
    value = Column(used[-1].name, used[-1].position, pa.chunked_array([values]))
    expanded = RawTable(
        table.path,
        (named, label, value),
        f"{table.layout}, classes within cells",
        table.text,
        table.dialect,
        table.dropped,
        tuple(rows),
    )
    others = [c for c in table.columns if c is not image and c not in used]
    unused = tuple((c, "neither class nor value") for c in others)
    return expanded, Roles(named, label, value, (), unused)
