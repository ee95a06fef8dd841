"""Choice of sparsity: the sparsest students whose cross-validated fidelity is as good as the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.students.relaxed import (
    CrossValidation,
    RelaxedPath,
    fits_at_a_time,
    losses,
    standard_errors,
)

MOST_CONCEPTS = 12.0
"""Largest mean number of concepts per class that is chosen without being asked for."""
STEP = 0.75
"""Ratio of consecutive penalties of the path."""
NEARLY, WIDEN = 0.9, 1.02
"""Share of the limit from which the chosen penalty is tried at full accuracy, and the factor by which it
grows while the limit is exceeded."""
MOST_STEPS = 40
BISECTIONS = 6
"""Of λ in comparisons at equal number of concepts: λ is then within 1.5 %."""
BEYOND = 2
"""Consecutive penalties with a worse cross-validated loss after which larger ones are not compared."""
EXPLAINED = 0.99
"""The path ends where the students explain this share of the deviance of the responses."""


@dataclass(frozen=True)
class SparsityChoice:
    """The chosen penalty of the selection and what it was chosen from.

    Parameters
    ----------
    lam : float
        Penalty of the first fit; slightly above that of the path if students fitted to full accuracy would
        exceed the limit of concepts.
    nec : tuple of float
        Mean number of effective concepts per class at each penalty that was compared, the largest first.
    loss, error : tuple of float
        Cross-validated loss per image at each of them, and the standard error of its difference from the
        lowest.
    index : int
        Position of `lam` among them.
    reason : str
        Reason, in one sentence.
    """

    lam: float
    nec: tuple[float, ...]
    loss: tuple[float, ...]
    error: tuple[float, ...]
    index: int
    reason: str


def choose_sparsity(
    X: NDArray[np.floating],
    T: NDArray[np.floating],
    link: str,
    *,
    most: float = MOST_CONCEPTS,
    penalty: NDArray[np.floating] | None = None,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> SparsityChoice:
    """Choose the penalty by the one-standard-error rule under a limit of concepts.

    Parameters
    ----------
    X : (N, K)
        Concept vectors of training images.
    T : (N, C)
        Responses of the teacher.
    link : {"sigmoid", "softmax"}
    most : float
        Largest mean number of concepts per class.
    penalty : (C, K), optional
        Factors of the penalty.
    groups : sequence of N str or None, optional
        Images of one group stay in one fold.
    seed : int
        Of the folds.

    Returns
    -------
    SparsityChoice

    Notes
    -----
    The rule is that of Breiman et al., *Classification and Regression Trees* (1984): the simplest model whose
    loss is within one standard error of the lowest, with the standard error of the paired difference.
    """
    from inficond.core.solver import lambda_max
    from inficond.core.solver.path import SMALL_RATIO, penalty_is_negligible

    X, T = np.ascontiguousarray(X, np.float32), np.ascontiguousarray(T, np.float32)
    lam = float(np.max(lambda_max(X, T, link=link, penalty=penalty))) * STEP
    path, reachable = RelaxedPath(X, T, link, tol=1e-3), _reachable(T, link)
    lams: list[float] = []
    necs: list[float] = []
    while len(lams) < MOST_STEPS:
        fitted = path.fit(lam, penalty)
        nec = float(np.mean(fitted.nec))
        if nec > most and lams:
            _approach_limit(path, penalty, most, lams, necs, lam)
            break
        lams.append(lam)
        necs.append(nec)
        if losses(fitted, X, T).mean() <= reachable:
            break
        if lam < SMALL_RATIO * lams[0] and penalty_is_negligible(fitted, path.tol):
            break
        lam *= STEP
    each = _losses_from_densest(CrossValidation(X, T, link, groups=groups, seed=seed), lams, penalty)
    compared = each.shape[1]
    lams, necs = lams[-compared:], necs[-compared:]
    loss = each.mean(axis=0)
    best = int(loss.argmin())
    error = standard_errors(each, best)
    index = int(np.flatnonzero(loss <= loss[best] + error)[0])
    lam, nec = lams[index], necs[index]
    path = RelaxedPath(X, T, link)
    while nec > NEARLY * most:  # the fit of the students is more accurate than those of the path
        nec = float(np.mean(path.fit(lam, penalty).nec))
        if nec <= most:
            break
        lam *= WIDEN
    return SparsityChoice(
        lam,
        tuple(necs),
        tuple(map(float, loss)),
        tuple(map(float, error)),
        index,
        _reason(nec, index, best, len(lams), most),
    )


def compare_penalties(
    X: NDArray[np.floating],
    T: NDArray[np.floating],
    link: str,
    penalties: Sequence[NDArray[np.floating] | None],
    nec: float,
    *,
    groups: Sequence[str | None] | None = None,
    seed: int = 0,
) -> NDArray[np.bool_]:
    """Return which penalties have a cross-validated loss within one standard error of the lowest.

    Parameters
    ----------
    X, T, link, groups, seed
        As for `choose_sparsity`.
    penalties : sequence of (C, K) or None
        Factors of the penalty; None for 1.
    nec : float
        Mean number of concepts per class at which all are compared.

    Returns
    -------
    (len(penalties),) bool
    """
    from inficond.core.solver import lambda_for_nec
    from inficond.core.solver.threads import run

    X, T = np.ascontiguousarray(X, np.float32), np.ascontiguousarray(T, np.float32)
    validation = CrossValidation(X, T, link, groups=groups, seed=seed)
    X, T = validation.X, validation.T
    lams = np.empty(len(penalties))

    def find(i: int) -> None:
        lams[i] = lambda_for_nec(X, T, nec, steps=BISECTIONS, link=link, penalty=penalties[i], tol=1e-3).lam

    run(find, range(len(penalties)), fits_at_a_time(X, T))
    each = validation.losses(lams.tolist(), penalties)
    loss = each.mean(axis=0)
    best = int(loss.argmin())
    return loss <= loss[best] + standard_errors(each, best)


def _losses_from_densest(
    validation: CrossValidation, lams: Sequence[float], penalty: NDArray[np.floating] | None
) -> NDArray[np.float64]:
    """Return cross-validated losses (n, P) at the last P penalties, which hold every one that may be chosen.

    Penalties are compared from the smallest to the largest. The comparison ends after `BEYOND` consecutive
    ones whose loss is more than one standard error above the lowest.
    """
    columns: list[NDArray[np.float64]] = []
    outside = 0
    for lam in reversed(lams):
        columns.insert(0, validation.losses([lam], [penalty])[:, 0])
        each = np.stack(columns, axis=1)
        loss = each.mean(axis=0)
        best = int(loss.argmin())
        outside = outside + 1 if loss[0] > loss[best] + standard_errors(each, best)[0] else 0
        if outside == BEYOND:
            break
    return np.stack(columns, axis=1)


def _approach_limit(
    path: RelaxedPath,
    penalty: NDArray[np.floating] | None,
    most: float,
    lams: list[float],
    necs: list[float],
    beyond: float,
) -> None:
    """Add a penalty between the last of the path and `beyond` whose fit has nearly the largest number."""
    inside, nec = lams[-1], necs[-1]
    for _ in range(4):
        middle = float(np.sqrt(inside * beyond))
        found = float(np.mean(path.fit(middle, penalty).nec))
        if found > most:
            beyond = middle
        else:
            inside, nec = middle, found
    if inside < lams[-1]:
        lams.append(inside)
        necs.append(nec)


def _reachable(T: NDArray[np.float32], link: str) -> float:
    """Return the loss at which students explain the share `EXPLAINED` of the deviance of the responses.

    The deviance is the difference between the loss of students without concepts and the smallest loss, the
    entropy of the responses.
    """
    both = (T, 1 - T) if link == "sigmoid" else (T,)
    null = sum(float(_entropy(part.mean(axis=0, dtype=np.float64)).sum()) for part in both)
    smallest = sum(float(_entropy(part).sum(axis=1).mean()) for part in both)
    return null - EXPLAINED * (null - smallest)


def _entropy(p: NDArray[np.floating]) -> NDArray[np.floating]:
    p = np.asarray(p, np.float64)
    return -p * np.log(np.where(p > 0, p, 1.0))


def _reason(nec: float, index: int, best: int, steps: int, most: float) -> str:
    if index == best == steps - 1:
        return (
            f"{nec:.1f} concepts per class on average: the limit is {most:g}, and fidelity still grows there"
        )
    return (
        f"{nec:.1f} concepts per class on average: the sparsest students within one standard error of the "
        "best cross-validated fidelity"
    )
