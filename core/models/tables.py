"""Tables of teacher responses and of ground-truth labels."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images.sources.coco import coco_labels, is_coco_file
from inficond.core.tables import SUFFIXES, Matching, RawTable, TableOptions, match_names, read_table
from inficond.core.tables.cells import class_name, class_names, splits_names
from inficond.core.tables.columns import Roles, find_roles
from inficond.core.tables.nested import expand_nested
from inficond.core.tables.numbers import NumberReader

TABLE_SUFFIXES = (*SUFFIXES, ".json", ".txt", ".tab")
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".zip")
MAX_CELLS = 1 << 29
"""Numbers of a table (2 GiB): a small file of many names would unfold to any size."""
_TOLERANCE = 1e-6


def is_table_name(name: str | Path) -> bool:
    """Return whether the name of a file ends like a table, compressed or not; compressed ones are refused.

    Examples
    --------
    >>> from inficond.core.models.tables import is_table_name
    >>> is_table_name("answers.CSV"), is_table_name("answers.csv.gz"), is_table_name("weights.onnx")
    (True, True, False)
    """
    path = Path(name)
    if path.suffix.lower() in _COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower() in TABLE_SUFFIXES


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
        NaN where the file has no value.
    notes : tuple of str
        How the file was understood and what was changed while reading, one line each.
    """

    path: Path
    images: tuple[str, ...]
    classes: tuple[str, ...]
    values: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def match(self, ids: Sequence[str]) -> Matching:
        """Match image ids with the rows of the table; see `match_names`."""
        return match_names(self.images, ids)

    def rows_for(self, ids: Sequence[str]) -> np.ndarray:
        """Return the row of each image id, (len(ids),) int64, −1 where the table does not name it."""
        return self.match(ids).rows


def read_responses(path: Path, options: TableOptions | None = None) -> Table:
    """Read a teacher's responses.

    Parameters
    ----------
    path : Path
        A table with columns `image`, `class` and `probability`, or `image` and a column for each class, or
        `image` and `class` for a teacher that only names a class.
    options : TableOptions, optional

    Returns
    -------
    Table
        Probabilities; pairs of image and class without a value are 0, images without any value are left out.

    Raises
    ------
    InputError
        The file cannot be read or understood, or a value is not a probability; row and column are named.
    """
    options = options or TableOptions()
    raw = read_table(path, options)
    expanded = expand_nested(raw, options)
    raw, roles = expanded or (raw, find_roles(raw, "responses", options))
    grid = _grid(raw, roles, fill=0.0 if roles.label is not None and roles.value is None else np.nan)
    values, notes = _probabilities(grid, options), list(grid.notes)
    answered = ~np.isnan(values).all(axis=1)
    if not answered.any():
        raise InputError(f"{path} has no value for any image")
    if not answered.all():
        first = grid.images[int(np.argmin(answered))]
        notes.append(
            f"{path.name}: {int((~answered).sum()):,} image(s) without values left out, first {first!r:.80}"
        )
    missing = int(np.isnan(values[answered]).sum())
    if missing:
        notes.append(
            f"{path.name}: {missing:,} of {values[answered].size:,} pairs of image and class missing, "
            "taken as 0"
        )
    if roles.label is not None and roles.value is None:
        notes.append(
            f"{path.name}: no column of probabilities: the named class counts as 1, every other as 0"
        )
    images = tuple(image for image, keep in zip(grid.images, answered) if keep)  # pyright: ignore[reportArgumentType]
    values = np.clip(np.nan_to_num(values[answered], nan=0.0), 0, 1)
    return Table(path, images, tuple(grid.classes), values, tuple(notes))


def read_labels(path: Path, options: TableOptions | None = None) -> Table:
    """Read ground truth.

    Parameters
    ----------
    path : Path
        A table with columns `image` and one column of 0/1 for each class; or `image` and `class` (a row for
        each class that holds); or `image` and `label`/`labels` with names separated by ``|`` or ``;``. A
        ``.json`` file is a COCO annotation file.
    options : TableOptions, optional

    Returns
    -------
    Table
        0, 1, or NaN where unknown.

    Raises
    ------
    InputError
        The file cannot be read or understood, or a value is neither 0, 1 nor empty; row and column are named.
    """
    if path.suffix.lower() == ".json" and is_coco_file(path):
        return _coco_table(path)
    raw = read_table(path, options)
    roles = find_roles(raw, "labels", options)
    grid = _grid(raw, roles, fill=0.0 if roles.label is not None and roles.value is None else np.nan)
    wrong = ~np.isnan(grid.values) & (grid.values != 0) & (grid.values != 1)
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise InputError(
            f"{grid.where(row, column)}: {grid.values[row, column]:g} is not a label; use 0, 1 or an empty "
            "cell (unknown), or choose the column of classes with --label-column, or the columns of 0 and 1 "
            "with --class-columns"
        )
    return Table(path, tuple(grid.images), tuple(grid.classes), grid.values, grid.notes)


def _coco_table(path: Path) -> Table:
    labels, faults = coco_labels(path)
    classes = sorted({name for held in labels.values() for name in held})
    if not classes:
        raise InputError(f"{path} has no annotation")
    if len(labels) * len(classes) > MAX_CELLS:
        raise InputError(f"{path}: {len(labels):,} images and {len(classes):,} categories are too many")
    index = {name: c for c, name in enumerate(classes)}
    values = np.zeros((len(labels), len(classes)), np.float32)
    for row, held in enumerate(labels.values()):
        values[row, [index[name] for name in held]] = 1
    notes = [f"{path.name}: COCO annotations of {len(labels):,} images, {len(classes):,} categories"]
    notes += [f"{path.name}: {faults}"] if faults else []
    return Table(path, tuple(labels), tuple(classes), values, tuple(notes))


@dataclass(eq=False)
class _Grid:
    """Values by (image, class), and the cells of the file that they come from."""

    raw: RawTable
    roles: Roles
    images: list[str]
    classes: list[str]
    values: np.ndarray
    lines: np.ndarray
    """Row of the file for each image (wide), or for each pair (long)."""
    notes: tuple[str, ...]

    def where(self, row: int, column: int) -> str:
        """Return the place of a value, for messages."""
        wide = self.roles.value is None and self.roles.label is None
        cell = self.roles.classes[column] if wide else self.roles.value
        line = int(self.lines[row] if wide else self.lines[row, column])
        pair = f"image {self.images[row]!r:.80}" + ("" if wide else f", class {self.classes[column]!r:.80}")
        return f"{self.raw.where(line, cell)} ({pair})"


def _grid(raw: RawTable, roles: Roles, fill: float) -> _Grid:
    numbers = NumberReader(raw)
    images = roles.image.texts
    for row, image in enumerate(images):
        if not image.strip():
            raise InputError(f"{raw.where(row, roles.image)}: no image name")
    if roles.label is None:
        found = _wide(raw, roles, images, numbers)
    else:
        found = _long(raw, roles, images, numbers, fill)
    numbers.check()
    style = [", percent signs"] * numbers.percent + [", decimal comma"] * numbers.decimal_comma
    understood = f"{raw.path.name}: {raw.layout}{''.join(style)}; {len(raw):,} rows; {roles.spelled}"
    found.notes = (understood, *found.notes, *_similar(raw.path, found.classes))
    return found


def _similar(path: Path, classes: Sequence[str]) -> tuple[str, ...]:
    """Return notes on classes whose names differ in case only, or in the way of writing a number only."""
    found = []
    for key, way in ((str.casefold, "in case only"), (_number_name, "in the way of writing a number only")):
        first: dict[str, str] = {}
        pairs = [(first[k], c) for c in classes if (k := key(c)) and first.setdefault(k, c) != c]
        if pairs:
            one, other = pairs[0]
            more = f", and {len(pairs) - 1:,} more pairs" if len(pairs) > 1 else ""
            found.append(
                f"{path.name}: classes {one!r:.80} and {other!r:.80} differ {way}{more}; they stay apart"
            )
    return tuple(found)


def _number_name(name: str) -> str:
    """Return a whole number in its shortest form, ``"01"`` and ``"1.0"`` -> ``"1"``; else an empty text."""
    found = re.fullmatch(r"0*(\d+)(\.0*)?", name, re.ASCII)
    return found[1] if found else ""


def _wide(raw: RawTable, roles: Roles, images: list[str], numbers: NumberReader) -> _Grid:
    values = np.stack([numbers.read(c).astype(np.float32) for c in roles.classes], axis=1)
    first: dict[str, int] = {}
    repeated = []
    for row, image in enumerate(images):
        known = first.setdefault(image, row)
        if known != row:
            if not np.array_equal(values[known], values[row], equal_nan=True):
                raise InputError(
                    f"{raw.where(row)}: image {image!r:.80} is there twice with other values; keep one row"
                )
            repeated.append(image)
    lines = np.array(list(first.values()), np.int64)
    classes = [class_name(c.name) or f"column {c.position + 1}" for c in roles.classes]
    if len(set(classes)) < len(classes):
        twice = next(name for name, n in Counter(classes).items() if n > 1)
        raise InputError(f"{raw.path} has the column {twice!r:.80} twice: rename one")
    return _Grid(raw, roles, list(first), classes, values[lines], lines, _repeats(raw.path, repeated))


def _long(raw: RawTable, roles: Roles, images: list[str], numbers: NumberReader, fill: float) -> _Grid:
    assert roles.label is not None
    values = np.ones(len(raw)) if roles.value is None else numbers.read(roles.value)
    rows: dict[str, int] = {}
    columns: dict[str, int] = {}
    cells: dict[tuple[int, int], int] = {}
    repeated = []
    splits = splits_names(roles.label) and roles.value is None
    for line, (image, names) in enumerate(zip(images, class_names(raw, roles.label, splits))):
        row = rows.setdefault(image, len(rows))
        if not names and roles.value is not None and not np.isnan(values[line]):
            raise InputError(f"{raw.where(line, roles.label)}: no class name")
        for name in names:
            cell = (row, columns.setdefault(name, len(columns)))
            known = cells.setdefault(cell, line)
            if known != line:
                old, new = values[known], values[line]
                if not (old == new or (np.isnan(old) and np.isnan(new))):
                    raise InputError(
                        f"{raw.where(line, roles.value)}: image {image!r:.80}, class {name!r:.80} is there "
                        f"twice, as {old:g} and {new:g}; keep one row"
                    )
                repeated.append(image)
    if not columns:
        raise InputError(f"{raw.path}: {roles.label.shown} names no class")
    if len(rows) * len(columns) > MAX_CELLS:
        raise InputError(
            f"{raw.path} names {len(rows):,} images and {len(columns):,} classes: their table has more than "
            f"{MAX_CELLS:,} numbers, the largest size; keep fewer classes or images"
        )
    grid = np.full((len(rows), len(columns)), fill, np.float32)
    lines = np.zeros(grid.shape, np.int32)
    if cells:
        at = np.array(list(cells), np.int64)
        from_line = np.array(list(cells.values()), np.int64)
        grid[at[:, 0], at[:, 1]] = values[from_line]
        lines[at[:, 0], at[:, 1]] = from_line
    return _Grid(raw, roles, list(rows), list(columns), grid, lines, _repeats(raw.path, repeated))


def _repeats(path: Path, images: list[str]) -> tuple[str, ...]:
    if not images:
        return ()
    rows = f"{len(images):,} repeated row(s) with the same values"
    return (f"{path.name}: {rows} ignored, first for {images[0]!r:.80}",)


def _probabilities(grid: _Grid, options: TableOptions) -> np.ndarray:
    """Convert the values to probabilities, float32; NaN where there is none."""
    values = grid.values.astype(np.float64)
    if options.values == "percent":
        values = values / 100
    elif options.values == "logit":
        with np.errstate(over="ignore"):
            values = 1 / (1 + np.exp(-values))
    elif options.values == "softmax":
        values = np.exp(values - np.nanmax(values, axis=1, keepdims=True, initial=-np.inf))
        values /= np.nansum(values, axis=1, keepdims=True)
    bad = np.argwhere((values < -_TOLERANCE) | (values > 1 + _TOLERANCE) | np.isinf(grid.values))
    if len(bad):
        row, column = map(int, bad[0])
        said = grid.values[row, column]
        raise InputError(
            f"{grid.where(row, column)}: {said:g} is not a probability from 0 to 1"
            + _advice(grid.values, options, np.unique(bad[:, 1]).size)
        )
    return values.astype(np.float32)


def _advice(values: np.ndarray, options: TableOptions, columns: int) -> str:
    """Return what to do about values beyond 0 … 1, which `columns` of the classes have."""
    if options.values != "probability":
        return f" after reading it as {options.values} (--values)"
    if columns == 1 and values.shape[1] > 2:
        return "; if it is not a class, list the classes with --class-columns"
    known = values[np.isfinite(values)]
    if (known < 0).any():
        return "; if the values are logits, say so with --values logit (sigmoid) or --values softmax"
    if len(known) and known.max() <= 100:
        return "; if the values are percent or logits, say so with --values percent, logit or softmax"
    if len(known) and known.max() <= 1000 and (known == np.rint(known)).all():
        most = 255 if known.max() <= 255 else 1000
        return (
            f"; if the values are shares of {most}, divide them by {most}; if they are logits, say so with "
            "--values logit (sigmoid) or --values softmax"
        )
    return "; if the values are logits, say so with --values logit (sigmoid) or --values softmax"
