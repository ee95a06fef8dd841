"""Coordinate descent on a quadratic model of the loss: the inner loop of every fit and of every preview.

The model of one class (or, for softmax, of all classes together) about the current weights is

    m(d) = g.d + 1/2 d.B d + sum_j lam_j |w_j + d_j|     with  lower <= w + d <= upper,
    B    = M (x) G  +  ridge  +  U diag(sign) U^T,

where G is the Gram matrix that all classes share, M (C, C) the mean curvature of the links (1 x 1 for a
sigmoid), and U the quasi-Newton corrections (see `quasi_newton`). A coordinate costs K + 2 pairs operations
whatever the number of rows.

Coordinates are laid out (C, K + 1), the intercept last; G has K + 1 rows, the intercept's included.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels._compile import inline, jit


@inline
def best_at(w: float, gradient: float, curvature: float, lam: float, low: float, high: float) -> float:
    """The minimiser of the one-dimensional model, within its bounds."""
    u = w - gradient / curvature
    t = lam / curvature
    if u > t:
        u -= t
    elif u < -t:
        u += t
    else:
        u = 0.0
    return min(max(u, low), high)


@inline
def violation(w: float, gradient: float, lam: float, low: float, high: float) -> float:
    """Distance of minus the gradient to the subdifferential of penalty and box at w."""
    v = -gradient
    if w > 0.0:
        a = v - lam
        b = a
    elif w < 0.0:
        a = v + lam
        b = a
    else:
        a = v - lam
        b = v + lam
    # [v - b, v - a] = the penalty's subgradients; the box adds a half line at an active bound.
    worst = 0.0
    if a > 0.0 and w < high:
        worst = a
    if b < 0.0 and w > low and -b > worst:
        worst = -b
    return worst


@inline
def dot(a: Any, b: Any) -> float:
    """Inner product, in the arrays' precision."""
    total = a[0] * b[0]
    for j in range(1, a.shape[0]):
        total += a[j] * b[j]
    return total


@inline
def quasi_newton(U: Any, sign: Any, S: Any, Y: Any, BS: Any, order: Any, pairs: int, eps: float) -> int:
    """Unroll BFGS: the columns of U and their signs such that B = B0 + U diag(sign) U^T.

    Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.19, from the oldest pair to the newest:
    B+ = B + y y^T / y.s - (B s)(B s)^T / s.B s. `BS` holds B0 s on entry for each pair.
    """
    n = S.shape[1]
    used = 0
    for m in range(pairs):
        s = S[order[m]]
        y = Y[order[m]]
        b = BS[order[m]]
        for k in range(used):
            u = U[k]
            f = sign[k] * dot(u, s)
            for j in range(n):
                b[j] += f * u[j]
        sbs = dot(s, b)
        sy = dot(s, y)
        if sbs <= 0.0 or sy <= eps * sbs:
            continue
        fy = 1.0 / np.sqrt(sy)
        fb = 1.0 / np.sqrt(sbs)
        for j in range(n):
            U[used, j] = y[j] * fy
            U[used + 1, j] = b[j] * fb
        sign[used] = 1.0
        sign[used + 1] = -1.0
        used += 2
    return used


@inline
def times(G: Any, M: Any, ridge: float, s: Any, out: Any) -> None:
    """out = (M (x) G + ridge) s, for s that is mostly zero; all (C * (K+1),)."""
    C = M.shape[0]
    K1 = G.shape[0]
    out[:] = 0.0
    product = np.empty(K1, G.dtype)
    for e in range(C):
        product[:] = 0.0
        some = False
        for j in range(K1):
            f = s[e * K1 + j]
            if f != 0.0:
                some = True
                row = G[j]
                for m in range(K1):
                    product[m] += f * row[m]
        if some:
            for c in range(C):
                f = M[c, e]
                for m in range(K1):
                    out[c * K1 + m] += f * product[m]
    for i in range(C * K1):
        out[i] += ridge * s[i]


@inline
def slope_at(
    i: int, K1: int, M: Any, Q: Any, ridge: float, V: Any, x: Any, r: int, g: Any, d: float
) -> float:
    """Derivative of the model's smooth part by coordinate i."""
    C = M.shape[0]
    c = i // K1
    j = i - c * K1
    total = g[i] + ridge * d
    for e in range(C):
        total += M[c, e] * Q[e, j]
    v = V[i]
    low = x[0] - x[0]
    for k in range(r):
        low += v[k] * x[k]
    return total + low


@inline
def descend(
    G: Any, M: Any, ridge: float, V: Any, sign: Any, r: int,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, sweeps: int,
) -> float:  # fmt: skip
    """Minimise the model about `origin`, from w, in place; returns its predicted decrease from the origin.

    Parameters
    ----------
    G : (K+1, K+1); M : (C, C); V : (n, >=r) is U of the model, a row per coordinate; sign : (>=r,)
    g, origin, w, lam, low, high : (n,), n = C (K+1); w is changed in place and must lie within the bounds
    stop : ends when no coordinate's optimality is violated by more than `stop` times the first violation
    """
    C = M.shape[0]
    K1 = G.shape[0]
    n = C * K1
    Q = np.zeros((C, K1), G.dtype)  # D G, with D = w - origin as (C, K+1)
    x = np.zeros(r + 1, G.dtype)  # diag(sign) U^T (w - origin)
    diagonal = np.empty(n)
    active = np.empty(n, np.int64)
    target = 0.0
    for i in range(n):
        c = i // K1
        j = i - c * K1
        base = M[c, c] * G[j, j] + ridge
        h = base
        for k in range(r):
            h += sign[k] * V[i, k] * V[i, k]
        diagonal[i] = max(h, 1e-3 * base + 1e-30)
        d = w[i] - origin[i]
        if d != 0.0:
            row = G[j]
            for m in range(K1):
                Q[c, m] += d * row[m]
            for k in range(r):
                x[k] += d * sign[k] * V[i, k]
    for outer in range(sweeps):
        # Which coordinates matter now: those away from zero and those that want to be.
        count = 0
        worst = 0.0
        for i in range(n):
            slope = slope_at(i, K1, M, Q, ridge, V, x, r, g, w[i] - origin[i])
            v = violation(w[i], slope, lam[i], low[i], high[i])
            worst = max(worst, v)
            if v > 0.0 or w[i] != 0.0:
                active[count] = i
                count += 1
        if outer == 0:
            target = stop * worst
        if worst <= target:
            break
        for _ in range(sweeps):
            largest = 0.0
            for a in range(count):
                i = active[a]
                slope = slope_at(i, K1, M, Q, ridge, V, x, r, g, w[i] - origin[i])
                h = diagonal[i]
                new = best_at(w[i], slope, h, lam[i], low[i], high[i])
                step = new - w[i]
                if step != 0.0:
                    w[i] = new
                    c = i // K1
                    q = Q[c]
                    row = G[i - c * K1]
                    f = x[0] - x[0] + step
                    for m in range(K1):
                        q[m] += f * row[m]
                    v = V[i]
                    for k in range(r):
                        x[k] += f * sign[k] * v[k]
                    largest = max(largest, abs(step) * h)
            if largest <= 0.5 * target:
                break
    decrease = 0.0
    for i in range(n):
        d = w[i] - origin[i]
        if d != 0.0:
            slope = slope_at(i, K1, M, Q, ridge, V, x, r, g, d)
            decrease -= d * 0.5 * (g[i] + slope)
            decrease -= lam[i] * (abs(w[i]) - abs(origin[i]))
    return decrease


@jit(
    "i8(f4[:,::1], f8[:,::1], f8, f4[:,::1], f4[:,::1], i8, i8, f4[:,::1], f4[::1])",
    "i8(f8[:,::1], f8[:,::1], f8, f8[:,::1], f8[:,::1], i8, i8, f8[:,::1], f8[::1])",
)
def corrections(
    G: Any, M: Any, ridge: float, S: Any, Y: Any, pairs: int, newest: int, U: Any, sign: Any
) -> int:
    """Fill U (2 memory, n) and sign (2 memory,) from the pairs of one block; returns how many rows count."""
    memory, n = S.shape
    BS = np.empty((memory, n), G.dtype)
    order = np.empty(memory, np.int64)
    for m in range(pairs):
        p = (newest - pairs + 1 + m + memory) % memory
        order[m] = p
        times(G, M, ridge, S[p], BS[p])
    return quasi_newton(U, sign, S, Y, BS, order, pairs, 1e-7)


@jit(
    "void(f4[:,::1], f8[:,:,::1], f8[::1], f4[:,:,::1], f4[:,:,::1], i8[::1], i8[::1], i8[::1],"
    " f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8, f8[::1])",
    "void(f8[:,::1], f8[:,:,::1], f8[::1], f8[:,:,::1], f8[:,:,::1], i8[::1], i8[::1], i8[::1],"
    " f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8, f8[::1])",
)
def step_blocks(
    G: Any, M: Any, ridge: Any, S: Any, Y: Any, pairs: Any, newest: Any, blocks: Any,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, sweeps: int, decrease: Any,
) -> None:  # fmt: skip
    """One model step for each of the `blocks`, independently.

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    M, ridge : (B, C, C) its multipliers, and (B,) what is added to the diagonal
    S, Y : (B, memory, n) changes of weights and of gradients, ring buffers
    pairs, newest : (B,) how many pairs there are, and where the newest lies
    g, origin, w, lam, low, high : (B, n); g is the gradient at the origin; w is changed in place
    decrease : (B,) out: predicted decrease of the objective from the origin
    """
    memory = S.shape[1]
    n = S.shape[2]
    U = np.empty((2 * memory, n), G.dtype)
    V = np.empty((n, 2 * memory), G.dtype)
    sign = np.empty(2 * memory, G.dtype)
    for a in range(blocks.shape[0]):
        c = blocks[a]
        r = corrections(G, M[c], ridge[c], S[c], Y[c], pairs[c], newest[c], U, sign)
        for k in range(r):
            for i in range(n):
                V[i, k] = U[k, i]
        decrease[c] = descend(
            G, M[c], ridge[c], V, sign, r, g[c], origin[c], w[c], lam[c], low[c], high[c], stop, sweeps
        )
