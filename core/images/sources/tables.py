"""Images named in tables and in lists."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import in_home, read_given
from inficond.core.images.sources.record import SPLIT_NAMES, ImageRecord, Note, Split, split_of
from inficond.core.images.walk import relative_name
from inficond.core.tables import Column, RawTable, TableOptions, decode_text, read_table
from inficond.core.tables.cells import class_names, splits_names
from inficond.core.tables.columns import label_column
from inficond.core.tables.image_column import image_column
from inficond.core.tables.names import FILE, normal_name
from inficond.core.tables.signatures import refuse_foreign


@dataclass(frozen=True)
class RowFacts:
    """Fields of an image in a row of a table.

    Parameters
    ----------
    name : str
        Of the image, as written.
    labels : tuple of str, optional
        None where the table has no labels.
    group : str, optional
    split : {"train", "val", "test"}, optional
    rule : str
        Description of the columns of labels.
    row : int
        From 0.
    """

    name: str
    labels: tuple[str, ...] | None
    group: str | None
    split: Split | None
    rule: str
    row: int


def row_facts(table: RawTable, options: TableOptions, image: Column | None = None) -> list[RowFacts]:
    """Read the images of a table with their labels, groups and splits.

    Parameters
    ----------
    table : RawTable
    options : TableOptions
    image : Column, optional
        The column that names the images; found by default.

    Returns
    -------
    list of RowFacts
        By row.

    Raises
    ------
    InputError
        A column cannot be found, or a cell cannot be read; it is named.
    """
    image = image or image_column(table, options)
    others = [c for c in table.columns if c is not image]
    by_name = {normal_name(c.name): c for c in others}
    label = label_column(table, options, image)
    labels: list[tuple[str, ...] | None] = [None] * len(table)
    rule = ""
    if label is not None:
        labels = [tuple(dict.fromkeys(names)) for names in class_names(table, label, splits_names(label))]
        rule = f"classes in {label.shown}"
    groups = by_name["group"].texts if "group" in by_name else [""] * len(table)
    splits = by_name.get("split", by_name.get("subset"))
    return [
        RowFacts(name, held, group.strip() or None, _split(table, splits, row), rule, row)
        for row, (name, held, group) in enumerate(zip(image.texts, labels, groups))
    ]


def _split(table: RawTable, column: Column | None, row: int) -> Split | None:
    if column is None or not column.texts[row].strip():
        return None
    found = split_of(column.texts[row])
    if found is None:
        raise InputError(
            f"{table.where(row, column)}: {column.texts[row]!r:.40} is not a split; use one of "
            f"{', '.join(SPLIT_NAMES)}, or leave it empty"
        )
    return found


class PathTable:
    """The image files that a table names.

    Parameters
    ----------
    path : Path
        Of the table.
    options : TableOptions
    """

    def __init__(self, path: Path, options: TableOptions) -> None:
        self.path, self._options = path, options
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        table = read_table(self.path, self._options)
        image = image_column(table, self._options)
        facts = row_facts(table, self._options, image)
        self.notes.append(f"{self.path.name}: {table.layout}; {len(table):,} rows; images in {image.shown}")
        self.rule = facts[0].rule
        named = []
        for fact in facts:
            if fact.name.strip():
                named.append(fact)
            else:
                note(table.where(fact.row).replace(str(self.path), self.path.name), "no path")
        if not named:
            raise InputError(f"no images in {self.path}: it lists no path")
        paths = listed_paths(self.path, [fact.name.strip() for fact in named])
        labels = _merged(named, paths)
        seen: set[str] = set()
        for (id, path), fact in zip(paths, named):
            if self.rule and id in seen:  # another row of its labels
                continue
            seen.add(id)
            yield ImageRecord(id, path, fact.group, fact.split, labels[id])


def _merged(facts: list[RowFacts], paths: list[tuple[str, Path]]) -> dict[str, tuple[str, ...] | None]:
    """Return labels by image; an image may have a row for each of its labels."""
    merged: dict[str, tuple[str, ...] | None] = {}
    for (id, _), fact in zip(paths, facts):
        held = merged.get(id)
        merged[id] = fact.labels if held is None else tuple(dict.fromkeys([*held, *(fact.labels or ())]))
    return merged


class PathList:
    """The image files that a text file lists, a path in each line.

    Parameters
    ----------
    path : Path
        Of the list.
    options : TableOptions
    """

    def __init__(self, path: Path, options: TableOptions) -> None:
        self.path, self._options = path, options
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        try:
            data = read_given(self.path)
            refuse_foreign(self.path, data)
            text, encoding = decode_text(data, self.path, self._options.encoding)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {system_reason(error)}") from error
        except InputError as error:
            raise InputError(f"{error}; give a folder, a text file of paths or a table") from error
        lines = [line.strip() for line in text.splitlines()]
        names = [line for line in lines if line and not line.startswith("#")]
        if not names:
            raise InputError(f"no images in {self.path}: it lists no path")
        self.notes.append(f"{self.path.name}: {encoding}; {len(names):,} paths")
        for id, path in listed_paths(self.path, names):
            yield ImageRecord(id, path)


def listed_paths(source: Path, names: list[str]) -> list[tuple[str, Path]]:
    """Return id and path of listed files.

    Parameters
    ----------
    source : Path
        Of the list; relative paths start at its folder.
    names : list of str
        As written; backslashes, other Unicode forms, quotes around the path, ``~`` and ``file://`` are
        accepted where such a file exists.

    Returns
    -------
    list of (str, Path)
        Ids are relative to the list's folder where all paths lie in it, else to their common folder.

    Raises
    ------
    InputError
        None of the files exists.
    """
    home = source.resolve().parent
    paths = [_existing(home, name) for name in names]
    if not any(os.path.lexists(path) for path in paths):
        raise InputError(
            f"{source}: none of the {len(names):,} listed files exists, for example {names[0]!r:.120}: "
            f"{_advice(home, names[0])}"
        )
    root = home
    if not all(path.is_relative_to(home) for path in paths):
        try:
            root = Path(os.path.commonpath([path.parent for path in paths]))
        except ValueError:  # different drives
            root = Path(paths[0].anchor)
    return [(relative_name(p, root) if p.is_relative_to(root) else p.as_posix(), p) for p in paths]


def _advice(home: Path, name: str) -> str:
    """Return what to do about a listed name that is not a file."""
    if re.match(r"/9j/[\w+/]{8}|iVBORw0KGgo", name):
        return "the pictures are written as Base64 text; decode them into files, and give their folder"
    path, _, label = name.rstrip().replace("\t", " ").rpartition(" ")
    if path and label and os.path.isfile(home / path.strip()):
        return (
            "each line holds a path and a label; let the name end in .csv, put a line like image,label above "
            "the others, and separate path and label by a comma"
        )
    if re.match(r"[A-Za-z][\w+.\-]*://|data:", name) and not name.startswith("file:"):
        return "addresses and data inside a list are not read; download the images, and give their folder"
    if not FILE.fullmatch(name):
        return (
            "write the path of one file, with its extension; if this is a table of labels, give the folder "
            "of the images instead, and the table with --labels"
        )
    return "paths start at the folder of the list; correct them, or give the folder of the images instead"


def _existing(home: Path, name: str) -> Path:
    path = Path(os.path.normpath(home / name))
    if name[:1] in "\"'~" or name.startswith("file://"):
        bare = name[1:-1] if len(name) > 2 and name[0] in "\"'" and name[-1] == name[0] else name
        bare = unquote(bare.removeprefix("file://")) if bare.startswith("file://") else bare
        other = Path(os.path.normpath(home / in_home(bare)))
        if not os.path.exists(path) and os.path.exists(other):
            return other
    if "%" in name and not os.path.exists(path):
        other = Path(os.path.normpath(home / unquote(name)))
        if os.path.exists(other):
            return other
    if ("\\" in name or not name.isascii()) and not os.path.exists(path):
        for form in ("NFC", "NFD"):
            other = Path(os.path.normpath(home / normalize(form, name.replace("\\", "/"))))
            if os.path.exists(other):
                return other
    return path
