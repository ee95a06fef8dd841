"""Safe opening of files that others wrote."""

import os
import re
import stat
from io import BufferedReader, FileIO
from pathlib import Path

from inficond.core.errors import InputError

_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""Folders of the files that a shell opened for this process."""
LFS_POINTER = b"version https://git-lfs"
"""Beginning of what Git leaves in place of a file that it did not download."""
WEB_PAGE = re.compile(rb"(?i)[\xef\xbb\xbf\s]*<(!doctype html|html|\?xml)")
"""Beginning of an HTML or XML document."""
MOST_GIVEN = 4 << 30
"""Size limit of a file that is read as a whole, in bytes."""
_LARGE = 1 << 20
"""Size of a read, in bytes, from which it is compared with the size of the file."""
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


def in_home(text: str | Path) -> Path:
    """Return a path in which a leading ``~`` is the home directory; ``~`` of an unknown account is a name.

    Parameters
    ----------
    text : str or Path
        As a user wrote it. A shell expands ``~`` only at the start of a word, a program never.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.file_access import in_home
    >>> in_home("~/photos") == Path.home() / "photos"
    True
    >>> in_home("~nobody-of-this-name/photos").parts[0]
    '~nobody-of-this-name'
    """
    return Path(os.path.expanduser(text))


class BoundedReader(BufferedReader):
    """Reader of an open `FileIO` that never requests more bytes than its file has left.

    `BufferedReader` allocates the requested size before it reads. A damaged file that states a length of
    gigabytes then fails for lack of memory instead of as a short file.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes; all that are left by default."""
        if size is not None and size > _LARGE:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_regular(path: Path, root: Path | None = None, limit: int | None = None) -> BufferedReader:
    """Open a regular file for reading; never blocks on a pipe or a device.

    Parameters
    ----------
    path : Path
    root : Path, optional
        Folder that must contain the file once symbolic links are resolved.
    limit : int, optional
        Largest accepted size in bytes.

    Returns
    -------
    BufferedReader
        Positioned at the start; to be closed by the caller.

    Raises
    ------
    InputError
        Not a regular file, outside of `root`, or larger than `limit`.
    OSError
        The file is missing or cannot be read.
    """
    check_inside(path, root)
    _check_kind(path, os.stat(path).st_mode)  # opening a device may have effects
    file = BoundedReader(FileIO(os.open(path, _FLAGS)))
    try:
        info = os.fstat(file.fileno())
        _check_kind(path, info.st_mode)
        if limit is not None and info.st_size > limit:
            raise InputError(f"{path} is too large: {info.st_size:,} bytes, at most {limit:,} are accepted")
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, root: Path | None = None, limit: int | None = None) -> bytes:
    """Return the content of a regular file; parameters and errors as for `open_regular`."""
    with open_regular(path, root, limit) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)
    if len(data) != size:
        raise InputError(f"{path} changed while it was read: try again")
    return data


def read_given(path: Path, limit: int = MOST_GIVEN, wanted: str = "the file itself") -> bytes:
    """Return the content of a file that the user named.

    Parameters
    ----------
    path : Path
        A regular file, or the pipe of a process substitution such as ``<(find photos -name '*.jpg')``.
    limit : int
        Largest accepted size in bytes.
    wanted : str
        What the file should hold, for messages.

    Returns
    -------
    bytes

    Raises
    ------
    InputError
        Another pipe, a device or a folder, larger than `limit`, or what a download left in place of the file:
        a pointer of Git LFS or a web page.
    OSError
        The file is missing or cannot be read.
    """
    if not (str(path).startswith(_DESCRIPTORS) and stat.S_ISFIFO(os.stat(path).st_mode)):
        data = read_regular(path, limit=limit)
    else:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise InputError(f"{path} is too large: at most {limit:,} bytes are accepted")
    if data.startswith(LFS_POINTER):
        raise InputError(f"{path} is a Git LFS pointer, not {wanted}: run `git lfs pull` in its folder")
    if WEB_PAGE.match(data):
        raise InputError(
            f"{path} is an HTML or XML document, not {wanted}: it may be the error or login page of a site; "
            "download or export it again"
        )
    return data


def check_regular(path: Path) -> None:
    """Raise `InputError` if a path is a folder, a pipe or a device, and `OSError` if it is missing."""
    _check_kind(path, os.stat(path).st_mode)


def check_inside(path: Path, root: Path | None) -> None:
    """Raise `InputError` if a path leads out of a folder through ``..`` or a symbolic link."""
    if root is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise InputError(f"{path} leads out of {root}: replace the link with a copy of the file")


def _check_kind(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "not a regular file")
        raise InputError(f"{path} is {kind}, not a regular file: a file is needed there")
