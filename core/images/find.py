"""Image files of a folder, a list of paths, or a table of paths."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast
from unicodedata import normalize

from inficond.core.errors import InputError
from inficond.core.images.walk import SUFFIXES, Note, relative_name, walk
from inficond.core.tables import SUFFIXES as TABLE_SUFFIXES
from inficond.core.tables import RawTable, TableOptions, decode_text, read_table
from inficond.core.tables.columns import image_column
from inficond.core.tables.names import normal_name

Split = Literal["train", "val"]


@dataclass(frozen=True)
class ImageFile:
    """An image to be read.

    Parameters
    ----------
    id : str
        Path relative to the searched folder, POSIX form.
    path : Path
    group : str, optional
        Images of one group share a source (a burst, a patient, a video).
    split : {"train", "val"}, optional
        Where a CSV decides it; else the project's seeded split does.
    """

    id: str
    path: Path
    group: str | None = None
    split: Split | None = None


def find_images(
    source: Path | str, note: Note | None = None, options: TableOptions | None = None
) -> list[ImageFile]:
    """Find the images of a source, sorted by id.

    Parameters
    ----------
    source : Path or str
        A folder (searched recursively; symbolic links are followed, each folder once), a table with a column
        `path` and optionally `group` and `split`, or a text file with a path in each line.
    note : callable, optional
        Called with every file that is left out, and the reason.
    options : TableOptions, optional
        How a table or text file is read.

    Returns
    -------
    list of ImageFile
        At least one.

    Raises
    ------
    InputError
        The source is missing, unreadable, or holds no image.
    """
    source, note, options = Path(source), note or (lambda file, reason: None), options or TableOptions()
    try:
        mode = source.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error
    if stat.S_ISDIR(mode):
        images = [ImageFile(relative_name(path, source), path) for path in walk(source, note)]
        found = sorted(images, key=lambda f: f.id)
        if not found:
            raise InputError(
                f"no images in {source}: none of its files ends in .jpg, .png, .webp or another image format"
            )
    elif source.suffix.lower() in TABLE_SUFFIXES:
        found = _from_table(source, note, options)
    elif source.suffix.lower() in SUFFIXES:
        raise InputError(f"{source} is one image: give the folder that holds the images, or a list of paths")
    else:
        found = _from_list(source, note, options)
    return found


def _from_list(source: Path, note: Note, options: TableOptions) -> list[ImageFile]:
    try:
        text, _ = decode_text(_bytes(source), source, options.encoding)
    except InputError as error:
        raise InputError(f"{error}; give a folder, a text file of paths or a table") from error
    lines = [line.strip() for line in text.splitlines()]
    rows: list[tuple[str, str | None, Split | None]] = [
        (line, None, None) for line in lines if line and not line.startswith("#")
    ]
    return _named(source, rows, note)


def _from_table(source: Path, note: Note, options: TableOptions) -> list[ImageFile]:
    table = read_table(source, options)
    column = image_column(table, options)
    by_name = {normal_name(c.name): c.texts for c in table.columns if c is not column}
    groups, splits = by_name.get("group"), by_name.get("split")
    rows: list[tuple[str, str | None, Split | None]] = []
    for row, path in enumerate(column.texts):
        if not path.strip():
            note(table.where(row).replace(str(source), source.name), "no path")
            continue
        group = groups[row].strip() if groups else ""
        rows.append((path.strip(), group or None, _split(splits[row] if splits else "", table, row)))
    return _named(source, rows, note)


def _split(text: str, table: RawTable, row: int) -> Split | None:
    text = text.strip().lower()
    known = {
        "": None,
        "train": "train",
        "training": "train",
        "val": "val",
        "valid": "val",
        "validation": "val",
    }
    if text not in known:
        raise InputError(f"{table.where(row)}: split {text!r} is neither train nor val")
    return cast(Split | None, known[text])


def _bytes(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


def _existing(home: Path, text: str) -> Path:
    """The path of a listed file; written with backslashes or in another Unicode form where that exists."""
    path = Path(os.path.normpath(home / text))
    if ("\\" in text or not text.isascii()) and not os.path.exists(path):
        for form in ("NFC", "NFD"):
            other = Path(os.path.normpath(home / normalize(form, text.replace("\\", "/"))))
            if os.path.exists(other):
                return other
    return path


def _named(source: Path, rows: list[tuple[str, str | None, Split | None]], note: Note) -> list[ImageFile]:
    """Ids relative to the list's own folder where all paths lie in it, else to their common folder."""
    home = source.resolve().parent
    paths = [_existing(home, text) for text, _, _ in rows]
    if not paths:
        raise InputError(f"no images in {source}: it lists no path")
    root = home
    if not all(path.is_relative_to(home) for path in paths):
        try:
            root = Path(os.path.commonpath([path.parent for path in paths]))
        except ValueError:  # different drives
            root = Path(paths[0].anchor)
    found: dict[str, ImageFile] = {}
    for path, (_, group, split) in zip(paths, rows):
        id = relative_name(path, root) if path.is_relative_to(root) else path.as_posix()
        if id in found:
            note(id, "listed more than once; the first is used")
            continue
        found[id] = ImageFile(id, path, group, split)
    return sorted(found.values(), key=lambda f: f.id)
