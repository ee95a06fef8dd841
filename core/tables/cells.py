"""Class names in the cells of a table."""

import ast
import re
from collections import Counter
from typing import Any
from unicodedata import normalize

from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json
from inficond.core.tables.names import LIST_COLUMNS, normal_name
from inficond.core.tables.raw_table import Column, RawTable

_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff\u00ad"))
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def class_name(text: str) -> str:
    """Return the name of a class as it is compared.

    In Unicode form NFC, white space as single spaces, without invisible characters.
    """
    return " ".join(normalize("NFC", text.translate(_INVISIBLE)).split())


def splits_names(column: Column) -> bool:
    """Return whether the cells of a column may list several classes."""
    return normal_name(column.name).rpartition("_")[2] in LIST_COLUMNS


def class_names(table: RawTable, column: Column, splits: bool) -> list[list[str]]:
    """Return the class names in each cell of a column.

    Parameters
    ----------
    table : RawTable
    column : Column
    splits : bool
        Whether text with ``|`` or ``;``, or a list as JSON and Python write it, stands for several names.

    Returns
    -------
    list of list of str
        By row; empty for an empty cell.

    Raises
    ------
    InputError
        A cell begins like a list but is not one.
    """
    whole = all(_WHOLE.fullmatch(text.strip()) or not text.strip() for text in column.texts)
    found = []
    for row, (text, value) in enumerate(zip(column.texts, column.values)):
        if isinstance(value, list):
            names = ["" if v is None else _label_of(column, v) for v in value]
        elif splits and text.strip().startswith("[") and text.strip().endswith("]"):
            names = _parsed_list(table, column, row, text.strip())
        elif splits and (several := _set_or_tuple(text.strip())) is not None:
            names = several
        else:
            names = text.replace(";", "|").split("|") if splits else [text]
        if whole:  # data frames write the numbers of a column with gaps as 3.0
            names = [_WHOLE.sub(r"\1", name) for name in names]
        found.append([name for name in map(class_name, names) if name])
    if splits:
        _refuse_lists_by_comma(table, column, found)
    return found


def _refuse_lists_by_comma(table: RawTable, column: Column, found: list[list[str]]) -> None:
    """Refuse ``cat, dog`` where both are names in other cells; in a column called ``labels``, one of them."""
    distinct = {name for held in found for name in held}
    known = {name for name in distinct if "," not in name}
    lists = [set(map(class_name, name.split(","))) for name in distinct if "," in name]
    likely = known | {part for part, n in Counter(part for parts in lists for part in parts).items() if n > 1}
    is_plural = normal_name(column.name) != "label"
    for row, held in enumerate(found):
        for name in held:
            parts = [part for part in map(class_name, name.split(",")) if part]
            if len(parts) > 1 and (known.issuperset(parts) or (is_plural and likely.intersection(parts))):
                raise InputError(
                    f"{table.where(row, column)}: {name!r:.80} may be one class or {len(parts)}: separate "
                    f"classes by | or ;, or rename {column.shown} to class if each cell is one class"
                )


def _label_of(column: Column, value: Any) -> str:
    if column.class_names and isinstance(value, int) and 0 <= value < len(column.class_names):
        return column.class_names[value]
    return str(value)


def _set_or_tuple(text: str) -> list[str] | None:
    """Return the names in a set or tuple as Python writes it, None for any other text."""
    if text == "set()":
        return []
    if (text[:1], text[-1:]) not in (("{", "}"), ("(", ")")):
        return None
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    if not isinstance(found, set | tuple) or not all(isinstance(name, str | int) for name in found):
        return None
    return sorted(map(str, found)) if isinstance(found, set) else [str(name) for name in found]


def _parsed_list(table: RawTable, column: Column, row: int, text: str) -> list[str]:
    for parse in (parse_json, ast.literal_eval):
        try:
            names = parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(names, list) and all(isinstance(name, str | int) for name in names):
            return [str(name) for name in names]
    raise InputError(f'{table.where(row, column)}: {text!r:.60} is not a list of names like ["cat", "dog"]')
