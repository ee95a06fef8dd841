"""Whether a model's files are those its manifest was written for, and hold nothing that reaches outside."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from stat import S_ISREG
from typing import Any

from inficond.core.errors import InputError

MAX_BYTES = 8 << 30
"""Larger ONNX files are refused: protobuf itself ends at 2 GB, and nothing here needs more."""

_checked: set[tuple[str, int, int, str]] = set()


def check_file(path: Path, entry: Mapping[str, Any] | None) -> None:
    """Hold a file against its manifest entry (size, SHA-256); once per process while it does not change.

    Raises
    ------
    InputError
        Missing, unreadable, too large, a link out of the folder, or of other bytes.
    """
    try:
        if path.resolve().parent != path.parent.resolve() and not _is_cache_link(path):
            raise InputError(f"{path} links out of its folder: put the file itself there")
        stat = path.stat()
    except FileNotFoundError:
        raise InputError(f"{path} is missing: copy the whole folder, or export the model again") from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    if not S_ISREG(stat.st_mode):
        raise InputError(f"{path} is no plain file: put the file itself there")
    if stat.st_size > MAX_BYTES:
        raise InputError(f"{path} is too large ({stat.st_size:,} bytes)")
    if entry is None:
        return
    wanted = str(entry.get("sha256", "")).lower()
    key = (str(path), stat.st_size, stat.st_mtime_ns, wanted)
    if key in _checked:
        return
    if entry.get("bytes", stat.st_size) != stat.st_size or sha256_of(path) != wanted:
        raise InputError(
            f"{path} does not match its manifest: copy the folder again, or export the model again"
        )
    _checked.add(key)


def _is_cache_link(path: Path) -> bool:
    """A hub's cache keeps files as links into a `blobs` folder beside `snapshots`."""
    return path.resolve().parent.name == "blobs" and "snapshots" in path.parts


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
