"""Labelled folders for the benchmark of words: encodings, responses of a probe, a person's own words."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.corpus import Corpus, load_corpus
from inficond.core.errors import InputError
from inficond.core.images import ImageSet, open_source
from inficond.core.models.cache_directory import cache_folder
from inficond.core.models.class_sets import class_set
from inficond.core.models.encoder import Encoder
from inficond.core.models.tables import Table, read_labels
from inficond.core.models.teacher import Teacher
from inficond.core.pipeline.encode import Encoding, encode_shards
from inficond.core.pipeline.label_teachers import is_exclusive, label_matrix, label_names, teach_from_labels
from inficond.core.pipeline.shards import ShardStore, SourceFile, shards_of
from inficond.core.progress import Progress
from inficond.core.tables import TableOptions

LABELS, IMAGES = "labels.csv", "images"
"""A folder with a table of labels and its images; any other folder has a folder per class."""


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Encoded images of one labelled folder.

    Parameters
    ----------
    name : str
        Of the folder.
    classes : tuple of C str
    regions : (N, R, D) float16
    T : (N, C) float32
        Responses of a probe to images that it was not fitted to.
    link : {"sigmoid", "softmax"}
        Softmax if the classes exclude each other.
    own : Corpus or None
        A person's own words for these images.
    thumbnails : sequence of N bytes
        Empty: words are chosen without looking for them in pictures.
    assignment : (N, h·w) uint8
        The region of each cell.
    crop_share : float or None
        Part of an image that the encoder sees; see `centre_crop`.
    """

    name: str
    classes: tuple[str, ...]
    regions: NDArray[np.float16]
    T: NDArray[np.float32]
    link: str
    own: Corpus | None
    thumbnails: Sequence[bytes] = ()
    assignment: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    crop_share: float | None = None


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """The images of a labelled folder, found but not read.

    Parameters
    ----------
    name : str
        Of the folder.
    images : ImageSet
    table : Table or None
        Of their labels; None where their source has the labels.
    label_names : sequence of str
    """

    name: str
    images: ImageSet
    table: Table | None
    label_names: Sequence[str]


def load_set(
    found: LabelledImages, own: Path | None, encoder: Encoder, teacher: Teacher, progress: Progress
) -> PhotoSet:
    """Encode labelled images and fit a probe; encodings are cached on disk between runs.

    Parameters
    ----------
    found : LabelledImages
    own : Path, optional
        A file of words; see `load_corpus`.
    encoder, teacher
        Open models; the probe is fitted to the teacher's responses.
    progress : Progress
    """
    sources = [SourceFile.of(f) for f in found.images.records]
    encoding = Encoding(encoder, teacher)
    store = ShardStore(cache_folder("bench-words"), encoding.basis)
    encode_shards(encoding, store, sources, progress)
    shards = [store.load(shard) for shard in shards_of(sources)]
    ids = [id for shard in shards for id in shard.ids]
    responses = np.concatenate([shard.responses for shard in shards])
    matrix = label_matrix(found.images, found.table, ids)
    taught = teach_from_labels("probe", class_set("labels", found.label_names, None), matrix, responses)
    return PhotoSet(
        found.name,
        taught.classes.names,
        np.concatenate([shard.regions for shard in shards]),
        taught.responses,
        "softmax" if is_exclusive(matrix) else "sigmoid",
        None if own is None else load_corpus(own, encoder),
        [thumbnail for shard in shards for thumbnail in shard.thumbnails],
        np.concatenate([shard.assignment for shard in shards]),
        encoder.preprocess.crop_share,
    )


def labelled_images(folder: Path) -> LabelledImages:
    """Find the images of a folder and their labels.

    Parameters
    ----------
    folder : Path
        A folder per class, or the folder `IMAGES` and the table `LABELS`.

    Raises
    ------
    InputError
        There are no images or no labels.
    """
    table = folder / LABELS
    labels = read_labels(table, TableOptions()) if table.is_file() else None
    images = open_source(folder / IMAGES if labels is not None else folder)
    names = label_names(images, labels)
    if len(names) < 2:
        raise InputError(f"{folder} has no labels: give one folder per class, or {IMAGES}/ and {LABELS}")
    return LabelledImages(folder.name, images, labels, names)


def parse_sets(given: Sequence[str]) -> list[tuple[Path, Path | None]]:
    """Split arguments ``FOLDER`` and ``FOLDER=WORDS`` into folders and files of words."""
    pairs = []
    for text in given:
        folder, _, own = text.partition("=")
        if not Path(folder).is_dir():
            raise InputError(f"{folder} is not a folder: name a folder of labelled images")
        pairs.append((Path(folder), Path(own) if own else None))
    return pairs
