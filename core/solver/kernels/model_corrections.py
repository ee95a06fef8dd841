"""Low-rank corrections of the Hessian model of one class.

The model is B = a G + ridge I + U diag(sign) U^T (see `inficond.core.solver`). The first two rows of U give
the model the exact second derivatives in the subspace of the intercept and the current weights; the others
are BFGS pairs. Coordinates are (K + 1,), the intercept last.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.compilation import inline

MIN_CURVATURE_RATIO = 1e-7  # a pair is skipped unless y.s exceeds this share of s.Bs


@inline
def dot(a: Any, b: Any) -> float:
    """Return the inner product in the precision of the arrays."""
    total = a[0] * b[0]
    for j in range(1, a.shape[0]):
        total += a[j] * b[j]
    return total


@inline
def unroll_bfgs(
    U: Any, sign: Any, used: int, S: Any, Y: Any, BS: Any, order: Any, pairs: int, eps: float
) -> int:
    """Append BFGS updates to a low-rank model B = B0 + U diag(sign) U^T; return the number of rows in use.

    For each pair, oldest first (Nocedal and Wright, Numerical Optimization, 2nd ed., eq. 6.19),

        B+ = B + y y^T / y.s - (B s)(B s)^T / s.B s.

    Parameters
    ----------
    U, sign : (rows, n) and (rows,) written from row `used` on
    used : rows of U that are already part of B0
    S, Y : (memory, n) changes of weights and of gradients
    BS : (memory, n) B0 s of each pair; overwritten
    order : (>=pairs,) positions of the pairs, oldest first
    pairs : number of pairs
    eps : smallest accepted y.s / s.B s
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
def subspace_correction(
    G: Any, scale: float, h00: float, h01: float, h11: float, w: Any, U: Any, sign: Any
) -> int:
    """Correct the model `scale` G so that it has given second derivatives by the intercept and along w.

    With D = [e_0, w] (e_0 the unit vector of the intercept), P = scale G and H = [h00 h01; h01 h11] = D^T F
    D, F the Hessian of the loss, the corrected model

        P + P D C D^T P,     C = (D^T P D)^-1 (H - D^T P D) (D^T P D)^-1,

    satisfies D^T B D = H, equals P on the P-orthogonal complement of D, and is positive semi-definite because
    H and P are. For Gaussian rows it is F itself (Stein's lemma).

    Parameters
    ----------
    G : (K+1, K+1)
    scale : multiplier of G
    h00, h01, h11 : entries of H
    w : (K+1,) weights; the intercept is ignored
    U, sign : rows 0 and 1 are written

    Returns
    -------
    int
        Rows of U in use: 2, or 0 where H is unknown or D is close to singular.
    """
    K = G.shape[0] - 1
    if not h00 > 0.0 or (h01 == 0.0 and h11 == 0.0):
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
    # Scaled so that the diagonal of D^T P D is one; rho is its other entry.
    s0 = 1.0 / np.sqrt(k00)
    s1 = 1.0 / np.sqrt(k11)
    rho = u[K] * s0 * s1
    det = 1.0 - rho * rho
    if det < 1e-2:
        return 0
    d00 = h00 * s0 * s0 - 1.0
    d01 = h01 * s0 * s1 - rho
    d11 = h11 * s1 * s1 - 1.0
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
    # Eigenvectors (x, y) and (-y, x); the first from the row with the larger diagonal entry.
    if c00 >= c11:
        x = one - c11
        y = c01
    else:
        x = c01
        y = one - c00
    norm = np.sqrt(x * x + y * y)
    if norm < 1e-12:
        x = 1.0
        y = 0.0
        norm = 1.0
    x /= norm
    y /= norm
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
def class_corrections(
    G: Any, scale: float, ridge: float, subspace_hessian: Any, w: Any, S: Any, Y: Any, GS: Any, pairs: int,
    newest: int, U: Any, sign: Any,
) -> int:  # fmt: skip
    """Compute all corrections of one class; return the number of rows of U in use.

    Parameters
    ----------
    G : (K+1, K+1)
    scale, ridge : multiplier of G, and multiple of the identity
    subspace_hessian : (3,) h00, h01, h11 (see `subspace_correction`)
    w : (K+1,) weights at which they were computed
    S, Y, GS : (memory, K+1) ring buffers: changes of weights and of gradients, and G times the former
    pairs, newest : number of pairs, and the position of the newest
    U, sign : (2 memory + 2, K+1) and (2 memory + 2,) written
    """
    memory, n = S.shape
    BS = np.empty((memory, n), G.dtype)
    order = np.empty(memory, np.int64)
    used = subspace_correction(
        G, scale, subspace_hessian[0], subspace_hessian[1], subspace_hessian[2], w, U, sign
    )
    f, diagonal = G.dtype.type(scale), G.dtype.type(ridge)
    for m in range(pairs):
        p = (newest - pairs + 1 + m + memory) % memory
        order[m] = p
        b = BS[p]
        s = S[p]
        product = GS[p]
        for i in range(n):
            b[i] = diagonal * s[i] + f * product[i]
        for k in range(used):
            x = sign[k] * dot(U[k], s)
            for j in range(n):
                b[j] += x * U[k, j]
    return unroll_bfgs(U, sign, used, S, Y, BS, order, pairs, MIN_CURVATURE_RATIO)
