"""A project: what was computed once from a folder of images, opened read-only and memory-mapped."""

import zlib
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.project.arrays import damaged, open_array, row_checksum, verify

if TYPE_CHECKING:
    from inficond.core.students import Students


def _texts(values: Any) -> list[str]:
    """A list, if there is nothing but texts in it."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a name is no text")
    return values


_CRC = {files.REGIONS: "regions_crc32", files.ASSIGNMENT: "assignment_crc32"}
"""The column of `images.parquet` that a row of an array is held against."""


class ProjectFolder:
    """A project folder. Everything but the history is read-only after creation.

    Small files are checked against their checksums when the project is opened, a region whenever it is read;
    `verify` checks every byte.

    Parameters
    ----------
    path : Path
        The folder.

    Attributes
    ----------
    path : Path
    name : str
    config : dict
        `project.json`.
    image_ids : list of N str
    image_groups : list of N str or None
        Images of one group share a source.
    is_validation : (N,) bool
    X : (N, K) float32
        Concept vectors, raw (not standardised).
    T : (N, C) float32
        Teacher responses in [0, 1].
    labels : (N, C) float32 or None
        Ground truth, NaN where unknown.
    concepts, concept_groups : lists of K str
    concept_prompts : list of K lists of str
    concept_embeddings : (K, D) float32 or None
        Unit length.
    classes : list of C str
    grid : (h, w) or None
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self.config: dict[str, Any] = files.read_project(self.path)
        try:
            self._load()
        except InputError:
            raise
        except (KeyError, TypeError, AttributeError, IndexError, ValueError, OverflowError) as error:
            raise damaged(self.path / files.PROJECT, f"a field is missing or wrong: {error}") from error

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Open a project folder.

        Raises
        ------
        InputError
            No project there, an unfinished or a damaged one; the message names the file.
        """
        return cls(path)

    def _load(self) -> None:
        self._files: dict[str, dict[str, Any]] = self.config["files"]
        for file, entry in self._files.items():
            parts = PurePosixPath(file).parts
            if not isinstance(entry["sha256"], str) or file.startswith("/") or ".." in parts or "\0" in file:
                raise ValueError(f"the entry of the file {file!r:.80}")
        for file in (files.CONCEPTS, files.IMAGES, files.CONCEPT_VECTORS, files.RESPONSES, files.STUDENTS):
            if file not in self._files:
                raise KeyError(file)
        for section in ("encoder", "teacher"):
            if not isinstance(self.config.get(section) or {}, dict):
                raise TypeError(f"the section {section}")
        self.name: str = str(self.config["name"])
        self.classes: list[str] = _texts(self.config["classes"])
        self._thumbnails = str(self.config["thumbnails"])
        if self._thumbnails not in files.THUMBNAIL_KINDS.values():
            raise KeyError(f"thumbnails {self._thumbnails!r}")
        grid = self.config.get("grid")
        self.grid: tuple[int, int] | None = (int(grid[0]), int(grid[1])) if grid else None
        for name in (files.CONCEPTS, files.IMAGES):
            verify(self.path / name, self._files[name]["sha256"])
        words = files.read_json(self.path / files.CONCEPTS)["concepts"]
        self.concepts: list[str] = _texts([w["name"] for w in words])
        self.concept_groups: list[str] = _texts([w["group"] for w in words])
        self.concept_prompts: list[list[str]] = [_texts(w["prompts"]) for w in words]
        self._load_images()
        self.X = self._array(files.CONCEPT_VECTORS, (-1e6, 1e6))
        self.T = self._array(files.RESPONSES, (0.0, 1.0))
        self.labels = self._array(files.LABELS) if files.LABELS in self._files else None
        self.concept_embeddings: np.ndarray | None = (
            self._array(files.CONCEPT_EMBEDDINGS) if files.CONCEPT_EMBEDDINGS in self._files else None
        )
        n = len(self.image_ids)
        if self.X.shape != (n, len(self.concepts)) or self.T.shape != (n, len(self.classes)):
            raise damaged(self.path / files.PROJECT, "the arrays do not fit the images, concepts and classes")
        if self.labels is not None and self.labels.shape != self.T.shape:
            raise damaged(self.path / files.LABELS, "it does not fit the images and classes")
        words_of = self.concept_embeddings
        if words_of is not None and (words_of.ndim != 2 or len(words_of) != len(self.concepts)):
            raise damaged(self.path / files.CONCEPT_EMBEDDINGS, "it does not fit the concepts")

    def _load_images(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            table = pq.read_table(self.path / files.IMAGES)
            self.image_ids: list[str] = _texts(table["id"].to_pylist())
            self.image_groups: list[str | None] = table["group"].cast(pa.string()).to_pylist()
            self.is_validation: np.ndarray = table["validation"].cast(pa.bool_()).to_numpy()
            self._paths: list[str] = _texts(table["path"].to_pylist())
            self._sizes: list[tuple[int | None, int | None]] = list(
                zip(*(table[name].cast(pa.int64()).to_pylist() for name in ("width", "height")))
            )
            named = [name for name in table.column_names if name.endswith("_crc32")]
            self._crc = {name: table[name].cast(pa.uint32()).to_numpy() for name in named}
            wanted = {_CRC[file] for file in self._files if file in _CRC} | {"thumbnail_crc32"}
            if missing := sorted(wanted - self._crc.keys()):
                raise ValueError(f"it has no column {missing[0]}")
            if any(table[name].null_count for name in ("validation", *named)):
                raise ValueError("a value is missing")
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise damaged(self.path / files.IMAGES, str(error)) from error

    def _array(
        self, name: str, limits: tuple[float, float] | None = None, checked: bool = True
    ) -> np.ndarray:
        array = open_array(self.path / name, self._files[name])
        if checked and verify(self.path / name, self._files[name]["sha256"]) and limits is not None:
            low, high = limits
            for start in range(0, len(array), 4096):
                block = array[start : start + 4096]
                if block.size and not low <= block.min() <= block.max() <= high:  # false for NaN
                    raise damaged(self.path / name, f"it holds numbers outside {low:g} … {high:g}")
        return array

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        sizes = f"{len(self)} images, {len(self.concepts)} concepts, {len(self.classes)} classes"
        return f"{type(self).__name__}({str(self.path)!r}: {sizes})"

    @property
    def validation_rows(self) -> np.ndarray:
        """Rows never seen by a fit, (n,) int."""
        return np.flatnonzero(self.is_validation)

    @property
    def training_rows(self) -> np.ndarray:
        """Rows that students are fitted on, (n,) int."""
        return np.flatnonzero(~self.is_validation)

    @cached_property
    def students(self) -> "Students":
        """The students fitted when the project was made: the root of the history."""
        return self._students(files.STUDENTS)

    @cached_property
    def baseline(self) -> "Students | None":
        """The same fit on random directions of the embedding space, or None where it was not made."""
        return self._students(files.BASELINE) if files.BASELINE in self._files else None

    def _students(self, name: str) -> "Students":
        from inficond.core.students import Students

        verify(self.path / name, self._files[name]["sha256"])
        return Students.load(self.path / name)

    @cached_property
    def region_embeddings(self) -> np.ndarray:
        """All regions, (N, R, D) float16, memory-mapped; checked whole at first use.

        Raises
        ------
        InputError
            The project keeps no regions, or they are damaged.
        """
        self._need(files.REGIONS)
        return self._array(files.REGIONS)

    @cached_property
    def _region_rows(self) -> np.ndarray:
        self._need(files.REGIONS)
        return self._array(files.REGIONS, checked=False)

    @cached_property
    def _assignment_rows(self) -> np.ndarray:
        self._need(files.ASSIGNMENT)
        return self._array(files.ASSIGNMENT, checked=False)

    @cached_property
    def boxes(self) -> np.ndarray:
        """Bounding boxes of the regions, (N, R, 4) float32: left, top, right, bottom in parts of the crop."""
        self._need(files.BOXES)
        return self._array(files.BOXES)

    def _need(self, name: str) -> None:
        if name not in self._files:
            raise InputError(
                f"the project {self.name!r} keeps no regions ({name}): build it again from its images"
            )

    def regions(self, row: int) -> np.ndarray:
        """Region embeddings of one image, (R, D) float16, unit length."""
        return self._checked(self._region_rows, row, files.REGIONS)

    def assignment(self, row: int) -> np.ndarray:
        """The region of each cell of one image, (h, w) uint8."""
        flat = self._checked(self._assignment_rows, row, files.ASSIGNMENT)
        if self.grid is None or flat.size != self.grid[0] * self.grid[1]:
            raise damaged(self.path / files.PROJECT, f"the grid {self.grid} does not fit {files.ASSIGNMENT}")
        return flat.reshape(self.grid)

    def _checked(self, array: np.ndarray, row: int, name: str) -> np.ndarray:
        row = self._row(row)
        if len(array) != len(self):
            raise damaged(self.path / name, "it does not fit the images")
        values = np.array(array[row])
        if row_checksum(values) != int(self._crc[_CRC[name]][row]):
            raise damaged(self.path / name, f"the bytes of image {self.image_ids[row]!r} have changed")
        return values

    def _row(self, row: int) -> int:
        if not 0 <= int(row) < len(self):
            raise InputError(f"there is no image {row}: the project has {len(self)}, counted from 0")
        return int(row)

    def thumbnail(self, row: int) -> Path:
        """The image's thumbnail, a JPEG, WebP or PNG file inside the project."""
        return self.path / files.thumbnail_name(self._row(row), self._thumbnails)

    def thumbnail_bytes(self, row: int) -> bytes:
        """The image's thumbnail, held against its checksum.

        Raises
        ------
        InputError
            It is missing, or a byte of it has changed.
        """
        path = self.thumbnail(row)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise damaged(path, error.strerror or str(error)) from error
        wanted = int(self._crc["thumbnail_crc32"][row])
        if wanted and zlib.crc32(data) != wanted:
            raise damaged(path, "its bytes have changed")
        return data

    def image_path(self, row: int) -> Path:
        """Where the original image was; it may be gone since (the thumbnail stays)."""
        return self.path / self._paths[self._row(row)]

    def crop(self, row: int) -> tuple[float, float, float, float]:
        """The part of the picture that the encoder saw: left, top, right, bottom in [0, 1].

        Grids, boxes and evidence masks cover this part, the thumbnail shows the whole picture.
        """
        width, height = self._sizes[self._row(row)]
        if not width or not height:
            return 0.0, 0.0, 1.0, 1.0
        kept = (self.config.get("encoder") or {}).get("crop_share", 1.0)
        if kept is None:  # stretched whole
            return 0.0, 0.0, 1.0, 1.0
        if not isinstance(kept, int | float) or not 0 < kept <= 1:
            raise damaged(self.path / files.PROJECT, f"the encoder's crop_share is {kept!r:.40}")
        side = min(width, height) * float(kept)
        left, top = (1 - side / width) / 2, (1 - side / height) / 2
        return left, top, 1 - left, 1 - top

    def verify(self) -> list[str]:
        """Check every byte of the project except the history.

        Returns
        -------
        list of str
            One line for each file that is damaged or missing; empty when all is well.
        """
        faults = []
        for name, entry in self._files.items():
            try:
                verify(self.path / name, entry["sha256"])
            except InputError as error:
                faults.append(str(error))
        for row, crc in enumerate(self._crc["thumbnail_crc32"]):
            if not crc:
                continue
            try:
                self.thumbnail_bytes(row)
            except InputError as error:
                faults.append(str(error))
        return faults
