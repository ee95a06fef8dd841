"""Meaning of a table's columns: image names, class names, probabilities, classes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inficond.core.errors import InputError
from inficond.core.tables import names
from inficond.core.tables.ambiguous_columns import (
    refuse_marks,
    refuse_score_beside_probabilities,
    refuse_two_separators,
    refuse_unread_numbers,
)
from inficond.core.tables.column_contents import ColumnContents, is_extra
from inficond.core.tables.image_column import image_column
from inficond.core.tables.names import normal_name
from inficond.core.tables.options import TableOptions
from inficond.core.tables.raw_table import Column, RawTable, named_column

Purpose = Literal["responses", "labels"]

_NUMBERED = re.compile(r"(.+)\.\d+")
"""A name that data frames give to a repeated column."""


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
    contents = ColumnContents()
    image = image_column(table, options, contents)
    rest = [c for c in table.columns if c is not image]
    unused: dict[int, tuple[Column, str]] = {}
    if options.class_columns:
        chosen = [named_column(table, (name,), "--class-columns") for name in options.class_columns]
        return _wide(image, [c for c in chosen if c is not None], rest, unused)
    for column in rest:
        if names.is_index_column(column.name) and (not column.name or contents[column].whole):
            unused[column.position] = column, "row numbers"
    rest = [c for c in rest if c.position not in unused]
    label = named_column(table, options.label_columns, "--label-column")
    value = named_column(table, options.probability_columns, "--probability-column")
    named = [c for c in rest if normal_name(c.name) in names.CLASS_COLUMNS]
    label = label or _named_label(table, rest, named, contents, purpose)
    if label is None and purpose == "labels" and value is None:
        label = _label_by_ending(table, rest, contents)
    free = [c for c in rest if c is not label and c is not value and not is_extra(c, contents)]
    texts = [c for c in free if not contents[c].numeric and not c.is_empty]
    numbers = [c for c in free if contents[c].numeric]
    if label is None:
        refuse_marks(table, texts)
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
            value = _value_beside(table, label, named, contents)
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
        refuse_two_separators(table, label)
    if purpose == "responses":
        refuse_unread_numbers(table, texts if label is None else [label], numbers)
    if label is not None:
        return _long(image, label, value, rest, unused)
    return _wide(image, _class_columns(table, rest, contents, unused), rest, unused, table)


def _predicted(label: Column, numbers: Sequence[Column], options: TableOptions) -> bool:
    """Return whether a column names the best of the classes that have columns of their own."""
    if options.label_columns or options.probability_columns:
        return False
    named = {text.strip() for text in label.texts} - {""}
    return len(numbers) > 2 and named <= {column.name for column in numbers}


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
    contents = ColumnContents()
    rest = [c for c in table.columns if c is not image]
    named = [c for c in rest if normal_name(c.name) in names.CLASS_COLUMNS and not c.is_empty]
    return _named_label(table, named, named, contents, "labels")


def _pick(table: RawTable, found: list[Column], best: str, option: str) -> Column | None:
    if len(found) > 1:
        exact = [c for c in found if normal_name(c.name) == best]
        if len(exact) != 1:
            shown = " or ".join(repr(c.name) for c in found)
            raise InputError(f"{table.path}: {shown} may be meant; choose one with {option}")
        return exact[0]
    return found[0] if found else None


def _named_label(
    table: RawTable, rest: list[Column], named: list[Column], contents: ColumnContents, purpose: Purpose
) -> Column | None:
    text = [c for c in named if None in contents[c].numbers or not contents[c].numeric]
    if text:
        return _pick(table, text, "class", "--label-column")
    whole = [c for c in named if contents[c].whole]
    beside = [c for c in rest if normal_name(c.name) in names.VALUE_COLUMNS]
    others = [c for c in rest if c not in whole and contents[c].numeric and not is_extra(c, contents)]
    if beside or (purpose == "labels" and not others):
        return _pick(table, whole, "class", "--label-column")
    return None


def _label_by_ending(table: RawTable, rest: list[Column], contents: ColumnContents) -> Column | None:
    """Return the column of text whose name ends like one of classes, or the only numbers of classes."""
    ends = [
        c
        for c in rest
        if not contents[c].numeric
        and not c.is_empty
        and normal_name(c.name).rpartition("_")[2] in names.CLASS_ENDINGS
    ]
    numbers = [c for c in rest if contents[c].numeric and not is_extra(c, contents)]
    if ends and numbers and all(contents[c].binary for c in numbers):
        shown = ", ".join(repr(c.name) for c in numbers[:3])
        raise InputError(
            f"{table.path}: the classes may be named in {ends[0].shown}, or be the columns {shown}; choose "
            "with --label-column or --class-columns"
        )
    if ends:
        return _pick(table, ends, "label", "--label-column")
    numbered = [c for c in rest if normal_name(c.name) in names.CLASS_NUMBERS and contents[c].whole]
    return numbered[0] if len(numbered) == 1 and not numbers else None


def _value_beside(
    table: RawTable, label: Column, named: list[Column], contents: ColumnContents
) -> Column | None:
    """Return the column of 0 and 1 beside class names that says whether each holds, if there is one."""
    for column in named:
        if column is label or not contents[column].binary:
            continue
        if len(set(zip(label.texts, column.texts))) > len(set(label.texts)):
            return column
        if any(n == 0.0 for n in contents[column].numbers):  # each class has one number: it may be an index
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


def _class_columns(
    table: RawTable, rest: list[Column], contents: ColumnContents, unused: dict[int, tuple[Column, str]]
) -> list[Column]:
    suspicious = set(names.OTHER_COLUMNS) | set(names.CLASS_COLUMNS) | set(names.WEAK_IMAGE_COLUMNS)
    fractional = any(contents[c].numeric and not contents[c].whole for c in rest)
    found = []
    known = {c.name for c in table.columns if c.name}
    for column in rest:
        kind, name = contents[column], normal_name(column.name)
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
    refuse_score_beside_probabilities(table, found, contents)
    return found


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
    chosen = set(classes)
    for column in rest:
        if column not in chosen:
            unused.setdefault(column.position, (column, "not among the classes"))
    if not classes and table is not None:
        shown = ", ".join(c.shown for c, _ in unused.values()) or "nothing else"
        raise InputError(
            f"{table.path} has {image.shown} for the images but no classes: it has {shown:.200}; "
            "name the column of classes with --label-column, or the class columns with --class-columns"
        )
    return Roles(image, None, None, tuple(classes), tuple(unused.values()))
