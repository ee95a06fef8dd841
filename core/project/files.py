"""Names of a project's files, and reading and writing of its JSON documents.

The layout is described in docs/formats.md.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError, one_line, system_reason
from inficond.core.file_access import read_regular
from inficond.core.project.arrays import FileEntry, damaged
from inficond.core.strict_json import parse_json

FORMAT = 2
"""Version of the folder's layout; a reader refuses a higher one.

Format 2 packs the thumbnails and may have exam images, which an older reader would take for training images.
"""
FIRST_FORMAT = 1
"""Version of a folder without packs and without exam images."""

PROJECT = "project.json"
IMAGES = "images.parquet"
CONCEPTS = "concepts.json"
CONCEPT_VECTORS = "concepts.npy"
CONCEPT_EMBEDDINGS = "concept_embeddings.npy"
RESPONSES = "teacher.npy"
LABELS = "labels.npy"
REGIONS = "regions/embeddings.npy"
ASSIGNMENT = "regions/assignment.npy"
BOXES = "regions/boxes.npy"
THUMBNAILS = "thumbnails"
THUMBNAIL_ENDS = "thumbnails/ends.npy"
PER_PACK = 1000
"""Thumbnails in a pack."""
STUDENTS = "students/base.safetensors"
BASELINE = "students/random.safetensors"
OWN_TEACHER = "teacher"
"""Folder of a teacher that was made for the project."""
OWN_ENCODER = "encoder"
"""Folder of an encoder that was made for the project."""
HISTORY = "history.sqlite"
BUILD = ".build"
"""Folder of an unfinished build."""

REQUIRED = (CONCEPTS, IMAGES, CONCEPT_VECTORS, RESPONSES, STUDENTS)
"""Files that every project has."""

THUMBNAIL_KINDS = {b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"\x89PNG": "png"}
"""First bytes of a thumbnail, and the suffix of its file."""

MAX_JSON = 256 << 20
"""Bytes of a JSON document that are read."""


def thumbnail_name(row: int, suffix: str = "jpg") -> str:
    """Return the name of an image's thumbnail where each has a file; each folder has a thousand."""
    return f"{THUMBNAILS}/{row // 1000:03d}/{row:06d}.{suffix}"


def pack_name(row: int) -> str:
    """Return the name of the pack that holds an image's thumbnail."""
    return f"{THUMBNAILS}/{row // PER_PACK:03d}.pack"


def write_json(path: Path, data: Mapping[str, Any]) -> FileEntry:
    """Write a JSON file atomically and return its entry for `project.json`."""
    text = json.dumps(data, ensure_ascii=False, indent=1, default=_plain).encode()
    with replacing(path) as file:
        file.write(text)
    return {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}


def read_json(path: Path, root: Path | None = None) -> dict[str, Any]:
    """Read a JSON object of a project.

    Raises
    ------
    InputError
        The file is missing, not a regular file below `root`, not JSON, or not an object.
    """
    try:
        data = parse_json(read_regular(path, root, MAX_JSON))
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    except InputError:
        raise
    except ValueError as error:
        raise damaged(path, f"not JSON: {error}") from error
    if not isinstance(data, dict):
        raise damaged(path, "not a JSON object")
    return data


def with_checksum(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document with a checksum of all its other fields."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return {**rest, "checksum": _checksum(rest)}


def _checksum(rest: Mapping[str, Any]) -> str:
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def read_project(folder: Path) -> dict[str, Any]:
    """Return the checked contents of `project.json`.

    Raises
    ------
    InputError
        There is no project, or it is unfinished, of a newer format, or damaged.
    """
    path = folder / PROJECT
    try:
        there, started = path.exists(), (folder / BUILD).is_dir()
    except OSError as error:  # no permission, a name that is too long
        raise InputError(
            f"cannot read the project at {one_line(folder, 300)}: {system_reason(error)}"
        ) from error
    if not there:
        if started:
            raise InputError(
                f"{folder} is not finished: run the same `inficond distill` command again to resume"
            )
        if folder.exists() and not folder.is_dir():
            raise InputError(
                f"{folder} is a file, not a project: give the folder that `inficond distill` made (--out)"
            )
        if not folder.is_dir():
            raise InputError(f"no project at {folder}: the folder does not exist; check the path")
        raise InputError(f"no project at {folder}: make one with `inficond distill IMAGES --out {folder}`")
    data = read_json(path, folder)
    version = data.get("format")
    if not isinstance(version, int) or version < 1:
        raise damaged(path, "it has no format number")
    if version > FORMAT:
        raise InputError(f"{folder} was made by a newer InFiConD (format {version}): upgrade InFiConD")
    if data.get("checksum") != _checksum({key: value for key, value in data.items() if key != "checksum"}):
        raise damaged(path, "its checksum does not match its contents")
    return data


def file_entries(config: Mapping[str, Any]) -> dict[str, FileEntry]:
    """Return the listed files of a project, by name.

    Raises
    ------
    KeyError, TypeError, ValueError
        An entry is missing, incomplete, or its name leads out of the folder.
    """
    entries: dict[str, FileEntry] = config["files"]
    for name, entry in entries.items():
        if not isinstance(entry["sha256"], str):
            raise TypeError(f"the checksum of {name!r:.80} is not a text")
        if name.startswith("/") or ".." in PurePosixPath(name).parts or "\0" in name:
            raise ValueError(f"the entry of the file {name!r:.80}")
    for name in REQUIRED:
        if name not in entries:
            raise KeyError(name)
    return entries


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    tolist = getattr(value, "tolist", None)
    return str(value) if tolist is None else tolist()
