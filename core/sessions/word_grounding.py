"""Grounding of typed words in a project whose words are grounded, from its stored regions."""

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.grounding import LEAST_REGIONS, half_grounded
from inficond.core.concepts.neutral import NeutralRegions, neutral_regions
from inficond.core.progress import Progress
from inficond.core.project.folder import ProjectFolder
from inficond.core.tuning.word_selection import SEEN_IMAGES

MANY_IMAGES = 4000
"""Most training images on which a whole vocabulary is grounded."""
_BLOCK = 512


class WordGrounding:
    """Moves a typed word half-way towards the training regions that it names.

    A region names the typed word if it is more similar to it than to each word of the project, hubness
    corrected. Like the words of the project, a typed word is grounded on at most `SEEN_IMAGES` training
    images.

    Parameters
    ----------
    project : ProjectFolder
        Its configuration has the section ``grounding``.
    texts : callable
        Returns the text vectors of the project's words, (K, D), not grounded.
    """

    def __init__(self, project: ProjectFolder, texts: Callable[[], NDArray[np.float32]]) -> None:
        self._project, self._texts = project, texts
        section = project.config["grounding"]
        self._hubness = np.asarray(section["hubness"], np.float32)
        self._neutral_mean = np.asarray(section["neutral_mean"], np.float32)
        self._word_mean = np.asarray(section["word_mean"], np.float32)

    def ground(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the half-grounded vector of a text vector (D,), or the text vector if few regions match."""
        regions, best = self._project.region_embeddings, self._best_of_project
        hubness = float(self._neutral.hubness(vector[None])[0])
        total, count = np.zeros(len(vector)), 0
        for start in range(0, len(best), _BLOCK):
            rows = self._rows[start : start + _BLOCK]
            block = np.asarray(regions[rows], np.float32)
            named = 2 * (block @ vector) - hubness > best[start : start + _BLOCK]
            total += block[named].sum(axis=0, dtype=np.float64)
            count += int(named.sum())
        if count < LEAST_REGIONS:
            return vector
        return half_grounded(total[None], vector[None], self._neutral_mean, self._word_mean)[0]

    def ground_all(
        self, vectors: NDArray[np.float32], progress: Progress | None = None
    ) -> NDArray[np.float32]:
        """Return the half-grounded vectors of text vectors (V, D), each grounded as if it were the only one.

        At most `MANY_IMAGES` training images are used, so that a vocabulary takes seconds. `progress`
        advances by images and can cancel it.
        """
        best, rows = self._best_of_project, self._rows
        step = max(1, -(-len(rows) // MANY_IMAGES))
        hubness = self._neutral.hubness(vectors)
        total, count = np.zeros(vectors.shape), np.zeros(len(vectors), np.int64)
        taken = np.arange(0, len(rows), step)
        if progress is not None:
            progress.start("comparing words with images", len(taken))
        for start in range(0, len(taken), _BLOCK // 4):
            some = taken[start : start + _BLOCK // 4]
            flat = np.asarray(self._project.region_embeddings[rows[some]], np.float32)
            flat = flat.reshape(-1, vectors.shape[1])
            named = 2 * (flat @ vectors.T) - hubness > best[some].reshape(-1, 1)
            total += named.T.astype(np.float32) @ flat
            count += named.sum(axis=0)
            if progress is not None:
                progress.advance(len(some))
        out = vectors.astype(np.float32)
        moved = count * step >= LEAST_REGIONS
        moved &= count > 0
        out[moved] = half_grounded(total[moved], vectors[moved], self._neutral_mean, self._word_mean)
        return out

    @cached_property
    def _neutral(self) -> NeutralRegions:
        spec = (self._project.config.get("encoder") or {}).get("spec")
        sampled = self._project.region_embeddings
        return neutral_regions(spec, sampled if spec == "embedded" else sampled[self._rows])

    @cached_property
    def _rows(self) -> NDArray[np.intp]:
        """Training images on which words are grounded, evenly spread as in the build, (n,)."""
        rows = self._project.training_rows
        if len(rows) > SEEN_IMAGES:
            rows = rows[np.linspace(0, len(rows) - 1, SEEN_IMAGES).round().astype(int)]
        return rows

    @cached_property
    def _best_of_project(self) -> NDArray[np.float32]:
        """Largest corrected similarity of each region of `_rows` to a word of the project, (n, R)."""
        project, texts = self._project, self._texts()
        rows = self._rows
        best = np.empty((len(rows), project.region_embeddings.shape[1]), np.float32)
        for start in range(0, len(rows), _BLOCK):
            block = np.asarray(project.region_embeddings[rows[start : start + _BLOCK]], np.float32)
            flat = block.reshape(
                -1, block.shape[2]
            )  # one product: one for each image takes ten times as long
            best[start : start + _BLOCK] = (
                (2 * (flat @ texts.T) - self._hubness).max(axis=1).reshape(block.shape[:2])
            )
        return best
