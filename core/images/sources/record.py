"""Records of images, and the interface of a source that finds them."""

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np

from inficond.core.errors import InputError
from inficond.core.images.decode import Picture, UnreadableImage, open_picture, read_picture_file

Split = Literal["train", "val", "test"]
Note = Callable[[str, str], None]
"""Called with the name of an image or file that is left out, and the reason."""

SPLIT_NAMES: dict[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
"""Name of a folder, a file prefix or a cell -> split."""
_ADDED = re.compile(r"(?<=[a-z])[ _\-]?(?:set|data|split|images|imgs|photos|20\d\d)$")
"""Words and years behind the name of a split."""
MOST_CONTENT = 64_000_000
"""Largest image file that is read into memory as a whole, in bytes."""
MOST_BYTES = 256 << 20
"""Largest image inside another file, in bytes."""
_SHOWN = 8


@dataclass(frozen=True)
class ImageRecord:
    """An image of a source, not read yet.

    Parameters
    ----------
    id : str
        Unique within the source: a path relative to it, in POSIX form.
    path : Path, optional
        The image file; None for an image inside another file.
    group : str, optional
        Images of one group share a source (a burst, a patient, a video) and stay in one part of the split.
    split : {"train", "val", "test"}, optional
        Part named by the source; if None, the project's seeded split decides.
    labels : tuple of str, optional
        Classes of the image; None if the source has no labels for it.
    load : callable, optional
        Returns the bytes of an image without `path`.
    location : str
        Place of the image for messages; the path by default.
    size : int
        Bytes of an image without `path`; −1 where unknown.
    version : str
        Changes when the content of an image without `path` changes.

    Examples
    --------
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from inficond.core.images import ImageRecord
    >>> Image.new("RGB", (64, 48)).save("boat.png")
    >>> record = ImageRecord("boat.png", Path("boat.png"), labels=("boat",))
    >>> record.open().width
    64
    """

    id: str
    path: Path | None = None
    group: str | None = None
    split: Split | None = None
    labels: tuple[str, ...] | None = None
    load: Callable[[], bytes] | None = field(default=None, compare=False, repr=False)
    location: str = ""
    size: int = -1
    version: str = ""

    @property
    def where(self) -> str:
        """Place of the image for messages."""
        return self.location or str(self.path or self.id)

    def read(self) -> Path | bytes:
        """Return the path of the image file, or the bytes of an image inside another file."""
        if self.path is not None:
            return self.path
        assert self.load is not None
        return self.load()

    def data(self) -> bytes:
        """Return the bytes of the image file."""
        content = self.read()
        return content if isinstance(content, bytes) else content.read_bytes()

    def open(self, at_least: int | None = None) -> Picture:
        """Decode the image; see `open_picture`.

        Raises
        ------
        UnreadableImage
            It cannot be read or decoded.
        """
        if self.path is not None:
            return open_picture(self.path, at_least)
        return open_picture(io.BytesIO(self._loaded()), at_least)

    def content(self, most: int = MOST_CONTENT) -> bytes | None:
        """Return the bytes of the image file, or None if it is a file of more than `most` bytes.

        Raises
        ------
        UnreadableImage
            It cannot be read.
        """
        return self._loaded() if self.path is None else read_picture_file(self.path, most)

    def _loaded(self) -> bytes:
        """Return the bytes of an image inside another file."""
        try:
            data = self.read()
        except UnreadableImage:
            raise
        except Exception as error:  # readers of archives and networks raise many types; none may end the run
            raise UnreadableImage(f"cannot be read: {error or type(error).__name__}") from error
        assert isinstance(data, bytes)
        if not data:
            raise UnreadableImage("empty file (0 bytes)")
        return data


@runtime_checkable
class ImageSource(Protocol):
    """Where images come from.

    `records` yields each image once and reads no pixels. Ids are unique, do not depend on the machine, and
    are the same at each call. A bad image is reported through `note` and left out. Only a fault of the whole
    source raises.
    """

    notes: list[str]
    """How the source was understood, one line each; complete once `records` is exhausted."""
    rule: str
    """What the labels are, for people, for example ``"class folders"``; empty where there are none."""

    def records(self, note: Note) -> Iterator[ImageRecord]:
        """Find the images.

        Parameters
        ----------
        note : callable
            Called for what is left out.

        Raises
        ------
        InputError
            The source is missing or unreadable.
        """
        ...


@dataclass(frozen=True, eq=False)
class ImageSet:
    """All images of a source, in the order of their ids.

    Parameters
    ----------
    records : tuple of ImageRecord
        At least one.
    classes : tuple of str
        Every label, in alphabetical order; empty where the source has no labels.
    notes : tuple of str
        How the source was understood and what was found, one line each.
    name : str
        The source, for messages.

    Examples
    --------
    >>> from PIL import Image
    >>> from inficond.core.images import open_source
    >>> images = open_source([(Image.new("RGB", (64, 48)), "boat"), (Image.new("RGB", (64, 48)), "bird")])
    >>> images.exclusive
    True
    >>> images.classes, images.label_matrix().tolist()
    (('bird', 'boat'), [[0.0, 1.0], [1.0, 0.0]])
    """

    records: tuple[ImageRecord, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    name: str

    @property
    def exclusive(self) -> bool:
        """Whether every labelled image has exactly one label."""
        labelled = [r.labels for r in self.records if r.labels is not None]
        return bool(labelled) and all(len(labels) == 1 for labels in labelled)

    def label_matrix(self, classes: Sequence[str] | None = None) -> np.ndarray:
        """Return the labels as numbers.

        Parameters
        ----------
        classes : sequence of C str, optional
            All classes by default.

        Returns
        -------
        (images, C) float32
            1 where a label holds, 0 where it does not, NaN for images without labels.
        """
        index = {name: c for c, name in enumerate(self.classes if classes is None else classes)}
        matrix = np.zeros((len(self.records), len(index)), np.float32)
        for row, record in enumerate(self.records):
            if record.labels is None:
                matrix[row] = np.nan
            else:
                matrix[row, [index[name] for name in record.labels if name in index]] = 1
        return matrix


def collect(source: ImageSource, note: Note, name: str) -> ImageSet:
    """Find all images of a source.

    Parameters
    ----------
    source : ImageSource
    note : callable
        Called for what is left out, also for images with the id of an earlier one.
    name : str
        Of the source, for messages.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        The source is unreadable or holds no image.
    """
    found: dict[str, ImageRecord] = {}
    left: list[tuple[str, str]] = []

    def leave(id: str, reason: str) -> None:
        left.append((id, reason))
        note(id, reason)

    for record in source.records(leave):
        if "\0" in record.id or (record.path is not None and "\0" in str(record.path)):
            leave(record.id.replace("\0", "?"), "its name contains a null character")
        elif record.id in found:
            leave(record.id, "listed more than once; the first is used")
        else:
            found[record.id] = record
    if not found:
        why = f": {len(left):,} left out, the first {left[0][0]!r:.80}: {left[0][1]}" if left else ""
        raise InputError(f"no images in {name}{why}")
    records = tuple(sorted(found.values(), key=lambda record: record.id))
    counts = Counter(label for record in records for label in record.labels or ())
    notes = list(source.notes)
    if counts:
        notes.append(_label_note(counts, source.rule, records))
    splits = Counter(record.split for record in records if record.split)
    if splits:
        notes.append("split: " + ", ".join(f"{split} {n:,}" for split, n in splits.items()))
    return ImageSet(records, tuple(sorted(counts)), tuple(notes), name)


def _label_note(counts: Counter[str], rule: str, records: Sequence[ImageRecord]) -> str:
    shown = ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items())[:_SHOWN])
    more = ", …" if len(counts) > _SHOWN else ""
    text = f"{len(counts):,} {rule or 'classes'}: {shown}{more}"
    without = sum(record.labels is None for record in records)
    if without:
        first = next(record.id for record in records if record.labels is None)
        text += f"; {without:,} image(s) without a label, first {first!r:.80}"
    single = [name for name, n in counts.items() if n == 1]
    if single:
        text += f"; {len(single):,} class(es) with one image, first {single[0]!r:.80}"
    return text


def split_of(name: str) -> Split | None:
    """Return the split named by a folder, a file prefix or a cell, also as ``train2017`` or ``Test_set``."""
    return SPLIT_NAMES.get(_ADDED.sub("", name.strip().lower()))


def split_of_file(path: Path) -> Split | None:
    """Return the split that the name of a file or folder has: ``train-0-of-2.parquet``, ``val/0.tar``."""
    return split_of(re.split(r"[-_.]", path.name)[0]) or split_of(path.parent.name)


def unique_ids(names: Sequence[str], labels: Sequence[tuple[str, ...] | None]) -> list[str]:
    """Return ids for images whose names may repeat.

    Parameters
    ----------
    names : sequence of str
        In POSIX form; may be empty.
    labels : sequence of tuple of str or None
        Of the same images.

    Returns
    -------
    list of str
        File names without folders get their label as a folder, as in class folders. Names that repeat are
        numbered.
    """
    flat = all(names) and not any("/" in name for name in names)
    if flat and all(held is not None and len(held) == 1 for held in labels):
        names = [f"{held[0]}/{name}" for name, held in zip(names, labels) if held]
    if all(names) and len(set(names)) == len(names):
        return list(names)
    files = [name.rpartition("/")[2] for name in names]
    return [f"{number:08d}-{file}" if file else f"{number:08d}" for number, file in enumerate(files)]


def relative_ids(paths: Sequence[str]) -> list[str]:
    """Return paths relative to their common folder, in POSIX form."""
    parts = [path.replace("\\", "/").split("/") for path in paths]
    if not parts:
        return []
    n = 0
    while all(len(p) > n + 1 and p[n] == parts[0][n] for p in parts):
        n += 1
    return ["/".join(p[n:]) for p in parts]
