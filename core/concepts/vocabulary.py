"""The vocabulary: 20,000 visible nouns and adjective–noun pairs that can be offered as concepts.

Built by `inficond.export.embedded.vocabulary` from WordNet 3.0 (licence: assets/concepts/LICENSE).
Vectors of the embedded encoder are shipped as 8-bit numbers; other encoders embed the words at first use.
"""

import gzip
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "concepts"
FILE, VECTORS = FOLDER / "vocabulary.csv.gz", FOLDER / "vocabulary.npz"
FAMILIAR = 2
"""Familiarity of words that are offered without being asked for."""


@dataclass(frozen=True)
class Vocabulary:
    """Words and how familiar they are.

    Parameters
    ----------
    words : tuple of V str
        The most familiar first.
    familiarity : (V,) int
        2, 1 or 0; see `FAMILIAR`.
    """

    words: tuple[str, ...]
    familiarity: NDArray[np.int8]

    @property
    def familiar(self) -> tuple[str, ...]:
        """Words in general use."""
        return self.words[: int((self.familiarity >= FAMILIAR).sum())]


@cache
def load_vocabulary() -> Vocabulary:
    """Return the shipped vocabulary."""
    lines = gzip.decompress(FILE.read_bytes()).decode().splitlines()
    pairs = [line.split(",", 1) for line in lines]
    return Vocabulary(tuple(word for _, word in pairs), np.array([int(n) for n, _ in pairs], np.int8))


def shipped_vectors(digest: str) -> NDArray[np.float32] | None:
    """Return the vectors (V, D) of the vocabulary for the encoder with a digest; None for other encoders."""
    with np.load(VECTORS, allow_pickle=False) as file:
        if str(file["encoder"]) != digest:
            return None
        return unpack_vectors(file["codes"], file["scale"])


def pack_vectors(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return unit vectors (V, D) as 8-bit codes and a scale for each vector."""
    scale = np.abs(vectors).max(axis=1) / 127
    return np.round(vectors / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def unpack_vectors(codes: NDArray[np.int8], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the unit vectors of codes."""
    out = codes.astype(np.float32) * scale[:, None]
    return unit_length(out).astype(np.float32)
