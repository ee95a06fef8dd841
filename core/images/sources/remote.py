"""Images at URLs, through fsspec."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from inficond.core.errors import InputError
from inficond.core.images.decode import UnreadableImage
from inficond.core.images.sources.addresses import without_credentials, without_credentials_in
from inficond.core.images.sources.classes import folder_labels
from inficond.core.images.sources.record import MOST_BYTES, ImageRecord, Note
from inficond.core.images.walk import SUFFIXES

ATTEMPTS = 4
_READ = 1 << 20
_BLOCK = 8 << 20
"""Bytes of a large file that are requested at once."""
MOST_UNSTATED = 64 << 30
"""Bytes that are read of a file whose size the server does not state."""
_T = TypeVar("_T")
pause = time.sleep
"""Waits between attempts."""


class Remote:
    """A file system and a path in it.

    Parameters
    ----------
    url : str
        For example ``s3://bucket/folder`` or ``https://host/data.tar``. Messages and projects contain it
        without credentials.

    Raises
    ------
    InputError
        fsspec, or the package for this kind of URL, is not installed.
    """

    def __init__(self, url: str) -> None:
        self._address, self.url = url, without_credentials(url)
        kind = url.partition("://")[0]
        try:
            import fsspec
        except ImportError:
            raise InputError(
                f'{self.url}: URLs need the extra `data` (pip install "inficond[data]")'
            ) from None
        try:
            self.fs, self.path = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise InputError(f"{self.url}: {kind}:// needs another package: {error}") from None
        except ValueError as error:
            raise InputError(f"{self.url} cannot be opened: {error}") from error

    def is_folder(self) -> bool:
        """Return whether the path holds other files.

        Raises
        ------
        InputError
            There is nothing at the URL, or it cannot be reached.
        """
        name = self.url.partition("://")[2].partition("?")[0]
        if "/" in name and not name.endswith("/") and re.search(r"\.[A-Za-z]\w{1,7}$", name):
            if self._try(lambda: self.fs.exists(self.path)):
                return False
        elif self._try(lambda: self.fs.isdir(self.path)):
            return True
        if not self._try(lambda: self.fs.exists(self.path)):
            raise InputError(f"there is nothing at {self.url}")
        return False

    def _try(self, ask: Callable[[], _T]) -> _T:
        try:
            return retried(ask)
        except FileNotFoundError:
            raise InputError(f"there is nothing at {self.url}") from None
        except Exception as error:  # each file system raises its own types
            text = without_credentials_in(str(error)) or type(error).__name__
            raise InputError(f"{self.url} cannot be read: {text}") from error

    def files(self) -> dict[str, dict[str, Any]]:
        """Return the files below the path: relative name -> details."""
        found = self._try(lambda: self.fs.find(self.path, detail=True))
        root = str(self.fs._strip_protocol(self.path)).rstrip("/") + "/"
        return {str(name).removeprefix(root): info for name, info in found.items()}

    def download(self, folder: Path) -> Path:
        """Copy the file into a folder, continuing where an interrupted copy stopped.

        Parameters
        ----------
        folder : Path

        Returns
        -------
        Path

        Raises
        ------
        InputError
            The file cannot be read to its end.
        """
        info = self._try(lambda: self.fs.info(self.path))
        size = info.get("size")
        stamp = repr([self._address, size, info.get("ETag") or info.get("etag") or info.get("LastModified")])
        digest = hashlib.sha256(stamp.encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.\-]", "_", PurePosixPath(self.path.partition("?")[0]).name)
        target = folder / digest / name
        if target.is_file():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(name + ".part")
        if size:
            self._resume(partial, size)
        else:
            self._try(lambda: self._copy(partial, MOST_UNSTATED))
        partial.replace(target)
        return target

    def _resume(self, partial: Path, size: int) -> None:
        """Complete a copy of a file of known size."""
        with open(partial, "ab") as file:
            while (done := file.tell()) < size:
                end = min(size, done + _BLOCK)
                block = self._try(lambda at=done, end=end: self._range(at, end))  # type: ignore[misc]
                if block is None:  # a server that ignores ranges sends the whole file
                    file.close()
                    self._try(lambda: self._copy(partial, size))
                    if (copied := partial.stat().st_size) < size:
                        raise InputError(f"{self.url} is cut short: {copied:,} of {size:,} bytes")
                    return
                file.write(block)
                file.flush()

    def _range(self, start: int, end: int) -> bytes | None:
        return read_limited(self.fs, self.path, end - start, start, end)

    def _copy(self, partial: Path, most: int) -> None:
        """Copy a file from its beginning, at most `most` bytes."""
        with open(partial, "wb") as file:
            for block in blocks(self.fs, self.path):
                file.write(block[: most - file.tell()])
                if file.tell() >= most:
                    break


def blocks(fs: Any, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of a file, or of a range of it, as they arrive.

    Parameters
    ----------
    fs : fsspec.AbstractFileSystem
    name : str
    start, end : int
        A server may ignore the range and send the whole file.
    """
    options: dict[str, Any] = {}
    ranged = bool(start or end is not None)
    kinds = (fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol
    over_http = "http" in kinds
    if over_http:  # one request, whose response is not read ahead
        options = {"block_size": 0, "size": 1}
        if ranged:
            options["headers"] = {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
    with fs.open(name, "rb", **options) as file:
        if ranged and not over_http:
            file.seek(start)
        left = None if over_http or end is None else end - start
        while left is None or left > 0:
            block = file.read(_READ if left is None else min(left, _READ))
            if not block:
                return
            left = None if left is None else left - len(block)
            yield block


def read_limited(fs: Any, name: str, most: int, start: int = 0, end: int | None = None) -> bytes | None:
    """Return the bytes of a file or of a range; None if there are more than `most`."""
    parts, total = [], 0
    for block in blocks(fs, name, start, end):
        total += len(block)
        if total > most:
            return None
        parts.append(block)
    return b"".join(parts)


def retried(ask: Callable[[], _T]) -> _T:
    """Return the result of a request, repeated after failures that may pass.

    Parameters
    ----------
    ask : callable
        Raises what the last of `ATTEMPTS` attempts raises.
    """
    for attempt in range(ATTEMPTS):
        try:
            return ask()
        except (FileNotFoundError, PermissionError, IsADirectoryError, NotImplementedError):
            raise
        except Exception:
            if attempt == ATTEMPTS - 1:
                raise
            pause(0.2 * 4**attempt)
    raise AssertionError("unreachable")


class RemoteFolder:
    """The image files below a URL.

    Parameters
    ----------
    remote : Remote
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.notes: list[str] = []
        self.rule = ""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images; see `ImageSource`."""
        remote = self._remote
        files = remote.files()
        ids = sorted(
            name
            for name in files
            if PurePosixPath(name.partition("?")[0]).suffix.lower() in SUFFIXES
            and not any(part.startswith(".") for part in name.split("/"))
        )
        if not ids:
            raise InputError(f"no images at {remote.url}: none of its {len(files):,} files is one")
        found = folder_labels(ids)
        self.rule = found.rule
        self.notes.append(f"{remote.url}: {len(ids):,} image files")
        for id, label, split in zip(ids, found.labels, found.splits):
            info = files[id]
            yield ImageRecord(
                id,
                split=split,
                labels=None if label is None else (label,),
                load=lambda name=info["name"]: _load(remote.fs, name),  # type: ignore[misc]
                location=f"{remote.url.rstrip('/')}/{id}",
                size=int(info.get("size") or -1),
                version=str(
                    info.get("ETag") or info.get("etag") or info.get("mtime") or info.get("LastModified")
                ),
            )


def _load(fs: Any, name: str) -> bytes:
    try:
        content = retried(lambda: read_limited(fs, name, MOST_BYTES))
    except FileNotFoundError:
        raise UnreadableImage("cannot be read: it is no longer there") from None
    except Exception as error:
        text = without_credentials_in(str(error)) or type(error).__name__
        raise UnreadableImage(f"cannot be read after {ATTEMPTS} attempts: {text}") from error
    if content is None:
        raise UnreadableImage(f"larger than {MOST_BYTES >> 20} MiB")
    return content
