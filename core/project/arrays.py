"""Checksummed, memory-mapped arrays.

An array is written block by block, with its checksums, and takes its name only when it is complete.
"""

import errno
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO, NotRequired, Self, TypedDict, cast

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.checksum import HashingFile, sha256_of
from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import open_regular

BLOCK = 1 << 22
"""Bytes that are written at a time."""

MAX_HEADER = 10_000
"""Bytes of an .npy header that are parsed."""


class FileEntry(TypedDict):
    """Entry of a file in `project.json`; only arrays have shape and type."""

    sha256: str
    bytes: int
    shape: NotRequired[list[int]]
    dtype: NotRequired[str]


class ArrayWriter:
    """Writes an array as .npy (C order, little endian) block by block.

    Use as a context manager; the file takes its name when the block ends without an exception and all rows
    were written.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the whole array.
    dtype : str
        NumPy name, for example ``"float16"``.
    checksum_rows : bool
        Also compute the CRC-32 of each row.

    Attributes
    ----------
    row_checksums : (N,) uint32
        Of the rows written so far, if `checksum_rows`.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: str, checksum_rows: bool = False) -> None:
        self.path, self.shape, self.dtype = path, tuple(shape), np.dtype(dtype)
        self.row_checksums = np.zeros(shape[0] if checksum_rows else 0, np.uint32)
        self._rows = 0
        self._context: AbstractContextManager[BinaryIO] = replacing(path)

    def __enter__(self) -> Self:
        self._out = HashingFile(self._context.__enter__())
        header = {
            "descr": np.lib.format.dtype_to_descr(self.dtype.newbyteorder("<")),
            "fortran_order": False,
            "shape": self.shape,
        }
        try:
            np.lib.format.write_array_header_1_0(cast(BinaryIO, self._out), header)
        except BaseException:
            self._context.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None and self._rows != self.shape[0]:
            error = ValueError(f"{self.path.name}: {self._rows} rows written of {self.shape[0]}")
            self._context.__exit__(ValueError, error, None)
            raise error
        self._context.__exit__(kind, error, trace)

    def append(self, block: np.ndarray) -> None:
        """Write further rows; raise `ValueError` if they do not fit the array."""
        first, last = self._rows, self._rows + len(block)
        if block.shape[1:] != self.shape[1:] or last > self.shape[0]:
            raise ValueError(
                f"{self.path.name}: a block {block.shape} in an array {self.shape} at row {first}"
            )
        if not block.size:
            self._rows = last
            return
        rows = np.ascontiguousarray(block, dtype=self.dtype.newbyteorder("<"))
        if len(self.row_checksums):
            self.row_checksums[first:last] = [row_checksum(row) for row in rows]
        self._out.write(rows.data.cast("B"))
        self._rows = last

    @property
    def entry(self) -> FileEntry:
        """Checksum, size, shape and type of what was written."""
        return {
            "sha256": self._out.sha256,
            "bytes": self._out.bytes,
            "shape": list(self.shape),
            "dtype": self.dtype.name,
        }


def save_array(path: Path, array: np.ndarray, dtype: str | None = None) -> FileEntry:
    """Write an array as .npy and return its entry for `project.json`.

    Parameters
    ----------
    path : Path
    array : ndarray
        May be memory-mapped.
    dtype : str, optional
        Type in the file; the array's own by default.

    Raises
    ------
    InputError
        The file cannot be written.
    """
    with ArrayWriter(path, array.shape, dtype or array.dtype.name) as writer:
        for block in row_blocks(array):
            writer.append(block)
    return writer.entry


def row_blocks(array: np.ndarray, size: int = BLOCK) -> Iterator[np.ndarray]:
    """Yield consecutive rows of an array, about `size` bytes at a time."""
    rows = max(1, size // max(1, array[:1].nbytes)) if len(array) else 1
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def open_array(path: Path, entry: FileEntry, root: Path | None = None) -> np.ndarray:
    """Memory-map an array read-only and compare size, shape and type with its entry (not the checksum).

    Parameters
    ----------
    path : Path
    entry : FileEntry
        From `project.json`.
    root : Path, optional
        Folder that must contain the file.

    Raises
    ------
    InputError
        The file is missing, not a regular file, cut short, or of another shape or type.
    """
    try:
        with open_regular(path, root) as file:
            size = os.fstat(file.fileno()).st_size
            if size != entry["bytes"]:
                raise ValueError(f"it has {size:,} bytes instead of {entry['bytes']:,}")
            array = _mapped(file)
        if list(array.shape) != entry.get("shape") or array.dtype.name != entry.get("dtype"):
            raise ValueError(
                f"it holds {array.dtype.name} {array.shape}, not {entry.get('dtype')} {entry.get('shape')}"
            )
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except (InputError, MemoryError):
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(f"cannot map {path}") from error
        raise InputError(f"cannot read {path}: {system_reason(error)}") from error
    except Exception as error:  # NumPy parses the header as Python text; an entry may lack any field
        raise damaged(path, str(error)) from error
    return array


def _mapped(file: BinaryIO) -> np.ndarray:
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"its .npy version is {version}, not (1, 0)")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER)
    if fortran or dtype.hasobject:
        raise ValueError(f"it holds {dtype} in {'Fortran' if fortran else 'C'} order")
    if 0 in shape:
        return np.zeros(shape, dtype)
    return np.memmap(file, dtype, "r", offset=file.tell(), shape=shape)


def damaged(path: Path, reason: str) -> InputError:
    """Return the error for a file of a project that differs from what was written."""
    return InputError(
        f"{path} is damaged ({reason}): restore it from a copy, or build the project again in another folder"
    )


_verified: set[tuple[str, int, int, str]] = set()


def verify(path: Path, sha256: str, root: Path | None = None) -> bool:
    """Compare a file with its checksum, once per process while its size and modification time are unchanged.

    Parameters
    ----------
    path : Path
    sha256 : str
        Hexadecimal.
    root : Path, optional
        Folder that must contain the file.

    Returns
    -------
    bool
        Whether the file was read; False if an earlier comparison still holds.

    Raises
    ------
    InputError
        The file is missing, not a regular file, or its bytes have changed.
    """
    try:
        with open_regular(path, root) as file:
            info = os.fstat(file.fileno())
            key = (str(path), info.st_size, info.st_mtime_ns, sha256)
            if key in _verified:
                return False
            if sha256_of(file) != sha256:
                raise damaged(path, "its bytes have changed: sha256 does not match")
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    _verified.add(key)
    return True


def row_checksums(array: Iterable[np.ndarray]) -> np.ndarray:
    """Return the CRC-32 of every row's bytes, (N,) uint32."""
    return np.fromiter((row_checksum(row) for row in array), dtype=np.uint32)


def row_checksum(row: np.ndarray) -> int:
    """Return the CRC-32 of a row's bytes."""
    return zlib.crc32(np.ascontiguousarray(row).data.cast("B"))
