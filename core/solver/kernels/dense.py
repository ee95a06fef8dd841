"""The model step of one class on the coordinates that matter, gathered into a small dense matrix.

Coordinate descent finds which weights are zero, positive, negative or at a bound; between those changes the
model is a plain quadratic, and there conjugate gradients on the free weights take over: where many weights
are not zero and the Gram matrix is ill-conditioned, coordinate descent alone needs hundreds of sweeps.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels._compile import inline, jit
from inficond.core.solver.kernels.descent import best_at, correct, dot, violations

SWEEPS_BETWEEN = 4  # sweeps of coordinate descent between two runs of conjugate gradients
SETTLED = 1e-12


@inline
def full_slope(
    G: Any, scale: float, ridge: float, U: Any, sign: Any, r: int, g: Any, d: Any, Gd: Any, q: Any
) -> None:
    """q = g + B d over all coordinates, and Gd = G d; d is mostly zero."""
    n = G.shape[0]
    Gd[:] = 0.0
    for j in range(n):
        f = d[j]
        if f != 0.0:
            row = G[j]
            for k in range(n):
                Gd[k] += f * row[k]
    for k in range(n):
        q[k] = scale * Gd[k] + ridge * d[k] + g[k]
    for k in range(r):
        u = U[k]
        f = sign[k] * dot(u, d)
        for j in range(n):
            q[j] += f * u[j]


@inline
def take(U: Any, r: int, A: Any, m: int, UA: Any, at: int) -> None:
    """UA[at:at + r, :m] = U[:r, A[:m]]."""
    for k in range(r):
        u = U[k]
        part = UA[at + k]
        for a in range(m):
            part[a] = u[A[a]]


@inline
def gather(
    G: Any, scale: float, ridge: float, UA: Any, sign: Any, r: int, A: Any, first: int, m: int, B: Any
) -> None:
    """B[:m, :m] = the model's second derivatives on the coordinates A[:m], those of A[:first] being there.

    UA (>=r, >=m) holds the corrections at A[:m], see `take`.
    """
    f = G[0, 0] - G[0, 0] + scale  # in the precision of G
    for a in range(m):
        low = first if a < first else 0
        row = G[A[a]]
        b = B[a, low:m]
        columns = A[low:m]
        n = b.shape[0]
        for e in range(n):
            b[e] = f * row[columns[e]]
        if a >= first:
            b[a] += ridge
        # Four at a time keep the row in registers.
        k = 0
        while k + 4 <= r:
            u0, u1, u2, u3 = UA[k, low:m], UA[k + 1, low:m], UA[k + 2, low:m], UA[k + 3, low:m]
            f0, f1 = sign[k] * UA[k, a], sign[k + 1] * UA[k + 1, a]
            f2, f3 = sign[k + 2] * UA[k + 2, a], sign[k + 3] * UA[k + 3, a]
            for e in range(n):
                b[e] += (f0 * u0[e] + f1 * u1[e]) + (f2 * u2[e] + f3 * u3[e])
            k += 4
        while k < r:
            u0 = UA[k, low:m]
            f0 = sign[k] * UA[k, a]
            for e in range(n):
                b[e] += f0 * u0[e]
            k += 1


@inline
def sweep(B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any) -> float:
    """One round of coordinate descent; returns the largest change of a weight times its curvature."""
    largest = 0.0
    for a in range(m):
        new = best_at(w[a], q[a], h[a], lam[a], low[a], high[a])
        step = new - w[a]
        if step != 0.0:
            w[a] = new
            b = B[a, :m]
            f = q[0] - q[0] + step
            for e in range(m):
                q[e] += f * b[e]
            largest = max(largest, abs(step) * h[a])
    return largest


@inline
def product(B: Any, m: int, x: Any, out: Any) -> None:
    """out = B x on the first m coordinates, B symmetric; eight rows at a time use the memory best."""
    x = x[:m]
    a = 0
    while a + 8 <= m:
        b0, b1, b2, b3 = B[a, :m], B[a + 1, :m], B[a + 2, :m], B[a + 3, :m]
        b4, b5, b6, b7 = B[a + 4, :m], B[a + 5, :m], B[a + 6, :m], B[a + 7, :m]
        s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = x[0] - x[0]
        for e in range(m):
            f = x[e]
            s0 += b0[e] * f
            s1 += b1[e] * f
            s2 += b2[e] * f
            s3 += b3[e] * f
            s4 += b4[e] * f
            s5 += b5[e] * f
            s6 += b6[e] * f
            s7 += b7[e] * f
        out[a], out[a + 1], out[a + 2], out[a + 3] = s0, s1, s2, s3
        out[a + 4], out[a + 5], out[a + 6], out[a + 7] = s4, s5, s6, s7
        a += 8
    while a < m:
        out[a] = dot(B[a, :m], x)
        a += 1


@inline
def subspace(
    B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any, limit: int,
    free: Any, p: Any, res: Any, z: Any, Bp: Any, x: Any,
) -> float:  # fmt: skip
    """Conjugate gradients over the free weights with signs fixed, then the step that keeps model and signs.

    Returns how much of the step could be taken (1: all of it). The rest are scratch arrays.
    """
    rho = 0.0
    first = 0.0
    for a in range(m):
        ok = (w[a] != 0.0 or lam[a] == 0.0) and w[a] > low[a] and w[a] < high[a]
        free[a] = 1.0 if ok else 0.0
        s = lam[a] if w[a] > 0.0 else -lam[a]
        res[a] = -(q[a] + s) * free[a]
        z[a] = res[a] / h[a]
        p[a] = z[a]
        x[a] = 0.0
        rho += res[a] * z[a]
    first = rho
    for _ in range(limit):
        if rho <= 1e-4 * first or rho <= 1e-30:
            break
        product(B, m, p, Bp)
        curve = 0.0
        for a in range(m):
            curve += p[a] * Bp[a]
        if curve <= 0.0:
            break
        alpha = rho / curve
        new = 0.0
        for a in range(m):
            x[a] += alpha * p[a]
            res[a] -= alpha * Bp[a] * free[a]
            z[a] = res[a] / h[a]
            new += res[a] * z[a]
        beta = new / rho
        rho = new
        for a in range(m):
            p[a] = z[a] + beta * p[a]
    # Try the whole step, weights that would change sign stopping at zero; else go as far as signs allow.
    t = 1.0
    for a in range(m):
        if x[a] != 0.0:
            to = w[a] + x[a]
            if lam[a] > 0.0 and to * w[a] < 0.0:
                t = min(t, -w[a] / x[a])
            if to > high[a]:
                t = min(t, (high[a] - w[a]) / x[a])
            elif to < low[a]:
                t = min(t, (low[a] - w[a]) / x[a])
    if t < 1.0:
        change = 0.0
        for a in range(m):
            to = min(max(w[a] + x[a], low[a]), high[a])
            if lam[a] > 0.0 and to * w[a] < 0.0:
                to = 0.0
            f = to - w[a]
            p[a] = f
            if f != 0.0:
                change += lam[a] * (abs(to) - abs(w[a]))
        product(B, m, p, Bp)
        for a in range(m):
            change += p[a] * (q[a] + 0.5 * Bp[a])
        if change < 0.0:
            for a in range(m):
                f = w[a] + x[a]
                if p[a] != 0.0:
                    to = min(max(f, low[a]), high[a])
                    if lam[a] > 0.0 and to * w[a] < 0.0:
                        to = 0.0
                    w[a] = to
                q[a] += Bp[a]
            return t
    for a in range(m):
        f = t * x[a]
        if f != 0.0:
            before = w[a]
            w[a] = min(max(before + f, low[a]), high[a])
            if lam[a] > 0.0 and w[a] * before < 0.0:
                w[a] = 0.0
            step = w[a] - before
            b = B[a, :m]
            g = q[0] - q[0] + step
            for e in range(m):
                q[e] += g * b[e]
    return t


@inline
def minimise(
    B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any, end: float, rounds: int,
    scratch: Any,
) -> None:  # fmt: skip
    """Coordinate descent, conjugate gradients between: until a round changes no slope by more than `end`."""
    for k in range(rounds):
        largest = 0.0
        for _ in range(SWEEPS_BETWEEN):
            largest = sweep(B, m, h, q, w, lam, low, high)
            if largest <= end:
                break
        if largest <= end:
            break
        subspace(
            B, m, h, q, w, lam, low, high, min(m, 10 + 5 * k),
            scratch[0], scratch[1], scratch[2], scratch[3], scratch[4], scratch[5],
        )  # fmt: skip


@jit(
    "void(f4[:,::1], f8[::1], f8[::1], f8[:,::1], f4[:,:,::1], f4[:,:,::1], f4[:,:,::1],"
    " i8[::1], i8[::1], i8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1],"
    " f8[:,::1], f8, i8, f4[:,::1], f8[::1])",
    "void(f8[:,::1], f8[::1], f8[::1], f8[:,::1], f8[:,:,::1], f8[:,:,::1], f8[:,:,::1],"
    " i8[::1], i8[::1], i8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1],"
    " f8[:,::1], f8, i8, f8[:,::1], f8[::1])",
)
def step_classes(
    G: Any, scale: Any, ridge: Any, ray: Any, S: Any, Y: Any, GS: Any, pairs: Any, newest: Any, classes: Any,
    g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int, moved: Any,
    decrease: Any,
) -> None:  # fmt: skip
    """One model step for each of the `classes`, independently.

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    scale, ridge : (C,) its multipliers, and what is added to the diagonal
    ray : (C, 3) second derivatives by intercept and along the weights (see `descent.along_ray`)
    S, Y, GS : (C, memory, K+1) changes of weights and of gradients, and G times the former; ring buffers
    pairs, newest : (C,) how many pairs there are, and where the newest lies
    g, origin, w, lam, low, high : (C, K+1); g is the gradient at the origin; w is changed in place
    stop : ends when no coordinate's optimality is violated by more than `stop` times the first violation
    rounds : of coordinate descent with conjugate gradients, at most
    moved : (C, K+1) out: G times the change from the origin
    decrease : (C,) out: predicted decrease of the objective from the origin
    """
    memory = S.shape[1]
    n = S.shape[2]
    dtype = G.dtype
    U = np.empty((2 * memory + 2, n), dtype)
    sign = np.empty(2 * memory + 2, dtype)
    q = np.empty(n, dtype)
    gc = np.empty(n, dtype)
    d = np.empty(n, dtype)
    A = np.empty(n, np.int64)
    taken = np.empty(n, np.bool_)
    excess = np.empty(n, dtype)
    size = 0
    B = np.empty((1, 1), dtype)
    scratch = np.empty((10, n), dtype)
    wide = np.empty((5, n))
    UA = np.empty((2 * memory + 2, n), dtype)
    for at in range(classes.shape[0]):
        c = classes[at]
        r = correct(G, scale[c], ridge[c], ray[c], origin[c], S[c], Y[c], GS[c], pairs[c], newest[c], U, sign)
        m = 0
        taken[:] = False
        worst = 0.0
        target = 0.0
        for j in range(n):
            gc[j] = g[c, j]
        for outer in range(20):
            for j in range(n):
                d[j] = w[c, j] - origin[c, j]
            full_slope(G, scale[c], ridge[c], U, sign, r, gc, d, moved[c], q)
            worst = violations(w[c], q, lam[c], low[c], high[c], excess)
            if outer == 0:
                target = stop * worst
            if worst <= target or worst == 0.0:
                break
            first = m
            for j in range(n):
                if not taken[j] and (excess[j] > target or w[c, j] != 0.0):
                    taken[j] = True
                    A[m] = j
                    m += 1
            if m > size:
                size = min(n, max(2 * m, 64))
                B = np.empty((size, size), dtype)
                first = 0
            take(U, r, A, m, UA, 0)
            gather(G, scale[c], ridge[c], UA, sign, r, A, first, m, B)
            qa, h = scratch[0, :m], scratch[1, :m]
            wa, la, lo, hi = wide[0, :m], wide[1, :m], wide[2, :m], wide[3, :m]
            for a in range(m):
                j = A[a]
                qa[a] = q[j]
                base = scale[c] * G[j, j] + ridge[c]
                h[a] = max(B[a, a], 1e-3 * base + 1e-30)
                wa[a], la[a], lo[a], hi[a] = w[c, j], lam[c, j], low[c, j], high[c, j]
            minimise(B, m, h, qa, wa, la, lo, hi, 0.5 * target, rounds, scratch[2:8])
            for a in range(m):
                w[c, A[a]] = wa[a]
        total = 0.0
        for j in range(n):
            d[j] = w[c, j] - origin[c, j]
        full_slope(G, scale[c], ridge[c], U, sign, r, gc, d, moved[c], q)
        for j in range(n):
            if d[j] != 0.0:
                step = w[c, j] - origin[c, j]
                total -= 0.5 * step * (g[c, j] + q[j])
                total -= lam[c, j] * (abs(w[c, j]) - abs(origin[c, j]))
        decrease[c] = total
