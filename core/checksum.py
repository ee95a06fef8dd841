"""SHA-256 of files."""

import hashlib
from pathlib import Path
from typing import IO, BinaryIO


def sha256_of(source: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a file, from the position of an open one on, in hexadecimal."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return sha256_of(file)
    return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # needs readinto only


class HashingFile:
    """A file being written, with the SHA-256 and the number of the bytes written so far.

    Parameters
    ----------
    file : BinaryIO
        Open for writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._sha256 = file, hashlib.sha256()
        self.bytes = 0
        self.closed = False

    def write(self, data: bytes | memoryview) -> int:
        """Write bytes; return their number."""
        self._sha256.update(data)
        size = memoryview(data).nbytes
        self.bytes += size
        self._file.write(data)
        return size

    def tell(self) -> int:
        """Return the number of bytes written."""
        return self.bytes

    def flush(self) -> None:
        """Write what is buffered."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written, in hexadecimal."""
        return self._sha256.hexdigest()
