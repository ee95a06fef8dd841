"""Sample of training pictures in which a build looks for its words."""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inficond.core.concepts.cells import Cells, encode_cells, load_cell_encoder
from inficond.core.concepts.clearness import ClearnessOfWords
from inficond.core.concepts.corpus import Corpus, load_corpus
from inficond.core.errors import InputError
from inficond.core.images.crop import Box, centre_crop
from inficond.core.pipeline.cached_cells import CachedCells
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.progress import Progress
from inficond.core.solver import threads

PER_CLASS, MOST = 40, 400
"""Most pictures of a class, and of all classes."""
PER_TASK = 5
"""Pictures that a thread takes at a time."""
CLEAREST = 6
"""The clearness of a word in a class is its mean in so many pictures of the class, the clearest ones."""


def members(T: NDArray[np.floating], link: str) -> NDArray[np.bool_]:
    """Return the images of each class, (n, C); with softmax, an image belongs to its most probable class."""
    if link == "softmax":
        return np.asarray(T.argmax(axis=1)[:, None] == np.arange(T.shape[1]))
    return np.asarray(T >= 0.5)


@dataclass
class _Picture:
    """A picture of the sample."""

    thumbnail: bytes
    assignment: NDArray[np.uint8]
    part: Box = (0.0, 0.0, 1.0, 1.0)
    """The part that the encoder sees."""


class PictureSample:
    """Thumbnails of a few training images of each class, collected while a build writes the images.

    Parameters
    ----------
    T : (n, C)
        Responses to the images that are not locked.
    training : (n,) bool
    link : {"sigmoid", "softmax"}
    crop_share : float, optional
        Part of the image that the encoder sees, as in `centre_crop`.
    cache : EncodingCache, optional
        Where cells are looked up and kept.
    """

    def __init__(
        self,
        T: NDArray[np.floating],
        training: NDArray[np.bool_],
        link: str,
        crop_share: float | None,
        cache: EncodingCache | None = None,
    ) -> None:
        yes = members(np.asarray(T), link) & training[:, None]
        per_class = max(CLEAREST, min(PER_CLASS, MOST // yes.shape[1]))
        rows = [_spaced(np.flatnonzero(of_class), per_class) for of_class in yes.T]
        self.rows: NDArray[np.intp] = np.unique(np.concatenate(rows))
        self._yes, self._share, self._cache = yes[self.rows], crop_share, cache
        self._pictures: dict[int, _Picture] = {}
        self._cells: dict[int, tuple[Cells, NDArray[np.uint8]]] | None = None

    def take(self, start: int, thumbnails: Sequence[bytes], assignment: NDArray[np.uint8]) -> None:
        """Keep the pictures of the sample among consecutive images, the first of which is row `start`."""
        first, last = np.searchsorted(self.rows, [start, start + len(thumbnails)])
        for row in self.rows[first:last].tolist():
            self._pictures[row] = _Picture(thumbnails[row - start], np.array(assignment[row - start]))

    def clearness(
        self, corpus: Corpus, vectors: NDArray[np.float32], regions: NDArray[np.floating], progress: Progress
    ) -> NDArray[np.float32] | None:
        """Return the clearness of each word in each class, (C, K); None if no picture can be read.

        A class without pictures gets 1.

        Parameters
        ----------
        corpus : Corpus
            K words with their text vectors.
        vectors : (K, D) float32
            Vectors of the concepts.
        regions : (n, R, D) float16
            Of the images that are not locked.
        progress : Progress
        """
        if self._cells is None:
            self._cells = self._encoded(progress) if self._pictures else {}
        if not self._cells:
            return None
        meter = ClearnessOfWords(vectors, corpus.embeddings, load_corpus(None).embeddings, corpus.names)
        rows = self.rows[list(self._cells)]
        pictures = list(self._cells.values())
        values = np.empty((len(pictures), len(corpus)), np.float32)

        def measure(part: slice) -> None:
            cells, assignments = zip(*pictures[part])
            values[part] = meter.of(cells, regions[rows[part]], np.stack(assignments))

        threads.run(measure, threads.slices(len(pictures), PER_TASK), threads.available())
        yes = self._yes[list(self._cells)]
        out = np.ones((yes.shape[1], len(corpus)), np.float32)
        for c in np.flatnonzero(yes.any(axis=0)):
            out[c] = np.sort(values[yes[:, c]], axis=0)[-CLEAREST:].mean(axis=0)
        return out

    def _encoded(self, progress: Progress) -> dict[int, tuple[Cells, NDArray[np.uint8]]]:
        """Encode the cells of the pictures, each once."""
        out: dict[int, tuple[Cells, NDArray[np.uint8]]] = {}
        encoder = load_cell_encoder()
        known = CachedCells(self._cache, encoder)
        pictures = self._readable()
        parts = [(picture.thumbnail, picture.part) for picture in pictures.values()]
        progress.start("looking for the words", len(pictures))
        for (i, picture), cells in zip(pictures.items(), known.get_all(parts)):
            progress.advance()
            if cells is None:
                try:
                    with _opened(picture.thumbnail) as image:
                        cells = encode_cells(encoder, image.convert("RGB"), picture.part)
                except (InputError, OSError):
                    continue
                known.put(picture.thumbnail, picture.part, cells)
            out[i] = cells, picture.assignment.reshape(cells.vectors.shape[:2])
        self._pictures.clear()
        return out

    def _readable(self) -> dict[int, _Picture]:
        """Return the pictures that can be opened, by their position in `rows`, with their part."""
        out: dict[int, _Picture] = {}
        for i, row in enumerate(self.rows.tolist()):
            picture = self._pictures.get(row)
            if picture is None:
                continue
            with suppress(InputError, OSError), _opened(picture.thumbnail) as image:
                picture.part = centre_crop(*image.size, self._share)
                out[i] = picture
        return out


def _opened(thumbnail: bytes) -> Image.Image:
    return Image.open(io.BytesIO(thumbnail), formats=("JPEG", "WEBP", "PNG"))


def _spaced(rows: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
