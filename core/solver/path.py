"""Regularization paths: fits at decreasing penalties, each started from the one before."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import api, newton, threads, validation
from inficond.core.solver.data import Data
from inficond.core.solver.datafits import DATAFITS
from inficond.core.solver.problem import FLOOR
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.result import FitResult

Array = NDArray[np.floating]
NULL_TOL, NULL_PASSES = 1e-6, 100  # accuracy of the null model with unpenalized weights
SHRINK = 0.4  # factor of lam until a fit has enough concepts
MIN_RATIO = 1e-6  # smallest lam / lambda_max tried
SMALL_RATIO = 1e-3  # lam / lambda_max below which a path may end early


def lambda_max(
    X: ArrayLike,
    T: ArrayLike,
    link: str = "sigmoid",
    sample_weight: ArrayLike | None = None,
    standardize: bool = True,
    penalty: ArrayLike | None = None,
) -> Array:
    """Return the smallest lam at which every penalized weight is zero.

    Parameters
    ----------
    X, T, link, sample_weight, standardize, penalty
        As for `fit`.

    Returns
    -------
    (C,) or, for softmax, (1,) float64

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver import fit, lambda_max
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> top = lambda_max(X, X[:, :1])
    >>> [fit(X, X[:, :1], factor * float(top[0])).nec.tolist() for factor in (1.01, 0.9)]
    [[0], [1]]
    """
    validation.choice("link", link, api.LINKS)
    standardize = validation.flag("standardize", standardize)
    joint = DATAFITS[link].joint
    data = Data.from_arguments(X, T, sample_weight, joint)
    C, K = data.T.shape[1], data.X.shape[1]
    infinite = np.full((C, K), np.inf)
    multipliers = validation.multipliers(penalty, C, K, -infinite, infinite)
    m = np.ones((C, K)) if multipliers is None else multipliers
    bound = np.where(m == 0, np.inf, 0.0)
    workers = threads.available()
    with threads.single_threaded_blas():
        design = data.design(standardize, None, workers)
        targets = data.targets(design, joint, workers)
        problem = api.make_problem(design, targets, link, 0.0, None, -bound, bound)
        datafit, weights = problem.datafit, api.null_weights(problem, 1e-9)
        if np.any(m == 0):  # the null model has weights
            model = QuadraticModel.initial(
                design, targets, weights, datafit.width, datafit.memory, datafit.subspace_entries
            )
            weights = newton.solve(problem, model, NULL_TOL, NULL_PASSES, workers).weights
        gradient = datafit.unpack(datafit.evaluate(np.arange(len(weights)), weights, workers).gradient)
    g = np.abs(gradient[:, :K]) / design.unit_ratio
    needed = np.where(np.isfinite(m) & (m > 0), g / np.where(m > 0, m, 1.0), 0.0)
    return needed.max(axis=1) if not joint else np.array([needed.max()])


def path(
    X: ArrayLike,
    T: ArrayLike,
    lams: ArrayLike | None = None,
    lam: float = 2.5e-3,
    steps: int = 10,
    **options: Any,
) -> list[FitResult]:
    """Fit at decreasing penalties, each fit started from the one before.

    Parameters
    ----------
    X, T
        As for `fit`.
    lams : sequence of float, optional
        At least one penalty, in any order. None for `steps` values from `lambda_max` to `lam`, evenly spaced
        in their logarithm.
    lam, steps
        See `lams`.
    **options
        Of `fit`.

    Returns
    -------
    list of FitResult
        In order of decreasing lam.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver import path
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> T = 1 / (1 + np.exp(5 - 8 * X[:, :1] - 2 * X[:, 1:2]))
    >>> [(result.lam, result.nec.tolist()) for result in path(X, T, [0.5, 0.1, 0.01])]
    [(0.5, [0]), (0.1, [1]), (0.01, [2])]
    """
    if lams is None:
        lam, steps = validation.positive("lam", lam), validation.count("steps", steps)
        top = float(lambda_max(X, T, **_lambda_max_options(options)).max())
        lams = [lam] if steps < 2 or top <= lam else np.geomspace(top, lam, steps)
    results: list[FitResult] = []
    init = options.pop("init", None)
    for value in validation.penalties("lams", lams):
        init = api.fit(X, T, value, init=init, **options)
        results.append(init)
    return results


def lambda_for_nec(X: ArrayLike, T: ArrayLike, nec: float, steps: int = 12, **options: Any) -> FitResult:
    """Fit with the smallest lam whose mean number of effective concepts per class is at most `nec`.

    Parameters
    ----------
    X, T
        As for `fit`.
    nec : float
        Wanted mean number of non-zero weights per class, > 0.
    steps : int
        Largest number of bisections of the logarithm of lam; every fit starts from the last.
    **options
        Of `fit`, except `lam`.

    Returns
    -------
    FitResult
        `result.lam` is the penalty found. The search ends at a penalty that is negligible
        (`penalty_is_negligible`), or at `MIN_RATIO` of `lambda_max`.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver import lambda_for_nec
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> T = 1 / (1 + np.exp(6 - 8 * X[:, :1] - 4 * X[:, 1:2]))
    >>> result = lambda_for_nec(X, T, nec=2)
    >>> np.flatnonzero(result.weights[0]).tolist()
    [0, 1]
    """
    nec, steps = validation.positive("nec", nec), validation.count("steps", steps)
    high = float(lambda_max(X, T, **_lambda_max_options(options)).max())
    init = options.pop("init", None)
    if high <= 0:  # no column is correlated with the targets
        return api.fit(X, T, 0.0, init=init, **options)
    best = init = api.fit(X, T, high, init=init, **options)
    top = low = high
    while low > MIN_RATIO * top:
        low *= SHRINK
        init = api.fit(X, T, low, init=init, **options)
        if init.nec.mean() > nec:
            break
        best, high = init, low
        if low < SMALL_RATIO * top and penalty_is_negligible(init, options.get("tol", 1e-4)):
            return best
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


def penalty_is_negligible(result: FitResult, tol: float) -> bool:
    """Return whether a smaller lam changes the objectives by about their accuracy only.

    This is the case where the penalty of every class is at most ``tol`` times its objective, and where an
    objective is below the floor of the stopping rule, as for classes that the columns separate perfectly. It
    is also the case near `lambda_max`, where the weights are small.
    """
    size = np.abs(result.weights)
    factors = np.ones_like(size) if result.penalty is None else np.where(size > 0, result.penalty, 0.0)
    penalty = result.lam * (factors * size).sum(axis=1)
    if len(result.objective) == 1:
        penalty = penalty.sum(keepdims=True)
    return bool(np.all((penalty <= tol * result.objective) | (result.objective <= FLOOR)))


def _lambda_max_options(options: dict[str, Any]) -> dict[str, Any]:
    names = ("link", "sample_weight", "standardize", "penalty")
    return {name: options[name] for name in names if name in options}
