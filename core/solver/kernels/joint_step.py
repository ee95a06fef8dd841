"""Inner solver of the softmax: minimizes the joint quadratic model plus penalty, class by class.

The Hessian model of a class on its working set is gathered into a small dense matrix, which coordinate
descent sweeps several times while it is in the cache. The gradients of the other classes are updated
afterwards.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.class_step import (
    MAX_WORKING_SETS,
    add_weighted_rows,
    conjugate_gradient,
    coordinate_sweep,
    gather_hessian,
    matvec,
    take_columns,
)
from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.model_corrections import MIN_CURVATURE_RATIO, unroll_bfgs
from inficond.core.solver.kernels.penalty import violations
from inficond.core.solver.kernels.products import add_product
from inficond.core.solver.kernels.softmax_corrections import (
    add_correction_rows,
    correction_columns,
    correction_products,
)

SWEEPS_PER_VISIT = 3  # of coordinate descent per visit of a class
MIN_CG_SIZE = 48  # coordinates below which conjugate gradients cost more than they save


@inline
def joint_gradient(
    M: Any, Q: Any, mixing: Any, GW: Any, ridge: float, U: Any, x: Any, n_subspace: int, r: int, g: Any,
    origin: Any, w: Any, R: Any, q: Any,
) -> None:  # fmt: skip
    """Compute q = gradient of the quadratic model at w; R (C, K+1) is scratch."""
    R[:] = Q
    if n_subspace > 0:
        add_correction_rows(mixing, n_subspace, x, GW, R)
    for i in range(q.shape[0]):
        q[i] = g[i] + ridge * (w[i] - origin[i])
    C, K1 = R.shape
    add_product(R, 0, M, C, q.reshape(C, K1), 0, K1)
    for k in range(n_subspace, r):
        u = U[k - n_subspace]
        f = x[k]
        for i in range(q.shape[0]):
            q[i] += f * u[i]


@inline
def joint_corrections(
    GW: Any, M: Any, ridge: float, mixing: Any, sign: Any, n_subspace: int, S: Any, Y: Any, GS: Any,
    pairs: int, newest: int, U: Any,
) -> int:  # fmt: skip
    """Fill U (2 memory, n) and sign[n_subspace:] with the BFGS pairs; return the number of rows in use."""
    memory, n = S.shape
    C, K1 = GW.shape
    BS = np.empty((memory, n), GW.dtype)
    order = np.empty(memory, np.int64)
    R = np.empty((C, K1), GW.dtype)
    x = np.empty(n_subspace + 1, GW.dtype)
    some = np.empty((C, K1), GW.dtype)
    diagonal = GW.dtype.type(ridge)
    for m in range(pairs):
        p = (newest - pairs + 1 + m + memory) % memory
        order[m] = p
        b = BS[p]
        s = S[p]
        R[:] = GS[p].reshape(C, K1)
        if n_subspace > 0:
            correction_products(M, mixing, n_subspace, GW, s, x, some)
            for k in range(n_subspace):
                x[k] *= sign[k]
            add_correction_rows(mixing, n_subspace, x, GW, R)
        for i in range(n):
            b[i] = diagonal * s[i]
        add_product(R, 0, M, C, b.reshape(C, K1), 0, K1)
    return unroll_bfgs(U, sign[n_subspace:], 0, S, Y, BS, order, pairs, MIN_CURVATURE_RATIO)


@inline
def minimize_joint_model(
    G: Any, M: Any, ridge: float, mixing: Any, GW: Any, U: Any, sign: Any, n_subspace: int, r: int,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int, Q: Any,
) -> float:  # fmt: skip
    """Minimize the model at `origin`, starting from w; return the predicted decrease from the origin.

    Parameters
    ----------
    G : (K+1, K+1)
    M : (C, C)
    ridge : multiple of the identity
    mixing, GW, n_subspace : the subspace corrections in factored form (see `softmax_corrections`)
    U : (>=r - n_subspace, n) BFGS corrections
    sign : (>=r,) signs of all r corrections
    g, origin, w, lam, low, high : (n,), n = C (K+1); w is updated and must lie within the bounds
    stop : stops when the largest violation is at most `stop` times the first one
    rounds : maximum number of rounds through all classes
    Q : (C, K+1) written: (w - origin) G, class by class
    """
    C = M.shape[0]
    K1 = G.shape[0]
    n = C * K1
    dtype = G.dtype
    Q[:] = 0.0
    x = np.zeros(r + 1, dtype)  # diag(sign) U (w - origin)
    q = np.zeros(n, dtype)
    A = np.empty((C, K1), np.int64)  # the working set of each class, in the order of selection
    selected = np.zeros(n, np.bool_)
    count = np.zeros(C, np.int64)
    earlier = np.zeros(C, np.int64)
    capacity = np.full(C, -1, np.int64)
    matrix_start = np.zeros(C + 1, np.int64)
    strip_start = np.zeros(C + 1, np.int64)
    matrices = np.empty(0, dtype)
    strips = np.empty(0, dtype)
    R = np.empty((C, K1), dtype)
    violation_of = np.empty(n, dtype)
    converged = False
    wide = np.empty((4, K1))
    scratch = np.empty((8, K1), dtype)
    before = np.empty(K1)
    products = np.empty(r + 1, dtype)
    one = np.empty(1, np.int64)
    column = np.empty((r + 1, 1), dtype)
    target = 0.0
    for i in range(n):
        d = w[i] - origin[i]
        if d != 0.0:
            c = i // K1
            f = q.dtype.type(d)
            one[0] = i - c * K1
            row = G[one[0]]
            for m in range(K1):
                Q[c, m] += f * row[m]
            correction_columns(M, mixing, n_subspace, GW, c, one, 1, column, R)
            take_columns(U[:, c * K1 : (c + 1) * K1], r - n_subspace, one, 1, column, n_subspace)
            for k in range(r):
                x[k] += f * sign[k] * column[k, 0]
    for outer in range(MAX_WORKING_SETS):
        joint_gradient(M, Q, mixing, GW, ridge, U, x, n_subspace, r, g, origin, w, R, q)
        worst = violations(w, q, lam, low, high, violation_of)
        if outer == 0:
            target = stop * worst
        converged = worst <= target or worst == 0.0
        if converged:
            break
        full = False
        for c in range(C):
            m = earlier[c] = count[c]
            for j in range(K1):
                i = c * K1 + j
                if not selected[i] and (w[i] != 0.0 or violation_of[i] > target):
                    selected[i] = True
                    A[c, m] = j
                    m += 1
            count[c] = m
            full = full or m > capacity[c]
        if full:
            for c in range(C):
                earlier[c] = 0
                capacity[c] = min(K1, count[c] + count[c] // 4 + 8)
                matrix_start[c + 1] = matrix_start[c] + capacity[c] * capacity[c]
                strip_start[c + 1] = strip_start[c] + capacity[c] * r
            matrices = np.empty(matrix_start[C], dtype)
            strips = np.empty(strip_start[C], dtype)
        for c in range(C):
            first, m = earlier[c], count[c]
            if first == m:
                continue
            UA = strips[strip_start[c] : strip_start[c + 1]].reshape(r, capacity[c])
            new = UA[:, first:]
            correction_columns(M, mixing, n_subspace, GW, c, A[c, first:], m - first, new, R)
            take_columns(
                U[:, c * K1 : (c + 1) * K1], r - n_subspace, A[c, first:], m - first, new, n_subspace
            )
            B = matrices[matrix_start[c] : matrix_start[c + 1]].reshape(capacity[c], capacity[c])
            gather_hessian(G, M[c, c], ridge, UA, sign, r, A[c], first, m, B)
        for _ in range(rounds):
            largest = 0.0
            for c in range(C):
                m = count[c]
                columns = A[c]
                B = matrices[matrix_start[c] : matrix_start[c + 1]].reshape(capacity[c], capacity[c])
                UA = strips[strip_start[c] : strip_start[c + 1]].reshape(r, capacity[c])
                qa, h = scratch[0, :m], scratch[1, :m]
                wa, la, lo, hi = wide[0, :m], wide[1, :m], wide[2, :m], wide[3, :m]
                qa[:] = 0.0
                add_product(UA, 0, x.reshape(1, r + 1), r, qa.reshape(1, m), 0, m)
                for a in range(m):
                    i = c * K1 + columns[a]
                    slope = g[i] + ridge * (w[i] - origin[i])
                    for e in range(C):
                        slope += M[c, e] * Q[e, columns[a]]
                    qa[a] += slope
                    base = M[c, c] * G[columns[a], columns[a]] + ridge
                    h[a] = max(B[a, a], 1e-3 * base + 1e-30)
                    wa[a], la[a], lo[a], hi[a] = w[i], lam[i], low[i], high[i]
                    before[a] = w[i]
                last = 0.0
                first = coordinate_sweep(B, m, h, qa, wa, la, lo, hi)
                largest = max(largest, first)
                if first > 0.25 * target:
                    for _again in range(SWEEPS_PER_VISIT - 1):
                        last = coordinate_sweep(B, m, h, qa, wa, la, lo, hi)
                    if m > MIN_CG_SIZE and last > 0.25 * target:
                        conjugate_gradient(
                            B, m, h, qa, wa, la, lo, hi, 10,
                            scratch[2], scratch[3], scratch[4], scratch[5], scratch[6], scratch[7],
                        )  # fmt: skip
                change = scratch[2, :m]
                for a in range(m):
                    change[a] = wa[a] - before[a]
                    w[c * K1 + columns[a]] = wa[a]
                add_weighted_rows(G, columns, change, m, Q[c])
                matvec(UA, r, m, change, products)
                for k in range(r):
                    x[k] += sign[k] * products[k]
            if largest <= 0.5 * target:
                break
    decrease = 0.0
    if not converged:
        joint_gradient(M, Q, mixing, GW, ridge, U, x, n_subspace, r, g, origin, w, R, q)
    for i in range(n):
        d = w[i] - origin[i]
        if d != 0.0:
            decrease -= d * 0.5 * (g[i] + q[i])
            decrease -= lam[i] * (abs(w[i]) - abs(origin[i]))
    return decrease


def _signature(f: Any) -> Any:
    vector, matrix, rings = f[::1], f[:, ::1], f[:, :, ::1]
    places, wide, wide2 = numba.int64[::1], numba.float64[::1], numba.float64[:, ::1]
    return numba.void(
        matrix, numba.float64[:, :, ::1], wide, matrix, vector, matrix, rings, rings, rings, places, places,
        places, wide2, wide2, wide2, wide2, wide2, wide2, numba.float64, numba.int64, matrix, wide,
    )  # fmt: skip


@jit(_signature(numba.float32), _signature(numba.float64))
def minimize_joint_models(
    G: Any, M: Any, ridge: Any, mixing: Any, signs: Any, GW: Any, S: Any, Y: Any, GS: Any, pairs: Any,
    newest: Any, blocks: Any, g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float,
    rounds: int, gram_step: Any, decrease: Any,
) -> None:  # fmt: skip
    """Minimize the model plus penalty of each of the `blocks` (a softmax has one).

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    M, ridge : (B, C, C) multipliers of G, and (B,) multiples of the identity
    mixing, signs, GW : (2 C, r), (r,) and (C, K+1) subspace corrections (see `softmax_corrections`)
    S, Y, GS : (B, memory, n) ring buffers: changes of weights and of gradients, and G times the former
    pairs, newest : (B,) number of pairs, and the position of the newest
    blocks : (m,) which blocks
    g, origin, w, lam, low, high : (B, n); g is the gradient at the origin; w is updated
    stop, rounds : as for `minimize_joint_model`
    gram_step : (B, n) written: G times the change from the origin, class by class
    decrease : (B,) written: predicted decrease of the objective from the origin
    """
    memory = S.shape[1]
    n_subspace = mixing.shape[1]
    U = np.empty((2 * memory, S.shape[2]), G.dtype)
    sign = np.empty(n_subspace + 2 * memory, G.dtype)
    sign[:n_subspace] = signs
    for b in blocks:
        narrow = M[b].astype(G.dtype)
        r = n_subspace + joint_corrections(
            GW, narrow, ridge[b], mixing, sign, n_subspace, S[b], Y[b], GS[b], pairs[b], newest[b], U
        )
        decrease[b] = minimize_joint_model(
            G, narrow, ridge[b], mixing, GW, U, sign, n_subspace, r, g[b], origin[b], w[b], lam[b], low[b],
            high[b], stop, rounds, gram_step[b].reshape(GW.shape),
        )  # fmt: skip
