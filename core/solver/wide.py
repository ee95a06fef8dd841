"""Fits with very many columns: the iteration runs on a working set of them, the certificate is of all.

With thousands of columns a Gram matrix of all of them is larger than the rows, and almost all weights are
zero. Each round solves the problem restricted to some columns, then makes one pass over all columns for
gradient and duality gap. Columns whose gradient exceeds the penalty join the working set. The gap is that of
the whole problem, so a result is as certain as one without a working set.

Working sets with a dual certificate: Massias, Gramfort and Salmon, "Celer: a fast solver for the Lasso with
dual extrapolation" (ICML 2018), section 4, where the set grows by at least a factor of two as here.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import newton
from inficond.core.solver.penalties import UNPENALIZED, BoxedL1
from inficond.core.solver.problem import Problem
from inficond.core.solver.quadratic_model import QuadraticModel

Array = NDArray[np.floating]
Indices = NDArray[np.intp]

WIDE = 4096
"""Columns above which a working set is used."""
FIRST = 1024
"""Columns of the first working set, if the start has few weights."""
MAX_ROUNDS = 20
INNER_TOL = 0.5
"""Share of the tolerance to which a restricted problem is solved."""
TIGHTER = 0.2
"""Factor of the inner tolerance when no column is missing and the gap is still too large.

From the second time on, passes over all columns compute in float64.
"""


@dataclass
class Outcome:
    """End of the rounds; arrays over blocks.

    Attributes
    ----------
    weights : (B, n) of all columns
    objective, gap : (B,) of the whole problem
    n_iter : (B,) passes over the rows, with all columns or with those of the working set
    converged : (B,) bool
    """

    weights: Array
    objective: Array
    gap: Array
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]


def solve(problem: Problem, start: Array, tol: float, max_iter: int, workers: int, cold: bool) -> Outcome:
    """Minimize from `start` with a growing working set of columns.

    Parameters
    ----------
    problem : of all columns
    start : (B, n) weights
    tol : a block has converged when gap <= tol max(objective, 0.001)
    max_iter : largest number of passes over the rows
    workers : number of threads
    cold : whether the start has no weights, so that a sample of the rows gives a better one

    Returns
    -------
    Outcome
    """
    datafit, penalty, whole = problem.datafit, problem.penalty, problem
    blocks = np.arange(len(start))
    weights = penalty.project(start)
    evaluation, objective, gap = problem.evaluate(blocks, weights, tol, workers)
    n_iter = np.ones(len(start), np.int64)
    converged = newton.is_converged(objective, gap, tol)
    lower_bound = objective - gap
    chosen = _required(problem, weights)
    excess = _excess(problem, evaluation.gradient, np.ones_like(converged))
    chosen |= _largest(excess, max(FIRST, int(chosen.sum())))
    inner = INNER_TOL * tol
    model: QuadraticModel | None = None
    for _ in range(MAX_ROUNDS):
        if converged.all() or n_iter.max() >= max_iter:
            break
        columns = np.flatnonzero(chosen)
        restricted = _restricted(whole, columns)
        inside = _take(datafit.unpack(weights), columns)
        model = QuadraticModel.initial(
            restricted.datafit.design, datafit.targets, restricted.datafit.pack(inside), datafit.width,
            datafit.memory, datafit.subspace_entries,
        )  # fmt: skip
        if cold:
            newton.warm_start(restricted, model, workers)
            cold = False
        passes = max_iter - int(n_iter.max())
        solution = newton.solve(restricted, model, inner, passes, workers)
        solution = newton.refine_float64(restricted, solution, inner, passes, workers)
        n_iter += solution.n_iter + 1
        trial = np.zeros_like(datafit.unpack(weights))
        trial[:, [*columns, -1]] = restricted.datafit.unpack(solution.weights)
        trial = datafit.pack(trial)
        evaluation, value, value_gap = problem.evaluate(blocks, trial, tol, workers)
        better = (value <= objective + problem.rounding * np.abs(value)) & ~converged
        lower_bound = np.maximum(lower_bound, value - value_gap)
        weights[better], objective[better] = trial[better], value[better]
        gap = np.minimum(np.where(better, value_gap, gap), np.maximum(objective - lower_bound, 0.0))
        gap = np.maximum(gap, problem.rounding * np.abs(objective))
        converged = newton.is_converged(objective, gap, tol)
        excess = np.where(chosen, 0.0, _excess(problem, evaluation.gradient, ~converged))
        if np.any(excess > 1.0):
            chosen |= _largest(np.where(excess > 1.0, excess, 0.0), int(chosen.sum()))
        else:
            if inner < INNER_TOL * tol:
                problem = whole.as_float64()
            inner *= TIGHTER
    return Outcome(weights, objective, gap, n_iter, converged)


def _required(problem: Problem, weights: Array) -> NDArray[np.bool_]:
    """Return the columns with a weight, with bounds that exclude zero, or without a penalty, (K,)."""
    datafit, penalty = problem.datafit, problem.penalty
    forced = (weights != 0) | (penalty.lower > 0) | (penalty.upper < 0)
    forced |= (penalty.lam <= UNPENALIZED) & (penalty.lower < penalty.upper)
    return np.any(datafit.unpack(forced)[:, :-1], axis=0, keepdims=True)[0]


def _excess(problem: Problem, gradient: Array, of: NDArray[np.bool_]) -> Array:
    """Return the largest ratio of gradient and penalty where a weight is pushed away from zero, (K,).

    Parameters
    ----------
    problem : of all columns
    gradient : (B, n) of the loss
    of : (B,) the blocks that count
    """
    penalty = problem.penalty
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        up = np.where(penalty.upper > 0, -gradient / penalty.lam, 0.0)
        down = np.where(penalty.lower < 0, gradient / penalty.lam, 0.0)
    ratio = np.nan_to_num(np.maximum(up, down), nan=0.0, posinf=np.inf)
    ratio[~of] = 0.0
    return problem.datafit.unpack(ratio)[:, :-1].max(0)


def _largest(values: Array, count: int) -> NDArray[np.bool_]:
    """Return the `count` largest positive values, earlier columns first among equals, (K,)."""
    order = np.argsort(-values, kind="stable")[:count]
    chosen = np.zeros(len(values), bool)
    chosen[order] = values[order] > 0
    return chosen


def _take(coefficients: Array, columns: Indices) -> Array:
    """Return the coefficients of some columns, and the intercepts, (C, len(columns) + 1)."""
    return np.take(coefficients, [*columns, coefficients.shape[1] - 1], axis=1)


def _restricted(problem: Problem, columns: Indices) -> Problem:
    """Return the problem in which all weights of other columns are zero."""
    design, datafit, penalty = problem.datafit.design, problem.datafit, problem.penalty
    names = ("mean", "scale", "centre", "spread", "multiplier")
    X = np.ascontiguousarray(design.X[:, columns])
    parts = {name: getattr(design, name)[columns] for name in names}
    narrow = replace(datafit, design=replace(design, X=X, source=X, grams={}, **parts))

    def part(a: Any) -> Any:
        return narrow.pack(_take(datafit.unpack(a), columns))

    free = None if penalty.unpenalized is None else part(penalty.unpenalized)
    h = BoxedL1(part(penalty.lam), part(penalty.lower), part(penalty.upper), free)
    return Problem(narrow, h)
