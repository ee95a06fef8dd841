"""SHA-256 of files."""

import hashlib
from pathlib import Path
from typing import IO


def sha256_of(source: Path | IO[bytes]) -> str:
    """Return the SHA-256 of a file, from the position of an open one on, in hexadecimal."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            return sha256_of(file)
    return hashlib.file_digest(source, "sha256").hexdigest()  # type: ignore[arg-type]  # needs readinto only
