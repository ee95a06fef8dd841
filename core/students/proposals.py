"""Proposal of words for a project: few words, chosen class by class.

A sparse fit on all valid words, with the name prior, ranks the words of each class by their weight. Words are
taken from the classes in turn. With fewer words, a student is easier to read, and the comparison with as many
random directions is more demanding of the words.
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.vectors import concept_vectors
from inficond.core.students.relaxed import COMPARED_ROWS, relaxed_fit

MOST_WORDS, MOST_PER_CLASS = 34, 4
"""Proposed words: at most the first number, or the second times the number of classes if that is more."""
_MARGIN = 1.5
"""Words in the ranking fit as a multiple of those proposed, since classes share words."""
_LEAST_NEC = 10.0


def most_words(classes: int) -> int:
    """Return the number of words that is proposed for a number of classes."""
    return max(MOST_WORDS, MOST_PER_CLASS * classes)


def propose_words(
    regions: NDArray[np.float16],
    words: NDArray[np.float32],
    T: NDArray[np.floating],
    link: str,
    penalty: NDArray[np.float32] | None,
    most: int,
) -> tuple[NDArray[np.int64], list[list[int]]]:
    """Choose words class by class.

    Parameters
    ----------
    regions : (n, R, D) float16
        Of training images.
    words : (K, D) float32
        Text vectors of valid words.
    T : (n, C)
        Responses of the teacher.
    link : {"sigmoid", "softmax"}
    penalty : (C, K), optional
        Factors of λ, from the name prior.
    most : int
        Largest number of words.

    Returns
    -------
    rows : (M,) int
        Chosen words, ascending.
    by_class : list of C lists of int
        Words for which each class took its turn, best first.
    """
    from inficond.core.solver import lambda_for_nec

    if len(regions) > COMPARED_ROWS:
        rows = np.linspace(0, len(regions) - 1, COMPARED_ROWS).round().astype(int)
        regions, T = regions[rows], T[rows]
    X, T = concept_vectors(regions, words), np.asarray(T, np.float32)
    nec = max(_LEAST_NEC, _MARGIN * most / T.shape[1])
    found = lambda_for_nec(X, T, nec, link=link, penalty=penalty, tol=1e-3)
    weights = relaxed_fit(X, T, float(np.max(found.lam)), link, penalty=penalty, tol=1e-3).weights
    order = np.argsort(-np.abs(weights), axis=1, kind="stable")
    chosen: list[int] = []
    by_class: list[list[int]] = [[] for _ in weights]
    for turn in range(weights.shape[1]):
        for c, row in enumerate(order):
            k = int(row[turn])
            if weights[c, k] != 0 and k not in chosen and len(chosen) < most:
                chosen.append(k)
                by_class[c].append(k)
    return np.sort(np.array(chosen, np.int64)), by_class
