"""A project folder, opened read-only and memory-mapped."""

import io
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from inficond.core.errors import InputError
from inficond.core.file_access import check_inside, in_home
from inficond.core.images.crop import centre_crop
from inficond.core.project import files
from inficond.core.project.arrays import damaged, open_array, row_blocks, row_checksum, verify
from inficond.core.project.exam_part import ExamPart
from inficond.core.project.image_table import ImageTable, read_image_table
from inficond.core.project.thumbnails import ThumbnailReader

if TYPE_CHECKING:
    from PIL.Image import Image

    from inficond.core.students import Students


_CHECKSUMS = {files.REGIONS: "regions_crc32", files.ASSIGNMENT: "assignment_crc32"}
"""Columns of `images.parquet` with the checksums of an array's rows."""
THUMBNAIL_CHECKSUM = "thumbnail_crc32"
MAX_THUMBNAIL_SIDE = 1024
"""Pixels of a thumbnail's longer side."""


def _texts(values: Any) -> list[str]:
    """Return a list; raise `TypeError` if it contains anything but texts."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("a name is not a text")
    return values


class ProjectFolder:
    """A project folder: arrays, images and the students fitted when it was made.

    Everything but the history is read-only after creation. Small files are compared with their checksums when
    the project is opened, the regions of an image whenever they are read; `verify` checks every byte.

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
        Images of the tune part.
    exam : ExamPart or None
        The locked images, which no other attribute contains; None in a project of two parts.
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

    Examples
    --------
    `Project` has these methods too. The examples of the methods use this project.

    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.project.folder import ProjectFolder
    >>> project = ProjectFolder.open(demo_project())
    >>> project.name, len(project)
    ('Photo collages: birds, beasts and a shortcut', 1200)
    """

    def __init__(self, path: Path | str) -> None:
        if not str(path):
            raise InputError("the path of the project is empty: give its folder")
        self.path = in_home(path).absolute()
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
            There is no project, or it is unfinished or damaged; the message names the file.

        Examples
        --------
        >>> project = Project.open(demo_project())
        >>> project.name
        'Photo collages: birds, beasts and a shortcut'
        """
        return cls(path)

    def _load(self) -> None:
        self._files = files.file_entries(self.config)
        for section in ("encoder", "teacher"):
            if not isinstance(self.config.get(section) or {}, dict):
                raise TypeError(f"the section {section}")
        self.name: str = str(self.config["name"])
        self.classes: list[str] = _texts(self.config["classes"])
        grid = self.config.get("grid")
        self.grid: tuple[int, int] | None = (int(grid[0]), int(grid[1])) if grid else None
        for name in (files.CONCEPTS, files.IMAGES):
            verify(self.path / name, self._files[name]["sha256"], self.path)
        words = files.read_json(self.path / files.CONCEPTS, self.path)["concepts"]
        self.concepts: list[str] = _texts([w["name"] for w in words])
        self.concept_groups: list[str] = _texts([w["group"] for w in words])
        self.concept_prompts: list[list[str]] = [_texts(w["prompts"]) for w in words]
        self.X = self._array(files.CONCEPT_VECTORS, (-1e6, 1e6))
        self.T = self._array(files.RESPONSES, (0.0, 1.0))
        self.labels = self._array(files.LABELS) if files.LABELS in self._files else None
        self.concept_embeddings: np.ndarray | None = (
            self._array(files.CONCEPT_EMBEDDINGS) if files.CONCEPT_EMBEDDINGS in self._files else None
        )
        table = self._read_images()
        n = len(table.ids)
        if self.X.shape != (n, len(self.concepts)) or self.T.shape != (n, len(self.classes)):
            raise damaged(self.path / files.PROJECT, "the arrays do not fit the images, concepts and classes")
        if self.labels is not None and self.labels.shape != self.T.shape:
            raise damaged(self.path / files.LABELS, "it does not fit the images and classes")
        embeddings = self.concept_embeddings
        if embeddings is not None and (embeddings.ndim != 2 or len(embeddings) != len(self.concepts)):
            raise damaged(self.path / files.CONCEPT_EMBEDDINGS, "it does not fit the concepts")
        self._lock_exam(table)
        self._thumbnails = self._open_thumbnails()

    def _lock_exam(self, table: ImageTable) -> None:
        """Keep the exam images, the last rows of every array, apart from all attributes but `exam`."""
        self._stored, n_open = len(table.ids), len(table.ids) - table.n_exam
        self.exam: ExamPart | None = None
        if table.n_exam:
            self.exam = ExamPart(
                table.ids[n_open:],
                table.groups[n_open:],
                self.X[n_open:],
                self.T[n_open:],
                None if self.labels is None else self.labels[n_open:],
                lambda: self._regions_of_all[n_open:],
            )
        self.X, self.T = self.X[:n_open], self.T[:n_open]
        self.labels = None if self.labels is None else self.labels[:n_open]
        self.image_ids, self.image_groups = table.ids[:n_open], table.groups[:n_open]
        self.is_validation = table.is_validation[:n_open]
        self._paths, self._sizes, self._checksums = table.paths, table.sizes, table.checksums

    def _open_thumbnails(self) -> ThumbnailReader:
        suffix = str(self.config["thumbnails"])
        if suffix not in files.THUMBNAIL_KINDS.values():
            raise KeyError(f"thumbnails {suffix!r}")
        ends = self._array(files.THUMBNAIL_ENDS) if files.THUMBNAIL_ENDS in self._files else None
        if ends is not None and (ends.shape != (self._stored,) or ends.dtype != np.int64):
            raise damaged(self.path / files.THUMBNAIL_ENDS, "it does not fit the images")
        return ThumbnailReader(self.path, suffix, self._checksums[THUMBNAIL_CHECKSUM], ends)

    def _read_images(self) -> ImageTable:
        checksums = [THUMBNAIL_CHECKSUM, *(_CHECKSUMS[file] for file in self._files if file in _CHECKSUMS)]
        return read_image_table(self.path / files.IMAGES, self.path, len(self.X), checksums)

    def _array(
        self, name: str, limits: tuple[float, float] | None = None, checked: bool = True
    ) -> np.ndarray:
        path, entry = self.path / name, self._files[name]
        array = open_array(path, entry, self.path)
        if checked and verify(path, entry["sha256"], self.path) and limits is not None:
            low, high = limits
            for block in row_blocks(array):
                if block.size and not low <= block.min() <= block.max() <= high:  # false for NaN
                    raise damaged(path, f"it holds numbers outside {low:g} … {high:g}")
        return array

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        sizes = f"{len(self)} images, {len(self.concepts)} concepts, {len(self.classes)} classes"
        return f"{type(self).__name__}({str(self.path)!r}: {sizes})"

    @property
    def validation_rows(self) -> np.ndarray:
        """Rows of the validation images (the tune part), which never enter a fit, (n,) int.

        Examples
        --------
        >>> len(project.validation_rows) + len(project.training_rows) == len(project)
        True
        """
        return np.flatnonzero(self.is_validation)

    @property
    def training_rows(self) -> np.ndarray:
        """Rows of the images that students are fitted on (the fit part), (n,) int."""
        return np.flatnonzero(~self.is_validation)

    @cached_property
    def students(self) -> "Students":
        """The students fitted when the project was made, at the root of the history."""
        return self._students(files.STUDENTS)

    @cached_property
    def baseline(self) -> "Students | None":
        """The same fit on random directions of the embedding space; None if it was not made."""
        return self._students(files.BASELINE) if files.BASELINE in self._files else None

    def _students(self, name: str) -> "Students":
        from inficond.core.students import Students

        verify(self.path / name, self._files[name]["sha256"], self.path)
        return Students.load(self.path / name)

    @cached_property
    def region_embeddings(self) -> np.ndarray:
        """Region embeddings of the images, (N, R, D) float16, memory-mapped; verified at first use.

        Raises
        ------
        InputError
            The project stores no regions, or they are damaged.
        """
        return self._regions_of_all[: len(self)]

    @cached_property
    def _regions_of_all(self) -> np.ndarray:
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
        """Bounding boxes of the regions, (N, R, 4) float32: left, top, right, bottom relative to the crop."""
        self._need(files.BOXES)
        return self._array(files.BOXES)[: len(self)]

    def _need(self, name: str) -> None:
        if name not in self._files:
            raise InputError(
                f"the project {self.name!r} stores no regions ({name}): build it again from its images"
            )

    def regions(self, row: int) -> np.ndarray:
        """Return the region embeddings of an image, (R, D) float16, unit length.

        Examples
        --------
        >>> project.regions(0).shape, project.regions(0).dtype.name
        ((9, 192), 'float16')
        """
        return self._checked(self._region_rows, row, files.REGIONS)

    def assignment(self, row: int) -> np.ndarray:
        """Return the region of each cell of an image, (h, w) uint8.

        Examples
        --------
        >>> project.assignment(0).shape == project.grid
        True
        """
        flat = self._checked(self._assignment_rows, row, files.ASSIGNMENT)
        if self.grid is None or flat.size != self.grid[0] * self.grid[1]:
            raise damaged(self.path / files.PROJECT, f"the grid {self.grid} does not fit {files.ASSIGNMENT}")
        return flat.reshape(self.grid)

    def _checked(self, array: np.ndarray, row: int, name: str) -> np.ndarray:
        row = self._row(row)
        if len(array) != self._stored:
            raise damaged(self.path / name, "it does not fit the images")
        values = np.array(array[row])
        if row_checksum(values) != int(self._checksums[_CHECKSUMS[name]][row]):
            raise damaged(self.path / name, f"the bytes of image {self.image_ids[row]!r} have changed")
        return values

    def _row(self, row: int) -> int:
        if not 0 <= int(row) < len(self):
            raise InputError(
                f"image {row} does not exist: the project has {len(self)} images, counted from 0"
            )
        return int(row)

    def thumbnail_file(self, row: int) -> Path:
        """Return the file of an image's thumbnail, which may hold those of other images too.

        Examples
        --------
        >>> project.thumbnail_file(0).is_file()
        True
        """
        return self._thumbnails.file(self._row(row))

    def thumbnail_bytes(self, row: int) -> bytes:
        """Return an image's thumbnail, a JPEG, WebP or PNG file, compared with its checksum.

        Raises
        ------
        InputError
            It is missing, its file is not a regular file, or its bytes have changed.

        Examples
        --------
        >>> import io
        >>> from PIL import Image
        >>> Image.open(io.BytesIO(project.thumbnail_bytes(0))).format
        'JPEG'
        """
        return self._thumbnails.read(self._row(row))

    @property
    def thumbnail_checksums(self) -> np.ndarray:
        """CRC-32 of each image's thumbnail, (N,) uint32; 0 without one.

        Examples
        --------
        >>> project.thumbnail_checksums.shape
        (1200,)
        """
        return np.asarray(self._checksums[THUMBNAIL_CHECKSUM][: len(self)])

    def stored_thumbnails(self) -> Iterator[bytes]:
        """Yield the thumbnails of all stored images in the order of their rows, exam images last.

        Examples
        --------
        >>> next(project.stored_thumbnails()) == project.thumbnail_bytes(0)
        True
        """
        for row in range(self._stored):
            yield self._thumbnails.read(row)

    def thumbnail_image(self, row: int) -> "Image":
        """Decode an image's thumbnail, RGB.

        Raises
        ------
        InputError
            As for `thumbnail_bytes`, or the file is not an image of thumbnail size.

        Examples
        --------
        >>> project.thumbnail_image(0).size
        (256, 256)
        """
        from PIL import Image

        data = self.thumbnail_bytes(row)
        try:
            with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP", "PNG")) as image:
                if max(image.size) > MAX_THUMBNAIL_SIDE:
                    raise ValueError(f"{image.width}×{image.height} pixels")
                return image.convert("RGB")
        except Exception as error:  # Pillow's decoders raise many types on damaged bytes
            raise damaged(self.thumbnail_file(row), str(error)) from error

    def image_path(self, row: int, inside: bool = False) -> Path:
        """Return the path of an original, which may no longer exist.

        Parameters
        ----------
        row : int
        inside : bool
            Accept only originals inside the project folder. A project from others may name any file of this
            machine; show such a file to its owner only.

        Raises
        ------
        InputError
            With `inside`, the path leads out of the project folder.

        Examples
        --------
        >>> project.image_path(0).is_file()
        True
        """
        path = self.path / self._paths[self._row(row)]
        if inside:
            check_inside(path, self.path)
        return path

    def image_size(self, row: int) -> tuple[int, int] | None:
        """Return width and height of an original in pixels, or None where they are not known.

        Examples
        --------
        >>> project.image_size(0)
        (256, 256)
        """
        width, height = self._sizes[self._row(row)].tolist()
        return (width, height) if width and height else None

    def crop(self, row: int) -> tuple[float, float, float, float]:
        """Return the part of an image that the encoder saw: left, top, right, bottom in [0, 1].

        Grids, boxes and evidence masks cover this part; the thumbnail shows the whole image.

        Examples
        --------
        >>> project.crop(0)
        (0.0, 0.0, 1.0, 1.0)
        """
        width, height = self._sizes[self._row(row)].tolist()
        share = (self.config.get("encoder") or {}).get("crop_share", 1.0)
        if share is not None and (not isinstance(share, int | float) or not 0 < share <= 1):
            raise damaged(self.path / files.PROJECT, f"the encoder's crop_share is {share!r:.40}")
        return centre_crop(width or 1, height or 1, share if width and height else None)

    def verify(self) -> list[str]:
        """Check every byte of the project except the history.

        Returns
        -------
        list of str
            One line for each damaged or missing file; empty if there is none.
        """
        faults = []
        for name, entry in self._files.items():
            try:
                verify(self.path / name, entry["sha256"], self.path)
            except InputError as error:
                faults.append(str(error))
        for row, checksum in enumerate(self._checksums[THUMBNAIL_CHECKSUM]):
            if self._thumbnails.packed or not checksum:
                continue  # packs are among the files above
            try:
                self._thumbnails.read(row)
            except InputError as error:
                faults.append(str(error))
        return faults
