"""Location of the user's cache: exported models, compiled engines, vectors of words."""

import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache; it is not created here.

    ``INFICOND_CACHE`` names another root. An account without a home directory gets a folder of its own below
    the system's temporary folder, which is created.
    """
    given = os.environ.get("INFICOND_CACHE")
    root = Path(given) if given else _system_cache() / "inficond"
    return root.joinpath(*parts)


def _system_cache() -> Path:
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches"
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # the account has no home directory
        return _private_folder(Path(tempfile.gettempdir()))


@cache
def _private_folder(parent: Path) -> Path:
    """Return a folder that no other account can write to; a new one if the usual name is taken by another.

    Others can guess the usual name, and the cache holds the register of trusted models.
    """
    if not hasattr(os, "getuid"):
        return parent / f"cache-{os.environ.get('USERNAME', 'user')}"
    folder = parent / f"cache-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022:
            return folder
    except FileExistsError:  # not a folder
        pass
    except OSError:  # the first write to it raises the error
        return folder
    try:
        return Path(tempfile.mkdtemp(prefix=f"cache-{os.getuid()}-", dir=parent))
    except OSError:
        return folder
