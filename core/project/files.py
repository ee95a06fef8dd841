"""The one place that names a file of a project, and the one that writes a project.

The layout, with its MUST lines, is described in docs/formats.md.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.project.arrays import (
    ArrayLike,
    Chunks,
    damaged,
    row_checksums,
    save_array,
)
from inficond.core.strict_json import parse_json
from inficond.core.version import __version__

FORMAT = 1
"""Version of the folder's layout; a reader refuses a higher one."""

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
STUDENTS = "students/base.safetensors"
BASELINE = "students/random.safetensors"
OWN_TEACHER = "teacher"
"""Folder of a teacher that was made for the project."""
HISTORY = "history.sqlite"
BUILD = ".build"


class Savable(Protocol):
    """What `write_project` needs to know of students."""

    def save(self, path: Path) -> None:
        """Write a safetensors file."""


@dataclass(frozen=True, kw_only=True)
class ImageRow:
    """One image of a project.

    Parameters
    ----------
    id : str
        Path relative to the searched folder, POSIX form.
    path : str
        Where the original is: absolute, or relative to the project folder.
    group : str, optional
        Images of one group share a source: they are resampled together.
    width, height : int, optional
        Of the upright picture, in pixels.
    """

    id: str
    path: str
    group: str | None = None
    width: int | None = None
    height: int | None = None


THUMBNAIL_KINDS = {b"\xff\xd8\xff": "jpg", b"RIFF": "webp", b"\x89PNG": "png"}
"""First bytes of a thumbnail, and the suffix its file gets."""


def thumbnail_name(row: int, suffix: str = "jpg") -> str:
    """Where the thumbnail of an image lies: a thousand to a folder."""
    return f"{THUMBNAILS}/{row // 1000:03d}/{row:06d}.{suffix}"


def write_project(
    path: Path | str,
    *,
    images: Sequence[ImageRow | str],
    X: ArrayLike,
    T: ArrayLike,
    concepts: Sequence[str],
    classes: Sequence[str],
    is_validation: np.ndarray,
    students: Savable,
    concept_groups: Sequence[str] | None = None,
    concept_prompts: Sequence[Sequence[str]] | None = None,
    concept_embeddings: np.ndarray | None = None,
    regions: ArrayLike | None = None,
    assignment: ArrayLike | None = None,
    grid: tuple[int, int] | None = None,
    thumbnails: Iterable[bytes] | None = None,
    labels: np.ndarray | None = None,
    baseline: Savable | None = None,
    config: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Path:
    """Write a whole project; the folder is a project only once `project.json`, written last, is there.

    Parameters
    ----------
    path : Path
        The folder; made if need be. It may hold no project yet.
    images : sequence of N ImageRow (or of ids)
        In row order.
    X : (N, K) float32
        Concept vectors.
    T : (N, C) float32
        Teacher responses, in [0, 1].
    concepts, concept_groups, concept_prompts : K names, their groups, the phrases each was embedded with
    classes : C names
    is_validation : (N,) bool
    students : Students
        The fitted students of the root of the history.
    concept_embeddings : (K, D) float32, optional
    regions : (N, R, D) float16, optional
        Without it no evidence can be shown and no word added.
    assignment : (N, h*w) uint8, optional
        The region of each cell of the grid.
    grid : (h, w), optional
        Needed with `assignment`.
    thumbnails : iterable of N image files (bytes), optional
        All JPEG, all WebP or all PNG. None: they already lie where `thumbnail_name` says, as JPEG.
    labels : (N, C) float32, optional
        Ground truth, NaN where unknown.
    baseline : Students, optional
        The same fit on random directions instead of words.
    config : mapping, optional
        What else is to be known: sections `encoder`, `teacher`, `corpus`, `split`, `fit`, `source`, ….
    name : str, optional
        Shown to people; the folder's name by default.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The folder already holds a project, or cannot be written.
    """
    folder = Path(path)
    if (folder / PROJECT).exists():
        raise InputError(f"{folder} already holds a project: choose another folder, or delete that one first")
    n, k, c = len(images), len(concepts), len(classes)
    rows = [ImageRow(id=i, path=i) if isinstance(i, str) else i for i in images]
    _check("X", X, (n, k))
    _check("T", T, (n, c))
    _check("is_validation", is_validation, (n,))
    _unique("image", [r.id for r in rows])
    _unique("concept", concepts)
    _unique("class", classes)
    files: dict[str, dict[str, Any]] = {
        CONCEPT_VECTORS: save_array(folder / CONCEPT_VECTORS, _as(X, "float32")),
        RESPONSES: save_array(folder / RESPONSES, _as(T, "float32")),
    }
    if concept_embeddings is not None:
        _check("concept_embeddings", concept_embeddings, (k, concept_embeddings.shape[1]))
        files[CONCEPT_EMBEDDINGS] = save_array(
            folder / CONCEPT_EMBEDDINGS, _as(concept_embeddings, "float32")
        )
    if labels is not None:
        _check("labels", labels, (n, c))
        files[LABELS] = save_array(folder / LABELS, _as(labels, "float32"))
    checks: dict[str, np.ndarray] = {}
    if regions is not None:
        _check("regions", regions, (n, *regions.shape[1:]))
        files[REGIONS] = save_array(folder / REGIONS, _as(regions, "float16"))
        checks["regions_crc32"] = row_checksums(np.load(folder / REGIONS, mmap_mode="r"))
    if assignment is not None:
        if grid is None:
            raise ValueError("assignment needs grid")
        _check("assignment", assignment, (n, grid[0] * grid[1]))
        files[ASSIGNMENT] = save_array(folder / ASSIGNMENT, _as(assignment, "uint8"))
        stored = np.load(folder / ASSIGNMENT, mmap_mode="r")
        checks["assignment_crc32"] = row_checksums(stored)
        if regions is not None:
            boxes = Chunks(
                (n, regions.shape[1], 4), "float32", lambda: _boxes(stored, grid, regions.shape[1])
            )
            files[BOXES] = save_array(folder / BOXES, boxes)
    suffix = "jpg" if thumbnails is None else _write_thumbnails(folder, thumbnails, n)
    checks["thumbnail_crc32"] = _thumbnail_checksums(folder, n, suffix)
    files[IMAGES] = _write_images(folder, rows, np.asarray(is_validation, bool), checks)
    words = [
        {
            "name": concept,
            "group": concept_groups[i] if concept_groups is not None else "other",
            "prompts": list(concept_prompts[i]) if concept_prompts is not None else [concept],
        }
        for i, concept in enumerate(concepts)
    ]
    files[CONCEPTS] = write_json(folder / CONCEPTS, {"concepts": words})
    for file, fitted in ((STUDENTS, students), (BASELINE, baseline)):
        if fitted is not None:
            try:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(
                    f"cannot write {folder / file}: {error.strerror or error}; free some space first"
                ) from error
            fitted.save(folder / file)
            files[file] = {"sha256": sha256_of(folder / file), "bytes": (folder / file).stat().st_size}
    document = {
        "format": FORMAT,
        "inficond": __version__,
        "name": name or folder.resolve().name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "counts": {"images": n, "concepts": k, "classes": c, "validation": int(np.sum(is_validation))},
        "classes": list(classes),
        "grid": list(grid) if grid is not None else None,
        "thumbnails": suffix,
        **dict(config or {}),
        "files": files,
    }
    write_json(folder / PROJECT, sealed(document))
    return folder


def _check(what: str, array: ArrayLike, shape: tuple[int, ...]) -> None:
    if tuple(array.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(array.shape)}, expected {shape}")


def _unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"the {kind} {name!r} is there twice: give each its own name")
        seen.add(name)


def _as(array: ArrayLike, dtype: str) -> ArrayLike:
    if isinstance(array, Chunks):
        return Chunks(array.shape, dtype, array.pieces)
    return array if array.dtype.name == dtype else array.astype(dtype)


def _boxes(assignment: np.ndarray, grid: tuple[int, int], n_regions: int) -> Iterable[np.ndarray]:
    from inficond.core.concepts.regions import region_boxes

    for start in range(0, len(assignment), 4096):
        yield region_boxes(np.asarray(assignment[start : start + 4096]).reshape(-1, *grid), n_regions)


def _write_thumbnails(folder: Path, thumbnails: Iterable[bytes], n: int) -> str:
    """Write the thumbnails; returns the suffix of their kind."""
    count, suffix = 0, "jpg"
    for count, data in enumerate(thumbnails, start=1):
        kinds = [kind for magic, kind in THUMBNAIL_KINDS.items() if data.startswith(magic)]
        if not kinds or (count > 1 and kinds[0] != suffix):
            raise ValueError(
                f"thumbnail {count - 1} is no {'JPEG, WebP or PNG' if not kinds else suffix} file"
            )
        suffix = kinds[0]
        file = folder / thumbnail_name(count - 1, suffix)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        except OSError as error:
            raise InputError(
                f"cannot write {file}: {error.strerror or error}; free some space or choose another folder"
            ) from error
    if count != n:
        raise ValueError(f"{count} thumbnails for {n} images")
    return suffix


def _thumbnail_checksums(folder: Path, n: int, suffix: str) -> np.ndarray:
    """CRC-32 of each thumbnail, 0 where there is none."""
    sums = np.zeros(n, np.uint32)
    for row in range(n):
        file = folder / thumbnail_name(row, suffix)
        if file.is_file():
            sums[row] = zlib.crc32(file.read_bytes())
    return sums


def _write_images(
    folder: Path, rows: Sequence[ImageRow], is_validation: np.ndarray, checks: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "id": pa.array([r.id for r in rows], pa.string()),
            "path": pa.array([r.path for r in rows], pa.string()),
            "group": pa.array([r.group for r in rows], pa.string()),
            "width": pa.array([r.width for r in rows], pa.int32()),
            "height": pa.array([r.height for r in rows], pa.int32()),
            "validation": pa.array(is_validation),
            **{key: pa.array(values, pa.uint32()) for key, values in checks.items()},
        }
    )
    with replacing(folder / IMAGES) as file:
        pq.write_table(table, file)
    return {"sha256": sha256_of(folder / IMAGES), "bytes": (folder / IMAGES).stat().st_size}


def write_json(path: Path, data: Mapping[str, Any]) -> dict[str, Any]:
    """Write a JSON file whole or not at all; returns its ``sha256`` and ``bytes``."""
    text = json.dumps(data, ensure_ascii=False, indent=1, default=_plain).encode()
    with replacing(path) as file:
        file.write(text)
    return {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a project.

    Raises
    ------
    InputError
        It is missing, no JSON, or no object.
    """
    try:
        data = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise damaged(path, "the file is missing") from None
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    except ValueError as error:
        raise damaged(path, f"no JSON: {error}") from error
    if not isinstance(data, dict):
        raise damaged(path, "no JSON object")
    return data


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a checksum over everything else in it."""
    rest = {key: value for key, value in document.items() if key != "checksum"}
    return {**rest, "checksum": _checksum(rest)}


def _checksum(rest: Mapping[str, Any]) -> str:
    return hashlib.sha256(
        json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=_plain).encode()
    ).hexdigest()


def read_project(folder: Path) -> dict[str, Any]:
    """The checked contents of `project.json`.

    Raises
    ------
    InputError
        No project, an unfinished one, one of a newer format, or a damaged one.
    """
    path = folder / PROJECT
    if not path.is_file():
        if (folder / BUILD).is_dir():
            raise InputError(
                f"{folder} is not finished: run the same `inficond distill` command again to go on"
            )
        if not folder.is_dir():
            raise InputError(f"no project at {folder}: there is no such folder")
        raise InputError(f"no project at {folder}: make one with `inficond distill IMAGES --out {folder}`")
    data = read_json(path)
    version = data.get("format")
    if not isinstance(version, int) or version < 1:
        raise damaged(path, "it has no format number")
    if version > FORMAT:
        raise InputError(f"{folder} was made by a newer InFiConD (format {version}): upgrade InFiConD")
    if data.get("checksum") != _checksum({key: value for key, value in data.items() if key != "checksum"}):
        raise damaged(path, "its checksum does not match its contents")
    return data


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
