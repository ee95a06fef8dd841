"""`fit`: validation, conversion to the units of the solver, solution, and conversion of the result."""

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import newton, softmax_newton, softmax_sweeps, threads, validation, wide
from inficond.core.solver.data import Data
from inficond.core.solver.datafits import DATAFITS
from inficond.core.solver.design import Design, to_solver_units, to_user_units
from inficond.core.solver.penalties import in_solver_units
from inficond.core.solver.problem import FLOOR, Problem
from inficond.core.solver.quadratic_model import QuadraticModel
from inficond.core.solver.result import FitResult
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
LINKS = tuple(DATAFITS)
SERIAL_PRODUCTS = 1 << 22
"""Products N·K·C of a pass over the rows up to which starting threads costs more than they save."""


class NotConverged(UserWarning):
    """A fit reached its iteration limit before its tolerance.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from inficond.core.solver import NotConverged, fit
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     result = fit(X, X[:, :1] > 0.5, lam=1e-6, max_iter=1)
    >>> caught[0].category is NotConverged, bool(result.converged[0])
    (True, False)
    """


def fit(
    X: ArrayLike,
    T: ArrayLike,
    lam: float = 2.5e-3,
    link: str = "sigmoid",
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    init: FitResult | None = None,
    sample_weight: ArrayLike | None = None,
    standardize: bool = True,
    tol: float = 1e-4,
    *,
    penalty: ArrayLike | None = None,
    max_iter: int = 300,
    n_threads: int | None = None,
    warn: bool = True,
) -> FitResult:
    """Fit L1-penalized linear students to soft targets, all classes at once, with a certificate.

    Minimizes for each class c (``link="sigmoid"``)

        sum_n s_n BCE(T[n, c], sigma(w_c . z_n + b_c)) / sum_n s_n + lam sum_k m_ck |w_ck|,

    or for all classes together (``link="softmax"``)

        sum_n s_n CE(T[n], softmax(W z_n + b)) / sum_n s_n + lam sum_ck m_ck |w_ck|,

    subject to lower <= W <= upper, where z = (x - mean) / scale and the intercepts b are free.

    Parameters
    ----------
    X : (N, K) array-like
        Concept vectors. Float32 is fitted in float32, float64 and integers above 2^24 in float64; other real
        types and small arrays are converted. Lists, pandas and polars frames and torch tensors are converted
        to arrays. May be memory-mapped.
    T : (N, C) array-like
        Target probabilities in [0, 1]; values up to 1e-5 outside (16-bit floats: 1e-2) are clipped. With
        softmax each row must sum to 1 within 1e-3 (16-bit floats: 2e-2).
    lam : float
        Weight of the penalty, >= 0.
    link : {"sigmoid", "softmax"}
        Link function.
    lower, upper : (C, K) array-like, optional
        Bounds on the weights, infinite where there is none; equal bounds fix a weight. Bounds beyond 1e10
        for columns of unit variance count as none.
    init : FitResult, optional
        Result to start from; its mean and scale are used again.
    sample_weight : (N,) or (N, C) array-like, optional
        Weights >= 0. They also weight mean and scale (averaged over the classes), so that a row with weight 0
        has the same effect as no row, and a weight of 2 the same as the row twice. Targets with weight 0 may
        be NaN.
    standardize : bool
        Whether weights and bounds are in units of the standard deviation of each column.
    tol : float
        A class has converged when gap <= tol * max(objective, 0.001).
    penalty : (K,) or (C, K) array-like, optional
        Multipliers m >= 0 of lam. 0 leaves a weight unpenalized, infinity fixes it at 0. None is 1
        everywhere.
    max_iter : int
        Largest number of passes over the data.
    n_threads : int, optional
        Threads to use; None for all processors available to this process, or one for small problems.
    warn : bool
        Whether to warn about fits that reached the iteration limit.

    Returns
    -------
    FitResult
        The same for the same input, with any number of threads.

    Raises
    ------
    ValueError
        If an argument is invalid; the message names the argument, the value and its position.

    Warns
    -----
    NotConverged
        If the iteration limit was reached; the best point found is returned, with `converged` False.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver import fit
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> T = 1 / (1 + np.exp(4 - 8 * X[:, :1]))  # the class depends on the first column
    >>> result = fit(X, T, lam=0.01)
    >>> np.flatnonzero(result.weights[0]).tolist()
    [0]
    >>> bool(result.gap[0] <= 1e-4 * result.objective[0])
    True
    """
    validation.choice("link", link, LINKS)
    joint = DATAFITS[link].joint
    lam, tol = validation.non_negative("lam", lam), validation.positive("tol", tol)
    max_iter, warn = validation.count("max_iter", max_iter), validation.flag("warn", warn)
    standardize = validation.flag("standardize", standardize)
    data = Data.from_arguments(X, T, sample_weight, joint)
    K, C = data.X.shape[1], data.T.shape[1]
    if n_threads is None:
        workers = threads.available() if data.X.size * C > SERIAL_PRODUCTS else 1
    else:
        workers = validation.count("n_threads", n_threads)
    lower, upper = validation.box(lower, upper, C, K)
    penalty = validation.multipliers(penalty, C, K, lower, upper)
    if init is not None:
        _check_init(init, C, K, link, standardize)
    with threads.single_threaded_blas():
        design = data.design(standardize, init, workers)
        problem = make_problem(design, data.targets(design, joint, workers), link, lam, penalty, lower, upper)
        outcome: newton.Solution | wide.Outcome
        if K > wide.WIDE and lam > 0:
            start = _start_weights(problem, init, tol)
            outcome, model = wide.solve(problem, start, tol, max_iter, workers, cold=init is None), None
        else:
            model, objective = _start(problem, init, tol)
            swept = 0
            if softmax_sweeps.applies(problem):
                model.weights[:], swept = softmax_sweeps.solve(problem, model.weights, tol, max_iter, workers)
                objective = None
            elif softmax_newton.applies(problem) and max_iter > 1:
                model.weights[:], swept = softmax_newton.solve(problem, model.weights, tol, max_iter)
                objective = None
            elif init is None:
                newton.warm_start(problem, model, workers)
            warm = init is not None and init.model is not None and init.model.design is design
            passes = max(max_iter - swept, 1)
            outcome = newton.solve(problem, model, tol, passes, workers, objective, warm)
            outcome = newton.refine_float64(problem, outcome, tol, passes, workers)
            outcome.n_iter = outcome.n_iter + swept
            model = outcome.model
    if penalty is not None:
        excluded = np.isinf(penalty)
        lower, upper = np.where(excluded, 0.0, lower), np.where(excluded, 0.0, upper)
    weights, bias = to_user_units(design, problem.datafit.unpack(outcome.weights), lower, upper)
    result = FitResult(
        weights, bias, outcome.objective, outcome.gap, outcome.n_iter, outcome.converged,
        design.mean, design.scale, lam, link, penalty, model,
    )  # fmt: skip
    if warn:
        unconverged(result, tol)
    return result


def unconverged(result: FitResult, tol: float) -> None:
    """Warn about fits that reached the iteration limit; called by the function that users call."""
    if result.converged.all():
        return
    worst = int(np.argmax(result.gap / np.maximum(result.objective, FLOOR)))
    warnings.warn(
        f"{int((~result.converged).sum())} of {len(result.converged)} fits did not reach tol={tol:g}: "
        f"the largest gap is {result.gap[worst]:.3g} at objective {result.objective[worst]:.3g} "
        f"(index {worst}) after {int(result.n_iter[worst])} passes; raise max_iter or tol",
        NotConverged,
        stacklevel=3,
    )


def _check_init(init: FitResult, C: int, K: int, link: str, standardize: bool) -> None:
    """Raise ValueError if a fit with these properties cannot start from `init`."""
    if not isinstance(init, FitResult):
        raise ValueError(
            f"init must be a FitResult: it is {type(init).__name__} (see FitResult.from_weights)"
        )
    if init.weights.shape != (C, K):
        raise ValueError(
            f"init must have weights of shape (C, K) = ({C}, {K}): they have {init.weights.shape}"
            " (init.select(classes) returns some classes)"
        )
    _check_start(init, C, K)
    if init.link != link:
        raise ValueError(f"init was fitted with link {init.link!r}, not {link!r}")
    if not standardize and (np.any(init.mean != 0) or np.any(init.scale != 1)):
        raise ValueError("init has standardized weights: standardize must be True")


def _check_start(init: FitResult, C: int, K: int) -> None:
    """Check the arrays of a result, which may have been changed since it was made."""
    for name, shape in (("weights", (C, K)), ("bias", (C,)), ("mean", (K,)), ("scale", (K,))):
        array = np.asarray(getattr(init, name))
        if array.shape != shape:
            raise ValueError(f"init must have a {name} of shape {shape}: it has {array.shape}")
        validation.finite(f"init.{name}", array)
    if not np.all(init.scale > 0):
        k = int(np.argmin(init.scale))
        raise ValueError(f"init.scale must be positive: init.scale[{k}] is {init.scale[k]}")


def make_problem(
    design: Design,
    targets: Targets,
    link: str,
    lam: float,
    penalty: Array | None,
    lower: Array,
    upper: Array,
) -> Problem:
    """Return the problem in the units of the solver; lam, multipliers and bounds (C, K) are in user units."""
    datafit = DATAFITS[link](design, targets)
    h = in_solver_units(lam, penalty, lower, upper, design.unit_ratio, datafit.pack)
    return Problem(datafit, h)


def null_weights(problem: Problem, tol: float) -> Array:
    """Return zero weights with optimal intercepts (B, n)."""
    datafit = problem.datafit
    coefficients = np.zeros((datafit.n_classes, datafit.design.shape[1] + 1))
    coefficients[:, -1] = datafit.null_intercepts(min(1e-4, 0.5 * FLOOR * tol))
    return datafit.pack(coefficients)


def _start_weights(problem: Problem, init: FitResult | None, tol: float) -> Array:
    """Return the initial weights (B, n)."""
    if init is None:
        return null_weights(problem, tol)
    datafit = problem.datafit
    return datafit.pack(to_solver_units(datafit.design, init.weights, init.bias))


def _start(problem: Problem, init: FitResult | None, tol: float) -> tuple[QuadraticModel, Array | None]:
    """Return the initial model, and the objectives there if its gradient is already that of this problem."""
    datafit, penalty = problem.datafit, problem.penalty
    design, targets = datafit.design, datafit.targets
    old = None if init is None else init.model
    if init is None or old is None or old.design is not design:
        weights = _start_weights(problem, init, tol)
        return QuadraticModel.initial(
            design, targets, weights, datafit.width, datafit.memory, datafit.subspace_entries
        ), None
    model = old.copy()
    model.targets = targets
    if not targets.equals(old.targets) or np.isnan(old.loss).any():
        return model, None
    objective = old.loss + penalty.value(old.weights, np.arange(len(old.weights)))
    return model, np.where(penalty.is_feasible(old.weights), objective, np.inf)
