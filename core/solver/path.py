"""Regularisation paths: from the penalty at which every weight is zero, downwards, each fit warm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import api, threads, validate
from inficond.core.solver.design import Design
from inficond.core.solver.result import FitResult
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]


def lambda_max(
    X: ArrayLike,
    T: ArrayLike,
    link: str = "sigmoid",
    sample_weight: ArrayLike | None = None,
    standardize: bool = True,
) -> Array:
    """The smallest lam at which every weight is zero, (C,); (1,) for softmax.

    Parameters
    ----------
    X, T, link, sample_weight, standardize : as for `fit`

    Returns
    -------
    (C,) or (1,) float64
    """
    rows, targets = validate.rows_and_targets(X, T)
    (N, K), C = rows.shape, targets.shape[1]
    weights = validate.weights_of_rows(sample_weight, N, C)
    workers = threads.available()
    with threads.single_threaded_blas():
        design = Design.build(X, rows, standardize, None, None, workers)
        columns = Targets.build(targets, weights, rows.dtype, link == "softmax")
        none = np.full((C, K), np.inf)
        problem = api.problem_of(design, columns, link, 0.0, -none, none)
        at = api.start_at_zero(problem, link, 1e-9)
        found = problem.link.evaluate(np.arange(len(at)), at, workers)
    g = np.abs(found.gradient.reshape(C, K + 1)[:, :K]) / design.ratio
    return g.max(axis=1) if link == "sigmoid" else np.array([g.max()])


def path(
    X: ArrayLike,
    T: ArrayLike,
    lams: Sequence[float] | None = None,
    lam: float = 2.5e-3,
    steps: int = 10,
    **options: Any,
) -> list[FitResult]:
    """Fits at decreasing penalties, each started from the one before.

    Parameters
    ----------
    X, T : as for `fit`
    lams : penalties, fitted from the largest to the smallest; when None, `steps` of them, evenly spaced in
        their logarithm from `lambda_max` to `lam`
    lam, steps : see lams
    **options : of `fit`

    Returns
    -------
    list of FitResult
        In order of decreasing lam.
    """
    if lams is None:
        keep = {k: options[k] for k in ("link", "sample_weight", "standardize") if k in options}
        top = float(lambda_max(X, T, **keep).max())
        lam = validate.penalty(lam)
        if lam <= 0:
            raise ValueError(f"lam must be positive for a path evenly spaced in its logarithm: it is {lam}")
        lams = [lam] if steps < 2 or top <= lam else list(np.geomspace(top, lam, steps))
    results: list[FitResult] = []
    init = options.pop("init", None)
    for value in sorted((validate.penalty(v) for v in lams), reverse=True):
        init = api.fit(X, T, value, init=init, **options)
        results.append(init)
    return results


def lambda_for_nec(X: ArrayLike, T: ArrayLike, nec: float, steps: int = 12, **options: Any) -> FitResult:
    """The fit whose mean number of effective concepts per class is closest to `nec` from below.

    Halves an interval of log lam; every fit starts from the last.

    Parameters
    ----------
    X, T : as for `fit`
    nec : wanted mean number of non-zero weights per class, > 0
    steps : fits, at most
    **options : of `fit`, except `lam`

    Returns
    -------
    FitResult
        `result.lam` is the penalty found.
    """
    if not 0 < nec < np.inf:
        raise ValueError(f"nec must be finite and positive: it is {nec}")
    keep = {k: options[k] for k in ("link", "sample_weight", "standardize") if k in options}
    high = float(lambda_max(X, T, **keep).max())
    init = options.pop("init", None)
    if high <= 0:  # the targets say nothing that a column could
        return api.fit(X, T, 0.0, init=init, **options)
    best = init = api.fit(X, T, high, init=init, **options)
    low = high
    # Down in factors until there are enough, then halve.
    while low > 1e-6 * high:
        low *= 0.4
        init = api.fit(X, T, low, init=init, **options)
        if init.nec.mean() > nec:
            break
        best, high = init, low
    for _ in range(steps):
        if best.nec.mean() == nec or high / low < 1.001:
            break
        middle = float(np.sqrt(low * high))
        init = api.fit(X, T, middle, init=init, **options)
        if init.nec.mean() > nec:
            low = middle
        else:
            best, high = init, middle
    return best
