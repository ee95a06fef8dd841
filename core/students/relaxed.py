"""Fits with two levels of penalty, and their cross-validated losses.

A first fit at ``lam`` selects concepts. A second fit at ``RELAX · lam`` penalises the selected concepts with
this value and all others with ``lam``. Selected weights are shrunk less, and no further concept becomes
cheap. It is the relaxed lasso (Meinshausen 2007, *Computational Statistics & Data Analysis* 52) as one convex
problem, so that refits and certificates stay exact.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from inficond.core.solver import FitResult

RELAX = 0.1
"""Penalty of selected concepts relative to that of the selection."""
FOLDS = 5
COMPARED_ROWS = 4000
"""Most images on which penalties are compared."""


LEAST_PRODUCTS = 1 << 18
"""Products N·K·C of a pass from which independent fits run at the same time."""


class RelaxedPath:
    """Fits with two levels of penalty on the same rows, each started from the one before.

    Parameters
    ----------
    X : (N, K)
    T : (N, C)
    link : {"sigmoid", "softmax"}
    relax : float
        Penalty of selected concepts relative to that of the selection.
    tol : float
        Relative duality gap of the second fit.
    """

    def __init__(
        self,
        X: NDArray[np.floating],
        T: NDArray[np.floating],
        link: str,
        *,
        relax: float = RELAX,
        tol: float = 1e-4,
    ) -> None:
        self.X, self.T, self.link, self.relax, self.tol = X, T, link, relax, tol
        self._selection: FitResult | None = None

    def fit(self, lam: float, penalty: NDArray[np.floating] | None = None) -> "FitResult":
        """Return the second fit, with the penalty `lam` of the selection and factors (C, K) in both fits."""
        from inficond.core.solver import fit

        # The result of the last selection has the Gram matrix of these rows and nearly the same support.
        first = self._selection = fit(
            self.X, self.T, lam=lam, link=self.link, penalty=penalty, init=self._selection,
            tol=max(self.tol, 1e-3),
        )  # fmt: skip
        factors = selected_penalty(first, penalty, self.relax)
        return fit(
            self.X, self.T, lam=self.relax * lam, link=self.link, penalty=factors, init=first, tol=self.tol,
        )  # fmt: skip


def selected_penalty(
    first: "FitResult", penalty: NDArray[np.floating] | None, relax: float
) -> NDArray[np.floating]:
    """Return the factors (C, K) of the second fit at ``relax · lam``.

    Parameters
    ----------
    first : FitResult
        The selection.
    penalty : (C, K), optional
        Factors of both fits.
    relax : float
        Penalty of selected concepts relative to that of the selection.
    """
    base = np.ones_like(first.weights) if penalty is None else np.broadcast_to(penalty, first.weights.shape)
    return np.where(first.weights != 0, base, base / relax)


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
    return RelaxedPath(X, T, link, relax=relax, tol=tol).fit(lam, penalty)


class CrossValidation:
    """Cross-validated losses of relaxed fits; the fits of a fold are started from each other.

    Parameters
    ----------
    X : (N, K)
        Concept vectors of training images; at most `COMPARED_ROWS` of them are used.
    T : (N, C)
    link : {"sigmoid", "softmax"}
    groups : sequence of N str or None, optional
        Images of one group stay in one fold.
    seed : int
        Of the folds and of the images in use.

    Attributes
    ----------
    X, T : (n, K), (n, C)
        Rows in use.
    """

    def __init__(
        self,
        X: NDArray[np.float32],
        T: NDArray[np.float32],
        link: str,
        *,
        groups: Sequence[str | None] | None = None,
        seed: int = 0,
    ) -> None:
        rows = np.arange(len(X))
        if len(X) > COMPARED_ROWS:
            rows = np.sort(np.random.default_rng(seed).choice(len(X), COMPARED_ROWS, replace=False))
            X, T = X[rows], T[rows]
        self.X, self.T = X, T
        fold = folds(len(rows), None if groups is None else [groups[i] for i in rows.tolist()], seed)
        self.link = link
        self._left = [np.flatnonzero(fold == k) for k in range(fold.max() + 1)]
        self._held_out = [(X[left], T[left]) for left in self._left]
        self._paths = [RelaxedPath(X[fold != k], T[fold != k], link, tol=1e-3) for k in range(fold.max() + 1)]
        self._count = len(rows)

    def losses(
        self, lams: Sequence[float], penalties: Sequence[NDArray[np.floating] | None]
    ) -> NDArray[np.float64]:
        """Return the cross-entropy of each image under fits without its fold.

        Parameters
        ----------
        lams : sequence of P float
        penalties : sequence of P arrays (C, K) or None

        Returns
        -------
        (n, P) float64
            `n` images in use.
        """
        from inficond.core.solver.threads import run, single_threaded_blas

        out = np.empty((self._count, len(lams)))

        def fit_fold(k: int) -> None:
            for i, (lam, penalty) in enumerate(zip(lams, penalties, strict=True)):
                out[self._left[k], i] = losses(self._paths[k].fit(lam, penalty), *self._held_out[k])

        with single_threaded_blas():
            run(fit_fold, range(len(self._paths)), fits_at_a_time(self.X, self.T))
        return out


def fits_at_a_time(X: NDArray[np.floating], T: NDArray[np.floating]) -> int:
    """Return how many independent fits of rows X (N, K) to T (N, C) run at a time.

    Small fits mostly wait for the interpreter, and large ones use several threads themselves.
    """
    from inficond.core.solver.api import SERIAL_PRODUCTS
    from inficond.core.solver.threads import available

    products = X.size * T.shape[1]
    return available() if LEAST_PRODUCTS < products <= SERIAL_PRODUCTS else 1


def folds(n: int, groups: Sequence[str | None] | None, seed: int) -> NDArray[np.int64]:
    """Assign images to folds at random; a group stays in one fold."""
    names = [f"\0{i}" if g is None else g for i, g in enumerate(groups or [None] * n)]
    unit = np.unique(names, return_inverse=True)[1]
    count = int(unit.max()) + 1
    order = np.random.default_rng(seed).permutation(count)
    return (order % min(FOLDS, count))[unit]


def losses(fitted: "FitResult", X: NDArray[np.floating], T: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cross-entropy (n,) of images under a fit, summed over the classes."""
    logits = ((X - fitted.mean) / fitted.scale) @ fitted.weights.T + fitted.bias
    if fitted.link == "sigmoid":
        return (np.logaddexp(0, logits) - T * logits).sum(axis=1)
    top = logits.max(axis=1)
    partition = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return partition - (T * logits).sum(axis=1)


def standard_errors(losses: NDArray[np.float64], best: int) -> NDArray[np.float64]:
    """Return the standard errors (P,) of the mean differences of losses (n, P) from those of column `best`.

    They are paired over images: images differ much more from each other than penalties do.
    """
    return (losses - losses[:, [best]]).std(axis=0, ddof=1) / np.sqrt(len(losses))
