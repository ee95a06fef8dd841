"""Tables that people bring: a teacher's responses and ground-truth labels, CSV or Parquet, long or wide."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from inficond.core.errors import InputError

TABLE_SUFFIXES = (".csv", ".parquet", ".pq", ".tsv")
MOST_CELLS = 1 << 29
"""Numbers of a table (2 GiB): a small file of many names would unfold to any size."""
IMAGE_COLUMNS = ("image", "path", "file", "filename", "id")


@dataclass(frozen=True)
class Table:
    """Numbers by image and class, as read from one file.

    Parameters
    ----------
    path : Path
    images : tuple of str
        As the file names them, in its order.
    classes : tuple of str
    values : (len(images), len(classes)) float32
        NaN where the file says nothing.
    notes : tuple of str
        What was put right while reading, a line each.
    """

    path: Path
    images: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def rows_for(self, ids: Sequence[str]) -> np.ndarray:
        """The row of each image id, (len(ids),) int, −1 where the file does not name it.

        An id matches by its whole path, else by its file name where that is unambiguous on both sides.
        """
        exact = {_posix(name): row for row, name in enumerate(self.images)}
        by_name = _unique_names(list(exact))
        ids_by_name = _unique_names(list(ids))
        rows = np.full(len(ids), -1, np.int64)
        for i, id in enumerate(ids):
            if id in exact:
                rows[i] = exact[id]
                continue
            name = PurePosixPath(id).name
            if name in by_name and ids_by_name.get(name) == id:
                rows[i] = exact[by_name[name]]
        return rows


def _posix(name: str) -> str:
    name = name.replace("\\", "/")
    return name[2:] if name.startswith("./") else name


def _unique_names(paths: list[str]) -> dict[str, str]:
    """File name -> path, for names that only one path has."""
    seen: dict[str, str] = {}
    twice = set()
    for path in paths:
        name = PurePosixPath(path).name
        if name in seen:
            twice.add(name)
        seen[name] = path
    return {name: path for name, path in seen.items() if name not in twice}


def read_responses(path: Path) -> Table:
    """Read a teacher's responses.

    Parameters
    ----------
    path : Path
        CSV or Parquet; columns `image`, `class`, `probability`, or `image` and one column per class.

    Raises
    ------
    InputError
        Unreadable, no such columns, or a value that is no probability; the line is named.
    """
    table = _read(path, "probability")
    bad = np.argwhere((table.values < -1e-6) | (table.values > 1 + 1e-6) | np.isinf(table.values))
    if len(bad):
        row, column = bad[0]
        raise InputError(
            f"{path}: {table.values[row, column]:g} for image {table.images[row]!r}, class "
            f"{table.classes[column]!r} is no probability: give numbers from 0 to 1, not logits"
        )
    missing = int(np.isnan(table.values).sum())
    notes = table.notes
    if missing:
        notes = (
            *notes,
            f"{path.name}: {missing:,} of {table.values.size:,} pairs of image and class missing, taken as 0",
        )
    return Table(
        path, table.images, table.classes, np.clip(np.nan_to_num(table.values, nan=0.0), 0, 1), notes
    )


def read_labels(path: Path) -> Table:
    """Read ground truth.

    Parameters
    ----------
    path : Path
        CSV or Parquet: `image` and one column of 0/1 per class; or `image` and `class` (a row for each class
        that holds); or `image` and `label`/`labels` with names separated by ``|`` or ``;``.

    Raises
    ------
    InputError
        Unreadable, no such columns, or a value that is neither 0, 1 nor empty.
    """
    table = _read(path, "label")
    known = table.values[~np.isnan(table.values)]
    if len(known) and not np.isin(known, (0.0, 1.0)).all():
        wrong = known[~np.isin(known, (0.0, 1.0))][0]
        raise InputError(f"{path}: {wrong:g} is no label: give 0, 1 or nothing (unknown)")
    return table


def _read(path: Path, what: str) -> Table:
    columns = _columns(path)
    image_column = next((c for c in columns if c.lower() in IMAGE_COLUMNS), None)
    if image_column is None:
        raise InputError(f"{path} has no column `image`: it has {', '.join(list(columns)[:8])}")
    images = ["" if v is None else str(v).strip() for v in columns.pop(image_column)]
    if not images:
        raise InputError(f"{path} has no rows")
    lower = {c.lower(): c for c in columns}
    if "class" in lower and ("probability" in lower or what == "label"):
        return _long(path, images, columns[lower["class"]], columns.get(lower.get("probability", "")), what)
    for name in ("label", "labels"):
        if what == "label" and name in lower and len(columns) == 1:
            return _listed(path, images, columns[lower[name]])
    if not columns:
        raise InputError(f"{path} has a column `image` but no class")
    return _wide(path, images, columns)


def _columns(path: Path) -> dict[str, list[Any]]:
    """The file's columns; CSV values stay text, so that a class named 1 or a path named null survives."""
    import pyarrow as pa
    import pyarrow.csv as pc
    import pyarrow.parquet as pq

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            table = pq.read_table(path)
        else:
            with open(path, "rb") as file:
                header = file.readline(1 << 20).decode("utf-8-sig")
            if not header.strip():
                raise InputError(f"{path} is empty")
            delimiter = max(",;\t", key=header.count)
            names = next(csv.reader(re.split("[\r\n]", header.strip("\r\n"))[:1], delimiter=delimiter))
            table = pc.read_csv(
                path,
                parse_options=pc.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=pc.ConvertOptions(
                    column_types={n: pa.string() for n in names}, strings_can_be_null=False
                ),
            )
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as CSV in UTF-8") from None
    except (pa.ArrowException, OSError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table: {_first_line(error)}") from error
    try:
        names = [name.strip().lstrip("\ufeff") for name in table.column_names]
        columns = [column.to_pylist() for column in table.columns]
    except (pa.ArrowException, ValueError, OverflowError) as error:  # no UTF-8; a time out of range
        raise InputError(f"{path} cannot be read as a table: {_first_line(error)}") from error
    if len(set(names)) < len(names):
        first = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"{path} has the column {first!r} twice: rename one")
    return dict(zip(names, columns))


def _first_line(error: Exception) -> str:
    """What a library says went wrong, without the rest of what it says."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _number(path: Path, row: int, value: Any) -> float:
    if value is None or value == "":
        return float("nan")
    if isinstance(value, str) and value.strip().lower() in ("nan", "na", "null", "none", "?"):
        return float("nan")
    if isinstance(value, str) and value.strip().lower() in ("true", "yes"):
        return 1.0
    if isinstance(value, str) and value.strip().lower() in ("false", "no"):
        return 0.0
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{path} line {row + 2}: {str(value)[:40]!r} is no number") from None


class _Grid:
    """Values by (image, class) with repeated ones noticed: the same value is dropped, another one refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.columns: dict[str, int] = {}
        self.cells: dict[tuple[int, int], float] = {}
        self.repeated: list[str] = []

    def put(self, image: str, name: str, value: float, line: int) -> None:
        row = self.rows.setdefault(image, len(self.rows))
        column = self.columns.setdefault(name, len(self.columns))
        old = self.cells.setdefault((row, column), value)
        if old is not value:
            if not (old == value or (np.isnan(old) and np.isnan(value))):
                raise InputError(
                    f"{self.path} line {line + 2}: image {image!r}, class {name!r} is there twice, "
                    f"as {old:g} and {value:g}: keep one"
                )
            self.repeated.append(image)

    def table(self, fill: float = np.nan) -> Table:
        if len(self.rows) * len(self.columns) > MOST_CELLS:
            raise InputError(
                f"{self.path} names {len(self.rows):,} images and {len(self.columns):,} classes: their table "
                f"has more than the {MOST_CELLS:,} numbers that are held; keep fewer classes or images"
            )
        values = np.full((len(self.rows), len(self.columns)), fill, np.float32)
        if self.cells:
            where = np.array(list(self.cells), np.int64)
            values[where[:, 0], where[:, 1]] = list(self.cells.values())
        return Table(
            self.path, tuple(self.rows), tuple(self.columns), values, _repeats(self.path, self.repeated)
        )


def _repeats(path: Path, images: list[str]) -> tuple[str, ...]:
    if not images:
        return ()
    return (
        f"{path.name}: {len(images)} repeated row(s) with the same values ignored, first for {images[0]!r}",
    )


def _long(path: Path, images: list[str], names: list[Any], values: list[Any] | None, what: str) -> Table:
    grid = _Grid(path)
    for line, (image, name) in enumerate(zip(images, names)):
        if not image:
            raise InputError(f"{path} line {line + 2}: no image name")
        name = "" if name is None else str(name).strip()
        if not name:
            if what == "label":  # an image to which no class applies
                grid.rows.setdefault(image, len(grid.rows))
                continue
            raise InputError(f"{path} line {line + 2}: no class name")
        grid.put(image, name, 1.0 if values is None else _number(path, line, values[line]), line)
    return grid.table(fill=0.0 if what == "label" and values is None else np.nan)


def _listed(path: Path, images: list[str], names: list[Any]) -> Table:
    grid = _Grid(path)
    for line, (image, text) in enumerate(zip(images, names)):
        listed = [n.strip() for n in str(text or "").replace(";", "|").split("|") if n.strip()]
        grid.rows.setdefault(image, len(grid.rows))
        for name in listed:
            grid.put(image, name, 1.0, line)
    return grid.table(fill=0.0)


def _wide(path: Path, images: list[str], columns: dict[str, list[Any]]) -> Table:
    numbers = {}
    for name, column in columns.items():
        try:
            numbers[name] = np.array([_number(path, row, v) for row, v in enumerate(column)], np.float32)
        except InputError:
            if name.lower() in ("split", "group", "width", "height"):
                continue
            raise
    if not numbers:
        raise InputError(f"{path} has a column `image` but no class")
    values = np.stack(list(numbers.values()), axis=1)
    first: dict[str, int] = {}
    repeated = []
    for row, image in enumerate(images):
        if not image:
            raise InputError(f"{path} line {row + 2}: no image name")
        if image in first:
            if not np.array_equal(values[first[image]], values[row], equal_nan=True):
                raise InputError(
                    f"{path} line {row + 2}: image {image!r} is there twice with other values: keep one"
                )
            repeated.append(image)
        else:
            first[image] = row
    keep = list(first.values())
    return Table(path, tuple(first), tuple(numbers), values[keep], _repeats(path, repeated))
