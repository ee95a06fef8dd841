"""Register of the ONNX graphs that may run in this process.

A graph is trusted if it ships with this package, if `inficond export` wrote it on this machine, or if the
user registered it with `inficond trust`. Every other graph runs in a process of limited memory and time
(`graph_process`): a manifest with matching checksums proves that a file is complete, not who made it.

The register is a text file in the user's cache, one SHA-256 per line. Without it, graphs are limited again.
"""

import json
import os
import re
from functools import cache
from pathlib import Path
from stat import S_IWGRP, S_IWOTH

from inficond.core.errors import InputError, system_reason
from inficond.core.models.cache_directory import cache_folder

ASSETS = Path(__file__).resolve().parent.parent / "assets"
_MAX_BYTES = 4 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_trusted(sha256: str) -> bool:
    """Whether a graph, given by the SHA-256 of its file, may run in this process."""
    return is_shipped(sha256) or sha256 in registered()


def is_shipped(sha256: str) -> bool:
    """Whether a graph, given by the SHA-256 of its file, is part of this package."""
    return sha256 in _shipped()


def trust(sha256: str) -> None:
    """Register a graph.

    Raises
    ------
    InputError
        The register cannot be written.
    """
    if is_trusted(sha256):
        return
    path = register_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            file.write(f"{sha256}\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {system_reason(error)}") from None


def register_file() -> Path:
    """Return the path of the register."""
    return cache_folder("trusted-graphs.txt")


def registered() -> frozenset[str]:
    """Return the digests in the register; none if another account could have written it."""
    path = register_file()
    try:
        with path.open(encoding="ascii", errors="replace") as file:
            stat = os.fstat(file.fileno())
            if hasattr(os, "getuid") and (stat.st_uid != os.getuid() or stat.st_mode & (S_IWGRP | S_IWOTH)):
                return frozenset()
            return frozenset(_DIGEST.findall(file.read(_MAX_BYTES)))
    except OSError:
        return frozenset()


@cache
def _shipped() -> frozenset[str]:
    """Return the digests of the models inside this package."""
    digests: set[str] = set()
    for manifest in ASSETS.glob("*/manifest.json"):
        files = json.loads(manifest.read_text(encoding="utf-8")).get("files", {})
        digests |= {str(entry.get("sha256", "")) for entry in files.values()}
    return frozenset(digests)
