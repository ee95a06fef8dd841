"""Choice of sparsity: the sparsest students whose cross-validated fidelity is as good as the best.

Fits have two levels of penalty. A first fit at ``lam`` selects concepts. A second fit at ``RELAX · lam``
penalises the selected concepts with this value and all others with ``lam``. Selected weights are shrunk
less, and no further concept becomes cheap. It is the relaxed lasso (Meinshausen 2007, *Computational
Statistics & Data Analysis* 52) as one convex problem, so that refits and certificates stay exact.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from inficond.core.solver import FitResult

RELAX = 0.1
"""Penalty of selected concepts relative to that of the selection."""
MOST_CONCEPTS = 12.0
"""Largest mean number of concepts per class that is chosen without being asked for."""
FOLDS = 5
STEP = 0.75
"""Ratio of consecutive penalties of the path."""
COMPARED_ROWS = 4000
"""Most images on which penalties are compared."""


@dataclass(frozen=True)
class SparsityChoice:
    """The chosen penalty of the selection and what it was chosen from.

    Parameters
    ----------
    lam : float
        Penalty of the first fit.
    nec : tuple of float
        Mean number of effective concepts per class at each penalty of the path.
    loss, error : tuple of float
        Cross-validated loss per image at each penalty, and the standard error of its difference from the
        lowest.
    index : int
        Position of `lam` on the path.
    reason : str
        Reason, in one sentence.
    """

    lam: float
    nec: tuple[float, ...]
    loss: tuple[float, ...]
    error: tuple[float, ...]
    index: int
    reason: str


def relaxed_fit(
    X: NDArray[np.floating],
    T: NDArray[np.floating],
    lam: float,
    link: str,
    *,
    penalty: NDArray[np.floating] | None = None,
    relax: float = RELAX,
    tol: float = 1e-4,
) -> "FitResult":
    """Fit with two levels of penalty.

    Parameters
    ----------
    X : (N, K)
    T : (N, C)
    lam : float
        Penalty of the selection.
    link : {"sigmoid", "softmax"}
    penalty : (C, K), optional
        Factors of the penalty in both fits, such as a name prior.
    relax : float
        Penalty of selected concepts relative to `lam`.
    tol : float
        Relative duality gap.

    Returns
    -------
    FitResult
        Of the second fit: ``lam`` is ``relax · lam`` and ``penalty`` has its factors (C, K).
    """
    from inficond.core.solver import fit

    first = fit(X, T, lam=lam, link=link, penalty=penalty, tol=max(tol, 1e-3))
    base = np.ones_like(first.weights) if penalty is None else np.broadcast_to(penalty, first.weights.shape)
    factors = np.where(first.weights != 0, base, base / relax)
    return fit(X, T, lam=relax * lam, link=link, penalty=factors, init=first, tol=tol)


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

    X, T = np.asarray(X, np.float32), np.asarray(T, np.float32)
    lam = float(np.max(lambda_max(X, T, link=link, penalty=penalty))) * STEP
    lams: list[float] = []
    necs: list[float] = []
    while len(lams) < 40:
        nec = float(np.mean(relaxed_fit(X, T, lam, link, penalty=penalty, tol=1e-3).nec))
        if nec > most and lams:
            _approach_limit(X, T, link, penalty, most, lams, necs, lam)
            break
        lams.append(lam)
        necs.append(nec)
        lam *= STEP
    rows = np.arange(len(X))
    if len(X) > COMPARED_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(X), COMPARED_ROWS, replace=False))
    fold = folds(len(rows), None if groups is None else [groups[i] for i in rows.tolist()], seed)
    losses = np.empty((len(rows), len(lams)))
    for k in range(fold.max() + 1):
        left = fold == k
        for i, lam in enumerate(lams):
            losses[left, i] = held_out_losses(X[rows], T[rows], left, lam, link, penalty)
    loss = losses.mean(axis=0)
    best = int(loss.argmin())
    # Paired over images: images differ much more from each other than penalties do.
    error = (losses - losses[:, [best]]).std(axis=0, ddof=1) / np.sqrt(len(rows))
    index = int(np.flatnonzero(loss <= loss[best] + error)[0])
    return SparsityChoice(
        lams[index],
        tuple(necs),
        tuple(map(float, loss)),
        tuple(map(float, error)),
        index,
        _reason(necs[index], index, best, len(lams), most),
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

    X, T = np.asarray(X, np.float32), np.asarray(T, np.float32)
    rows = np.arange(len(X))
    if len(X) > COMPARED_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(len(X), COMPARED_ROWS, replace=False))
    X, T = X[rows], T[rows]
    fold = folds(len(rows), None if groups is None else [groups[i] for i in rows.tolist()], seed)
    losses = np.empty((len(rows), len(penalties)))
    for i, penalty in enumerate(penalties):
        found = lambda_for_nec(X, T, nec, link=link, penalty=penalty, tol=1e-3)
        lam = float(np.max(found.lam))
        for k in range(fold.max() + 1):
            left = fold == k
            losses[left, i] = held_out_losses(X, T, left, lam, link, penalty)
    loss = losses.mean(axis=0)
    best = int(loss.argmin())
    error = (losses - losses[:, [best]]).std(axis=0, ddof=1) / np.sqrt(len(rows))
    return loss <= loss[best] + error


def _approach_limit(
    X: NDArray[np.float32],
    T: NDArray[np.float32],
    link: str,
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
        found = float(np.mean(relaxed_fit(X, T, middle, link, penalty=penalty, tol=1e-3).nec))
        if found > most:
            beyond = middle
        else:
            inside, nec = middle, found
    if inside < lams[-1]:
        lams.append(inside)
        necs.append(nec)


def _reason(nec: float, index: int, best: int, steps: int, most: float) -> str:
    if index == best == steps - 1:
        return (
            f"{nec:.1f} concepts per class on average: the limit is {most:g}, and fidelity still grows there"
        )
    return (
        f"{nec:.1f} concepts per class on average: the sparsest students within one standard error of the "
        "best cross-validated fidelity"
    )


def folds(n: int, groups: Sequence[str | None] | None, seed: int) -> NDArray[np.int64]:
    """Assign images to folds at random; a group stays in one fold."""
    names = [f"\0{i}" if g is None else g for i, g in enumerate(groups or [None] * n)]
    unit = np.unique(names, return_inverse=True)[1]
    count = int(unit.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return (order % min(FOLDS, count))[unit]


def held_out_losses(
    X: NDArray[np.float32],
    T: NDArray[np.float32],
    left: NDArray[np.bool_],
    lam: float,
    link: str,
    penalty: NDArray[np.floating] | None,
) -> NDArray[np.float64]:
    """Return the cross-entropy of each left-out image."""
    fitted = relaxed_fit(X[~left], T[~left], lam, link, penalty=penalty, tol=1e-3)
    logits = ((X[left] - fitted.mean) / fitted.scale) @ fitted.weights.T + fitted.bias
    if link == "sigmoid":
        return (np.logaddexp(0, logits) - T[left] * logits).sum(axis=1)
    top = logits.max(axis=1)
    partition = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return partition - (T[left] * logits).sum(axis=1)
