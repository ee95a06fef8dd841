"""Statistics of regions from photographs that are unrelated to any project.

They correct for hubness: in a joint embedding space some words are close to every region. The built-in
regions come from 800 photographs of Flickr8k through the embedded encoder
(`python -m inficond.export.embedded neutral`). For another encoder the project's own regions are used.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BUILT_IN = Path(__file__).resolve().parent.parent / "assets" / "concepts" / "neutral.npy"
NEAREST = 10
"""Regions whose mean similarity is the hubness of a word."""
MOST = 8192
"""Most regions that are used."""


@dataclass(frozen=True)
class NeutralRegions:
    """A sample of region embeddings of one encoder.

    Parameters
    ----------
    regions : (M, D) float32
        Unit length.
    """

    regions: NDArray[np.float32]

    @property
    def mean(self) -> NDArray[np.float32]:
        """Mean region (D,)."""
        return self.regions.mean(axis=0)

    def hubness(self, words: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the hubness of words (K, D): the mean of their `NEAREST` largest cosines, (K,).

        Source: the correction term of cross-domain similarity local scaling (Conneau et al. 2018,
        arXiv 1710.04087).
        """
        nearest = min(NEAREST, len(self.regions))
        out = np.empty(len(words), np.float32)
        for start in range(0, len(words), 1024):
            cosines = self.regions @ words[start : start + 1024].T
            # Contiguous rows: partition along the first axis takes several times as long.
            columns = np.ascontiguousarray(cosines.T)
            largest = np.partition(columns, columns.shape[1] - nearest, axis=1)[:, -nearest:]
            out[start : start + 1024] = np.ascontiguousarray(largest.T).mean(axis=0)
        return out


@cache
def built_in_regions() -> NeutralRegions:
    """Return the neutral regions of the embedded encoder."""
    return NeutralRegions(np.load(BUILT_IN, allow_pickle=False).astype(np.float32))


def sample_regions(regions: NDArray[np.floating], seed: int = 0) -> NeutralRegions:
    """Return a sample of a project's own regions (N, R, D), for encoders without built-in regions."""
    flat = len(regions) * regions.shape[1]
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(flat, min(MOST, flat), replace=False))
    image, region = np.divmod(rows, regions.shape[1])
    return NeutralRegions(np.asarray(regions[image, region], np.float32))


def neutral_regions(encoder_spec: str | None, regions: NDArray[np.float16]) -> NeutralRegions:
    """Return the neutral regions of an encoder: built-in ones, else a sample of `regions` (n, R, D)."""
    return built_in_regions() if encoder_spec == "embedded" else sample_regions(regions)
