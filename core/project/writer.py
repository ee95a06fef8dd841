"""Writing a project folder: image by image for large projects, or from whole arrays."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from inficond.core.atomic_io import write_errors
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.project.arrays import ArrayWriter, FileEntry, open_array, save_array
from inficond.core.project.image_table import ImageRow, write_image_table
from inficond.core.project.thumbnails import ThumbnailWriter
from inficond.core.version import __version__


class Savable(Protocol):
    """Properties of students that a project needs."""

    def save(self, path: Path) -> None:
        """Write a safetensors file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageBlock:
    """Stored data of n consecutive images.

    Parameters
    ----------
    X : (n, K) float32, optional
        Concept vectors; without them `ProjectWriter.write_concept_vectors` writes those of all images.
    regions : (n, R, D) float16, optional
        Without regions a project shows no evidence and takes no new words.
    assignment : (n, h*w) uint8, optional
        The region of each cell of the grid; only with `regions`.
    thumbnails : sequence of n bytes, optional
        Image files, all JPEG, all WebP or all PNG.
    """

    X: np.ndarray | None = None
    regions: np.ndarray | None = None
    assignment: np.ndarray | None = None
    thumbnails: Iterable[bytes] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class ProjectContents:
    """Stored data of a project except its image blocks.

    Parameters
    ----------
    images : sequence of N ImageRow (or of ids)
        In row order.
    T : (N, C) float32
        Teacher responses, in [0, 1].
    concepts, concept_groups, concept_prompts : K names, their groups, the phrases each was embedded with
    classes : C names
    is_validation : (N,) bool
    n_exam : int
        Images of the exam part, which must be the last rows and not validation images.
    students : Students
        The fitted students at the root of the history.
    concept_embeddings : (K, D) float32, optional
    labels : (N, C) float32, optional
        Ground truth, NaN where unknown.
    baseline : Students, optional
        The same fit on random directions instead of words.
    config : mapping, optional
        Further sections of `project.json`: `encoder`, `teacher`, `corpus`, `split`, `fit`, `source`, ….
    name : str, optional
        Shown to people; the folder's name by default.
    """

    images: Sequence[ImageRow | str]
    T: np.ndarray
    concepts: Sequence[str]
    classes: Sequence[str]
    is_validation: np.ndarray
    students: Savable
    concept_groups: Sequence[str] | None = None
    concept_prompts: Sequence[Sequence[str]] | None = None
    concept_embeddings: np.ndarray | None = None
    labels: np.ndarray | None = None
    baseline: Savable | None = None
    config: Mapping[str, Any] | None = None
    name: str | None = None
    n_exam: int = 0


class ProjectWriter:
    """Writes a project: first its image blocks in order, then everything else.

    Use as a context manager. The folder is a project only once `project.json`, written last, exists.

    Parameters
    ----------
    folder : Path
        Created if it does not exist. It must not hold a project yet.
    n_images : int
    grid : (h, w), optional
        Of the assignments.
    pack_thumbnails : bool
        See `ThumbnailWriter`.

    Raises
    ------
    InputError
        The folder holds a project, or cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        n_images: int,
        grid: tuple[int, int] | None = None,
        pack_thumbnails: bool = True,
    ) -> None:
        if (folder / files.PROJECT).exists():
            raise InputError(
                f"{folder} already holds a project: choose another folder, or delete that one first"
            )
        self.folder, self.n_images, self.grid = folder, n_images, grid
        self._arrays: dict[str, ArrayWriter] = {}
        self._entries: dict[str, FileEntry] = {}
        self._thumbnails = ThumbnailWriter(folder, n_images, pack_thumbnails)
        self._checksums: dict[str, np.ndarray] = {"thumbnail_crc32": self._thumbnails.crc32}
        self._rows = 0
        self._stack = ExitStack()
        self._stack.callback(self._thumbnails.discard)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._stack.__exit__(kind, error, trace)

    def append(self, block: ImageBlock) -> None:
        """Write the next images.

        Raises
        ------
        ValueError
            The arrays of the block do not fit each other or the blocks before.
        InputError
            The disk is full.
        """
        first = block.regions if block.X is None else block.X
        if first is None:
            raise ValueError("a block needs concept vectors or regions")
        n = len(first)
        if block.X is not None:
            self._append(files.CONCEPT_VECTORS, block.X, "float32")
        if block.regions is not None:
            self._append(files.REGIONS, block.regions, "float16", checksum="regions_crc32")
            if block.assignment is not None:
                if self.grid is None:
                    raise ValueError("an assignment needs the grid")
                self._append(files.ASSIGNMENT, block.assignment, "uint8", checksum="assignment_crc32")
                self._append(
                    files.BOXES, _boxes(block.assignment, self.grid, block.regions.shape[1]), "float32"
                )
        if block.thumbnails is not None:
            written = self._thumbnails.append(block.thumbnails, self._rows)
            if written != n:
                raise ValueError(f"{written} thumbnails for {n} images")
        self._rows += n

    def _append(self, name: str, block: np.ndarray, dtype: str, checksum: str | None = None) -> None:
        if name not in self._arrays:
            shape = (self.n_images, *block.shape[1:])
            writer = ArrayWriter(self.folder / name, shape, dtype, checksum is not None)
            self._arrays[name] = self._stack.enter_context(writer)
            if checksum is not None:
                self._checksums[checksum] = writer.row_checksums
        self._arrays[name].append(block)

    def close_images(self) -> np.ndarray | None:
        """Complete the arrays of the image blocks; return the regions, memory-mapped, if there are any."""
        self._thumbnails.close()
        self._stack.close()
        self._entries = {name: writer.entry for name, writer in self._arrays.items()}
        self._entries |= self._thumbnails.entries
        name = files.REGIONS
        return open_array(self.folder / name, self._entries[name]) if name in self._entries else None

    def write_concept_vectors(self, blocks: Iterable[np.ndarray], n_concepts: int) -> np.ndarray:
        """Write the concept vectors of all images after the image blocks.

        Parameters
        ----------
        blocks : iterable of (n, K) float32
            That add up to all images.
        n_concepts : int
            K.

        Returns
        -------
        (N, K) float32
            Memory-mapped.
        """
        name = files.CONCEPT_VECTORS
        with ArrayWriter(self.folder / name, (self.n_images, n_concepts), "float32") as writer:
            for block in blocks:
                writer.append(block)
        self._arrays[name], self._entries[name] = writer, writer.entry
        return open_array(self.folder / name, writer.entry)

    def finish(self, contents: ProjectContents) -> Path:
        """Write everything else; return the folder.

        Raises
        ------
        InputError
            A name occurs twice, or the folder cannot be written.
        ValueError
            Shapes do not fit.
        """
        if not self._entries:
            self.close_images()
        folder, entries = self.folder, self._entries
        n, k, c = self.n_images, len(contents.concepts), len(contents.classes)
        rows = [ImageRow(id=i, path=i) if isinstance(i, str) else i for i in contents.images]
        is_validation = np.asarray(contents.is_validation, bool)
        _check("images", len(rows), n)
        _check("X", self._arrays[files.CONCEPT_VECTORS].shape, (n, k))
        _check("T", contents.T.shape, (n, c))
        _check("is_validation", is_validation.shape, (n,))
        if not 0 <= contents.n_exam < n or is_validation[n - contents.n_exam :].any():
            raise ValueError(
                f"{contents.n_exam} exam images of {n}, the last rows, must not be validation images"
            )
        for kind, names in (
            ("image", [r.id for r in rows]), ("concept", contents.concepts), ("class", contents.classes)
        ):  # fmt: skip
            _check_unique(kind, names)
        entries[files.RESPONSES] = save_array(folder / files.RESPONSES, contents.T, "float32")
        if (embeddings := contents.concept_embeddings) is not None:
            _check("concept_embeddings", embeddings.shape, (k, embeddings.shape[1]))
            entries[files.CONCEPT_EMBEDDINGS] = save_array(
                folder / files.CONCEPT_EMBEDDINGS, embeddings, "float32"
            )
        if contents.labels is not None:
            _check("labels", contents.labels.shape, (n, c))
            entries[files.LABELS] = save_array(folder / files.LABELS, contents.labels, "float32")
        entries[files.IMAGES] = write_image_table(
            folder / files.IMAGES, rows, is_validation, self._checksums, contents.n_exam
        )
        entries[files.CONCEPTS] = files.write_json(folder / files.CONCEPTS, {"concepts": _words(contents)})
        for name, fitted in ((files.STUDENTS, contents.students), (files.BASELINE, contents.baseline)):
            if fitted is not None:
                with write_errors(folder / name):
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                fitted.save(folder / name)
                entries[name] = {
                    "sha256": sha256_of(folder / name), "bytes": (folder / name).stat().st_size
                }  # fmt: skip
        packed = files.THUMBNAIL_ENDS in entries
        document = {
            "format": files.FORMAT if packed or contents.n_exam else files.FIRST_FORMAT,
            "inficond": __version__,
            "name": contents.name or folder.resolve().name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "counts": {
                "images": n,
                "concepts": k,
                "classes": c,
                "validation": int(is_validation.sum()),
                **({"exam": contents.n_exam} if contents.n_exam else {}),
            },
            "classes": list(contents.classes),
            "grid": None if self.grid is None else list(self.grid),
            "thumbnails": self._thumbnails.suffix or "jpg",
            **dict(contents.config or {}),
            "files": entries,
        }
        files.write_json(folder / files.PROJECT, files.with_checksum(document))
        return folder


def write_project(
    folder: Path | str,
    contents: ProjectContents,
    blocks: Iterable[ImageBlock],
    grid: tuple[int, int] | None = None,
    pack_thumbnails: bool = True,
) -> Path:
    """Write a project whose arrays exist already.

    Parameters
    ----------
    folder : Path
        Created if it does not exist. It must not hold a project yet.
    contents : ProjectContents
    blocks : iterable of ImageBlock
        All images in row order, in one block or in several.
    grid : (h, w), optional
        Of the assignments.
    pack_thumbnails : bool
        See `ThumbnailWriter`.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    InputError
        The folder already holds a project or cannot be written, or a name occurs twice.
    """
    with ProjectWriter(Path(folder), len(contents.images), grid, pack_thumbnails) as writer:
        for block in blocks:
            writer.append(block)
        writer.close_images()
        return writer.finish(contents)


def _check(name: str, shape: Any, expected: Any) -> None:
    if shape != expected:
        raise ValueError(f"{name} has shape {shape}, expected {expected}")


def _check_unique(kind: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"the {kind} name {name!r} occurs twice: give each {kind} its own name")
        seen.add(name)


def _words(contents: ProjectContents) -> list[dict[str, Any]]:
    groups = contents.concept_groups or ["other"] * len(contents.concepts)
    prompts = contents.concept_prompts or [[concept] for concept in contents.concepts]
    return [
        {"name": concept, "group": group, "prompts": list(phrases)}
        for concept, group, phrases in zip(contents.concepts, groups, prompts, strict=True)
    ]


def _boxes(assignment: np.ndarray, grid: tuple[int, int], n_regions: int) -> np.ndarray:
    from inficond.core.concepts.regions import region_boxes

    if assignment.shape[1:] != (grid[0] * grid[1],):
        raise ValueError(f"assignment has shape {assignment.shape}, expected (n, {grid[0] * grid[1]})")
    return region_boxes(np.asarray(assignment).reshape(-1, *grid), n_regions)
