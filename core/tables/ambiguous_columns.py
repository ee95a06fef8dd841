"""Refusal of columns whose meaning would be a guess; the message names the option that decides."""

import re
from collections.abc import Sequence

import numpy as np

from inficond.core.errors import InputError
from inficond.core.tables import names
from inficond.core.tables.column_contents import ColumnContents
from inficond.core.tables.names import normal_name
from inficond.core.tables.numbers import like_numbers, several_numbers
from inficond.core.tables.raw_table import Column, RawTable

_SUM = 2e-3
"""Rounding error of a sum of probabilities."""
_STRUCTURE = re.compile(r"(?s)\s*[\[{(].*[\]})]\s*")
_RANKED = re.compile(r"_?\d+$")


def refuse_two_separators(table: RawTable, column: Column) -> None:
    """Refuse a column whose name and cells contain a separator equally often."""
    for separator, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        count = column.name.count(separator)
        if count and all(text.count(separator) == count for text in column.texts if text.strip()):
            raise InputError(
                f"{table.path}: {column.shown} and each of its cells contain {name}: separate all columns "
                "alike, or choose with --separator"
            )


def refuse_marks(table: RawTable, texts: Sequence[Column]) -> None:
    """Refuse columns that say yes and no in words or signs that are not read."""
    for column in texts:
        cells = [(row, text.strip()) for row, text in enumerate(column.texts) if text.strip()]
        if normal_name(column.name) not in names.CLASS_COLUMNS and all(
            text.casefold() in names.MARKS for _, text in cells
        ):
            row, text = cells[0]
            raise InputError(
                f"{table.where(row, column)}: {text!r} may mean yes or no: write 1 and 0, "
                "or choose other columns with --class-columns or --label-column"
            )


def refuse_unread_numbers(table: RawTable, texts: Sequence[Column], numbers: Sequence[Column]) -> None:
    """Refuse columns of text that seem to hold the numbers that are looked for."""
    for column in texts if not numbers else ():
        row = several_numbers(column)
        if row is not None:
            raise InputError(
                f"{table.where(row, column)}: {column.texts[row]!r:.60} holds several numbers without the "
                "names of their classes; write a column for each class"
            )
    for column in texts:
        row = like_numbers(column)
        if row is not None:
            raise InputError(
                f"{table.where(row, column)}: {column.texts[row]!r:.60} is not a number that is read; write "
                "it like 0.25, 0,25 or 25%, or remove the column"
            )
        first = next((row for row, text in enumerate(column.texts) if text.strip()), 0)
        if normal_name(column.name) not in names.CLASS_COLUMNS and _STRUCTURE.fullmatch(column.texts[first]):
            raise InputError(
                f"{table.where(first, column)}: {column.texts[first]!r:.60} is neither a class nor a number; "
                'write a column for each class, or cells like {"cat": 0.9, "dog": 0.1}'
            )
    ranked = [c for c in numbers if _RANKED.sub("", normal_name(c.name)) in names.VALUE_COLUMNS]
    if len(ranked) > 1 and len(ranked) == len(numbers) and len(texts) >= len(ranked):
        shown = ", ".join(repr(c.name) for c in (*texts[:2], *ranked[:2]))
        raise InputError(
            f"{table.path}: {shown} seem to be classes by rank with their values; write a row for each image "
            "and class, with columns image, class and probability"
        )


def refuse_score_beside_probabilities(
    table: RawTable, columns: list[Column], contents: ColumnContents
) -> None:
    """Refuse columns of numbers that are hardly classes: without them, every row sums to 1 (or to 100)."""
    cells = [contents[column].numbers for column in columns]
    if len(cells) < 3 or len(cells[0]) < 3 or any(len(c) != len(cells[0]) or None in c for c in cells):
        return
    values = np.array(cells, float)
    if not np.isfinite(values).all() or all(contents[column].binary for column in columns):
        return
    total, before = values.sum(axis=0), np.vstack([np.zeros(values.shape[1]), values.cumsum(axis=0)])
    for whole in (1.0, 100.0):
        if _sum_to(whole, total):
            return
        single = np.flatnonzero(_sum_to(whole, total - values))
        first = np.flatnonzero(_sum_to(whole, total - before))
        last = np.flatnonzero(_sum_to(whole, before))
        extras = [range(i, i + 1) for i in single]
        extras += [range(i) for i in first if i < len(cells) - 1]
        extras += [range(i, len(cells)) for i in last if i > 1]
        if extras and all(found == extras[0] for found in extras):
            extra = [columns[i] for i in extras[0]]
            kept = ", ".join(c.name for i, c in enumerate(columns) if i not in extras[0])
            shown = f"columns {', '.join(repr(c.name) for c in extra):.200}"
            shown = extra[0].shown if len(extra) == 1 else shown
            raise InputError(
                f"{table.path}: {kept:.200} sum to {whole:g} in every row without {shown}, which therefore "
                "may not be a class: list the classes with --class-columns, or remove the column"
            )


def _sum_to(whole: float, sums: np.ndarray) -> np.ndarray:
    """Return whether the sums of all rows, the last axis, are `whole` up to rounding."""
    return np.asarray((np.abs(sums - whole) < _SUM * whole).all(axis=-1))
