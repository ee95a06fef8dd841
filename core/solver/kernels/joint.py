"""The model step of a softmax: class by class, each on its coordinates that matter.

A class's own second derivatives, gathered, are a small dense matrix that coordinate descent goes through
several times while it is in the cache; only then is what it changed told to the other classes.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import inline, jit
from inficond.core.solver.kernels.dense import add_chosen, gather, product, subspace, sweep, take
from inficond.core.solver.kernels.descent import quasi_newton, violations
from inficond.core.solver.kernels.lengths import add_along, products_along, rows_along
from inficond.core.solver.kernels.products import add_rows

SWEEPS = 3  # of coordinate descent through a class at each visit
MANY = 48  # coordinates from which conjugate gradients are worth their while


@inline
def all_slopes(
    M: Any, Q: Any, mix: Any, GW: Any, ridge: float, U: Any, x: Any, known: int, r: int, g: Any, origin: Any,
    w: Any, R: Any, q: Any,
) -> None:  # fmt: skip
    """q = derivatives of the model's smooth part by all coordinates; R (C, K+1) is scratch."""
    R[:] = Q
    if known > 0:
        add_along(mix, known, x, GW, R)
    for i in range(q.shape[0]):
        q[i] = g[i] + ridge * (w[i] - origin[i])
    C, K1 = R.shape
    add_rows(R, 0, M, C, q.reshape(C, K1), 0, K1)
    for k in range(known, r):
        u = U[k - known]
        f = x[k]
        for i in range(q.shape[0]):
            q[i] += f * u[i]


@inline
def learnt(
    GW: Any, M: Any, ridge: float, mix: Any, sign: Any, known: int, S: Any, Y: Any, GS: Any, pairs: int,
    newest: int, U: Any,
) -> int:  # fmt: skip
    """Fill U (2 memory, n) and sign[known:] from the pairs of a softmax; returns how many rows count."""
    memory, n = S.shape
    C, K1 = GW.shape
    BS = np.empty((memory, n), GW.dtype)
    order = np.empty(memory, np.int64)
    R = np.empty((C, K1), GW.dtype)
    x = np.empty(known + 1, GW.dtype)
    some = np.empty((C, K1), GW.dtype)
    own = GW.dtype.type(ridge)
    for m in range(pairs):
        p = (newest - pairs + 1 + m + memory) % memory
        order[m] = p
        b = BS[p]
        s = S[p]
        R[:] = GS[p].reshape(C, K1)
        if known > 0:
            products_along(M, mix, known, GW, s, x, some)
            for k in range(known):
                x[k] *= sign[k]
            add_along(mix, known, x, GW, R)
        for i in range(n):
            b[i] = own * s[i]
        add_rows(R, 0, M, C, b.reshape(C, K1), 0, K1)
    return quasi_newton(U, sign[known:], 0, S, Y, BS, order, pairs, 1e-7)


def _learnt_signature(f: Any) -> Any:
    matrix, vector, count = f[:, ::1], f[::1], numba.int64
    return numba.int64(
        matrix, matrix, numba.float64, matrix, vector, count, matrix, matrix, matrix, count, count, matrix
    )


corrections = jit(_learnt_signature(numba.float32), _learnt_signature(numba.float64))(learnt.py_func)
"""`learnt`, for Python to call."""


@inline
def descend(
    G: Any, M: Any, ridge: float, mix: Any, GW: Any, U: Any, sign: Any, known: int, r: int,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int, Q: Any,
) -> float:  # fmt: skip
    """Minimise the model about `origin`, from w, in place; returns its predicted decrease from the origin.

    Parameters
    ----------
    G : (K+1, K+1); M : (C, C)
    mix, GW, known : the first corrections, in factors (see `lengths`)
    U : (>=r - known, n) the others; sign : (>=r,) those of all r
    g, origin, w, lam, low, high : (n,), n = C (K+1); w is changed in place and must lie within the bounds
    stop : ends when no coordinate's optimality is violated by more than `stop` times the first violation
    rounds : through all classes, at most
    Q : (C, K+1) out: (w - origin) G, class by class
    """
    C = M.shape[0]
    K1 = G.shape[0]
    n = C * K1
    dtype = G.dtype
    Q[:] = 0.0
    x = np.zeros(r + 1, dtype)  # diag(sign) U (w - origin)
    q = np.zeros(n, dtype)
    A = np.empty((C, K1), np.int64)  # of each class, those that matter, in the order of their finding
    taken = np.zeros(n, np.bool_)
    count = np.zeros(C, np.int64)
    earlier = np.zeros(C, np.int64)
    room = np.full(C, -1, np.int64)
    square = np.zeros(C + 1, np.int64)
    strip = np.zeros(C + 1, np.int64)
    matrices = np.empty(0, dtype)
    strips = np.empty(0, dtype)
    R = np.empty((C, K1), dtype)
    excess = np.empty(n, dtype)
    settled = False
    wide = np.empty((4, K1))
    scratch = np.empty((8, K1), dtype)
    before = np.empty(K1)
    along = np.empty(r + 1, dtype)
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
            rows_along(M, mix, known, GW, c, one, 1, column, R)
            take(U[:, c * K1 : (c + 1) * K1], r - known, one, 1, column, known)
            for k in range(r):
                x[k] += f * sign[k] * column[k, 0]
    for outer in range(20):
        all_slopes(M, Q, mix, GW, ridge, U, x, known, r, g, origin, w, R, q)
        worst = violations(w, q, lam, low, high, excess)
        if outer == 0:
            target = stop * worst
        settled = worst <= target or worst == 0.0
        if settled:
            break
        full = False
        for c in range(C):
            m = earlier[c] = count[c]
            for j in range(K1):
                i = c * K1 + j
                if not taken[i] and (w[i] != 0.0 or excess[i] > target):
                    taken[i] = True
                    A[c, m] = j
                    m += 1
            count[c] = m
            full = full or m > room[c]
        if full:
            for c in range(C):
                earlier[c] = 0
                room[c] = min(K1, count[c] + count[c] // 4 + 8)
                square[c + 1] = square[c] + room[c] * room[c]
                strip[c + 1] = strip[c] + room[c] * r
            matrices = np.empty(square[C], dtype)
            strips = np.empty(strip[C], dtype)
        for c in range(C):
            first, m = earlier[c], count[c]
            if first == m:
                continue
            UA = strips[strip[c] : strip[c + 1]].reshape(r, room[c])
            new = UA[:, first:]
            rows_along(M, mix, known, GW, c, A[c, first:], m - first, new, R)
            take(U[:, c * K1 : (c + 1) * K1], r - known, A[c, first:], m - first, new, known)
            B = matrices[square[c] : square[c + 1]].reshape(room[c], room[c])
            gather(G, M[c, c], ridge, UA, sign, r, A[c], first, m, B)
        for _ in range(rounds):
            largest = 0.0
            for c in range(C):
                m = count[c]
                columns = A[c]
                B = matrices[square[c] : square[c + 1]].reshape(room[c], room[c])
                UA = strips[strip[c] : strip[c + 1]].reshape(r, room[c])
                qa, h = scratch[0, :m], scratch[1, :m]
                wa, la, lo, hi = wide[0, :m], wide[1, :m], wide[2, :m], wide[3, :m]
                qa[:] = 0.0
                add_rows(UA, 0, x.reshape(1, r + 1), r, qa.reshape(1, m), 0, m)
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
                first = sweep(B, m, h, qa, wa, la, lo, hi)
                largest = max(largest, first)
                if first > 0.25 * target:
                    for _again in range(SWEEPS - 1):
                        last = sweep(B, m, h, qa, wa, la, lo, hi)
                    if m > MANY and last > 0.25 * target:
                        subspace(
                            B, m, h, qa, wa, la, lo, hi, 10,
                            scratch[2], scratch[3], scratch[4], scratch[5], scratch[6], scratch[7],
                        )  # fmt: skip
                change = scratch[2, :m]
                for a in range(m):
                    change[a] = wa[a] - before[a]
                    w[c * K1 + columns[a]] = wa[a]
                add_chosen(G, columns, change, m, Q[c])
                product(UA, r, m, change, along)
                for k in range(r):
                    x[k] += sign[k] * along[k]
            if largest <= 0.5 * target:
                break
    decrease = 0.0
    if not settled:
        all_slopes(M, Q, mix, GW, ridge, U, x, known, r, g, origin, w, R, q)
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
def step_block(
    G: Any, M: Any, ridge: Any, mix: Any, signs: Any, GW: Any, S: Any, Y: Any, GS: Any, pairs: Any,
    newest: Any, blocks: Any, g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float,
    rounds: int, moved: Any, decrease: Any,
) -> None:  # fmt: skip
    """One model step of each of the `blocks` (a softmax has one).

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    M, ridge : (B, C, C) its multipliers, and (B,) what is added to the diagonal
    mix, signs, GW : (2 C, r), (r,), (C, K+1) corrections known from the rows (see `curvature.lengths`)
    S, Y, GS : (B, memory, n) changes of weights and of gradients, and G times the former; ring buffers
    pairs, newest : (B,) how many pairs there are, and where the newest lies
    g, origin, w, lam, low, high : (B, n); g is the gradient at the origin; w is changed in place
    moved : (B, n) out: G times the change from the origin, class by class
    decrease : (B,) out: predicted decrease of the objective from the origin
    """
    memory = S.shape[1]
    known = mix.shape[1]
    U = np.empty((2 * memory, S.shape[2]), G.dtype)
    sign = np.empty(known + 2 * memory, G.dtype)
    sign[:known] = signs
    for b in blocks:
        narrow = M[b].astype(G.dtype)
        r = known + learnt(GW, narrow, ridge[b], mix, sign, known, S[b], Y[b], GS[b], pairs[b], newest[b], U)
        decrease[b] = descend(
            G, narrow, ridge[b], mix, GW, U, sign, known, r, g[b], origin[b], w[b], lam[b], low[b], high[b],
            stop, rounds, moved[b].reshape(GW.shape),
        )  # fmt: skip
