"""Fits of a softmax of many classes: sweeps over the classes on a working set, between passes over the rows.

Each pass over the rows gives the gradient of all coordinates, with the certificate. Coordinates that violate
optimality join the working set; Newton steps of one class after the other (`kernels.class_sweeps`) then
minimize over it, and are extrapolated. A step costs a few operations for each row, not a product with all
columns. References: `fit` of the multinomial model in glmnet (Friedman, Hastie and Tibshirani 2010, *Journal
of Statistical Software* 33), and extrapolation of coordinate descent (Bertrand and Massias 2021, *AISTATS*).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.datafits.softmax import Softmax
from inficond.core.solver.kernels.class_sweeps import start_sweeps, sweep_classes
from inficond.core.solver.newton import is_converged
from inficond.core.solver.problem import Problem

Array = NDArray[np.floating]
Indices = NDArray[np.int64]

MIN_CLASSES = 513  # with fewer, passes with the exact curvature in 2 C directions are faster
MAX_BYTES = 1 << 30  # of probabilities and columns
NEW_WORDS = 8  # most coordinates of a class that join the working set after a pass
MAX_WORDS = 64  # coordinates of a class above which its Hessian costs more than passes
MAX_PASSES, MAX_SWEEPS = 12, 40
SWEEP_SHARE = 0.01  # sweeps stop at this share of the decrease since the last pass
SWEEP_TOL = 1e-5  # or at this share of the tolerance
EXTRAPOLATED = 5  # iterates of an extrapolation


@dataclass
class _WorkingSet:
    """Coordinates of all classes, ordered by class, and their columns in the units of the solver.

    Attributes
    ----------
    Z : (J, N) columns that some class uses
    classes, words, columns : (n,) class, column of X and row of Z of each coordinate
    starts : (C+1,) range of the coordinates of each class
    w, lam, low, high : (n,); bias : (C,)
    """

    Z: Array
    classes: Indices
    words: Indices
    starts: Indices
    columns: Indices
    w: Array
    bias: Array
    lam: Array
    low: Array
    high: Array


@dataclass
class _Rows:
    """Targets, weights and probabilities of the rows; see `kernels.class_sweeps`."""

    T: Array
    row_weight: Array
    row_scale: Array
    E: Array
    top: Array
    total: Array


def applies(problem: Problem) -> bool:
    """Whether sweeps are faster than the passes of `newton.solve` alone, and their arrays small enough."""
    datafit, penalty = problem.datafit, problem.penalty
    design = datafit.design
    N, K = design.shape
    size = design.dtype.itemsize * N * (datafit.width + K)
    return (
        isinstance(datafit, Softmax)
        and datafit.width >= MIN_CLASSES
        and penalty.unpenalized is None
        and size <= MAX_BYTES
    )


def solve(problem: Problem, start: Array, tol: float, max_iter: int, workers: int) -> tuple[Array, int]:
    """Minimize from weights (1, n); return better weights and the number of passes over the rows.

    Parameters
    ----------
    problem : of a softmax, see `applies`
    start : (1, n)
    tol : relative gap at which it stops; it also stops when it gains little
    max_iter : largest number of passes
    workers : number of threads of the passes
    """
    datafit, penalty = problem.datafit, problem.penalty
    C, K = datafit.width, datafit.design.shape[1]
    rows = _rows(problem)
    lam, low, high = (a.reshape(C, K + 1)[:, :K] for a in (penalty.lam, penalty.lower, penalty.upper))
    weights = penalty.project(start).copy()
    W = weights.reshape(C, K + 1)
    passes = 0
    while passes < min(MAX_PASSES, max_iter):
        evaluation, objective, gap = problem.evaluate(np.arange(1), weights, tol, workers)
        passes += 1
        if is_converged(objective, gap, tol).all():
            break
        gradient = evaluation.gradient.reshape(C, K + 1)[:, :K]
        used = _coordinates(W[:, :K], gradient, lam, low, high)
        if used.sum(axis=1).max(initial=0) > MAX_WORDS:
            break
        chosen = _working_set(problem, W, used, (lam, low, high))
        gained = _minimize(chosen, rows, SWEEP_TOL * tol * float(objective[0]))
        W[chosen.classes, chosen.words] = chosen.w
        W[:, K] = chosen.bias
        if not gained > 0:
            break
    return weights, passes


def _rows(problem: Problem) -> _Rows:
    design, targets = problem.datafit.design, problem.datafit.targets
    C, N = targets.T.shape
    dtype = design.dtype
    S = targets.S[0].astype(np.float64) if len(targets.S) else np.ones(N)
    scale = S / targets.total[0]
    weight = scale * targets.T.sum(axis=0, dtype=np.float64)
    arrays = np.empty((C, N), dtype), np.empty(N, dtype), np.empty(N, dtype)
    return _Rows(np.asarray(targets.T, dtype), weight.astype(dtype), scale.astype(dtype), *arrays)


def _coordinates(W: Array, gradient: Array, lam: Array, low: Array, high: Array) -> NDArray[np.bool_]:
    """Return the coordinates (C, K) of the next working set: all in use, and the worst of each class."""
    in_use = W != 0
    violation = np.where(in_use | (low == high), 0.0, np.abs(gradient) - lam)
    if violation.shape[1] > NEW_WORDS:
        limit = -np.partition(-violation, NEW_WORDS, axis=1)[:, [NEW_WORDS]]
        violation[violation <= limit] = 0.0
    return in_use | (violation > 0)


def _working_set(
    problem: Problem, W: Array, used: NDArray[np.bool_], penalty: tuple[Array, Array, Array]
) -> _WorkingSet:
    design = problem.datafit.design
    classes, words = np.nonzero(used)
    kept, columns = np.unique(words, return_inverse=True)
    starts = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64)
    centre, multiplier = design.gradient_units
    Z = np.empty((len(kept), design.shape[0]), design.dtype)
    scratch: list[Array] = []
    for group in design.groups:
        for first, last in group:
            rows = design.rows(first, last, scratch)[:, kept]
            Z[:, first:last] = ((rows - centre[kept]) * multiplier[kept]).T
    w, bias = W[classes, words], W[:, -1].copy()
    return _WorkingSet(
        Z, classes, words, starts, columns.astype(np.int64), w, bias, *(a[classes, words] for a in penalty)
    )


def _minimize(chosen: _WorkingSet, rows: _Rows, least: float) -> float:
    """Sweep until the decrease of a sweep is small; return the whole decrease."""
    most = int(np.diff(chosen.starts).max())
    _start(chosen, rows)
    gained = 0.0
    iterates: list[Array] = []
    for _ in range(MAX_SWEEPS):
        decrease = sweep_classes(
            chosen.Z, chosen.starts, chosen.columns, chosen.w, chosen.bias, chosen.lam, chosen.low,
            chosen.high, rows.T, rows.row_weight, rows.row_scale, rows.E, rows.total, most,
        )  # fmt: skip
        gained += decrease
        if not decrease > max(least, SWEEP_SHARE * gained):
            break
        iterates.append(np.concatenate([chosen.w, chosen.bias]))
        if len(iterates) == EXTRAPOLATED:
            gained += _extrapolate(chosen, rows, np.array(iterates))
            iterates.clear()
    return gained


def _start(chosen: _WorkingSet, rows: _Rows) -> float:
    """Compute the probabilities; return the objective."""
    loss = start_sweeps(
        chosen.Z, chosen.starts, chosen.columns, chosen.w, chosen.bias, rows.T, rows.row_weight,
        rows.row_scale, rows.E, rows.top, rows.total,
    )  # fmt: skip
    return loss + float(chosen.lam @ np.abs(chosen.w))


def _extrapolate(chosen: _WorkingSet, rows: _Rows, iterates: Array) -> float:
    """Move to the extrapolation (Anderson) of iterates (m, n + C) if it is better; return the decrease."""
    steps = np.diff(iterates, axis=0)
    gram = steps @ steps.T
    gram += np.eye(len(gram)) * (1e-10 * np.trace(gram))
    try:
        share = np.linalg.solve(gram, np.ones(len(gram)))
    except np.linalg.LinAlgError:
        return 0.0
    point = (share / share.sum()) @ iterates[1:]
    if not np.isfinite(point).all():
        return 0.0
    w, bias = chosen.w.copy(), chosen.bias.copy()
    before = _start(chosen, rows)
    moved = np.clip(point[: len(w)], chosen.low, chosen.high)
    chosen.w[:] = np.where(moved * w > 0, moved, w)  # no weight changes its sign
    chosen.bias[:] = point[len(w) :]
    after = _start(chosen, rows)
    if after < before:
        return before - after
    chosen.w[:], chosen.bias[:] = w, bias
    _start(chosen, rows)
    return 0.0
