"""Search of a folder for image files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from inficond.core.errors import InputError, system_reason
from inficond.core.images.signatures import HEAD, UNREAD_SUFFIXES, looks_like_picture

_COMMON = "avif avifs bmp dib gif j2k jfif jp2 jpc jpe jpeg jpf jpg jpx mpo png qoi tga tif tiff webp"
_OTHER = "heic heics heif hif pbm pcx pfm pgm pnm ppm"
SUFFIXES = frozenset(f".{name}" for name in f"{_COMMON} {_OTHER}".split())
"""File extensions that a search takes for images; the content decides the format later."""

Note = Callable[[str, str], None]
"""Called with the name of a file that is left out, and the reason."""

SYSTEM_FOLDERS = frozenset(
    {
        "__macosx",
        "@eadir",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "recycler",
        "system volume information",
        "lost+found",
    }
)
"""Names of folders that systems make beside a user's own, in lower case; they hold copies and metadata."""

ARCHIVE_SUFFIXES = (".zip", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
COPIES = (".trash", ".thumb", ".cache", ".ipynb_checkpoints", ".appledouble", ".git", ".svn", ".venv")
"""Beginnings of the names of hidden folders that hold copies and files of programs, in lower case."""

_MAX_SNIFFED = 10_000
"""Files with other extensions whose content is looked at."""


def walk(root: Path, note: Note) -> Iterator[Path]:
    """Search a folder and its subfolders for image files.

    Symbolic links to folders are followed after all real folders, and each folder is searched once, so that
    an image is found under the name of the folder that holds it. `SYSTEM_FOLDERS`, and hidden files and
    folders, are left out; hidden images, and hidden folders that hold images, are reported.

    Parameters
    ----------
    root : Path
    note : callable
        Called with every file and folder that is left out although it may hold images.

    Yields
    ------
    Path
        Image files in no particular order, with paths that are valid UTF-8.

    Raises
    ------
    InputError
        The folder itself cannot be read.
    """
    search = _Search(root, note)
    yield from search.run()


def relative_name(path: Path, root: Path) -> str:
    """Return a path relative to a folder in POSIX form, with bytes that are not UTF-8 escaped."""
    return _relative(path, root).encode("utf-8", "backslashreplace").decode()


def inside(folder: Path) -> Callable[[Path], bool]:
    """Return a test whether a file lies in a folder, with links followed; each parent is resolved once."""
    resolved = folder.resolve()
    parents: dict[str, bool] = {}

    def test(path: Path) -> bool:
        name = os.fspath(path)
        if os.path.islink(name):
            return path.resolve().is_relative_to(resolved)
        parent = os.path.dirname(name)
        if parent not in parents:
            parents[parent] = Path(parent).resolve().is_relative_to(resolved)
        return parents[parent]

    return test


def _relative(path: Path, root: Path) -> str:
    """Return ``path.relative_to(root).as_posix()``, much faster for a folder of many files."""
    name, start = os.fspath(path), os.path.join(os.fspath(root), "")
    if not name.startswith(start):
        return path.relative_to(root).as_posix()
    return name[len(start) :].replace(os.sep, "/")


class _Search:
    def __init__(self, root: Path, note: Note) -> None:
        self.root, self.note = root, note
        self.seen: set[tuple[int, int]] = set()
        self.links: list[Path] = []
        self.linked_files: list[Path] = []
        self.found: set[tuple[int, int]] = set()
        """Device and inode of image files that are not links, known once `linked_files` are looked at."""
        self.images: list[Path] = []
        self.archives: list[str] = []
        self.sniffed = 0

    def run(self) -> Iterator[Path]:
        self.folder(self.root)
        while self.links:
            self.links.sort(key=os.fspath, reverse=True)
            self.folder(self.links.pop())
        yield from self.images
        if not self.images and not self.linked_files:
            for name in self.archives:
                self.note(name, "an archive; unpack it")
        if self.linked_files:
            self.found = {_identity(path) for path in self.images}
        for path in self.linked_files:
            if _identity(path) in self.found:
                self.note(relative_name(path, self.root), "a symbolic link to an image that is found already")
            else:
                yield path

    def folder(self, start: Path) -> None:
        """Search a folder without following links to other folders, which are kept for later."""
        pending = [start]
        while pending:
            folder = pending.pop()
            name = relative_name(folder, self.root)
            try:
                info = folder.stat()
                if (info.st_dev, info.st_ino) in self.seen:
                    self.note(name, "a symbolic link to a folder already searched")
                    continue
                self.seen.add((info.st_dev, info.st_ino))
                entries = sorted(os.scandir(folder), key=lambda e: e.name)
            except OSError as error:
                if folder == self.root:
                    raise InputError(f"cannot read {self.root}: {system_reason(error)}") from error
                self.note(name, f"cannot be read: {error.strerror}")
                continue
            for entry in entries:
                if entry.name.casefold() in SYSTEM_FOLDERS:
                    continue
                path = Path(entry.path)
                if entry.name.startswith("."):
                    self.hidden(entry, relative_name(path, self.root))
                    continue
                try:
                    if not entry.is_dir():
                        self.file(path, entry.is_symlink())
                    elif entry.is_symlink():
                        self.links.append(path)
                    else:
                        pending.append(path)
                except OSError as error:
                    self.note(relative_name(path, self.root), f"cannot be read: {error.strerror}")

    def hidden(self, entry: os.DirEntry[str], name: str) -> None:
        """Report a hidden image, or a hidden folder that holds images."""
        try:
            if not entry.is_dir(follow_symlinks=False):
                holds = not entry.name.startswith("._") and is_image_name(entry.name)
            elif entry.name.casefold().startswith(COPIES):
                holds = False
            else:
                with os.scandir(entry.path) as inner:
                    holds = any(is_image_name(one.name) for one in inner)
        except OSError:
            return
        if holds:
            self.note(name, "hidden, because its name begins with a dot; rename it to use it")

    def file(self, path: Path, is_link: bool) -> None:
        suffix = path.suffix.lower()
        if suffix in SUFFIXES and is_utf8(_relative(path, self.root)):
            (self.linked_files if is_link else self.images).append(path)
            return
        name = relative_name(path, self.root)
        if suffix in SUFFIXES:
            self.note(name, "its name is not UTF-8; rename it")
        elif suffix in UNREAD_SUFFIXES:
            self.note(name, f"{UNREAD_SUFFIXES[suffix]}; convert it to JPEG or PNG")
        else:
            if is_link and not path.exists():
                self.note(name, "a symbolic link to a file or folder that is not there")
            if suffix in ARCHIVE_SUFFIXES:
                self.archives.append(name)
            kind = self.sniff(path)
            if kind is not None:
                self.note(name, f"a {kind} picture whose name does not end like one; rename it")

    def sniff(self, path: Path) -> str | None:
        """Format of a picture with an unusual file extension, for a limited number of files."""
        if self.sniffed >= _MAX_SNIFFED or not path.is_file():
            return None
        self.sniffed += 1
        try:
            with open(path, "rb") as file:
                return looks_like_picture(file.read(HEAD))
        except OSError:
            return None


def _identity(path: Path) -> tuple[int, int]:
    try:
        info = path.stat()
    except OSError:
        return -1, -1
    return info.st_dev, info.st_ino


def is_image_name(name: str) -> bool:
    """Return whether a file's name ends like that of an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def is_utf8(name: str) -> bool:
    """Return whether a path can be written as UTF-8, as projects store it."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
