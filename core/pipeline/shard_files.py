"""Places that hold the files of shards: a folder, or an address that fsspec opens."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError, first_line
from inficond.core.file_access import open_regular
from inficond.core.images.sources.addresses import without_credentials, without_credentials_in


class ShardFiles(Protocol):
    """Named files that are written once and read many times.

    Any number of processes may use one place without a lock. A reader may see a file that another process
    is still writing; the CRC-32 of its arrays then does not match.
    """

    def exists(self, name: str) -> bool:
        """Return whether a file exists.

        Raises
        ------
        InputError
            The place cannot be reached.
        """
        ...

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for reading; it can be sought.

        Raises
        ------
        Exception
            It is missing or cannot be read.
        """
        ...

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file, which replaces an older one when the block ends without an exception.

        Raises
        ------
        InputError
            The place is full, read-only or cannot be reached.
        """
        ...


class Folder:
    """A folder; files are replaced atomically.

    Parameters
    ----------
    path : Path
        Created by the first write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self, name: str) -> bool:
        """Return whether a file exists."""
        return (self.path / name).exists()

    def read(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a regular file."""
        return open_regular(self.path / name)

    def write(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file."""
        return replacing(self.path / name)


class RemoteFolder:
    """A folder at a URL that fsspec opens, such as ``s3://bucket/shards``.

    Parameters
    ----------
    url : str
        Credentials come from the environment or from the configuration of fsspec.

    Raises
    ------
    InputError
        fsspec, or its package for this kind of URL, is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = without_credentials(url).rstrip("/")
        try:
            import fsspec
        except ImportError:
            raise InputError(
                f'{self.url}: URLs need the extra `data` (pip install "inficond[data]")'
            ) from None
        try:
            self._system, self._root = fsspec.core.url_to_fs(url.rstrip("/"))
        except ImportError as error:
            raise InputError(f"{self.url}: this kind of URL needs another package: {error}") from None
        except ValueError as error:
            raise InputError(f"{self.url} cannot be opened: {error}") from error
        self._made = False

    def exists(self, name: str) -> bool:
        """Return whether a file exists."""
        try:
            return bool(self._system.exists(self._path(name)))
        except Exception as error:  # each file system raises its own types
            raise InputError(
                f"{self.url} cannot be read: {without_credentials_in(first_line(error))}"
            ) from error

    @contextmanager
    def read(self, name: str) -> Iterator[BinaryIO]:
        """Open a file, read in one request."""
        yield io.BytesIO(self._system.cat_file(self._path(name)))

    @contextmanager
    def write(self, name: str) -> Iterator[BinaryIO]:
        """Open a new file, written in one request."""
        content = io.BytesIO()
        yield content
        try:
            if not self._made:
                self._system.makedirs(self._root, exist_ok=True)
                self._made = True
            self._system.pipe_file(self._path(name), content.getvalue())
        except Exception as error:  # each file system raises its own types
            text = without_credentials_in(first_line(error))
            raise InputError(
                f"cannot write {self.url}/{name}: {text}; free some space, or name another store"
            ) from error

    def _path(self, name: str) -> Any:
        return f"{self._root}/{name}"


def open_place(place: Path | str) -> ShardFiles:
    """Return the files of a folder or of a URL.

    Parameters
    ----------
    place : Path or str
        A path, ``file://…`` or another URL.

    Returns
    -------
    ShardFiles

    Raises
    ------
    InputError
        fsspec, or its package for this kind of URL, is not installed.
    """
    if isinstance(place, str) and "://" in place:
        kind, _, rest = place.partition("://")
        return Folder(Path(rest)) if kind.lower() == "file" else RemoteFolder(place)
    return Folder(Path(place))
