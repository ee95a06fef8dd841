"""The name prior of a project: informative class names, penalties, choice of the strength.

A word near the name of a class is penalised less in that class, and a word that does not belong to its domain
more, so that among words which predict equally well the one that belongs to the class is chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.class_names import informative_names, meaningful_part
from inficond.core.concepts.domains import ClassDomains, class_domains
from inficond.core.concepts.name_prior import name_penalties
from inficond.core.models.encoder import Encoder
from inficond.core.students.sparsity import compare_penalties
from inficond.core.students.student import Students

STRENGTHS = (0.0, 0.2, 0.4, 0.8)
"""Strengths that are compared; 0 is no prior."""
STRONGEST = 5.0
"""Largest strength that can be asked for."""
PROPOSED_STRENGTH = 0.8
"""Strength with which words are proposed."""
OUTSIDE = 4.0
"""Factor of λ of a word in a class to whose domain it does not belong."""


@dataclass(frozen=True, eq=False)
class ClassNames:
    """Text vectors of class names, and which names are informative.

    Parameters
    ----------
    vectors : (C, D) float32
    informative : (C,) bool
    word_mean : (D,) float32
        Mean text vector of the vocabulary.
    domains : ClassDomains, optional
        Domains of the classes.
    """

    vectors: NDArray[np.float32]
    informative: NDArray[np.bool_]
    word_mean: NDArray[np.float32]
    domains: ClassDomains | None = None

    def penalties(
        self, words: NDArray[np.float32], strength: float, names: Sequence[str] | None = None
    ) -> NDArray[np.float32] | None:
        """Return factors of λ (C, K); None if all are 1.

        Parameters
        ----------
        words : (K, D) float32
            Text vectors of words.
        strength : float
            0 is no prior.
        names : sequence of K str, optional
            The words; without them, domains are not used.
        """
        outside = self.outside(words, names)
        if not self.informative.any() or (strength == 0 and outside is None):
            return None
        factors = name_penalties(words, self.vectors, self.word_mean, strength)
        factors[~self.informative] = 1.0
        if outside is not None:
            factors[outside] = OUTSIDE
        return factors

    def outside(self, words: NDArray[np.float32], names: Sequence[str] | None) -> NDArray[np.bool_] | None:
        """Return which words do not belong to a class, (C, K) bool; None if no domain says so."""
        if names is None or self.domains is None:
            return None
        return ~self.domains.belongs(names, words, self.word_mean)


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
    informative = informative_names(names, vectors, regions, T)
    domains = class_domains(names, encoder) if informative.any() else None
    return ClassNames(vectors, informative, word_mean, None if domains is None else domains.seen(informative))


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
    outside : (C, K) bool or None
        Words that may only count against a class: those that do not belong to its domain, and those that its
        images do not show; see `distil`.
    """

    strength: float
    penalty: NDArray[np.float32] | None
    reason: str
    outside: NDArray[np.bool_] | None = None

    def but_for(self, unseen: NDArray[np.bool_] | None) -> "PriorChoice":
        """Return the choice with further words (C, K) that may only count against a class."""
        if unseen is None:
            return self
        return replace(self, outside=unseen if self.outside is None else self.outside | unseen)


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
    word_names: Sequence[str] | None = None,
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
    word_names : sequence of K str, optional
        The words; see `ClassNames.penalties`.
    """
    count, total = int(names.informative.sum()), len(names.informative)
    if not count:
        return PriorChoice(0.0, None, "off, because the class names say nothing about these images")
    of = f"the names of {count} of {total} classes" if count < total else "all class names"
    outside = names.outside(words, word_names)
    if asked is not None:
        return PriorChoice(
            asked,
            names.penalties(words, asked, word_names),
            f"strength {asked:g} as asked, from {of}",
            outside,
        )
    candidates = [names.penalties(words, strength, word_names) for strength in STRENGTHS]
    within = compare_penalties(X, T, link, candidates, nec, groups=groups, seed=seed)
    index = int(np.flatnonzero(within)[-1])
    strength = STRENGTHS[index]
    if strength == 0 and candidates[index] is None:
        return PriorChoice(0.0, None, "off, because each strength lowers the cross-validated fidelity")
    if strength == 0:
        reason = (
            "strength 0, because each strength lowers the cross-validated fidelity; domains of the classes"
        )
        return PriorChoice(0.0, candidates[index], f"{reason} are used", outside)
    reason = f"strength {strength:g} from {of}, the strongest within one standard error of the best fidelity"
    return PriorChoice(strength, candidates[index], reason, outside)


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
