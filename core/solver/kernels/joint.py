"""The model step of a softmax: class by class, each on its coordinates that matter.

A class's own second derivatives, gathered, are a small dense matrix that coordinate descent goes through
several times while it is in the cache; only then is what it changed told to the other classes.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels._compile import inline, jit
from inficond.core.solver.kernels.dense import gather, subspace, sweep
from inficond.core.solver.kernels.descent import correct, violation

SWEEPS = 3  # of coordinate descent through a class at each visit
MANY = 48  # coordinates from which conjugate gradients are worth their while


@inline
def all_slopes(
    M: Any, Q: Any, ridge: float, U: Any, x: Any, r: int, g: Any, origin: Any, w: Any, q: Any
) -> None:
    """q = derivatives of the model's smooth part by all coordinates."""
    C, K1 = Q.shape
    zero = q[0] - q[0]
    for i in range(q.shape[0]):
        q[i] = g[i] + ridge * (w[i] - origin[i])
    for c in range(C):
        out = q[c * K1 : (c + 1) * K1]
        for e in range(C):
            f = zero + M[c, e]
            other = Q[e]
            for j in range(K1):
                out[j] += f * other[j]
    for k in range(r):
        u = U[k]
        f = x[k]
        for i in range(q.shape[0]):
            q[i] += f * u[i]


@inline
def descend(
    G: Any, M: Any, ridge: float, U: Any, sign: Any, r: int,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int,
) -> float:  # fmt: skip
    """Minimise the model about `origin`, from w, in place; returns its predicted decrease from the origin.

    Parameters
    ----------
    G : (K+1, K+1); M : (C, C); U : (>=r, n) and sign : (>=r,) are the model's corrections
    g, origin, w, lam, low, high : (n,), n = C (K+1); w is changed in place and must lie within the bounds
    stop : ends when no coordinate's optimality is violated by more than `stop` times the first violation
    rounds : through all classes, at most
    """
    C = M.shape[0]
    K1 = G.shape[0]
    n = C * K1
    dtype = G.dtype
    Q = np.zeros((C, K1), dtype)  # (w - origin) G, class by class
    x = np.zeros(r, dtype)  # diag(sign) U (w - origin)
    q = np.zeros(n, dtype)
    A = np.empty(n, np.int64)
    edge = np.zeros(C + 1, np.int64)
    square = np.zeros(C + 1, np.int64)
    UA = np.empty((r, K1), dtype)
    wide = np.empty((4, K1))
    scratch = np.empty((8, K1), dtype)
    before = np.empty(K1)
    target = 0.0
    for i in range(n):
        d = w[i] - origin[i]
        if d != 0.0:
            c = i // K1
            f = q[0] - q[0] + d
            row = G[i - c * K1]
            for m in range(K1):
                Q[c, m] += f * row[m]
            for k in range(r):
                x[k] += f * sign[k] * U[k, i]
    for outer in range(20):
        all_slopes(M, Q, ridge, U, x, r, g, origin, w, q)
        worst = 0.0
        for i in range(n):
            worst = max(worst, violation(w[i], q[i], lam[i], low[i], high[i]))
        if outer == 0:
            target = stop * worst
        if worst <= target or worst == 0.0:
            break
        for c in range(C):
            m = edge[c]
            for j in range(K1):
                i = c * K1 + j
                if w[i] != 0.0 or violation(w[i], q[i], lam[i], low[i], high[i]) > target:
                    A[m] = j
                    m += 1
            edge[c + 1] = m
            square[c + 1] = square[c] + (m - edge[c]) ** 2
        matrices = np.empty(square[C], dtype)
        V = np.empty((edge[C], r), dtype)
        for c in range(C):
            m = edge[c + 1] - edge[c]
            columns = A[edge[c] : edge[c + 1]]
            part = U[:, c * K1 : (c + 1) * K1]
            B = matrices[square[c] : square[c + 1]].reshape(m, m)
            gather(G, M[c, c], ridge, part, sign, r, columns, 0, m, B, UA)
            for a in range(m):
                for k in range(r):
                    V[edge[c] + a, k] = UA[k, a]
        for _ in range(rounds):
            largest = 0.0
            for c in range(C):
                m = edge[c + 1] - edge[c]
                columns = A[edge[c] : edge[c + 1]]
                B = matrices[square[c] : square[c + 1]].reshape(m, m)
                qa, h = scratch[0, :m], scratch[1, :m]
                wa, la, lo, hi = wide[0, :m], wide[1, :m], wide[2, :m], wide[3, :m]
                for a in range(m):
                    i = c * K1 + columns[a]
                    total = q[0] - q[0]
                    v = V[edge[c] + a]
                    for k in range(r):
                        total += v[k] * x[k]
                    slope = g[i] + ridge * (w[i] - origin[i])
                    for e in range(C):
                        slope += M[c, e] * Q[e, columns[a]]
                    qa[a] = slope + total
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
                for a in range(m):
                    d = wa[a] - before[a]
                    if d != 0.0:
                        w[c * K1 + columns[a]] = wa[a]
                        f = q[0] - q[0] + d
                        row = G[columns[a]]
                        mine = Q[c]
                        for j in range(K1):
                            mine[j] += f * row[j]
                        v = V[edge[c] + a]
                        for k in range(r):
                            x[k] += f * sign[k] * v[k]
            if largest <= 0.5 * target:
                break
    decrease = 0.0
    all_slopes(M, Q, ridge, U, x, r, g, origin, w, q)
    for i in range(n):
        d = w[i] - origin[i]
        if d != 0.0:
            decrease -= d * 0.5 * (g[i] + q[i])
            decrease -= lam[i] * (abs(w[i]) - abs(origin[i]))
    return decrease


@jit(
    "void(f4[:,::1], f8[:,:,::1], f8[::1], f4[:,::1], f4[::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1],"
    " i8[::1], i8[::1], i8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8,"
    " f8[::1])",
    "void(f8[:,::1], f8[:,:,::1], f8[::1], f8[:,::1], f8[::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1],"
    " i8[::1], i8[::1], i8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8,"
    " f8[::1])",
)
def step_block(
    G: Any, M: Any, ridge: Any, R: Any, sign_r: Any, S: Any, Y: Any, GS: Any, pairs: Any, newest: Any,
    blocks: Any, g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int,
    decrease: Any,
) -> None:  # fmt: skip
    """One model step of each of the `blocks` (a softmax has one).

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    M, ridge : (B, C, C) its multipliers, and (B,) what is added to the diagonal
    R, sign_r : (r, n), (r,) corrections known from the rows (see `curvature.lengths`)
    S, Y, GS : (B, memory, n) changes of weights and of gradients, and G times the former; ring buffers
    pairs, newest : (B,) how many pairs there are, and where the newest lies
    g, origin, w, lam, low, high : (B, n); g is the gradient at the origin; w is changed in place
    decrease : (B,) out: predicted decrease of the objective from the origin
    """
    memory = S.shape[1]
    n = S.shape[2]
    known = R.shape[0]
    U = np.empty((2 * memory + known, n), G.dtype)
    sign = np.empty(2 * memory + known, G.dtype)
    ray = np.zeros(3)
    for b in blocks:
        U[:known] = R
        sign[:known] = sign_r
        r = correct(G, M[b], ridge[b], ray, origin[b], S[b], Y[b], GS[b], pairs[b], newest[b], U, sign, known)
        decrease[b] = descend(
            G, M[b], ridge[b], U, sign, r, g[b], origin[b], w[b], lam[b], low[b], high[b], stop, rounds
        )
