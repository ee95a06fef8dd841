"""Windows: four overlapping parts of a picture, encoded again to show where a word is.

The cells of a whole picture are few and alike. A window covers two thirds of its width and height, so each of
its cells covers less, and its regions differ more. Windows decide only which cells are shown as evidence.
Concept values and students use the regions of the whole picture.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inficond.core.models.encoder import Encoder

SIDE = 2 / 3
"""Width and height of a window, relative to the picture."""
STARTS = ((0.0, 0.0), (0.0, 1 - SIDE), (1 - SIDE, 0.0), (1 - SIDE, 1 - SIDE))
"""Top and left of each window, relative to the picture."""
EDGE_WEIGHT = 0.1
"""Weight of a cell at the border of a window, relative to its middle: borders lack context."""
MEASURED = "embedded"
"""The encoder for which windows were measured to be better evidence; others are slower, too."""


@dataclass(frozen=True, eq=False)
class Windows:
    """Encodings of the windows of one picture.

    Parameters
    ----------
    regions : (4, R, D) float16
        Unit length.
    assignment : (4, h, w) uint8
        The region of each cell of a window.
    """

    regions: NDArray[np.float16]
    assignment: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.regions.nbytes + self.assignment.nbytes

    def scores(self, words: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine of words (..., D) with each cell of the whole picture, (..., h, w).

        A cell of the picture is the weighted mean of the cells of windows that overlap it.
        """
        words = np.asarray(words, np.float32)
        h, w = self.assignment.shape[1:]
        total, weight = np.zeros((*words.shape[:-1], h, w)), np.zeros((h, w))
        for (top, left), regions, cells in zip(STARTS, self.regions.astype(np.float32), self.assignment):
            down, across = _overlap(h, top), _overlap(w, left)
            total += down @ (words @ regions.T)[..., cells] @ across.T
            weight += down.sum(axis=1)[:, None] * across.sum(axis=1)
        return (total / weight).astype(np.float32)


@cache
def _overlap(cells: int, start: float) -> NDArray[np.float64]:
    """Return the weight of each cell of a window in each cell of the picture, along one axis."""
    edges = np.arange(cells + 1) / cells
    inner = start + SIDE * edges
    low = np.maximum(edges[:-1, None], inner[None, :-1])
    high = np.minimum(edges[1:, None], inner[None, 1:])
    middle = (np.arange(cells) + 0.5) / cells
    return np.maximum(high - low, 0.0) * (1 - (1 - EDGE_WEIGHT) * np.abs(2 * middle - 1))


def encode_windows(
    encoder: Encoder, picture: Image.Image, part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
) -> Windows:
    """Encode the windows of a picture.

    Parameters
    ----------
    encoder : Encoder
    picture : Image
        RGB; a thumbnail is large enough.
    part : (left, top, right, bottom)
        The part that the encoder sees, relative to the picture.
    """
    (h, w), (width, height) = encoder.size, picture.size
    box = (part[0] * width, part[1] * height, part[2] * width, part[3] * height)
    size = (round(w / SIDE), round(h / SIDE))
    pixels = np.asarray(picture.resize(size, Image.Resampling.BICUBIC, box=box))
    parts = []
    for top, left in STARTS:
        y, x = round(top * size[1]), round(left * size[0])
        parts.append(pixels[y : y + h, x : x + w])
    encoded = encoder.encode(np.stack(parts))
    assignment = np.asarray(encoded.assignment, np.uint8).reshape(len(parts), *encoder.grid)
    return Windows(np.asarray(encoded.regions, np.float16), assignment)
