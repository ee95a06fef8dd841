"""Reading of JSON documents and JSON Lines as tables, in the forms that programs write."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, first_line
from inficond.core.file_access import read_given
from inficond.core.strict_json import parse_json
from inficond.core.tables.encoding import decode_text
from inficond.core.tables.names import FILE, is_image_column
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable
from inficond.core.tables.signatures import refuse_foreign

JSON_SUFFIXES = (".jsonl", ".ndjson")


def read_json(path: Path, options: TableOptions) -> RawTable:
    """Read a JSON document or JSON Lines; programs write either under either ending. See `read_table`."""
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
        twice = next(key for key, n in Counter(key for key, _ in pairs).items() if n > 1)
        raise ValueError(f"the key {twice!r:.80} is there twice in an object")
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
            reason = re.sub(r"(?: at)?: line 1 column (\d+) .*", r" at character \1", first_line(error))
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
            f"{path} is not JSON: {first_line(error)}; correct it there, or write the table again"
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
