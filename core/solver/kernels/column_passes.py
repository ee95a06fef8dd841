"""Warm refits of one class: passes over the columns in use instead of all rows.

A student uses some tens of concepts. With the columns contiguous in memory, its logits and the gradient by
its own weights read only those columns, about a tenth of what a pass over the rows reads.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.class_step import (
    gather_hessian,
    matvec,
    minimize_quadratic,
    model_gradient,
    take_columns,
)
from inficond.core.solver.kernels.compilation import inline, jit, read_only_rows
from inficond.core.solver.kernels.losses import LOSS, N_SUMS, RESIDUAL, sigmoid_loss_block
from inficond.core.solver.kernels.model_corrections import MIN_CURVATURE_RATIO, class_corrections, dot
from inficond.core.solver.kernels.penalty import violation

ROWS = 512  # per block: the parts of the columns stay in the cache between logits and gradient
CANDIDATE_SHARE = 0.4
"""Zero weights whose predicted gradient exceeds this share of lam join the working set."""
KEPT_SHARE = 0.9
"""They leave it where the gradient is below this share of lam, less the largest violation relative to lam."""


@inline
def evaluate_columns(
    columns: Any, A: Any, raw: Any, offset: Any, bias: Any, T: Any, S: Any, class_rows: Any, sums: Any,
    out: Any, Z: Any, V: Any, used_at: Any,
) -> None:  # fmt: skip
    """Compute loss and gradient of one class whose weights are zero outside some columns.

    Parameters
    ----------
    columns : (K, N)
    A : (m,) the columns
    raw : (m,) weights of the raw columns
    offset, bias : (1,) as for `losses.sigmoid_loss_block`, as are T (1, N) and S (0 or 1, N)
    class_rows : (1,) zero: the row of T
    sums : (1, N_SUMS) written
    out : (m,) float64, written: products of the residuals with the columns
    Z, V, used_at : (1, ROWS), (1, 0) and (m,) scratch
    """
    m = A.shape[0]
    N = columns.shape[1]
    zero = T[0, 0] - T[0, 0]
    used = 0
    for a in range(m):
        if raw[a] != zero:
            used_at[used] = a
            used += 1
    sums[:] = 0.0
    out[:] = 0.0
    for low in range(0, N, ROWS):
        high = min(low + ROWS, N)
        z = Z[0, : high - low]
        n = z.shape[0]
        z[:] = zero
        a = 0
        while a + 4 <= used:
            e0, e1, e2, e3 = used_at[a], used_at[a + 1], used_at[a + 2], used_at[a + 3]
            c0, c1 = columns[A[e0], low:high], columns[A[e1], low:high]
            c2, c3 = columns[A[e2], low:high], columns[A[e3], low:high]
            f0, f1, f2, f3 = raw[e0], raw[e1], raw[e2], raw[e3]
            for i in range(n):
                z[i] += (f0 * c0[i] + f1 * c1[i]) + (f2 * c2[i] + f3 * c3[i])
            a += 4
        while a < used:
            c0 = columns[A[used_at[a]], low:high]
            f0 = raw[used_at[a]]
            for i in range(n):
                z[i] += f0 * c0[i]
            a += 1
        sigmoid_loss_block(Z, n, T, low, S, offset, bias, V, 0, sums, class_rows)
        a = 0
        while a + 4 <= m:
            c0, c1 = columns[A[a], low:high], columns[A[a + 1], low:high]
            c2, c3 = columns[A[a + 2], low:high], columns[A[a + 3], low:high]
            s0 = s1 = s2 = s3 = zero
            for i in range(n):
                f = z[i]
                s0 += f * c0[i]
                s1 += f * c1[i]
                s2 += f * c2[i]
                s3 += f * c3[i]
            out[a] += s0
            out[a + 1] += s1
            out[a + 2] += s2
            out[a + 3] += s3
            a += 4
        while a < m:
            out[a] += dot(z, columns[A[a], low:high])
            a += 1


@inline
def bfgs_update(B: Any, m: int, s: Any, y: Any, Bs: Any) -> None:
    """Apply a BFGS update to B (m, m) for a change s of weights and y of gradients."""
    matvec(B, m, m, s, Bs)
    sBs = dot(s[:m], Bs[:m])
    sy = dot(s[:m], y[:m])
    if sBs <= 0.0 or sy <= MIN_CURVATURE_RATIO * sBs:
        return
    fy = B.dtype.type(1.0 / sy)
    fb = B.dtype.type(1.0 / sBs)
    for a in range(m):
        b = B[a, :m]
        u = fy * y[a]
        v = fb * Bs[a]
        for e in range(m):
            b[e] += u * y[e] - v * Bs[e]


@inline
def drop_columns(
    B: Any, m: int, A: Any, w: Any, gradient: Any, lam: Any, low: Any, high: Any, share: float, kept: Any
) -> int:
    """Remove zero weights whose gradient is below a share of lam from a working set; return its new size.

    Parameters
    ----------
    B, m : (>=m, >=m) Hessian of the working set, and the size of that set
    A, w, gradient, lam, low, high : (>=m,) the columns, and what belongs to them
    share : of lam
    kept : (>=m,) int64 scratch
    """
    left = 0
    for a in range(m):
        if w[a] != 0.0 or abs(gradient[a]) >= share * lam[a] or low[a] > 0.0 or high[a] < 0.0:
            kept[left] = a
            left += 1
    if left == m:
        return m
    for a in range(left):
        k = kept[a]
        A[a], w[a], gradient[a] = A[k], w[k], gradient[k]
        lam[a], low[a], high[a] = lam[k], low[k], high[k]
        for e in range(left):
            B[a, e] = B[k, kept[e]]
    return left


@inline
def relative_violation(m: int, w: Any, gradient: Any, lam: Any, low: Any, high: Any) -> float:
    """Return the largest violation of optimality relative to lam."""
    worst = 0.0
    for a in range(m):
        if lam[a] > 0.0:
            worst = max(worst, violation(w[a], gradient[a], lam[a], low[a], high[a]) / lam[a])
    return worst


def _signature(f: Any) -> Any:
    matrix, wide = f[:, ::1], numba.float64[::1]
    return numba.int64(
        read_only_rows(f), wide, wide, matrix, matrix, numba.float64,
        matrix, numba.float64, numba.float64, wide, matrix, matrix, matrix, numba.int64, numba.int64,
        wide, wide, numba.float64, wide, wide, wide, wide,
        numba.float64, numba.float64, numba.float64, numba.int64, numba.int64,
    )  # fmt: skip


@jit(_signature(numba.float32), _signature(numba.float64))
def polish(
    columns: Any, centre: Any, multiplier: Any, T: Any, S: Any, total: float, G: Any, scale: float,
    ridge: float, subspace_hessian: Any, SS: Any, Y: Any, GS: Any, pairs: int, newest: int, g: Any,
    origin: Any, objective: float, w: Any, lam: Any, low: Any, high: Any, stop: float, gap_share: float,
    rounding: float, rounds: int, max_passes: int,
) -> int:  # fmt: skip
    """Minimize the objective over a working set of columns, starting from the minimizer of the model.

    Each pass gives the exact loss and gradient on the working set, and with them a BFGS update of its dense
    Hessian. A step that does not decrease the objective is rejected. The working set starts large, since the
    model is inaccurate after a long step, and shrinks as the gradient shows which columns stay at zero.

    Parameters
    ----------
    columns : (K, N) raw rows, transposed
    centre, multiplier : (K,) standardisation (see `Design`)
    T, S, total : (1, N) targets, (0 or 1, N) sample weights, and their sum
    G, scale, ridge, subspace_hessian, SS, Y, GS, pairs, newest : as for `minimize_class_models`, of this
        class
    g, origin, objective : (K+1,) gradient at the origin (K+1,), and the objective there
    w : (K+1,) minimizer of the model; updated
    lam, low, high : (K+1,)
    stop : as for `minimize_class_models`
    gap_share : stops when the working set contributes less than this share of the objective to the gap
    rounding : relative rounding error of the objective
    rounds : as for `minimize_class_models`
    max_passes : maximum number of passes

    Returns
    -------
    int
        Number of passes.
    """
    n = G.shape[0]
    K = n - 1
    dtype = G.dtype
    memory = SS.shape[0]
    U = np.empty((2 * memory + 2, n), dtype)
    sign = np.empty(2 * memory + 2, dtype)
    r = class_corrections(G, scale, ridge, subspace_hessian, origin, SS, Y, GS, pairs, newest, U, sign)
    q = np.empty(n, dtype)
    d = np.empty(n, dtype)
    gc = np.empty(n, dtype)
    for j in range(n):
        d[j] = w[j] - origin[j]
        gc[j] = g[j]
    model_gradient(G, scale, ridge, U, sign, r, gc, d, np.empty(n, dtype), q)
    A = np.empty(n, np.int64)
    m = 0
    for j in range(K):
        if w[j] != 0.0 or origin[j] != 0.0 or abs(q[j]) > CANDIDATE_SHARE * lam[j]:
            A[m] = j
            m += 1
    A[m] = K
    m += 1
    A = A[:m]
    B = np.empty((m, m), dtype)
    UA = np.empty((2 * memory + 2, m), dtype)
    take_columns(U, r, A, m, UA, 0)
    gather_hessian(G, scale, ridge, UA, sign, r, A, 0, m, B)
    scratch = np.empty((12, m), dtype)
    wide = np.empty((8, m))
    qa, h, s, y, Bs = scratch[0], scratch[1], scratch[8], scratch[9], scratch[10]
    raw = scratch[11]
    wa, la, lo, hi, best_w, best_gradient, gradient = (
        wide[0],
        wide[1],
        wide[2],
        wide[3],
        wide[4],
        wide[5],
        wide[6],
    )
    out = wide[7]
    for a in range(m):
        j = A[a]
        wa[a], la[a], lo[a], hi[a] = w[j], lam[j], low[j], high[j]
        best_w[a], best_gradient[a] = origin[j], g[j]
    sums = np.empty((1, N_SUMS))
    Z = np.empty((1, ROWS), dtype)
    V = np.empty((1, 0), dtype)
    used_at = np.empty(m, np.int64)
    class_rows = np.zeros(1, np.int64)
    offset = np.empty(1, dtype)
    bias = np.empty(1, dtype)
    best_value = objective
    best_violation = relative_violation(m, best_w, best_gradient, la, lo, hi)
    rejections = 0
    passes = 0
    while passes < max_passes:
        shift = wa[m - 1]
        bias[0] = shift
        penalty = 0.0
        for a in range(m - 1):
            f = wa[a] * multiplier[A[a]]
            raw[a] = f
            shift -= f * centre[A[a]]
            penalty += la[a] * abs(wa[a])
        offset[0] = shift
        evaluate_columns(columns, A[: m - 1], raw, offset, bias, T, S, class_rows, sums, out, Z, V, used_at)
        passes += 1
        value = sums[0, LOSS] / total + penalty
        residual = sums[0, RESIDUAL] / total
        for a in range(m - 1):
            gradient[a] = (out[a] / total - residual * centre[A[a]]) * multiplier[A[a]]
        gradient[m - 1] = residual
        for a in range(m):
            s[a] = wa[a] - best_w[a]
            y[a] = gradient[a] - best_gradient[a]
        bfgs_update(B, m, s, y, Bs)
        # Where the objectives differ by less than rounding, the gradients decide.
        violation_here = relative_violation(m, wa, gradient, la, lo, hi)
        slack = rounding * abs(value)
        if value < best_value - slack or (value <= best_value + slack and violation_here < best_violation):
            best_value = min(best_value, value)
            best_violation = violation_here
            rejections = 0
            for a in range(m):
                best_w[a], best_gradient[a] = wa[a], gradient[a]
        else:
            rejections += 1
        share = KEPT_SHARE - best_violation
        if share > 0.0:
            for a in range(m):
                w[A[a]] = best_w[a]
            m = drop_columns(B, m, A, best_w, best_gradient, la, lo, hi, share, used_at)
        penalty = 0.0
        worst = 0.0
        for a in range(m):
            wa[a] = best_w[a]
            qa[a] = best_gradient[a]
            h[a] = max(B[a, a], 1e-3 * scale * G[A[a], A[a]] + 1e-30)
            worst = max(worst, violation(best_w[a], best_gradient[a], la[a], lo[a], hi[a]))
            penalty += la[a] * abs(best_w[a])
        # Scaling the dual point to feasibility adds about this much to the gap.
        if worst == 0.0 or rejections > 1 or best_violation * penalty <= gap_share * best_value:
            break
        minimize_quadratic(B, m, h, qa, wa, la, lo, hi, 0.5 * stop * worst, rounds, scratch[2:8])
    for a in range(m):
        w[A[a]] = best_w[a]
    return passes
