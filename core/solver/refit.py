"""What a fit's model answers without a pass over the data: previews and sensitivities.

Three levels of a refit under new bounds: `preview` (the model alone, independent of N), `quick` (one or two
passes: the preview's answer, checked and corrected) and `fit(..., init=result)` (to `tol`).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver import api, newton, threads, validate
from inficond.core.solver import curvature as curvatures
from inficond.core.solver.design import outward
from inficond.core.solver.kernels import descent, joint
from inficond.core.solver.result import FitResult, Model

Array = NDArray[np.floating]
PREVIEW_STOP = 0.1  # what is left beyond this is less than what the model itself misses


@dataclass(frozen=True)
class Preview:
    """What a refit is predicted to give; no data was read.

    Attributes
    ----------
    weights : (C, K), within the bounds exactly
    bias : (C,)
    change : (C,) predicted change of the objective, (1,) for softmax
    """

    weights: Array
    bias: Array
    change: Array


def preview(
    result: FitResult,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    lam: float | None = None,
) -> Preview:
    """Predict the refit of `result` under bounds, from its model of the loss.

    Parameters
    ----------
    result : of a fit on data (`result.select(classes)` previews some classes only)
    lower, upper : (C, K), as for `fit`
    lam : another penalty; that of `result` when None

    Returns
    -------
    Preview

    Raises
    ------
    ValueError
        If a bound does not fit, or `result` was made from weights alone.
    """
    model = _model(result)
    C, K = result.weights.shape
    low, high = validate.box(lower, upper, C, K)
    lam = result.lam if lam is None else validate.penalty(lam)
    problem = api.problem_of(model.design, model.targets, result.link, lam, low, high)
    trial = np.clip(model.weights, problem.low, problem.high)
    B = len(trial)
    with threads.single_threaded_blas():
        decrease, _ = newton.advance(problem, model, np.ones(B), trial, np.arange(B), 1, stop=PREVIEW_STOP)
    weights, bias = outward(model.design, trial.reshape(C, K + 1), low, high)
    return Preview(weights, bias, -decrease)


def quick(
    result: FitResult,
    X: ArrayLike,
    T: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    passes: int = 2,
) -> FitResult:
    """Refit with at most `passes` passes over the data; the gap says how far it may be from the optimum.

    Parameters
    ----------
    result : where to start
    X, T, lower, upper, sample_weight : as for `fit`
    passes : at most

    Returns
    -------
    FitResult
    """
    standardized = bool(np.any(result.mean != 0) or np.any(result.scale != 1))
    return api.fit(
        X, T, result.lam, result.link, lower, upper, result, sample_weight, standardized,
        max_iter=passes, warn=False,
    )  # fmt: skip


def sensitivities(result: FitResult, target: ArrayLike) -> Array:
    """Predicted change of the optimal objective if one weight were forced to a value, the others following.

    For each weight by itself: g d + lam (|w + d| - |w|) + s d^2 / 2, where g is its gradient, d = target - w,
    and s the model's curvature by this weight after the other non-zero weights have made the best of it
    (Schur complement).

    Parameters
    ----------
    result : of a fit on data
    target : (C, K), or anything that broadcasts to it: the forced values

    Returns
    -------
    (C, K) float64
        At least 0 up to the accuracy of the fit; the smaller, the less the teacher is contradicted.
    """
    model = _model(result)
    C, K = result.weights.shape
    design = model.design
    d = (np.broadcast_to(np.asarray(target, np.float64), (C, K)) - result.weights) / design.ratio
    gradient = model.gradient.reshape(C, K + 1)[:, :K]
    lam = result.lam * design.ratio
    now = result.weights / design.ratio
    stiff = np.empty((C, K))
    for c in range(C):
        B = curvature(result, c)
        free = np.flatnonzero(np.r_[result.weights[c] != 0, True])
        inverse = np.linalg.pinv(B[np.ix_(free, free)], hermitian=True)
        stiff[c] = np.diag(B)[:K] - np.einsum("jf,fg,jg->j", B[:K, free], inverse, B[:K, free])
        inner = free[:-1]
        stiff[c, inner] = 1.0 / np.maximum(np.diag(inverse)[:-1], 1e-12)
    return gradient * d + lam * (np.abs(now + d) - np.abs(now)) + 0.5 * np.maximum(stiff, 0.0) * d * d


def curvature(result: FitResult, c: int) -> Array:
    """(K+1, K+1) float64: the model's second derivatives for class c in solver's units, intercept last."""
    model = _model(result)
    K1 = model.design.shape[1] + 1
    G = model.design.gram()
    block, row = (0, c) if result.link == "softmax" else (c, 0)
    M = model.curvature[block]
    ridge = newton.RIDGE * float(np.trace(M)) / len(M)
    memory, n = model.S.shape[1:]
    ray, weights = model.ray[block], model.weights[block]
    if result.link == "softmax":
        mix, signs, GW = curvatures.lengths(G, M, ray, weights)
        known = len(signs)
        sign = np.empty(known + 2 * memory, G.dtype)
        sign[:known] = signs
        U = np.empty((known + 2 * memory, n), G.dtype)
        U[:known] = curvatures.written_out(M, mix, GW)
        r = known + joint.corrections(
            GW, M.astype(G.dtype), ridge, mix, sign, known, model.S[block], model.Y[block], model.GS[block],
            model.pairs[block], model.newest[block], U[known:],
        )  # fmt: skip
    else:
        U, sign = np.empty((2 * memory + 2, n), G.dtype), np.empty(2 * memory + 2, G.dtype)
        r = descent.corrections(
            G, M[0, 0], ridge, ray, weights, model.S[block], model.Y[block], model.GS[block],
            model.pairs[block], model.newest[block], U, sign,
        )  # fmt: skip
    part = U[:r, row * K1 : (row + 1) * K1].astype(np.float64)
    return M[row, row] * G.astype(np.float64) + ridge * np.eye(K1) + (part.T * sign[:r]) @ part


def _model(result: FitResult) -> Model:
    if result.model is None:
        raise ValueError("result was made from weights alone: fit(X, T, ..., init=result) gives it a model")
    return result.model
