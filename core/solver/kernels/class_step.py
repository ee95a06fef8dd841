"""Inner solver of one class: minimizes the quadratic model plus penalty over a working set.

The Hessian model of the working set is gathered into a small dense matrix. Coordinate descent identifies
which weights are zero, positive, negative or at a bound; between those changes the model is a plain
quadratic, which conjugate gradients minimize. With many non-zero weights and an ill-conditioned Gram matrix,
coordinate descent alone needs hundreds of sweeps.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.model_corrections import class_corrections, dot
from inficond.core.solver.kernels.penalty import prox_step, violations
from inficond.core.solver.kernels.products import add_product

SWEEPS = 4  # of coordinate descent between two runs of conjugate gradients
MAX_WORKING_SETS = 20


@inline
def add_weighted_rows(G: Any, A: Any, d: Any, m: int, out: Any) -> None:
    """Compute out += sum_a d[a] G[A[a]] over the non-zero d[:m].

    Four rows are added at a time, so that `out` is read and written less often.
    """
    chosen = np.empty(4, np.int64)
    n = out.shape[0]
    count = 0
    for a in range(m):
        if d[a] == 0.0:
            continue
        chosen[count] = a
        count += 1
        if count == 4:
            count = 0
            a0, a1, a2, a3 = chosen[0], chosen[1], chosen[2], chosen[3]
            g0, g1, g2, g3 = G[A[a0]], G[A[a1]], G[A[a2]], G[A[a3]]
            f0, f1, f2, f3 = d[a0], d[a1], d[a2], d[a3]
            for k in range(n):
                out[k] += (f0 * g0[k] + f1 * g1[k]) + (f2 * g2[k] + f3 * g3[k])
    for i in range(count):
        g0, f0 = G[A[chosen[i]]], d[chosen[i]]
        for k in range(n):
            out[k] += f0 * g0[k]


@inline
def model_gradient(
    G: Any, scale: float, ridge: float, U: Any, sign: Any, r: int, g: Any, d: Any, Gd: Any, q: Any
) -> None:
    """Compute q = g + B d over all coordinates, and Gd = G d; most entries of d are zero."""
    n = G.shape[0]
    Gd[:] = 0.0
    add_weighted_rows(G, np.arange(n), d, n, Gd)
    for k in range(n):
        q[k] = scale * Gd[k] + ridge * d[k] + g[k]
    for k in range(r):
        u = U[k]
        f = sign[k] * dot(u, d)
        for j in range(n):
            q[j] += f * u[j]


@inline
def take_columns(U: Any, r: int, A: Any, m: int, UA: Any, at: int) -> None:
    """Copy U[:r, A[:m]] to UA[at:at + r, :m]."""
    for k in range(r):
        u = U[k]
        part = UA[at + k]
        for a in range(m):
            part[a] = u[A[a]]


@inline
def gather_hessian(
    G: Any, scale: float, ridge: float, UA: Any, sign: Any, r: int, A: Any, first: int, m: int, B: Any
) -> None:
    """Fill B[:m, :m] with the Hessian model on the coordinates A[:m]; the part of A[:first] is already there.

    UA (>=r, >=m) holds the corrections at A[:m] (see `take_columns`).
    """
    f = G.dtype.type(scale)
    factors = np.empty((m - first, r), G.dtype)
    for a in range(first, m):
        row = G[A[a]]
        b = B[a]
        for e in range(m):
            b[e] = f * row[A[e]]
        b[a] += ridge
        for k in range(r):
            factors[a - first, k] = sign[k] * UA[k, a]
    add_product(UA, 0, factors, r, B[first:m], 0, m)
    for a in range(first):
        for e in range(first, m):
            B[a, e] = B[e, a]


@inline
def coordinate_sweep(B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any) -> float:
    """Run one round of coordinate descent; return the largest change of a weight times its curvature."""
    largest = 0.0
    for a in range(m):
        new = prox_step(w[a], q[a], h[a], lam[a], low[a], high[a])
        step = new - w[a]
        if step != 0.0:
            w[a] = new
            b = B[a, :m]
            f = q.dtype.type(step)
            for e in range(m):
                q[e] += f * b[e]
            largest = max(largest, abs(step) * h[a])
    return largest


@inline
def matvec(B: Any, rows: int, m: int, x: Any, out: Any) -> None:
    """Compute out[:rows] = B[:rows, :m] x[:m], eight rows at a time."""
    x = x[:m]
    a = 0
    while a + 8 <= rows:
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
    while a < rows:
        out[a] = dot(B[a, :m], x)
        a += 1


@inline
def conjugate_gradient(
    B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any, limit: int,
    free: Any, p: Any, res: Any, z: Any, Bp: Any, x: Any,
) -> float:  # fmt: skip
    """Minimize over the free weights with their signs fixed, then take the part of the step that keeps them.

    The full step is tried first, with weights that would change sign stopped at zero and weights that would
    leave the box stopped at the bound. If the model does not decrease there, the step is shortened to the
    first such event. `free`, `p`, `res`, `z`, `Bp` and `x` are scratch arrays (>=m,).

    Returns
    -------
    float
        Length of the unconstrained step, in [0, 1], up to the first such event.
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
        matvec(B, m, m, p, Bp)
        curve = 0.0
        for a in range(m):
            curve += p[a] * Bp[a]
        if curve <= 0.0:
            break
        alpha = x.dtype.type(rho / curve)
        new = 0.0
        for a in range(m):
            x[a] += alpha * p[a]
            res[a] -= alpha * Bp[a] * free[a]
            z[a] = res[a] / h[a]
            new += res[a] * z[a]
        beta = p.dtype.type(new / rho)
        rho = new
        for a in range(m):
            p[a] = z[a] + beta * p[a]
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
        matvec(B, m, m, p, Bp)
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
            g = q.dtype.type(step)
            for e in range(m):
                q[e] += g * b[e]
    return t


@inline
def minimize_quadratic(
    B: Any, m: int, h: Any, q: Any, w: Any, lam: Any, low: Any, high: Any, end: float, rounds: int,
    scratch: Any,
) -> None:  # fmt: skip
    """Alternate coordinate descent and conjugate gradients until the gradient changes by at most `end`.

    Parameters
    ----------
    B, m : (>=m, >=m) Hessian model of the working set, and the size of that set
    h : (m,) positive diagonal used by coordinate descent
    q : (m,) gradient of the model at w; updated
    w, lam, low, high : (m,); w is updated
    end : stopping tolerance
    rounds : maximum number of rounds
    scratch : (6, >=m)
    """
    for k in range(rounds):
        largest = 0.0
        for _ in range(SWEEPS):
            largest = coordinate_sweep(B, m, h, q, w, lam, low, high)
            if largest <= end:
                break
        if largest <= end:
            break
        conjugate_gradient(
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
def minimize_class_models(
    G: Any, scale: Any, ridge: Any, subspace_hessian: Any, S: Any, Y: Any, GS: Any, pairs: Any, newest: Any,
    classes: Any, g: Any, origin: Any, w: Any, lam: Any, low: Any, high: Any, stop: float, rounds: int,
    gram_step: Any, decrease: Any,
) -> None:  # fmt: skip
    """Minimize the model plus penalty of each of the `classes`, independently.

    Parameters
    ----------
    G : (K+1, K+1) shared Gram matrix
    scale, ridge : (C,) multipliers of G, and multiples of the identity
    subspace_hessian : (C, 3) second derivatives by intercept and along the weights
    S, Y, GS : (C, memory, K+1) ring buffers: changes of weights and of gradients, and G times the former
    pairs, newest : (C,) number of pairs, and the position of the newest
    classes : (m,) which classes
    g, origin, w, lam, low, high : (C, K+1); g is the gradient at the origin; w is updated
    stop : stops when the largest violation is at most `stop` times the first one
    rounds : maximum number of rounds of `minimize_quadratic`
    gram_step : (C, K+1) written: G times the change from the origin
    decrease : (C,) written: predicted decrease of the objective from the origin
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
    selected = np.empty(n, np.bool_)
    violation_of = np.empty(n, dtype)
    size = 0
    B = np.empty((1, 1), dtype)
    scratch = np.empty((10, n), dtype)
    wide = np.empty((5, n))
    UA = np.empty((2 * memory + 2, n), dtype)
    for at in range(classes.shape[0]):
        c = classes[at]
        r = class_corrections(
            G,
            scale[c],
            ridge[c],
            subspace_hessian[c],
            origin[c],
            S[c],
            Y[c],
            GS[c],
            pairs[c],
            newest[c],
            U,
            sign,
        )
        m = 0
        selected[:] = False
        worst = 0.0
        target = 0.0
        for j in range(n):
            gc[j] = g[c, j]
        for outer in range(MAX_WORKING_SETS):
            for j in range(n):
                d[j] = w[c, j] - origin[c, j]
            model_gradient(G, scale[c], ridge[c], U, sign, r, gc, d, gram_step[c], q)
            worst = violations(w[c], q, lam[c], low[c], high[c], violation_of)
            if outer == 0:
                target = stop * worst
            if worst <= target or worst == 0.0:
                break
            first = m
            for j in range(n):
                if not selected[j] and (violation_of[j] > target or w[c, j] != 0.0):
                    selected[j] = True
                    A[m] = j
                    m += 1
            if m > size:
                size = min(n, max(2 * m, 64))
                B = np.empty((size, size), dtype)
                first = 0
            take_columns(U, r, A, m, UA, 0)
            gather_hessian(G, scale[c], ridge[c], UA, sign, r, A, first, m, B)
            qa, h = scratch[0, :m], scratch[1, :m]
            wa, la, lo, hi = wide[0, :m], wide[1, :m], wide[2, :m], wide[3, :m]
            for a in range(m):
                j = A[a]
                qa[a] = q[j]
                base = scale[c] * G[j, j] + ridge[c]
                h[a] = max(B[a, a], 1e-3 * base + 1e-30)
                wa[a], la[a], lo[a], hi[a] = w[c, j], lam[c, j], low[c, j], high[c, j]
            minimize_quadratic(B, m, h, qa, wa, la, lo, hi, 0.5 * target, rounds, scratch[2:8])
            for a in range(m):
                w[c, A[a]] = wa[a]
        total = 0.0
        for j in range(n):
            d[j] = w[c, j] - origin[c, j]
        model_gradient(G, scale[c], ridge[c], U, sign, r, gc, d, gram_step[c], q)
        for j in range(n):
            if d[j] != 0.0:
                step = w[c, j] - origin[c, j]
                total -= 0.5 * step * (g[c, j] + q[j])
                total -= lam[c, j] * (abs(w[c, j]) - abs(origin[c, j]))
        decrease[c] = total
