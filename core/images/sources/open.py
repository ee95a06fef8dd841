"""Choice of the source that a name or a path means."""

import stat
from pathlib import Path

from inficond.core.errors import InputError
from inficond.core.images.sources.folder import Folder
from inficond.core.images.sources.record import ImageSet, ImageSource, Note, collect
from inficond.core.images.sources.tables import PathList, PathTable
from inficond.core.images.walk import SUFFIXES
from inficond.core.tables import SUFFIXES as TABLE_SUFFIXES
from inficond.core.tables import TableOptions


def open_source(
    source: Path | str, note: Note | None = None, options: TableOptions | None = None
) -> ImageSet:
    """Find the images of a source.

    Parameters
    ----------
    source : Path or str
        A folder, a table with a column of paths, or a text file with a path in each line.
    note : callable, optional
        Called with every image and file that is left out, and the reason.
    options : TableOptions, optional
        How tables and text files are read.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        The source is missing, unreadable, or holds no image.
    """
    options = options or TableOptions()
    opened = choose(Path(source), options)
    return collect(opened, note or (lambda name, reason: None), str(source))


def choose(path: Path, options: TableOptions) -> ImageSource:
    """Return the source that a path means.

    Parameters
    ----------
    path : Path
    options : TableOptions

    Raises
    ------
    InputError
        The path is missing, or one image.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    suffix = path.suffix.lower()
    if stat.S_ISDIR(mode):
        return Folder(path, options)
    if suffix in SUFFIXES:
        raise InputError(f"{path} is one image: give the folder that holds the images, or a list of paths")
    if suffix in TABLE_SUFFIXES:
        return PathTable(path, options)
    return PathList(path, options)
