"""Where things made once are kept between runs: exported models, compiled engines."""

import os
import sys
from pathlib import Path


def cache_folder(*parts: str) -> Path:
    """A folder below the user's cache (`INFICOND_CACHE` overrides it); not made here."""
    given = os.environ.get("INFICOND_CACHE")
    if given:
        root = Path(given)
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA", Path.home())) / "inficond"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches" / "inficond"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "inficond"
    return root.joinpath(*parts)
