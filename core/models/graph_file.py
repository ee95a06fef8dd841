"""ONNX files as they are read from disk: located, hashed and checked once per process."""

import errno
import hashlib
import mmap
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Any

from inficond.core.cache import Cache
from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import open_regular
from inficond.core.models.onnx_safety import Facts, check_graph
from inficond.core.models.trust import is_shipped

MAX_BYTES = 2 << 30
"""Size limit of an ONNX file: a protocol buffer cannot be larger."""

_facts = Cache(256, "facts of ONNX graphs")
"""SHA-256 of a file -> `Facts`. Checking a large graph takes as long as reading it."""


@dataclass(frozen=True)
class GraphFile:
    """An ONNX file that passed the safety check, or is part of this package.

    Parameters
    ----------
    path : Path
    sha256 : str
        Of the file, in hexadecimal.
    body_sha256 : str
        SHA-256 of the file without the trailer that was passed to `read_graph`.
    content : memoryview
        The bytes, mapped from the file.
    """

    path: Path
    sha256: str
    body_sha256: str
    content: memoryview = field(repr=False)

    @property
    def facts(self) -> Facts:
        """Operators, metadata and inputs."""
        return _facts.get(self.sha256, lambda: check_graph(self.content, str(self.path)))

    def checked_content(self) -> bytes:
        """Return a copy of the bytes, which are those that were checked.

        Raises
        ------
        InputError
            The file was written to since.
        """
        return verified(self.path, self.content, self.sha256)


def read_graph(path: Path, expected: Mapping[str, Any] | None = None, trailer: int = 0) -> GraphFile:
    """Read an ONNX file and check it.

    Parameters
    ----------
    path : Path
    expected : mapping, optional
        ``sha256`` and ``bytes`` that the file must have: its entry in a manifest.
    trailer : int
        Bytes at the end that `GraphFile.body_sha256` leaves out.

    Raises
    ------
    InputError
        The file cannot be read, differs from its entry, or is not safe to load.
    """
    content = map_file(path)
    split = max(0, len(content) - trailer)
    hasher = hashlib.sha256(content[:split])
    body_digest = hasher.hexdigest()
    hasher.update(content[split:])
    digest = hasher.hexdigest()
    if expected is not None:
        check_entry(path, expected, len(content), digest)
    graph = GraphFile(path, digest, body_digest, content)
    if not is_shipped(digest):
        _ = graph.facts  # raises
    return graph


def map_file(path: Path) -> memoryview:
    """Map a file into memory.

    Raises
    ------
    InputError
        The file cannot be read, is not a regular file, or is too large for an ONNX file.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with open_regular(path, limit=MAX_BYTES) as file:
            size = os.fstat(file.fileno()).st_size
            # An empty file cannot be mapped.
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    except OSError as error:
        raise InputError(f"cannot read {path}: {system_reason(error)}") from None


def regular_size(path: Path, limit: int) -> int:
    """Return the size of a regular file, in bytes.

    Raises
    ------
    InputError
        It is a folder, pipe or device, or larger than `limit`.
    OSError
        It cannot be read.
    """
    stat = path.stat()
    if not S_ISREG(stat.st_mode):
        raise InputError(f"{path} is not a regular file: name the model file itself")
    if stat.st_size > limit:
        raise InputError(f"{path} is too large: {stat.st_size:,} bytes, at most {limit:,} are allowed")
    return stat.st_size


def verified(path: Path, content: memoryview, sha256: str) -> bytes:
    """Return a copy of mapped bytes whose SHA-256 is known.

    Raises
    ------
    InputError
        It is another: the file has changed since it was checked.
    """
    data = bytes(content)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path} has changed since it was checked: start again")
    return data


def check_entry(path: Path, entry: Mapping[str, Any], size: int, digest: str) -> None:
    """Compare size and SHA-256 of a file with its entry in a manifest.

    Raises
    ------
    InputError
        They differ.
    """
    if entry.get("bytes", size) != size or str(entry.get("sha256", "")).lower() != digest:
        raise InputError(
            f"{path} does not match its manifest: copy the folder again, or export the model again"
        )
