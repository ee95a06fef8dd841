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
def quasi_newton(U: Any, sign: Any, S: Any, Y: Any, BS: Any, order: Any, pairs: int, eps: float) -> int:
    """Unroll BFGS: the columns of U and their signs such that B = B0 + U diag(sign) U^T.

    Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.19: B+ = B + y y^T / y.s - (B s)(B s)^T / s.B s,
    from the oldest pair to the newest. `BS` holds B0 s on entry for each pair.
    """
    n = S.shape[1]
    used = 0
    b = np.empty(n, S.dtype)
    for m in range(pairs):
        p = order[m]
        s = S[p]
        y = Y[p]
        b[:] = BS[p]
        for k in range(used):
            dot = 0.0
            for j in range(n):
                dot += U[j, k] * s[j]
            f = dot * sign[k]
            for j in range(n):
                b[j] += f * U[j, k]
        sbs = 0.0
        sy = 0.0
        for j in range(n):
            sbs += s[j] * b[j]
            sy += s[j] * y[j]
        if sbs <= 0.0 or sy <= eps * sbs:
            continue
        fy = 1.0 / np.sqrt(sy)
        fb = 1.0 / np.sqrt(sbs)
        for j in range(n):
            U[j, used] = y[j] * fy
            U[j, used + 1] = b[j] * fb
        sign[used] = 1.0
        sign[used + 1] = -1.0
        used += 2
    return used


@inline
def descend(
    G: Any, M: Any, ridge: float, U: Any, sign: Any, r: int,
    g: Any, w: Any, lam: Any, low: Any, high: Any,
    stop: float, sweeps: int,
) -> float:  # fmt: skip
    """Minimise the model from w, in place; returns its predicted decrease (>= 0 but for rounding).

    Parameters
    ----------
    G : (K+1, K+1); M : (C, C); U : (C*(K+1), >=r); sign : (>=r,)
    g, w, lam, low, high : (C, K+1), w changed in place
    stop : ends when no coordinate's optimality is violated by more than `stop` times the first violation
    """
    C, K1 = g.shape
    total = C * K1
    dtype = G.dtype
    Q = np.zeros((C, K1), dtype)  # D G, D the change of weights
    x = np.zeros(r, dtype)  # diag(sign) U^T d
    start = w.copy()
    diagonal = np.empty((C, K1))
    active = np.empty(total, np.int64)
    count = 0
    worst = 0.0
    for c in range(C):
        for j in range(K1):
            i = c * K1 + j
            h = M[c, c] * G[j, j] + ridge
            for k in range(r):
                h += sign[k] * U[i, k] * U[i, k]
            diagonal[c, j] = max(h, 1e-3 * (M[c, c] * G[j, j] + ridge) + 1e-30)
            v = violation(w[c, j], g[c, j], lam[c, j], low[c, j], high[c, j])
            worst = max(worst, v)
            if v > 0.0 or w[c, j] != 0.0:
                active[count] = i
                count += 1
    target = stop * worst
    if worst == 0.0:
        return 0.0
    for outer in range(sweeps):
        for inner in range(sweeps):
            largest = 0.0
            for a in range(count):
                i = active[a]
                c = i // K1
                j = i - c * K1
                slope = g[c, j] + ridge * (w[c, j] - start[c, j])
                for e in range(C):
                    slope += M[c, e] * Q[e, j]
                s = 0.0
                for k in range(r):
                    s += U[i, k] * x[k]
                slope += s
                h = diagonal[c, j]
                new = best_at(w[c, j], slope, h, lam[c, j], low[c, j], high[c, j])
                step = new - w[c, j]
                if step != 0.0:
                    w[c, j] = new
                    q = Q[c]
                    row = G[j]
                    f = dtype.type(step)
                    for m in range(K1):
                        q[m] += f * row[m]
                    for k in range(r):
                        x[k] += f * sign[k] * U[i, k]
                    largest = max(largest, abs(step) * h)
            if largest <= 0.5 * target:
                break
        # Coordinates that were left out may have come to matter.
        count = 0
        left = 0.0
        for c in range(C):
            for j in range(K1):
                i = c * K1 + j
                slope = g[c, j] + ridge * (w[c, j] - start[c, j])
                for e in range(C):
                    slope += M[c, e] * Q[e, j]
                s = 0.0
                for k in range(r):
                    s += U[i, k] * x[k]
                slope += s
                v = violation(w[c, j], slope, lam[c, j], low[c, j], high[c, j])
                left = max(left, v)
                if v > 0.0 or w[c, j] != 0.0:
                    active[count] = i
                    count += 1
        if left <= target:
            break
    decrease = 0.0
    for c in range(C):
        for j in range(K1):
            d = w[c, j] - start[c, j]
            if d != 0.0:
                i = c * K1 + j
                slope = ridge * d
                for e in range(C):
                    slope += M[c, e] * Q[e, j]
                for k in range(r):
                    slope += U[i, k] * x[k]
                decrease -= d * (g[c, j] + 0.5 * slope)
                decrease -= lam[c, j] * (abs(w[c, j]) - abs(start[c, j]))
    return decrease


@jit(
    "void(f4[:,::1], f8[::1], f8[::1], f4[:,:,::1], f4[:,:,::1], i8[::1], i8[::1], i8[::1],"
    " f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8, f8[::1])",
    "void(f8[:,::1], f8[::1], f8[::1], f8[:,:,::1], f8[:,:,::1], i8[::1], i8[::1], i8[::1],"
    " f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8, i8, f8[::1])",
)
def step_classes(
    G: Any, scale: Any, ridge: Any, S: Any, Y: Any, pairs: Any, newest: Any, classes: Any,
    g: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, sweeps: int, decrease: Any,
) -> None:  # fmt: skip
    """One model step for each of the `classes`, independently (sigmoid link).

    Parameters
    ----------
    scale, ridge : (C,) multiplier of G, and what is added to its diagonal
    S, Y : (C, memory, K+1) changes of weights and of gradients, a ring buffer
    pairs, newest : (C,) how many pairs there are, and where the newest lies
    g, w, lam, low, high : (C, K+1); w changed in place
    decrease : (C,) out: predicted decrease of the objective
    """
    memory = S.shape[1]
    K1 = G.shape[0]
    U = np.empty((K1, 2 * memory), G.dtype)
    sign = np.empty(2 * memory, G.dtype)
    BS = np.empty((memory, K1), G.dtype)
    order = np.empty(memory, np.int64)
    M = np.empty((1, 1))
    for a in range(classes.shape[0]):
        c = classes[a]
        n = pairs[c]
        for m in range(n):
            p = (newest[c] - n + 1 + m + memory) % memory
            order[m] = p
            b = BS[p]
            b[:] = 0.0
            for j in range(K1):
                s = S[c, p, j]
                if s != 0.0:
                    row = G[j]
                    for k in range(K1):
                        b[k] += s * row[k]
            for k in range(K1):
                b[k] = scale[c] * b[k] + ridge[c] * S[c, p, k]
        r = quasi_newton(U, sign, S[c], Y[c], BS, order, n, 1e-7)
        M[0, 0] = scale[c]
        decrease[c] = descend(
            G, M, ridge[c], U, sign, r, g[c : c + 1], w[c : c + 1], lam[c : c + 1], low[c : c + 1],
            high[c : c + 1], stop, sweeps,
        )  # fmt: skip
