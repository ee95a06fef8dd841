"""The private temporary folder of a running page, and the removal of those that killed pages left."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from inficond.core.atomic_io import lives

PREFIX = "inficond-page-"
LOCK = ".lock"
"""File that the page locks while it runs."""


def make_page_folder(parent: Path) -> tuple[Path, Any]:
    """Make a folder that only this user can read, and remove those of pages that do not run any more.

    Parameters
    ----------
    parent : Path

    Returns
    -------
    folder : Path
    lock : file or None
        To be closed by the caller after the folder was removed. None if the system cannot lock files.
    """
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent)).resolve()
    lock = open(folder / LOCK, "wb")  # noqa: SIM115
    if _try_lock(lock) is None:
        lock.close()
        (folder / LOCK).unlink()
        return folder, None
    return folder, lock


def _try_lock(file: Any) -> bool | None:
    """Lock a file; return whether it worked, None if the system or the file system cannot lock files."""
    try:
        import fcntl
    except ImportError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*-*"):
        with contextlib.suppress(OSError):
            owned = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
            if owned and folder.is_dir() and not folder.is_symlink() and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process runs the page of a folder.

    A process id does not tell it: in a container, each start of the page has the same one.
    """
    lock = folder / LOCK
    if lock.is_file() and not lock.is_symlink():
        with open(lock, "rb") as file:
            return _try_lock(file) is True
    process = folder.name.removeprefix(PREFIX).partition("-")[0]
    return process.isdigit() and not lives(int(process))
