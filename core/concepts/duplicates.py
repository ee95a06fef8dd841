"""Words that mean nearly the same: found by the likeness of their text vectors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.corpus import Corpus

SAME = 0.95
"""Cosine of text vectors from which two words are taken for one."""
_BLOCK = 512


def same_word(
    word: str, vector: NDArray[np.float32], others: Sequence[str], vectors: NDArray[np.float32]
) -> str:
    """Return the word that means the same as `word`: its plural or singular, or nearly the same vector.

    Parameters
    ----------
    word : str
    vector : (D,) float32
        Text vector of the word, unit length.
    others : sequence of K str
    vectors : (K, D) float32
        Text vectors of the others.

    Returns
    -------
    str
        Empty if no word means the same.
    """
    if not len(others):
        return ""
    for other in others:
        if _singular(other) == _singular(word):
            return other
    cosines = vectors @ vector
    k = int(cosines.argmax())
    return others[k] if float(cosines[k]) >= SAME else ""


def merge_duplicates(corpus: Corpus) -> tuple[Corpus, list[str]]:
    """Return a corpus without words that mean the same as an earlier one, and a note for each.

    Parameters
    ----------
    corpus : Corpus
        A person's own words, the preferred ones first.
    """
    names, notes = corpus.names, []
    alike: dict[int, list[int]] = {}
    for start in range(0, len(corpus), _BLOCK):
        cosines = corpus.embeddings[start : start + _BLOCK] @ corpus.embeddings.T
        for row, other in np.argwhere(cosines >= SAME).tolist():
            if other < start + row:
                alike.setdefault(start + row, []).append(other)
    kept: list[int] = []
    first: dict[str, int] = {}
    for k, name in enumerate(names):
        same = first.get(_singular(name))
        if same is None:
            same = next(
                (other for other in alike.get(k, []) if first.get(_singular(names[other])) == other), None
            )
        if same is None:
            kept.append(k)
            first[_singular(name)] = k
        else:
            notes.append(f"{name!r} means nearly the same as {names[same]!r} to this encoder: merged with it")
    return Corpus(tuple(corpus.concepts[k] for k in kept), corpus.embeddings[kept]), notes


def _singular(word: str) -> str:
    """Return a word without the ending of its plural, for comparison only."""
    folded = word.casefold()
    return folded[:-1] if folded.endswith("s") and not folded.endswith("ss") and len(folded) > 3 else folded
