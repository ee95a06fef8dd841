"""Location of the user's cache: exported models, compiled engines, vectors of words."""

import os
import sys
import tempfile
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """Return a folder below the user's cache; it is not created here.

    ``INFICOND_CACHE`` names another root. An account without a home directory gets a folder of its own below
    the system's temporary folder.
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
        owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        return Path(tempfile.gettempdir()) / f"cache-{owner}"
