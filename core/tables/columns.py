"""Meaning of a table's columns: image names, class names, probabilities, classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.core.tables import names
from inficond.core.tables.names import normal_name
from inficond.core.tables.numbers import like_numbers, sample_numbers, several_numbers
from inficond.core.tables.options import TableOptions
from inficond.core.tables.reader import Column, RawTable

if TYPE_CHECKING:
    import pyarrow as pa

Purpose = Literal["responses", "labels"]

_SUM = 2e-3
"""Rounding error of a sum of probabilities."""
_STRUCTURE = re.compile(r"(?s)\s*[\[{(].*[\]})]\s*")
_NUMBERED = re.compile(r"(.+)\.\d+")
"""A name that data frames give to a repeated column."""
_RANKED = re.compile(r"_?\d+$")
_FILE = names.FILE


@dataclass(frozen=True, eq=False)
class Roles:
    """Meaning of the columns of one table.

    A *long* table has a row for each image and class: `label`, and `value` unless every listed class holds.
    A *wide* table has a row for each image and a column for each class: `classes`.

    Parameters
    ----------
    image : Column
    label, value : Column, optional
        Of a long table.
    classes : tuple of Column
        Of a wide table.
    unused : tuple of (Column, reason)
    """

    image: Column
    label: Column | None = None
    value: Column | None = None
    classes: tuple[Column, ...] = ()
    unused: tuple[tuple[Column, str], ...] = ()

    @property
    def spelled(self) -> str:
        """Description of the roles."""
        parts = [f"images in {self.image.shown}"]
        if self.label is not None:
            parts.append(f"classes in {self.label.shown}")
        if self.value is not None:
            parts.append(f"values in {self.value.shown}")
        if self.classes:
            shown = ", ".join(c.name for c in self.classes[:5]) + (", …" if len(self.classes) > 5 else "")
            parts.append(f"{len(self.classes)} class column{'s' * (len(self.classes) > 1)} ({shown:.200})")
        if self.unused:
            shown = ", ".join(f"{c.shown.removeprefix('column ')} ({why})" for c, why in self.unused[:5])
            parts.append(f"not used: {shown}" + (", …" if len(self.unused) > 5 else ""))
        return "; ".join(parts)


@dataclass(frozen=True, eq=False)
class _Kind:
    """Content of a column, judged from a sample of its cells."""

    column: Column
    numbers: list[float | None] = field(repr=False)

    @cached_property
    def numeric(self) -> bool:
        """At least one cell is a number."""
        return any(n is not None for n in self.numbers)

    @cached_property
    def whole(self) -> bool:
        """Every cell is a whole number."""
        return self.numeric and all(n is not None and float(n).is_integer() for n in self.numbers)

    @cached_property
    def binary(self) -> bool:
        return self.whole and all(n in (0.0, 1.0) for n in self.numbers)

    @cached_property
    def files(self) -> bool:
        """Most cells look like file names."""
        cells = [text for text in self.column.texts[:1000] if text]
        return len(cells) > 0 and sum(_FILE.fullmatch(t) is not None for t in cells) > len(cells) / 2


class _Kinds:
    def __init__(self) -> None:
        self._known: dict[int, _Kind] = {}

    def __getitem__(self, column: Column) -> _Kind:
        if column.position not in self._known:
            self._known[column.position] = _Kind(column, sample_numbers(column))
        return self._known[column.position]


def find_roles(table: RawTable, purpose: Purpose, options: TableOptions | None = None) -> Roles:
    """Find the meaning of a table's columns.

    Parameters
    ----------
    table : RawTable
    purpose : {"responses", "labels"}
        Whether the table holds a teacher's responses or ground truth.
    options : TableOptions, optional
        Choices that replace guesses.

    Returns
    -------
    Roles
        `label` or `classes` is set.

    Raises
    ------
    InputError
        A column that an option names is not there, or no rule finds the meaning of a column; the option that
        decides is named.
    """
    options = options or TableOptions()
    kinds = _Kinds()
    image = image_column(table, options, kinds)
    rest = [c for c in table.columns if c is not image]
    unused: dict[int, tuple[Column, str]] = {}
    if options.class_columns:
        chosen = [named_column(table, (name,), "--class-columns") for name in options.class_columns]
        return _wide(image, [c for c in chosen if c is not None], rest, unused)
    for column in list(rest):
        if names.is_index_column(column.name) and (not column.name or kinds[column].whole):
            unused[column.position] = column, "row numbers"
            rest.remove(column)
    label = named_column(table, options.label_columns, "--label-column")
    value = named_column(table, options.probability_columns, "--probability-column")
    named = [c for c in rest if normal_name(c.name) in names.CLASS_COLUMNS]
    label = label or _named_label(table, rest, named, kinds, purpose)
    if label is None and purpose == "labels" and value is None:
        label = _label_by_ending(table, rest, kinds)
    free = [c for c in rest if c is not label and c is not value and not _is_extra(c, kinds)]
    texts = [c for c in free if not kinds[c].numeric and not c.is_empty]
    numbers = [c for c in free if kinds[c].numeric]
    if label is None:
        _refuse_marks(table, texts)
    repeated = len(set(image.texts)) < len(image.texts)
    if (
        label is None
        and len(texts) == 1
        and len(numbers) + (value is not None) <= 1
        and (repeated or not numbers or _named_value(table, numbers))
    ):
        label = texts[0]
    if label is not None and value is None:
        value = _named_value(table, [c for c in rest if c is not label])
        if value is None and purpose == "labels":
            value = _value_beside(table, label, named, kinds)
        elif value is None and numbers and not options.label_columns:
            value = _unnamed_value(table, label, numbers, repeated)
            if value is None:
                label = None
    if label is not None and value is not None and _predicted(label, numbers, options) and not repeated:
        for column, why in ((label, "predicted class"), (value, "value of the predicted class")):
            unused[column.position] = column, why
            rest.remove(column)
        label = value = None
    if label is not None:
        _refuse_two_separators(table, label)
    if purpose == "responses":
        _refuse_unread_numbers(table, texts if label is None else [label], numbers)
    if label is not None:
        return _long(image, label, value, rest, unused)
    return _wide(image, _class_columns(table, rest, kinds, unused), rest, unused, table)


def _predicted(label: Column, numbers: Sequence[Column], options: TableOptions) -> bool:
    """Return whether a column names the best of the classes that have columns of their own."""
    if options.label_columns or options.probability_columns:
        return False
    named = {text.strip() for text in label.texts} - {""}
    return len(numbers) > 2 and named <= {column.name for column in numbers}


def _refuse_two_separators(table: RawTable, column: Column) -> None:
    """Refuse a column whose name and cells contain a separator equally often."""
    for separator, name in ((",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        count = column.name.count(separator)
        if count and all(text.count(separator) == count for text in column.texts if text.strip()):
            raise InputError(
                f"{table.path}: {column.shown} and each of its cells contain {name}: separate all columns "
                "alike, or choose with --separator"
            )


def _refuse_marks(table: RawTable, texts: Sequence[Column]) -> None:
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


def _refuse_unread_numbers(table: RawTable, texts: Sequence[Column], numbers: Sequence[Column]) -> None:
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


def image_column(table: RawTable, options: TableOptions | None = None, kinds: _Kinds | None = None) -> Column:
    """Find the column that names the images.

    Parameters
    ----------
    table : RawTable
    options : TableOptions, optional
    kinds : optional
        Contents that are known already.

    Returns
    -------
    Column

    Raises
    ------
    InputError
        There is none, or several may be meant.
    """
    options, kinds = options or TableOptions(), kinds or _Kinds()
    given = named_column(table, options.image_columns, "--image-column")
    if given is not None:
        return _with_paths(table, given)
    if any(_FILE.fullmatch(c.name) and kinds[c].files for c in table.columns):
        shown = ",".join(c.name for c in table.columns[:4])
        raise InputError(
            f"{table.path} has no header: its first line is {shown}; put a line like image,class,probability "
            "above it"
        )
    columns = [c for c in table.columns if c not in _given_others(table, options)]
    known = [c for c in columns if normal_name(c.name) in names.IMAGE_COLUMNS]
    strong = [c for c in known if normal_name(c.name) not in names.WEAK_IMAGE_COLUMNS]
    strong = [c for c in strong if not kinds[c].numeric] or strong
    files = [c for c in known if kinds[c].files] or [c for c in columns if not strong and kinds[c].files]
    for candidates in (files, strong, known):
        if candidates:
            candidates = sorted(candidates, key=_image_rank)
            if len(candidates) > 1 and normal_name(candidates[0].name) != "image":
                candidates = [_longest(table, candidates)]
            return _with_paths(table, candidates[0])
    shown = ", ".join(c.name for c in table.columns[:8])
    advice = "choose one with --image-column"
    if len(table.columns) == 1 and re.search(r"[^\w.\-/]", table.columns[0].name):
        advice = "separate columns by commas, semicolons or tabs, or choose with --separator"
    raise InputError(f"{table.path} has no column `image`: it has {shown}; {advice}")


def label_column(table: RawTable, options: TableOptions, image: Column) -> Column | None:
    """Find the column of class names in a table of images.

    Parameters
    ----------
    table : RawTable
    options : TableOptions
    image : Column
        The column that names the images.

    Returns
    -------
    Column or None
        None where no column has a usual name and none is given.

    Raises
    ------
    InputError
        A given column is not there, or several may be meant.
    """
    given = named_column(table, options.label_columns, "--label-column")
    if given is not None:
        return given
    kinds = _Kinds()
    rest = [c for c in table.columns if c is not image]
    named = [c for c in rest if normal_name(c.name) in names.CLASS_COLUMNS and not c.is_empty]
    return _named_label(table, named, named, kinds, "labels")


def _image_rank(column: Column) -> int:
    name = normal_name(column.name)
    return names.IMAGE_COLUMNS.index(name) if name in names.IMAGE_COLUMNS else len(names.IMAGE_COLUMNS)


def _longest(table: RawTable, candidates: Sequence[Column]) -> Column:
    """Return the candidate whose paths end with those of every other one."""
    for column in candidates:
        if all(
            long.strip().replace("\\", "/").endswith(short.strip().replace("\\", "/"))
            for other in candidates
            for long, short in zip(column.texts, other.texts)
        ):
            return column
    shown = " or ".join(repr(c.name) for c in candidates)
    raise InputError(f"{table.path}: the images are named in {shown}; choose one with --image-column")


def is_binary(kind: "pa.DataType") -> bool:
    """Return whether cells of an Arrow type hold bytes."""
    import pyarrow as pa

    t = pa.types
    return any(
        test(kind) for test in (t.is_binary, t.is_large_binary, t.is_fixed_size_binary, t.is_binary_view)
    )


def _with_paths(table: RawTable, column: Column) -> Column:
    import pyarrow as pa

    kind = column.arrow.type
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if is_binary(kind) or any(test(kind) for test in lists):
        raise InputError(
            f"{table.path}, {column.shown} holds {kind}, not names of images; choose a column with "
            "--image-column"
        )
    if pa.types.is_struct(kind) and (kind.get_field_index("path") < 0 or column.is_empty):
        raise InputError(
            f"{table.path}, {column.shown} holds pictures without a path; choose a column of names with "
            "--image-column"
        )
    return column


def named_column(table: RawTable, wanted: Sequence[str], option: str) -> Column | None:
    """Return the column that an option names.

    Parameters
    ----------
    table : RawTable
    wanted : sequence of str
        Names, of which one is enough.
    option : str
        The option's name, for the message.

    Returns
    -------
    Column or None
        None where no name is given.

    Raises
    ------
    InputError
        No column has one of the names; the nearest are named.
    """
    if not wanted:
        return None
    column = table.named(wanted)
    if column is None:
        error = unknown("column", wanted[0], [c.name for c in table.columns if c.name])
        raise InputError(f"{table.path}: {option}: {error}")
    return column


def _given_others(table: RawTable, options: TableOptions) -> list[Column]:
    wanted = (*options.label_columns, *options.probability_columns, *options.class_columns)
    return [c for name in wanted if (c := table.named([name])) is not None]


def _pick(table: RawTable, found: list[Column], best: str, option: str) -> Column | None:
    if len(found) > 1:
        exact = [c for c in found if normal_name(c.name) == best]
        if len(exact) != 1:
            shown = " or ".join(repr(c.name) for c in found)
            raise InputError(f"{table.path}: {shown} may be meant; choose one with {option}")
        return exact[0]
    return found[0] if found else None


def _named_label(
    table: RawTable, rest: list[Column], named: list[Column], kinds: _Kinds, purpose: Purpose
) -> Column | None:
    text = [c for c in named if None in kinds[c].numbers or not kinds[c].numeric]
    if text:
        return _pick(table, text, "class", "--label-column")
    whole = [c for c in named if kinds[c].whole]
    beside = [c for c in rest if normal_name(c.name) in names.VALUE_COLUMNS]
    others = [c for c in rest if c not in whole and kinds[c].numeric and not _is_extra(c, kinds)]
    if beside or (purpose == "labels" and not others):
        return _pick(table, whole, "class", "--label-column")
    return None


def _label_by_ending(table: RawTable, rest: list[Column], kinds: _Kinds) -> Column | None:
    """Return the column of text whose name ends like one of classes, or the only numbers of classes."""
    ends = [
        c
        for c in rest
        if not kinds[c].numeric
        and not c.is_empty
        and normal_name(c.name).rpartition("_")[2] in names.CLASS_ENDINGS
    ]
    numbers = [c for c in rest if kinds[c].numeric and not _is_extra(c, kinds)]
    if ends and numbers and all(kinds[c].binary for c in numbers):
        shown = ", ".join(repr(c.name) for c in numbers[:3])
        raise InputError(
            f"{table.path}: the classes may be named in {ends[0].shown}, or be the columns {shown}; choose "
            "with --label-column or --class-columns"
        )
    if ends:
        return _pick(table, ends, "label", "--label-column")
    numbered = [c for c in rest if normal_name(c.name) in names.CLASS_NUMBERS and kinds[c].whole]
    return numbered[0] if len(numbered) == 1 and not numbers else None


def _value_beside(table: RawTable, label: Column, named: list[Column], kinds: _Kinds) -> Column | None:
    """Return the column of 0 and 1 beside class names that says whether each holds, if there is one."""
    for column in named:
        if column is label or not kinds[column].binary:
            continue
        if len(set(zip(label.texts, column.texts))) > len(set(label.texts)):
            return column
        if any(n == 0.0 for n in kinds[column].numbers):  # each class has one number: it may be an index
            raise InputError(
                f"{table.path}: {column.shown} may number the classes in {label.shown}, or say whether they "
                "hold; choose with --probability-column, or rename it to class_id"
            )
    return None


def _named_value(table: RawTable, columns: list[Column]) -> Column | None:
    found = [c for c in columns if normal_name(c.name) in names.VALUE_COLUMNS]
    return _pick(table, found, "probability", "--probability-column")


def _unnamed_value(table: RawTable, label: Column, numbers: list[Column], repeated: bool) -> Column | None:
    if len(numbers) == 1 and repeated:
        return numbers[0]
    if len(numbers) == 1 or repeated:
        shown = " or ".join(repr(c.name) for c in numbers[:5])
        raise InputError(
            f"{table.path}: {shown} may hold the probabilities of the classes in {label.shown}, or be "
            "classes; choose with --probability-column or --class-columns"
        )
    return None


def _is_extra(column: Column, kinds: _Kinds) -> bool:
    """Whether a column has a name that classes rarely have, and content that is not probabilities."""
    name = normal_name(column.name)
    return name in names.OTHER_COLUMNS and (kinds[column].whole or not kinds[column].numeric)


def _class_columns(
    table: RawTable, rest: list[Column], kinds: _Kinds, unused: dict[int, tuple[Column, str]]
) -> list[Column]:
    suspicious = set(names.OTHER_COLUMNS) | set(names.CLASS_COLUMNS) | set(names.WEAK_IMAGE_COLUMNS)
    fractional = any(kinds[c].numeric and not kinds[c].whole for c in rest)
    found = []
    known = {c.name for c in table.columns if c.name}
    for column in rest:
        kind, name = kinds[column], normal_name(column.name)
        first = _NUMBERED.fullmatch(column.name)
        if first and first[1] in known and kind.numeric:
            raise InputError(
                f"{table.path}: {column.shown} may be a second column {first[1]!r:.80}, as pandas names "
                "it: remove it, or list the classes with --class-columns"
            )
        if not kind.numeric and kind.numbers:
            unused[column.position] = column, "text"
        elif not kind.numeric and name in suspicious:
            unused[column.position] = column, "empty"
        elif name in names.VALUE_COLUMNS and kind.numeric:
            raise InputError(
                f"{table.path}: {column.shown} may hold the values of classes that another column names, or "
                "be a class: choose with --label-column or --class-columns"
            )
        elif kind.whole and (name in names.NUMBERING_COLUMNS or name.endswith("_id")):
            unused[column.position] = column, "numbering"
        elif name in suspicious and kind.whole and (fractional or not kind.binary):
            unused[column.position] = column, "not probabilities"
        elif name in suspicious and kind.binary:
            raise InputError(
                f"{table.path}: {column.shown} may be a class or not; list the classes with --class-columns"
            )
        else:
            found.append(column)
    _refuse_score_beside_probabilities(table, found, kinds)
    return found


def _sum_to(whole: float, sums: np.ndarray) -> np.ndarray:
    """Return whether the sums of all rows, the last axis, are `whole` up to rounding."""
    return np.asarray((np.abs(sums - whole) < _SUM * whole).all(axis=-1))


def _refuse_score_beside_probabilities(table: RawTable, columns: list[Column], kinds: _Kinds) -> None:
    """Refuse columns of numbers that are hardly classes: without them, every row sums to 1 (or to 100)."""
    cells = [kinds[column].numbers for column in columns]
    if len(cells) < 3 or len(cells[0]) < 3 or any(len(c) != len(cells[0]) or None in c for c in cells):
        return
    values = np.array(cells, float)
    if not np.isfinite(values).all() or all(kinds[column].binary for column in columns):
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
            kept = ", ".join(column.name for column in columns if column not in extra)
            shown = f"columns {', '.join(repr(c.name) for c in extra):.200}"
            shown = extra[0].shown if len(extra) == 1 else shown
            raise InputError(
                f"{table.path}: {kept:.200} sum to {whole:g} in every row without {shown}, which therefore "
                "may not be a class: list the classes with --class-columns, or remove the column"
            )


def _long(
    image: Column,
    label: Column,
    value: Column | None,
    rest: list[Column],
    unused: dict[int, tuple[Column, str]],
) -> Roles:
    for column in rest:
        if column is not label and column is not value:
            unused.setdefault(column.position, (column, "neither class nor value"))
    return Roles(image, label, value, (), tuple(unused.values()))


def _wide(
    image: Column,
    classes: list[Column],
    rest: list[Column],
    unused: dict[int, tuple[Column, str]],
    table: RawTable | None = None,
) -> Roles:
    for column in rest:
        if column not in classes:
            unused.setdefault(column.position, (column, "not among the classes"))
    if not classes and table is not None:
        shown = ", ".join(c.shown for c, _ in unused.values()) or "nothing else"
        raise InputError(
            f"{table.path} has {image.shown} for the images but no classes: it has {shown:.200}; "
            "name the column of classes with --label-column, or the class columns with --class-columns"
        )
    return Roles(image, None, None, tuple(classes), tuple(unused.values()))
