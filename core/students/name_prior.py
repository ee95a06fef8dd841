"""The name prior of a project: informative class names, penalties, choice of the strength.

A word near the name of a class is penalised less in that class, so that among words which predict equally
well the one that belongs to the class is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.class_names import informative_names, meaningful_part
from inficond.core.concepts.name_prior import name_penalties
from inficond.core.models.encoder import Encoder
from inficond.core.students.sparsity import compare_penalties
from inficond.core.students.student import Students

STRENGTHS = (0.0, 0.2, 0.4, 0.8)
"""Strengths that are compared; 0 is no prior."""
STRONGEST = 5.0
"""Largest strength that can be asked for."""


@dataclass(frozen=True, eq=False)
class ClassNames:
    """Text vectors of class names, and which names are informative.

    Parameters
    ----------
    vectors : (C, D) float32
    informative : (C,) bool
    word_mean : (D,) float32
        Mean text vector of the vocabulary.
    """

    vectors: NDArray[np.float32]
    informative: NDArray[np.bool_]
    word_mean: NDArray[np.float32]

    def penalties(self, words: NDArray[np.float32], strength: float) -> NDArray[np.float32] | None:
        """Return factors of λ (C, K) for text vectors of words (K, D); None if all are 1."""
        if strength == 0 or not self.informative.any():
            return None
        factors = name_penalties(words, self.vectors, self.word_mean, strength)
        factors[~self.informative] = 1.0
        return factors


def class_names(
    names: Sequence[str],
    encoder: Encoder,
    regions: NDArray[np.float16],
    T: NDArray[np.floating],
    word_mean: NDArray[np.float32],
) -> ClassNames:
    """Embed class names and compare them with training images.

    Parameters
    ----------
    names : sequence of C str
    encoder : Encoder
        Without a text tower, no name is informative.
    regions : (n, R, D) float16
    T : (n, C)
    word_mean : (D,)
    """
    vectors = np.zeros((len(names), encoder.dim), np.float32)
    rows = [c for c, name in enumerate(names) if meaningful_part(name)]
    if encoder.manifest.text is None or not rows:
        return ClassNames(vectors, np.zeros(len(names), bool), word_mean)
    vectors[rows] = encoder.embed_words([meaningful_part(names[c])[:200] for c in rows])
    return ClassNames(vectors, informative_names(names, vectors, regions, T), word_mean)


@dataclass(frozen=True, eq=False)
class PriorChoice:
    """A strength of the name prior, its penalties and the reason.

    Parameters
    ----------
    strength : float
    penalty : (C, K) float32 or None
        None for strength 0.
    reason : str
        Reason, in one sentence.
    """

    strength: float
    penalty: NDArray[np.float32] | None
    reason: str


def choose_prior(
    names: ClassNames,
    words: NDArray[np.float32],
    X: NDArray[np.floating],
    T: NDArray[np.floating],
    link: str,
    *,
    nec: float,
    asked: float | None = None,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> PriorChoice:
    """Choose the strongest prior whose cross-validated fidelity is within one standard error of the best.

    Parameters
    ----------
    names : ClassNames
    words : (K, D) float32
        Text vectors of the words.
    X, T : (n, K), (n, C)
        Concept vectors and responses of training images.
    link : {"sigmoid", "softmax"}
    nec : float
        Mean number of concepts per class at which strengths are compared.
    asked : float, optional
        A strength given by a person.
    groups, seed
        As for `choose_sparsity`.
    """
    count, total = int(names.informative.sum()), len(names.informative)
    if not count:
        return PriorChoice(0.0, None, "off, because the class names say nothing about these images")
    of = f"the names of {count} of {total} classes" if count < total else "all class names"
    if asked is not None:
        return PriorChoice(asked, names.penalties(words, asked), f"strength {asked:g} as asked, from {of}")
    candidates = [names.penalties(words, strength) for strength in STRENGTHS]
    within = compare_penalties(X, T, link, candidates, nec, groups=groups, seed=seed)
    index = int(np.flatnonzero(within)[-1])
    strength = STRENGTHS[index]
    if strength == 0:
        return PriorChoice(0.0, None, "off, because each strength lowers the cross-validated fidelity")
    reason = f"strength {strength:g} from {of}, the strongest within one standard error of the best fidelity"
    return PriorChoice(strength, candidates[index], reason)


def helped_words(
    with_prior: Students, without: Students, penalty: NDArray[np.float32]
) -> dict[str, list[str]]:
    """Return the favoured words that only the students with the prior use, by class, largest weight first.

    Parameters
    ----------
    with_prior, without : Students
        On the same words.
    penalty : (C, K) float32
        Factors of λ of the prior; below 1 for favoured words.
    """
    out = {}
    for c, name in enumerate(with_prior.classes):
        new = (with_prior.weights[c] != 0) & (without.weights[c] == 0) & (penalty[c] < 1)
        order = np.argsort(-np.abs(with_prior.weights[c]), kind="stable")
        words = [with_prior.concepts[k] for k in order.tolist() if new[k]]
        if words:
            out[name] = words
    return out
