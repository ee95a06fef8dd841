"""The quadratic model of the loss that every step and every preview minimises, and its corrections.

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
def violations(w: Any, gradient: Any, lam: Any, low: Any, high: Any, out: Any) -> float:
    """`violation` of every coordinate, without branches; returns the largest."""
    for i in range(w.shape[0]):
        v = -gradient[i]
        x = w[i]
        a = v - (lam[i] if x >= 0.0 else -lam[i])
        b = v + (lam[i] if x <= 0.0 else -lam[i])
        up = a if x < high[i] else 0.0
        down = -b if x > low[i] else 0.0
        worst = up if up > down else down
        out[i] = worst if worst > 0.0 else 0.0
    zero = out[0] - out[0]
    m0 = m1 = m2 = m3 = zero
    i = 0
    while i + 4 <= w.shape[0]:
        m0 = max(m0, out[i])
        m1 = max(m1, out[i + 1])
        m2 = max(m2, out[i + 2])
        m3 = max(m3, out[i + 3])
        i += 4
    while i < w.shape[0]:
        m0 = max(m0, out[i])
        i += 1
    return max(max(m0, m1), max(m2, m3))


@inline
def dot(a: Any, b: Any) -> float:
    """Inner product, in the arrays' precision."""
    total = a[0] * b[0]
    for j in range(1, a.shape[0]):
        total += a[j] * b[j]
    return total


@inline
def quasi_newton(
    U: Any, sign: Any, used: int, S: Any, Y: Any, BS: Any, order: Any, pairs: int, eps: float
) -> int:
    """Unroll BFGS: the columns of U and their signs such that B = B0 + U diag(sign) U^T.

    Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.19, from the oldest pair to the newest:
    B+ = B + y y^T / y.s - (B s)(B s)^T / s.B s. `BS` holds B0 s on entry for each pair, and the first
    `used` columns of U what the model is corrected by already.
    """
    n = S.shape[1]
    first = used
    for m in range(pairs):
        s = S[order[m]]
        y = Y[order[m]]
        b = BS[order[m]]
        for k in range(first, used):
            u = U[k]
            f = sign[k] * dot(u, s)
            for j in range(n):
                b[j] += f * u[j]
        sbs = dot(s, b)
        sy = dot(s, y)
        if sbs <= 0.0 or sy <= eps * sbs:
            continue
        fy = U.dtype.type(1.0 / np.sqrt(sy))
        fb = U.dtype.type(1.0 / np.sqrt(sbs))
        for j in range(n):
            U[used, j] = y[j] * fy
            U[used + 1, j] = b[j] * fb
        sign[used] = 1.0
        sign[used + 1] = -1.0
        used += 2
    return used


@inline
def along_ray(G: Any, scale: float, a: float, m1: float, m2: float, w: Any, U: Any, sign: Any) -> int:
    """Give scale G the second derivatives by the intercept and by the length of w that the rows have.

    A change (e, t) of the intercept and of the length of w changes the loss by 1/2 (a e^2 + 2 m1 e t +
    m2 t^2), from the moments of the rows. With D = [the intercept's unit vector, w], P = scale G and
    H = [a m1; m1 m2],

        P + P D C D^T P,     C = (D^T P D)^-1 (H - D^T P D) (D^T P D)^-1,

    has these, and is P still on what is orthogonal to D under P; so it is positive semi-definite. For
    Gaussian rows it is the Hessian itself (Stein's lemma). Returns how many rows of U count.
    """
    K = G.shape[0] - 1
    if not a > 0.0 or (m1 == 0.0 and m2 == 0.0):
        return 0
    u = U[0]
    v = U[1]
    u[:] = 0.0
    for j in range(K):
        if w[j] != 0.0:
            row = G[j]
            x = G.dtype.type(scale * w[j])
            for k in range(K + 1):
                u[k] += x * row[k]
    k11 = 0.0
    for j in range(K):
        k11 += w[j] * u[j]
    k00 = scale * G[K, K]
    if not k11 > 1e-8 * scale or not k00 > 0.0:
        return 0
    # In units that make the diagonal of D^T P D one.
    s0 = 1.0 / np.sqrt(k00)
    s1 = 1.0 / np.sqrt(k11)
    rho = u[K] * s0 * s1
    det = 1.0 - rho * rho
    if det < 1e-2:
        return 0
    d00 = a * s0 * s0 - 1.0
    d01 = m1 * s0 * s1 - rho
    d11 = m2 * s1 * s1 - 1.0
    # C = I D I with I the inverse of [1 rho; rho 1].
    e00 = d00 - rho * d01
    e01 = d01 - rho * d11
    e10 = d01 - rho * d00
    e11 = d11 - rho * d01
    c00 = (e00 - rho * e01) / (det * det)
    c01 = (e01 - rho * e00) / (det * det)
    c11 = (e11 - rho * e10) / (det * det)
    middle = 0.5 * (c00 + c11)
    root = np.sqrt(0.25 * (c00 - c11) * (c00 - c11) + c01 * c01)
    one = middle + root
    two = middle - root
    # Eigenvectors (x, y) and (-y, x), the first from whichever row is the larger.
    if c00 >= c11:
        x = one - c11
        y = c01
    else:
        x = c01
        y = one - c00
    length = np.sqrt(x * x + y * y)
    if length < 1e-12:
        x = 1.0
        y = 0.0
        length = 1.0
    x /= length
    y /= length
    f0 = np.sqrt(abs(one))
    f1 = np.sqrt(abs(two))
    p0, p1, q0, q1 = f0 * x * s0, f0 * y * s1, -f1 * y * s0, f1 * x * s1
    row = G[K]
    for k in range(K + 1):
        from_bias = scale * row[k]
        from_weights = u[k]
        u[k] = p0 * from_bias + p1 * from_weights
        v[k] = q0 * from_bias + q1 * from_weights
    sign[0] = 1.0 if one > 0.0 else -1.0
    sign[1] = 1.0 if two > 0.0 else -1.0
    return 2


@inline
def correct(
    G: Any, scale: float, ridge: float, ray: Any, w: Any, S: Any, Y: Any, GS: Any, pairs: int, newest: int,
    U: Any, sign: Any,
) -> int:  # fmt: skip
    """Fill U (2 memory + 2, K+1) and sign from what one class has learnt; returns how many rows count.

    The first come from `ray` (3,), see `along_ray`, the others from pairs of changes. A softmax's: `joint`.
    """
    memory, n = S.shape
    BS = np.empty((memory, n), G.dtype)
    order = np.empty(memory, np.int64)
    used = along_ray(G, scale, ray[0], ray[1], ray[2], w, U, sign)
    f, own = G.dtype.type(scale), G.dtype.type(ridge)
    for m in range(pairs):
        p = (newest - pairs + 1 + m + memory) % memory
        order[m] = p
        b = BS[p]
        s = S[p]
        product = GS[p]
        for i in range(n):
            b[i] = own * s[i] + f * product[i]
        for k in range(used):
            x = sign[k] * dot(U[k], s)
            for j in range(n):
                b[j] += x * U[k, j]
    return quasi_newton(U, sign, used, S, Y, BS, order, pairs, 1e-7)


corrections = jit(
    "i8(f4[:,::1], f8, f8, f8[::1], f8[::1], f4[:,::1], f4[:,::1], f4[:,::1], i8, i8, f4[:,::1], f4[::1])",
    "i8(f8[:,::1], f8, f8, f8[::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1], i8, i8, f8[:,::1], f8[::1])",
)(correct.py_func)
"""`correct`, for Python to call."""
