"""The words of a project: candidates, validity on the training images, grounding.

Built-in words enter a project only if they name something in its images and are proposed for a class; a
person's own words always enter. Both are grounded: their vectors move half-way towards the training regions
that they name.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.corpus import Corpus
from inficond.core.concepts.domains import widened
from inficond.core.concepts.grounding import ground_words
from inficond.core.concepts.neutral import NeutralRegions
from inficond.core.concepts.validity import CLASS_RANKS, unseen_words, word_validity
from inficond.core.students.name_prior import ClassNames
from inficond.core.students.proposals import propose_words

SEEN_IMAGES = 20_000
"""Most training images on which words are tested and grounded."""
LEAST_WORDS = 40
"""A project keeps at least this number of built-in words: those found in most images."""
CLEAR_WORD = 0.45
"""Least clearness, in the class that shows it best, of a built-in word that enters a project. A person's own
words below it are only listed. With 0.55, students of flowers lose 0.07 of average precision."""
Clearness = Callable[[Corpus, NDArray[np.float32]], "NDArray[np.float32] | None"]
"""Returns the clearness (C, K) of K words with their vectors in each class, or None if it is unknown."""


@dataclass(frozen=True)
class WordSelection:
    """Words of a project and their vectors.

    Parameters
    ----------
    corpus : Corpus
        The words with their text vectors (K, D).
    vectors : (K, D) float32
        Vectors of the concepts: half-grounded, or the text vectors.
    grounding : dict
        What is needed to ground a further word, for `project.json`: ``hubness``, ``neutral_mean``,
        ``word_mean``. Empty without grounding.
    left_out : tuple of (str, int)
        Built-in words that were left out, and in how many training images each was found.
    needed : int
        Images in which a built-in word must be found; 0 if no word was tested.
    reason : str
        Reason, in one sentence.
    not_proposed : tuple of str
        Valid built-in words that no class needed.
    by_class : list of C lists of str
        Proposed words of each class, best first; empty if nothing was proposed.
    unseen : (C, K) bool or None
        Words that the training images of a class do not show; None if this was not tested.
    unclear : tuple of (str, float)
        Built-in words that were left out because no class shows them clearly in one place, and their largest
        clearness in a class; own words of this kind are kept and listed.
    """

    corpus: Corpus
    vectors: NDArray[np.float32]
    grounding: dict[str, list[float]]
    left_out: tuple[tuple[str, int], ...]
    needed: int
    reason: str
    not_proposed: tuple[str, ...] = ()
    by_class: list[list[str]] = field(default_factory=list)
    unseen: NDArray[np.bool_] | None = None
    unclear: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Teaching:
    """Training data for which the words of a project are proposed.

    Parameters
    ----------
    T : (n, C)
        Responses of the teacher to the training images.
    link : {"sigmoid", "softmax"}
    names : ClassNames or None
        None without a name prior.
    strength : float
        Of the name prior.
    most : int
        Largest number of proposed words.
    """

    T: NDArray[np.floating]
    link: str
    names: ClassNames | None
    strength: float
    most: int


def with_unseen_words(
    selection: WordSelection,
    regions: NDArray[np.float16],
    neutral: NeutralRegions,
    T: NDArray[np.floating],
    link: str,
    clearness: Clearness | None = None,
) -> WordSelection:
    """Find the words that the training images of a class do not show, for a person's own words.

    Parameters
    ----------
    selection : WordSelection
    regions : (n, R, D) float16
        Of training images.
    neutral : NeutralRegions
        Of the same encoder.
    T : (n, C)
        Responses of the teacher to these images.
    link : {"sigmoid", "softmax"}
        With softmax, an image belongs to its most probable class.
    clearness : callable, optional
        Words that no class shows clearly are listed. They stay in use, because a person chose them.
    """
    yes = T.argmax(axis=1)[:, None] == np.arange(T.shape[1]) if link == "softmax" else T >= 0.5
    words = selection.corpus.embeddings
    unseen = unseen_words(regions, yes, words, neutral.hubness(words))
    if clearness is None or len(words) <= CLASS_RANKS:
        return replace(selection, unseen=unseen)
    found = clearness(selection.corpus, selection.vectors)
    if found is None:
        return replace(selection, unseen=unseen)
    best = found.max(axis=0)
    unclear = _listed(selection.corpus, best, best < CLEAR_WORD)
    return replace(selection, unseen=unseen, unclear=unclear)


def _listed(
    corpus: Corpus, best: NDArray[np.float32], which: NDArray[np.bool_]
) -> tuple[tuple[str, float], ...]:
    return tuple((corpus.names[k], round(float(best[k]), 2)) for k in np.flatnonzero(which).tolist())


def select_words(
    candidates: Corpus,
    regions: NDArray[np.float16],
    neutral: NeutralRegions,
    *,
    tested: bool,
    grounded: bool,
    teaching: Teaching | None = None,
    vocabulary_mean: NDArray[np.float32] | None = None,
    clearness: Clearness | None = None,
) -> WordSelection:
    """Select the words of a project.

    Parameters
    ----------
    candidates : Corpus
        All words with their text vectors.
    regions : (n, R, D) float16
        Of training images.
    neutral : NeutralRegions
        Of the same encoder.
    tested : bool
        Whether words that name nothing in the images are left out.
    grounded : bool
        Whether vectors are moved towards the regions that the words name.
    teaching : Teaching, optional
        Classes for which words are proposed if more are valid than wanted; otherwise every valid word enters.
    vocabulary_mean : (D,), optional
        Mean text vector of a large vocabulary; the mean of the candidates by default.
    clearness : callable, optional
        Tested words that no class shows clearly are left out.

    Returns
    -------
    WordSelection
    """
    needed, rivals = 0, len(candidates)
    left_out: tuple[tuple[str, int], ...] = ()
    word_mean = candidates.embeddings.mean(axis=0) if vocabulary_mean is None else vocabulary_mean
    names = teaching.names if tested and teaching is not None else None
    domains = None if names is None else names.domains
    if domains is not None:
        candidates = widened(candidates, domains)
    corpus = candidates
    hubness = neutral.hubness(candidates.embeddings)
    reason = f"{len(candidates)} words"
    not_proposed: tuple[str, ...] = ()
    if tested and len(candidates) > LEAST_WORDS:
        validity = word_validity(regions, candidates.embeddings, hubness, rivals=rivals)
        kept = validity.valid
        if kept.sum() < LEAST_WORDS:
            kept = np.zeros(len(candidates), bool)
            kept[np.argsort(-validity.found, kind="stable")[:LEAST_WORDS]] = True
        words = candidates.names
        left_out = tuple((words[k], int(validity.found[k])) for k in np.flatnonzero(~kept))
        if domains is not None and domains.complete:
            listed = domains.listed(words)
            not_proposed = tuple(words[k] for k in np.flatnonzero(kept & ~listed))
            kept = kept & listed
        rows = np.flatnonzero(kept)
        corpus = Corpus(tuple(candidates.concepts[k] for k in rows), candidates.embeddings[rows])
        hubness, needed = hubness[rows], validity.needed
        reason = (
            f"{len(corpus)} of {len(candidates)} built-in words: those found in at least {needed} of the "
            f"{len(regions)} training images"
        )
        if not validity.valid.sum() >= LEAST_WORDS:
            reason = f"the {LEAST_WORDS} of {len(candidates)} built-in words that are found in most images"
        if not_proposed:
            kinds = dict.fromkeys(d.name for d in domains.domains if d is not None) if domains else {}
            reason += f", and that belong to a class ({', '.join(kinds)})"
    by_class: list[list[str]] = []
    unclear: tuple[tuple[str, float], ...] = ()
    if tested and clearness is not None and len(corpus) > 0:
        vectors = corpus.embeddings
        if grounded:
            vectors = ground_words(regions, vectors, hubness, neutral.mean, word_mean)[0]
        found = clearness(corpus, vectors)
        if found is not None:
            best = found.max(axis=0)
            kept = best >= CLEAR_WORD
            if kept.sum() < LEAST_WORDS:
                kept[np.argsort(-best, kind="stable")[:LEAST_WORDS]] = True
            unclear = _listed(corpus, best, ~kept)
            rows = np.flatnonzero(kept)
            corpus = Corpus(tuple(corpus.concepts[k] for k in rows), corpus.embeddings[rows])
            hubness = hubness[rows]
            if unclear:
                reason += f", without {len(unclear)} that no class shows clearly in one place"
    if tested and teaching is not None and len(corpus) > teaching.most:
        penalty = (
            None if names is None else names.penalties(corpus.embeddings, teaching.strength, corpus.names)
        )
        vectors = corpus.embeddings
        if grounded:  # words are compared by the vectors that they would have as concepts
            vectors = ground_words(regions, vectors, hubness, neutral.mean, word_mean)[0]
        rows, turns = propose_words(regions, vectors, teaching.T, teaching.link, penalty, teaching.most)
        words = corpus.names
        not_proposed += tuple(words[k] for k in np.setdiff1d(np.arange(len(corpus)), rows))
        by_class = [[words[k] for k in turn] for turn in turns]
        reason = f"{len(rows)} proposed class by class, out of {reason}"
        corpus = Corpus(tuple(corpus.concepts[k] for k in rows), corpus.embeddings[rows])
        hubness = hubness[rows]
    if not grounded:
        return WordSelection(
            corpus, corpus.embeddings, {}, left_out, needed, reason, not_proposed, by_class, None, unclear
        )
    vectors, counts = ground_words(regions, corpus.embeddings, hubness, neutral.mean, word_mean)
    described = {
        "hubness": hubness.astype(float).tolist(),
        "neutral_mean": neutral.mean.astype(float).tolist(),
        "word_mean": word_mean.astype(float).tolist(),
    }
    moved = int((counts > 0).sum())
    return WordSelection(
        corpus,
        vectors,
        described,
        left_out,
        needed,
        f"{reason}; {moved} moved towards their regions",
        not_proposed,
        by_class,
        None,
        unclear,
    )
