"""One class alone, near its optimum: passes over the few columns that matter in place of all rows.

A student uses some tens of concepts. Where the columns lie one after the other in memory, its logits and the
gradient by its own weights cost those columns only, a tenth of what a pass over the rows must read.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import inline, jit, read_only_rows
from inficond.core.solver.kernels.dense import full_slope, gather, minimise, product, take
from inficond.core.solver.kernels.descent import correct, dot, violation
from inficond.core.solver.kernels.losses import LOSS, RESIDUAL, sigmoid_block

ROWS = 512  # taken together: the columns' parts stay in the cache between logits and gradient
NEAR = 0.6  # of the penalty: a weight of zero whose slope the model says is beyond that may be wanted


@inline
def look(
    columns: Any, A: Any, raw: Any, offset: Any, bias: Any, T: Any, S: Any, own: Any, sums: Any, out: Any,
    Z: Any, V: Any, some: Any,
) -> None:  # fmt: skip
    """Loss and gradient of one class whose weights are zero outside some columns.

    Parameters
    ----------
    columns : (K, N)
    A : (m,) the columns
    raw : (m,) multipliers of the raw columns
    offset, bias : (1,) as for `losses.sigmoid_block`, as are T (1, N) and S (0 or 1, N)
    own : (1,) zero: the row of T
    sums : (1, 7) out
    out : (m,) float64 out: products of the residuals with the columns
    Z, V, some : (1, ROWS), (1, 0), (m,) scratch
    """
    m = A.shape[0]
    N = columns.shape[1]
    zero = T[0, 0] - T[0, 0]
    used = 0
    for a in range(m):
        if raw[a] != zero:
            some[used] = a
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
            e0, e1, e2, e3 = some[a], some[a + 1], some[a + 2], some[a + 3]
            c0, c1 = columns[A[e0], low:high], columns[A[e1], low:high]
            c2, c3 = columns[A[e2], low:high], columns[A[e3], low:high]
            f0, f1, f2, f3 = raw[e0], raw[e1], raw[e2], raw[e3]
            for i in range(n):
                z[i] += (f0 * c0[i] + f1 * c1[i]) + (f2 * c2[i] + f3 * c3[i])
            a += 4
        while a < used:
            c0 = columns[A[some[a]], low:high]
            f0 = raw[some[a]]
            for i in range(n):
                z[i] += f0 * c0[i]
            a += 1
        sigmoid_block(Z, n, T, low, S, offset, bias, V, 0, sums, own)
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
def learn(B: Any, m: int, s: Any, y: Any, Bs: Any) -> None:
    """Correct B (m, m) by a change s of weights and y of gradients (BFGS; as `descent.quasi_newton`)."""
    product(B, m, m, s, Bs)
    sBs = dot(s[:m], Bs[:m])
    sy = dot(s[:m], y[:m])
    if sBs <= 0.0 or sy <= 1e-7 * sBs:
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
def _excess(m: int, w: Any, slope: Any, lam: Any, low: Any, high: Any) -> float:
    """The largest violation of optimality, in units of the penalty."""
    worst = 0.0
    for a in range(m):
        if lam[a] > 0.0:
            worst = max(worst, violation(w[a], slope[a], lam[a], low[a], high[a]) / lam[a])
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
def settle(
    columns: Any, centre: Any, multiplier: Any, T: Any, S: Any, total: float,
    G: Any, scale: float, ridge: float, ray: Any, SS: Any, Y: Any, GS: Any, pairs: int, newest: int,
    g: Any, origin: Any, objective: float, w: Any, lam: Any, low: Any, high: Any,
    stop: float, enough: float, hidden: float, rounds: int, limit: int,
) -> int:  # fmt: skip
    """From the model's answer to the optimum over the weights in use; returns how many passes that took.

    Each pass gives the loss and its gradient by those weights exactly, and so a correction of their second
    derivatives, which fit into a small matrix. A step that does not decrease the objective is taken back.

    Parameters
    ----------
    columns : (K, N) the raw rows, transposed
    centre, multiplier : (K,) their standardisation, see `Design`
    T, S, total : (1, N), (0 or 1, N) targets and weights of rows; the sum of those
    G, scale, ridge, ray, SS, Y, GS, pairs, newest : the model of this class, as for `dense.step_classes`
    g, origin, objective : (K+1,) gradient at the origin (K+1,), and the objective there
    w : (K+1,) the model's answer; changed in place
    lam, low, high : (K+1,)
    stop, rounds : as for `dense.step_classes`
    enough : ends when the part of the gap that these weights cause is less than this of the objective
    hidden : share of the objective that rounding hides
    limit : passes, at most
    """
    n = G.shape[0]
    K = n - 1
    dtype = G.dtype
    memory = SS.shape[0]
    U = np.empty((2 * memory + 2, n), dtype)
    sign = np.empty(2 * memory + 2, dtype)
    r = correct(G, scale, ridge, ray, origin, SS, Y, GS, pairs, newest, U, sign)
    q = np.empty(n, dtype)
    d = np.empty(n, dtype)
    gc = np.empty(n, dtype)
    for j in range(n):
        d[j] = w[j] - origin[j]
        gc[j] = g[j]
    full_slope(G, scale, ridge, U, sign, r, gc, d, np.empty(n, dtype), q)
    A = np.empty(n, np.int64)
    m = 0
    for j in range(K):
        if w[j] != 0.0 or origin[j] != 0.0 or abs(q[j]) > NEAR * lam[j]:
            A[m] = j
            m += 1
    A[m] = K
    m += 1
    A = A[:m]
    B = np.empty((m, m), dtype)
    UA = np.empty((2 * memory + 2, m), dtype)
    take(U, r, A, m, UA, 0)
    gather(G, scale, ridge, UA, sign, r, A, 0, m, B)
    scratch = np.empty((12, m), dtype)
    wide = np.empty((8, m))
    qa, h, s, y, Bs = scratch[0], scratch[1], scratch[8], scratch[9], scratch[10]
    raw = scratch[11]
    wa, la, lo, hi, at, slope, fresh = wide[0], wide[1], wide[2], wide[3], wide[4], wide[5], wide[6]
    out = wide[7]
    for a in range(m):
        j = A[a]
        wa[a], la[a], lo[a], hi[a] = w[j], lam[j], low[j], high[j]
        at[a], slope[a] = origin[j], g[j]
    sums = np.empty((1, 7))
    Z = np.empty((1, ROWS), dtype)
    V = np.empty((1, 0), dtype)
    some = np.empty(m, np.int64)
    own = np.zeros(1, np.int64)
    offset = np.empty(1, dtype)
    bias = np.empty(1, dtype)
    best = objective
    excess = _excess(m, at, slope, la, lo, hi)
    stuck = 0
    passes = 0
    while passes < limit:
        shift = wa[m - 1]
        bias[0] = shift
        penalty = 0.0
        for a in range(m - 1):
            f = wa[a] * multiplier[A[a]]
            raw[a] = f
            shift -= f * centre[A[a]]
            penalty += la[a] * abs(wa[a])
        offset[0] = shift
        look(columns, A[: m - 1], raw, offset, bias, T, S, own, sums, out, Z, V, some)
        passes += 1
        value = sums[0, LOSS] / total + penalty
        residual = sums[0, RESIDUAL] / total
        for a in range(m - 1):
            fresh[a] = (out[a] / total - residual * centre[A[a]]) * multiplier[A[a]]
        fresh[m - 1] = residual
        for a in range(m):
            s[a] = wa[a] - at[a]
            y[a] = fresh[a] - slope[a]
        learn(B, m, s, y, Bs)
        # What rounding hides of the objective, the gradient still shows.
        now = _excess(m, wa, fresh, la, lo, hi)
        slack = hidden * abs(value)
        if value < best - slack or (value <= best + slack and now < excess):
            best = min(best, value)
            excess = now
            stuck = 0
            for a in range(m):
                at[a], slope[a] = wa[a], fresh[a]
        else:
            stuck += 1
        penalty = 0.0
        worst = 0.0
        for a in range(m):
            wa[a] = at[a]
            qa[a] = slope[a]
            h[a] = max(B[a, a], 1e-3 * scale * G[A[a], A[a]] + 1e-30)
            worst = max(worst, violation(at[a], slope[a], la[a], lo[a], hi[a]))
            penalty += la[a] * abs(at[a])
        # Scaling the dual point until it is feasible costs so much of the gap.
        if worst == 0.0 or stuck > 1 or excess * penalty <= enough * best:
            break
        minimise(B, m, h, qa, wa, la, lo, hi, 0.5 * stop * worst, rounds, scratch[2:8])
    for a in range(m):
        w[A[a]] = at[a]
    return passes
