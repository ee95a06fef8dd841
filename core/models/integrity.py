"""Check of a model folder's files against its manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.models.graph_file import check_entry, regular_size

MAX_BYTES = 8 << 30
"""Size limit of a model folder's files."""

_checked: set[tuple[str, int, int, str]] = set()


def check_location(path: Path) -> int:
    """Check that a file of a model folder lies in that folder; return its size in bytes.

    Raises
    ------
    InputError
        The file is missing, unreadable, not a regular file, too large, or a link out of the folder.
    """
    try:
        if path.resolve().parent != path.parent.resolve() and not _is_hub_cache_link(path):
            raise InputError(f"{path} is a link to another folder: copy the file itself there")
        return regular_size(path, MAX_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: copy the whole folder, or export the model again") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error


def check_file(path: Path, entry: Mapping[str, Any] | None) -> None:
    """Check location, size and SHA-256 of a file, once per process while it does not change.

    Parameters
    ----------
    path : Path
    entry : mapping or None
        ``sha256`` and ``bytes`` from the manifest; None checks the location only.

    Raises
    ------
    InputError
        See `check_location`; or the file differs from its entry.
    """
    size = check_location(path)
    if entry is None:
        return
    key = (str(path), size, path.stat().st_mtime_ns, str(entry.get("sha256", "")))
    if key not in _checked:
        check_entry(path, entry, size, sha256_of(path))
        _checked.add(key)


def _is_hub_cache_link(path: Path) -> bool:
    """Whether a file is a link of a hub's cache, whose `snapshots` link to a `blobs` folder."""
    return path.resolve().parent.name == "blobs" and "snapshots" in path.parts
