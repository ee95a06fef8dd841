"""The stage of a build that makes a `text2concept` encoder from the fit part of the images."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.images import ImageRecord
from inficond.core.images.decode import open_picture
from inficond.core.models.encoder import Encoder
from inficond.core.models.teacher import Teacher
from inficond.core.progress import Progress
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.teachers.text2concept import TEXT2CONCEPT, FeatureReader, fit_map, write_encoder

MOST_IMAGES = 5000
"""Images that the map is fitted on at most, evenly spaced."""
_BATCH = 4


class Unremarked(Progress):
    """Progress of a first pass, whose notes the second pass repeats."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self.inner.start(stage, total, done)

    def advance(self, n: int = 1) -> None:
        """Report finished work."""
        self.inner.advance(n)

    def note(self, message: str) -> None:
        """Drop a note."""


def make_encoder(
    words: Encoder, teacher: Teacher, images: Sequence[ImageRecord], folder: Path, progress: Progress
) -> str:
    """Fit the map from a teacher's features to an encoder's space, and write the new encoder.

    Parameters
    ----------
    words : Encoder
        Reads words and gives the image embeddings that the map is fitted to.
    teacher : Teacher
    images : sequence of ImageRecord
        The fit part.
    folder : Path
        Of the new encoder.
    progress : Progress

    Returns
    -------
    str
        A line about the map.

    Raises
    ------
    InputError
        The teacher shows no features, or there are too few images.
    """
    reader = FeatureReader(teacher, folder.parent / "features")
    if len(images) > MOST_IMAGES:
        images = [images[i] for i in np.linspace(0, len(images) - 1, MOST_IMAGES).round().astype(int)]
    features = np.zeros((len(images), reader.dim), np.float32)
    embeddings = np.zeros((len(images), words.dim), np.float32)
    at_least = max(words.preprocess.at_least, teacher.preprocess.at_least)
    progress.start("reading the teacher's features", len(images))
    for start in range(0, len(images), _BATCH):
        pictures = [_picture(image, at_least) for image in images[start : start + _BATCH]]
        # Always the same number of rows: with another, runtimes choose other kernels.
        filled = [*pictures, *[pictures[-1]] * (_BATCH - len(pictures))]
        rows = slice(start, start + len(pictures))
        pixels = np.stack([teacher.preprocess(p) for p in filled])
        features[rows] = reader.run(pixels)[0][: len(pictures)]
        pixels = np.stack([words.preprocess(p) for p in filled])
        embeddings[rows] = words.encode(pixels).image[: len(pictures)]
        progress.advance(len(pictures))
    with single_threaded_blas():
        fitted = fit_map(features, embeddings)
    write_encoder(folder, teacher, reader, words, fitted)
    return (
        f"encoder: {TEXT2CONCEPT}, words in the {reader.dim} features of {teacher.name}, by a linear map "
        f"fitted on {fitted.images:,} images; it explains {fitted.explained:.0%} of the variance of their "
        "embeddings, measured on images left out"
    )


def _picture(image: ImageRecord, at_least: int) -> Image.Image:
    content = image.content()
    if content is None:
        assert image.path is not None  # only files are too large to be read at once
        return open_picture(image.path, at_least).image
    return open_picture(io.BytesIO(content), at_least).image
