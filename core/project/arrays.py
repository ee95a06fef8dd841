"""Arrays on disk: written once with their checksum, read memory-mapped, never believed without a check.

A file appears under its name only when it is complete: it is written beside it and renamed.
"""

import errno
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError

BLOCK = 1 << 22
"""Bytes moved at a time when an array is copied or hashed."""


@dataclass(frozen=True)
class Chunks:
    """An array too large to hold: its shape and type, and its rows in pieces, in order.

    Parameters
    ----------
    shape : tuple of int
        Of the whole array.
    dtype : str
        NumPy name, e.g. ``"float16"``.
    pieces : callable
        Returns an iterator over arrays whose first axes add up to ``shape[0]``.
    """

    shape: tuple[int, ...]
    dtype: str
    pieces: Callable[[], Iterable[np.ndarray]]


ArrayLike = np.ndarray | Chunks


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        self.bytes += memoryview(data).nbytes
        return self._file.write(data)


def save_array(path: Path, array: ArrayLike) -> dict[str, Any]:
    """Write an array as .npy (C order, little endian), in pieces, and tell what was written.

    Returns
    -------
    dict
        ``sha256`` and ``bytes`` of the file, ``shape`` and ``dtype`` of the array.
    """
    source = (
        array if isinstance(array, Chunks) else Chunks(array.shape, array.dtype.name, lambda: _blocks(array))
    )
    dtype = np.dtype(source.dtype).newbyteorder("<")
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": source.shape}
    rows = 0
    with replacing(path) as file:
        out = _Hashing(file)
        np.lib.format.write_array_header_1_0(cast(BinaryIO, out), header)
        for piece in source.pieces():
            if piece.shape[1:] != source.shape[1:]:
                raise ValueError(f"{path.name}: a piece of shape {piece.shape} in an array {source.shape}")
            rows += len(piece)
            out.write(np.ascontiguousarray(piece, dtype=dtype).data.cast("B") if piece.size else b"")
        if rows != source.shape[0]:
            raise ValueError(f"{path.name}: {rows} rows written of {source.shape[0]}")
    return {
        "sha256": out.sha256.hexdigest(),
        "bytes": out.bytes,
        "shape": list(source.shape),
        "dtype": np.dtype(source.dtype).name,
    }


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // max(1, array[:1].nbytes)) if len(array) else 1
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def open_array(path: Path, entry: dict[str, Any]) -> np.ndarray:
    """Memory-map an array read-only and hold it against what `save_array` told of it (not its checksum).

    Raises
    ------
    InputError
        The file is missing, cut short, or of another shape or type.
    """
    try:
        if path.stat().st_size != entry["bytes"]:
            raise ValueError(f"it has {path.stat().st_size:,} bytes instead of {entry['bytes']:,}")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if list(array.shape) != list(entry["shape"]) or array.dtype.name != entry["dtype"]:
            raise ValueError(
                f"it holds {array.dtype.name} {array.shape}, not {entry['dtype']} {entry['shape']}"
            )
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except MemoryError:
        raise
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(f"cannot map {path}") from error
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a header is Python text to NumPy, an entry may lack anything
        raise damaged(path, str(error)) from error
    return array


def damaged(path: Path, reason: str) -> InputError:
    """The error for a file of a project that is not what was written."""
    return InputError(
        f"{path} is damaged ({reason}): restore it from a copy, or build the project again in another folder"
    )


_verified: dict[tuple[str, int, int, str], bool] = {}


def verify(path: Path, sha256: str) -> bool:
    """Check a file against its checksum; once per process while size and time of change stay the same.

    Returns
    -------
    bool
        Whether it was read now; False where an earlier check still holds.

    Raises
    ------
    InputError
        The bytes are not those that were written.
    """
    try:
        stat = path.stat()
        key = (str(path), stat.st_size, stat.st_mtime_ns, sha256)
        if key in _verified:
            return False
        if sha256_of(path) != sha256:
            raise damaged(path, "its bytes have changed: sha256 does not match")
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    _verified[key] = True
    return True


def row_checksums(array: np.ndarray) -> np.ndarray:
    """CRC-32 of every row's bytes.

    Parameters
    ----------
    array : (N, ...) array

    Returns
    -------
    (N,) uint32
    """
    return np.fromiter((row_checksum(row) for row in array), dtype=np.uint32, count=len(array))


def row_checksum(row: np.ndarray) -> int:
    """CRC-32 of one row's bytes: cheap enough to be checked at every read."""
    return zlib.crc32(np.ascontiguousarray(row).data.cast("B"))
