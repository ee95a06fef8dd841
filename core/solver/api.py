"""`fit`: checks what it is given, turns it into solver's units, solves, and turns the answer back."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import newton, threads, validate
from inficond.core.solver.design import Design, inward, outward
from inficond.core.solver.links import Sigmoid, Softmax
from inficond.core.solver.result import FitResult, Model
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]
LINKS = ("sigmoid", "softmax")


class NotConverged(UserWarning):
    """A fit ended at its iteration limit, short of the wanted certificate."""


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
    max_iter: int = 300,
    n_threads: int | None = None,
    warn: bool = True,
) -> FitResult:
    """Fit L1-penalised soft-target linear students, all classes at once, with a certificate.

    Minimises for each class c (``link="sigmoid"``)

        sum_n s_n BCE(T[n, c], sigma(w_c . z_n + b_c)) / sum_n s_n + lam * ||w_c||_1,   lower <= w_c <= upper,

    or for all classes together (``link="softmax"``)

        sum_n s_n CE(T[n], softmax(W z_n + b)) / sum_n s_n + lam * ||W||_1,   lower <= W <= upper,

    where z = (x - mean) / scale, and the intercept is free.

    Parameters
    ----------
    X : (N, K) concept vectors; float32 is computed in float32, float64 in float64; may be memory-mapped
    T : (N, C) the teacher's probabilities, in [0, 1]
    lam : weight of the L1 penalty, >= 0
    link : "sigmoid" or "softmax"
    lower, upper : (C, K) bounds on the weights, infinite where there is none; equal bounds lock a weight
    init : an earlier result to start from; its mean and scale are used again
    sample_weight : (N,) or (N, C), >= 0
    standardize : whether weights and bounds are in units of each column's standard deviation
    tol : a class has converged when gap <= tol * max(objective, 0.001)
    max_iter : passes over the data, at most
    n_threads : processors to use; all that this process may, when None
    warn : whether to warn of a fit that ended at its iteration limit

    Returns
    -------
    FitResult
        The same for the same input, whatever the number of threads.

    Raises
    ------
    ValueError
        Names the argument, its value and place.

    Warns
    -----
    NotConverged
        When the iteration limit was reached; the best point found is returned, with `converged` False.
    """
    source = X
    X, T = validate.rows_and_targets(X, T)
    (N, K), C = X.shape, T.shape[1]
    lam = validate.penalty(lam)
    tol = validate.accuracy(tol)
    if link not in LINKS:
        raise ValueError(f"link must be one of {', '.join(LINKS)}: it is {link!r}")
    lower, upper = validate.box(lower, upper, C, K)
    sample_weight = validate.weights_of_rows(sample_weight, N, C)
    if init is not None:
        _compatible(init, C, K, link)
    workers = threads.available() if n_threads is None else max(1, int(n_threads))
    with threads.single_threaded_blas():
        design = _design(source, X, standardize, init, workers)
        targets = Targets.build(T, sample_weight, X.dtype, link == "softmax", workers)
        problem = problem_of(design, targets, link, lam, lower, upper)
        model, objective = _start(problem, link, init, tol)
        if init is None:
            newton.approach(problem, model, workers)
        near = init is not None and init.model is not None and init.model.design is design
        outcome = newton.solve(problem, model, tol, max_iter, workers, objective, near)
        outcome = newton.finish(problem, outcome, tol, max_iter, workers)
    weights, bias = outward(design, outcome.weights.reshape(C, K + 1), lower, upper)
    result = FitResult(
        weights, bias, outcome.objective, outcome.gap, outcome.n_iter, outcome.converged,
        design.mean, design.scale, lam, link, outcome.model,
    )  # fmt: skip
    if warn and not result.converged.all():
        worst = int(np.argmax(result.gap / np.maximum(result.objective, newton.FLOOR)))
        warnings.warn(
            f"{int((~result.converged).sum())} of {len(result.converged)} fits ended short of tol={tol:g}: "
            f"the largest gap is {result.gap[worst]:.3g} at objective {result.objective[worst]:.3g} "
            f"(index {worst}) after {int(result.n_iter[worst])} passes",
            NotConverged,
            stacklevel=2,
        )
    return result


def _compatible(init: Any, C: int, K: int, link: str) -> None:
    if not isinstance(init, FitResult):
        raise ValueError(
            f"init must be a FitResult: it is {type(init).__name__} (see FitResult.from_weights)"
        )
    if init.weights.shape != (C, K):
        raise ValueError(
            f"init must have weights of shape (C, K) = ({C}, {K}): they have {init.weights.shape}"
            " (init.select(classes) gives some classes)"
        )
    if init.link != link:
        raise ValueError(f"init was fitted with link {init.link!r}, not {link!r}")


def _design(source: Any, X: Array, standardize: bool, init: FitResult | None, workers: int) -> Design:
    """The design of `init` where it is about the same rows, else a new one in the same units."""
    mean = scale = None
    if init is not None:
        mean, scale = init.mean, init.scale
        if not standardize and (np.any(mean != 0) or np.any(scale != 1)):
            raise ValueError("init holds standardised weights: standardize must be True")
        if init.model is not None and init.model.design.about(source, X):
            return init.model.design
    return Design.build(source, X, standardize, mean, scale, workers)


def problem_of(
    design: Design, targets: Targets, link: str, lam: float, lower: Array, upper: Array
) -> newton.Problem:
    """The problem in solver's units; bounds (C, K) and lam in those of the user."""
    C, K = lower.shape
    penalty = np.zeros((C, K + 1))
    penalty[:, :K] = lam * design.ratio
    low = np.full((C, K + 1), -np.inf)
    high = np.full((C, K + 1), np.inf)
    low[:, :K] = lower / design.ratio
    high[:, :K] = upper / design.ratio
    if link == "softmax":
        penalty, low, high = (a.reshape(1, -1) for a in (penalty, low, high))
        return newton.Problem(Softmax(design, targets), penalty, low, high)
    return newton.Problem(Sigmoid(design, targets), penalty, low, high)


def start_at_zero(problem: newton.Problem, link: str, tol: float) -> Array:
    """Zero weights (B, n) with the intercepts that are then best."""
    targets = problem.link.targets
    at = np.zeros((len(targets.T), problem.link.design.shape[1] + 1))
    edge = min(1e-4, 0.5 * newton.FLOOR * tol)
    p = np.clip(targets.mean, edge, 1 - edge)
    at[:, -1] = np.log(p) if link == "softmax" else np.log(p) - np.log1p(-p)
    return at.reshape(problem.lam.shape)


def _start(
    problem: newton.Problem, link: str, init: FitResult | None, tol: float
) -> tuple[Model, Array | None]:
    """Where to start: a model, and the objectives there if its gradient is already that of this problem."""
    design, targets, width = problem.link.design, problem.link.targets, problem.link.width
    shape = problem.lam.shape
    if init is None:
        return Model.fresh(
            design, targets, start_at_zero(problem, link, tol), width, newton.MEMORY[link]
        ), None
    old = init.model
    if old is None or old.design is not design:
        at = inward(design, init.weights, init.bias).reshape(shape)
        return Model.fresh(design, targets, at, width, newton.MEMORY[link]), None
    model = old.copy()
    model.targets = targets
    if not targets.same(old.targets) or np.isnan(old.loss).any():
        return model, None
    objective = old.loss + np.sum(problem.lam * np.abs(old.weights), axis=1)
    outside = np.any((old.weights < problem.low) | (old.weights > problem.high), axis=1)
    return model, np.where(outside, np.inf, objective)
