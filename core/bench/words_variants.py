"""Words and controls that the benchmark of words fits on one split of one set of images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from inficond.core.bench.words_sets import PhotoSet
from inficond.core.concepts.corpus import Corpus
from inficond.core.concepts.neutral import NeutralRegions
from inficond.core.models.encoder import Encoder
from inficond.core.pipeline.picture_sample import PictureSample
from inficond.core.pipeline.targets import normalised
from inficond.core.progress import Silent
from inficond.core.students.baseline import random_concept_vectors, random_directions
from inficond.core.students.controls import absent_share, mean_fidelity, random_regions, random_rows
from inficond.core.students.distil import distil
from inficond.core.students.name_prior import (
    PROPOSED_STRENGTH,
    ClassNames,
    PriorChoice,
    choose_prior,
    class_names,
)
from inficond.core.students.proposals import most_words
from inficond.core.students.relaxed import RELAX
from inficond.core.students.student import Students
from inficond.core.tuning.word_selection import Teaching, WordSelection, select_words, with_unseen_words

MANY = 582
"""Number of random directions of the second control: that of the first built-in corpus."""
CHOSEN, CHOSEN_DIRECTIONS = "chosen words", "as many random directions"
OWN, OWN_GROUNDED, OWN_DIRECTIONS = (
    "own words",
    "own words, half-grounded",
    "as many random directions as own",
)
DIRECTIONS, REGIONS, WORDS = f"{MANY} random directions", "as many random regions", "as many random words"


@dataclass(frozen=True)
class Measured:
    """Figures of one variant on one split.

    Parameters
    ----------
    ap : float
        Mean fidelity AP on validation images.
    nec : float
        Mean number of concepts per class.
    absent : float or None
        See `absent_share`.
    count : int
        Number of words or directions.
    words : dict from class to list of str
        The five words with the largest positive weights; empty for directions and regions.
    """

    ap: float
    nec: float
    absent: float | None
    count: int
    words: dict[str, list[str]]


class Split:
    """One split of a set into training and validation images.

    Parameters
    ----------
    photos : PhotoSet
    validation : (N,) bool
    candidates : Corpus
        Built-in words with their text vectors.
    encoder : Encoder
    neutral : NeutralRegions
    nec : float
        Wanted concepts per class.
    seed : int
        Of the random vectors.
    """

    def __init__(
        self,
        photos: PhotoSet,
        validation: NDArray[np.bool_],
        candidates: Corpus,
        encoder: Encoder,
        neutral: NeutralRegions,
        nec: float,
        seed: int,
    ) -> None:
        self.photos, self.validation, self.candidates = photos, validation, candidates
        self.encoder, self.neutral, self.nec, self.seed = encoder, neutral, nec, seed
        self.T = normalised(photos.T, lambda note: None) if photos.link == "softmax" else photos.T
        self.regions = photos.regions[~validation]
        self._sample = PictureSample(self.T, ~validation, photos.link, photos.crop_share)
        self._sample.take(0, photos.thumbnails, photos.assignment)

    def variants(self) -> Iterator[tuple[str, Measured]]:
        """Measure every variant."""
        chosen = self.select(self.candidates, tested=True, grounded=True)
        count, dim = len(chosen.corpus), self.photos.regions.shape[2]
        yield CHOSEN, self.words(chosen)
        yield CHOSEN_DIRECTIONS, self.vectors(random_directions(count, dim, self.seed))
        yield DIRECTIONS, self.vectors(random_directions(MANY, dim, self.seed))
        drawn = random_regions(self.photos.regions, np.flatnonzero(~self.validation), count, self.seed)
        yield REGIONS, self.vectors(drawn)
        yield WORDS, self.words(self.random_words(count), prior=False)
        if self.photos.own is not None:
            own = self.photos.own
            for name, grounded in ((OWN, False), (OWN_GROUNDED, True)):
                selection = self.select(own, tested=False, grounded=grounded)
                T, link = self.T[~self.validation], self.photos.link
                shown = with_unseen_words(selection, self.regions, self.neutral, T, link, self.clearness)
                yield name, self.words(shown)
            yield OWN_DIRECTIONS, self.vectors(random_directions(len(own), dim, self.seed))

    def random_words(self, count: int) -> WordSelection:
        """Draw built-in words, and ground them as the chosen ones are."""
        rows = random_rows(len(self.candidates), count, self.seed)
        drawn = Corpus(tuple(self.candidates.concepts[k] for k in rows), self.candidates.embeddings[rows])
        return self.select(drawn, tested=False, grounded=True)

    def select(self, corpus: Corpus, *, tested: bool, grounded: bool) -> WordSelection:
        """Select words as a build does."""
        classes = self.photos.classes
        teaching = Teaching(
            self.T[~self.validation],
            self.photos.link,
            self.names,
            PROPOSED_STRENGTH,
            most_words(len(classes)),
        )
        return select_words(
            corpus, self.regions, self.neutral, tested=tested, grounded=grounded,
            teaching=teaching if tested else None, vocabulary_mean=self.candidates.embeddings.mean(axis=0),
            clearness=self.clearness,
        )  # fmt: skip

    def clearness(self, corpus: Corpus, vectors: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Return the clearness of words in each class, as a build does."""
        return self._sample.clearness(corpus, vectors, self.photos.regions, Silent())

    def words(self, selection: WordSelection, prior: bool = True) -> Measured:
        """Fit words, with the name prior that a build chooses."""
        X = random_concept_vectors(self.photos.regions, selection.vectors)
        chosen = None
        if prior:
            chosen = choose_prior(
                self.names, selection.corpus.embeddings, X[~self.validation], self.T[~self.validation],
                self.photos.link, nec=self.nec, word_names=selection.corpus.names,
            ).but_for(selection.unseen)  # fmt: skip
        return self._fit(X, selection.corpus.names, chosen, named=True)

    def vectors(self, vectors: NDArray[np.float32]) -> Measured:
        """Fit vectors without names."""
        X = random_concept_vectors(self.photos.regions, vectors)
        return self._fit(X, [f"vector {k + 1}" for k in range(len(vectors))], None, named=False)

    @cached_property
    def names(self) -> ClassNames:
        """Class names of the set, compared with its training images."""
        return class_names(
            self.photos.classes, self.encoder, self.regions, self.T[~self.validation],
            self.candidates.embeddings.mean(axis=0),
        )  # fmt: skip

    def _fit(
        self,
        X: NDArray[np.float32],
        names: list[str],
        prior: PriorChoice | None,
        named: bool,
    ) -> Measured:
        training = ~self.validation
        students = distil(
            X[training], self.T[training], self.photos.classes, names, nec=self.nec, relax=RELAX,
            link=self.photos.link, penalty=None if prior is None else prior.penalty,
            outside=None if prior is None else prior.outside,
        )[0]  # fmt: skip
        held_out = X[self.validation]
        ap = mean_fidelity(students, held_out, self.T[self.validation])
        return Measured(
            float("nan") if ap is None else ap,
            float(students.nec().mean()),
            absent_share(students, held_out),
            len(names),
            largest(students) if named else {},
        )


def largest(students: Students, count: int = 5) -> dict[str, list[str]]:
    """Return the concepts with the largest positive weights of each class."""
    out = {}
    for c, name in enumerate(students.classes):
        order = np.argsort(-students.weights[c], kind="stable")[:count]
        out[name] = [students.concepts[k] for k in order.tolist() if students.weights[c, k] > 0]
    return out
