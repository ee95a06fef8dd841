"""Cells of one picture, encoded at a higher resolution, to show where a word is.

The regions of a picture are few and alike. A graph of its own (`core/assets/evidence`) encodes the picture
at 448 pixels and gives a vector for each of 14 × 14 cells, in the space of the embedded encoder. Cells decide
only which part of a picture is shown as evidence. Concept values and students use the regions.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inficond.core.concepts.colours import colour_shares
from inficond.core.models.encoder import Encoder, load_encoder

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "evidence"
ENCODER = "embedded"
"""The encoder in whose space the cells are."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Encodings of the cells of one picture.

    Parameters
    ----------
    vectors : (h, w, D) float16
        Unit length.
    colours : (h, w, 11) float16, optional
        See `colour_shares`.
    """

    vectors: NDArray[np.float16]
    colours: NDArray[np.float16] | None = None

    @property
    def nbytes(self) -> int:
        """Size in memory."""
        return self.vectors.nbytes + (0 if self.colours is None else self.colours.nbytes)

    def scores(self, words: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the cosine of words (..., D) with each cell, (..., h, w)."""
        h, w, dim = self.vectors.shape
        words = np.asarray(words, np.float32)
        flat = words @ self.vectors.reshape(h * w, dim).astype(np.float32).T
        return flat.reshape(*words.shape[:-1], h, w)


class CellStore(Protocol):
    """Cells of thumbnails that outlive the process."""

    def get(self, thumbnail: bytes, part: tuple[float, ...]) -> Cells | None:
        """Return the cells of a part of a thumbnail, or None."""
        ...

    def put(self, thumbnail: bytes, part: tuple[float, ...], cells: Cells) -> None:
        """Keep the cells of a part of a thumbnail."""
        ...


def load_cell_encoder() -> Encoder:
    """Open the graph of cells: an encoder without words, whose regions are its single cells.

    Raises
    ------
    InputError
        It is missing from this installation or damaged.
    """
    return load_encoder(FOLDER)


def encode_cells(
    cell_encoder: Encoder,
    picture: Image.Image,
    part: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
) -> Cells:
    """Encode the cells of a picture.

    Parameters
    ----------
    cell_encoder : Encoder
        As `load_cell_encoder` opens.
    picture : Image
        RGB; a thumbnail is large enough.
    part : (left, top, right, bottom)
        The part that the encoder sees, relative to the picture.

    Raises
    ------
    InputError
        The graph failed.
    """
    (h, w), (width, height) = cell_encoder.size, picture.size
    box = (part[0] * width, part[1] * height, part[2] * width, part[3] * height)
    pixels = np.asarray(picture.resize((w, h), Image.Resampling.BICUBIC, box=box))
    encoded = cell_encoder.encode(pixels[None])
    vectors = encoded.regions[0][encoded.assignment[0]]
    grid = cell_encoder.grid
    return Cells(
        np.asarray(vectors, np.float16).reshape(*grid, cell_encoder.dim), colour_shares(pixels, grid)
    )
