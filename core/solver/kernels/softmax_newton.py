"""Newton steps of a softmax: the exact Hessian of a working set, the minimum of the model, and the search."""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.class_step import minimize_quadratic
from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.elementary import exp_negative
from inficond.core.solver.kernels.penalty import prox_step
from inficond.core.solver.kernels.products import add_product

RIDGE = 1e-9  # multiple of the mean second derivative added to the diagonal of the Hessian
SMALLEST = 1e-12  # mean second derivative assumed at least
ROWS = 256  # in the cache while their part of the Hessian is added
STRIP = 24  # rows of the Hessian that are computed together
LARGEST = np.finfo(np.float64).max
FULL = 0.9  # share of a working set in use above which the steps end if more weights are wanted
INNER_TOL, ROUNDS = 0.1, 50  # share of the largest violation at which a model is minimized; its rounds
HALVINGS = 8  # of a step
FLOOR = 1e-3  # smaller objectives count as this in the stopping rule, as in `problem.FLOOR`
SUFFICIENT_DECREASE = 1e-4  # share of the predicted decrease that a step must achieve, as in `newton`


@inline
def softmax_hessian(X: Any, p: Any, weight: Any, classes: Any, columns: Any) -> Any:
    """Return the Hessian of the loss on some coordinates, (m, m), in the precision of X.

    With v_j = p_c x_j for a coordinate j of class c, it is the sum over the rows, times their weights, of
    p_c x_i x_j if i and j belong to the same class c, minus v_i v_j.

    Parameters
    ----------
    X : (N, K+1) float32 standardized rows, the last column 1
    p : (C, N) probabilities
    weight : (N,)
    classes, columns : (m,) class, ascending, and column of X of each coordinate
    """
    N, m = X.shape[0], len(classes)
    H = np.zeros((m, m), X.dtype)
    right, left = np.empty((ROWS, m), X.dtype), np.empty((m, ROWS), X.dtype)
    for first in range(0, N, ROWS):
        count = min(ROWS, N - first)
        for n in range(count):
            x, y = X[first + n], right[n]
            for j in range(m):
                y[j] = x[columns[j]]
        for j in range(m):
            y, q = left[j], p[classes[j]]
            for n in range(count):
                y[n] = weight[first + n] * q[first + n] * right[n, j]
        start = 0
        while start < m:
            end = start + 1
            while end < m and classes[end] == classes[start]:
                end += 1
            add_product(right, 0, left[start:end], count, H[start:end], start, end)
            start = end
        for n in range(count):
            y = right[n]
            for j in range(m):
                y[j] *= -p[classes[j], first + n]
        for start in range(0, m, STRIP):  # of the lower triangle
            end = min(start + STRIP, m)
            add_product(right, 0, left[start:end], count, H[start:end], 0, end)
    for i in range(m):
        for j in range(i):
            H[j, i] = H[i, j]
    return H


@inline
def set_logits(Z: Any, w: Any, out: Any) -> None:
    """Compute the logits (C, N) of weights (n,), most of which are zero, from columns Z (K+1, N)."""
    K1 = len(Z)
    for c in range(len(out)):
        y = out[c]
        y[:] = 0.0
        for k in range(K1):
            f = w[c * K1 + k]
            if f != 0.0:
                z = Z[k]
                for n in range(len(y)):
                    y[n] += f * z[n]


@inline
def softmax_loss(logits: Any, targets: Any, weight: Any, p: Any, top: Any) -> float:
    """Compute the probabilities p (C, N), and return the loss; `top` (N,) is scratch."""
    C, N = logits.shape
    top[:] = logits[0]
    for c in range(1, C):
        y = logits[c]
        for n in range(N):
            top[n] = max(top[n], y[n])
    total = np.zeros(N)
    loss = 0.0
    for c in range(C):
        y, q, t = logits[c], p[c], targets[c]
        for n in range(N):
            q[n] = exp_negative(y[n] - top[n])
            total[n] += q[n]
            loss -= t[n] * y[n]
    for n in range(N):
        loss += weight[n] * (top[n] + np.log(total[n]))
        total[n] = 1.0 / total[n]
    for c in range(C):
        q = p[c]
        for n in range(N):
            q[n] *= total[n]
    return loss


@inline
def set_gradient(Z: Any, p: Any, targets: Any, weight: Any, g: Any) -> None:
    """Compute the gradient (n,) of the loss at probabilities p (C, N)."""
    K1 = len(Z)
    C, N = p.shape
    residual = np.empty((C, N))
    for c in range(C):
        for n in range(N):
            residual[c, n] = weight[n] * p[c, n] - targets[c, n]
    for k in range(K1):
        z = Z[k]
        for c in range(C):
            r = residual[c]
            total = 0.0
            for n in range(N):
                total += z[n] * r[n]
            g[c * K1 + k] = total


@inline
def estimated_gap(w: Any, g: Any, lam: Any, low: Any, high: Any, excess_loss: float, violation: Any) -> float:
    """Compute how far a proximal step of length 1 moves each weight, and return about the gap.

    The gap is that of the certificate: terms of the weights, and of a step towards the targets, which removes
    the excess of the loss above its smallest value.
    """
    linear, step = 0.0, 0.0
    for j in range(len(w)):
        moved = abs(w[j] - prox_step(w[j], g[j], 1.0, lam[j], low[j], high[j]))
        violation[j] = moved
        if moved > 0.0:
            end = high[j] if g[j] < 0.0 else low[j]  # the end of the box to which the gradient points
            conjugate = 0.0
            if np.isfinite(end):
                conjugate = max(-g[j] * end - lam[j] * abs(end), 0.0)
            elif lam[j] > 0.0:
                step = max(step, moved / lam[j])
            linear += abs(lam[j] * abs(w[j]) + g[j] * w[j] + conjugate)
    return linear + step * excess_loss


@inline
def working_set(w: Any, violation: Any, K1: int, most: int) -> Any:
    """Return the coordinates in use, the intercepts, and those that violate optimality most."""
    rank = np.where(w != 0.0, np.inf, violation)
    rank[K1 - 1 :: K1] = np.inf
    if np.count_nonzero(rank) <= most:
        return np.flatnonzero(rank)
    limit = np.sort(rank)[len(rank) - most]
    return np.flatnonzero(rank >= min(limit, LARGEST))


@inline
def minimize_model(
    X: Any, p: Any, weight: Any, at: Any, violation: Any, w: Any, g: Any, lam: Any, low: Any, high: Any,
    change: Any,
) -> float:  # fmt: skip
    """Minimize the model of the loss on the coordinates `at` plus the penalty.

    Parameters
    ----------
    X, p, weight : as for `softmax_hessian`
    at : (m,) ascending coordinates
    violation, w, g, lam, low, high : (n,)
    change : (n,) zeros; the change of w is written at `at`

    Returns
    -------
    float
        The decrease of the objective that the model predicts.
    """
    K1, m = X.shape[1], len(at)
    H = softmax_hessian(X, p, weight, at // K1, at % K1)
    B, h = np.empty((m, m)), np.empty(m)
    trace = 0.0
    for j in range(m):
        trace += H[j, j]
        for i in range(m):
            B[j, i] = H[j, i]
    for j in range(m):
        B[j, j] += RIDGE * max(trace / m, SMALLEST)
        h[j] = B[j, j]
    before, q = w[at], g[at]
    new, factor = before.copy(), lam[at]
    end = INNER_TOL * violation.max()
    minimize_quadratic(B, m, h, q, new, factor, low[at], high[at], end, ROUNDS, np.empty((6, m)))
    predicted = 0.0
    for j in range(m):
        d = new[j] - before[j]
        change[at[j]] = d
        predicted -= 0.5 * d * (g[at[j]] + q[j]) + factor[j] * (abs(new[j]) - abs(before[j]))
    return predicted


@inline
def penalty_value(lam: Any, w: Any) -> float:
    """Return the sum of lam |w|."""
    total = 0.0
    for j in range(len(w)):
        total += lam[j] * abs(w[j])
    return total


@jit(
    single="i8(f4[:,::1], f8[:,::1], f8[:,::1], f8[::1], f8[::1], f8[::1], f8[::1], f8[::1], f8, f8, i8, i8)"
)
def take_newton_steps(
    X: Any, Z: Any, targets: Any, weight: Any, w: Any, lam: Any, low: Any, high: Any,
    entropy: float, tol: float, most_passes: int, most_coordinates: int,
) -> int:  # fmt: skip
    """Minimize the loss plus penalty from feasible weights; return the number of passes over the rows.

    Parameters
    ----------
    X : (N, K+1) float32 standardized rows, the last column 1
    Z : (K+1, N) the same columns in float64
    targets : (C, N) times the weight of each row over the total weight
    weight : (N,) sum of `targets` over the classes
    w, lam, low, high : (C (K+1),); w is updated
    entropy : smallest loss of any student
    tol : relative gap; the steps end when an estimate of the gap is below it
    most_passes : largest number of passes
    most_coordinates : of a working set
    """
    C, N = targets.shape
    n = len(w)
    logits, along, trial = np.empty((C, N)), np.empty((C, N)), np.empty((C, N))
    p, trial_p, top = np.empty((C, N)), np.empty((C, N)), np.empty(N)
    g, violation, moved = np.empty(n), np.empty(n), np.empty(n)
    set_logits(Z, w, logits)
    value = softmax_loss(logits, targets, weight, p, top) + penalty_value(lam, w)
    passes = 1
    while passes < most_passes:
        set_gradient(Z, p, targets, weight, g)
        gap = estimated_gap(w, g, lam, low, high, value - entropy, violation)
        in_use = wanted = 0
        for j in range(n):
            if w[j] != 0.0:
                in_use += 1
                wanted += 1
            elif violation[j] > 0.0:
                wanted += 1
        if in_use > FULL * most_coordinates and wanted > most_coordinates:
            break  # a working set would leave out weights that are needed
        if gap <= tol * max(value, FLOOR):
            break
        at, change = working_set(w, violation, X.shape[1], most_coordinates), np.zeros(n)
        predicted = minimize_model(X, p, weight, at, violation, w, g, lam, low, high, change)
        if not predicted > 0.0:
            break
        set_logits(Z, change, along)
        step = 1.0
        accepted = False
        for _ in range(HALVINGS):
            for j in range(n):
                moved[j] = w[j] + step * change[j]
            for c in range(C):
                for i in range(N):
                    trial[c, i] = logits[c, i] + step * along[c, i]
            trial_value = softmax_loss(trial, targets, weight, trial_p, top) + penalty_value(lam, moved)
            passes += 1
            accepted = trial_value <= value - SUFFICIENT_DECREASE * step * predicted
            if accepted:
                break
            step *= 0.5
        if not accepted:
            break
        value = trial_value
        w[:] = moved
        logits, trial = trial, logits
        p, trial_p = trial_p, p
    return passes
