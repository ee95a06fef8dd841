"""What a softmax's model knows from the rows, in factors.

The corrections of `curvature.lengths` are r vectors over all classes' coordinates,

    U_k[c] = sum_e M[c, e] (mix[C + e, k] GW[e] + mix[e, k] i),

with M (C, C) the mean curvature, GW[e] (K+1,) the Gram matrix times the weights of class e, and i the
intercept's unit vector. Written out they are r times as large as the weights and cost as many passes over
that memory; in factors they cost little more than M itself.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import inline, jit
from inficond.core.solver.kernels.descent import dot
from inficond.core.solver.kernels.products import add_rows

BLOCK = 128  # rows whose sums are taken in the data's precision


def _signature(f: Any) -> Any:
    return numba.void(f[:, ::1], f[:, ::1], f[::1], numba.float64[:, ::1])


@jit(_signature(numba.float32), _signature(numba.float64))
def moments_along(p: Any, length: Any, mass: Any, out: Any) -> None:
    """out (2 C, 2 C) += sum over rows of mass (diag p - p p^T) by intercepts and lengths of the weights.

    Parameters
    ----------
    p : (C, n) probabilities
    length : (C, n) logits less intercepts: how they change with the weights' length
    mass : (n,)
    """
    C, n = p.shape
    zero = mass[0] - mass[0]
    plain = np.empty((2 * C, BLOCK), p.dtype)
    heavy = np.empty((2 * C, BLOCK), p.dtype)
    sums = np.empty((2, 2 * C), p.dtype)
    for low in range(0, n, BLOCK):
        high = min(low + BLOCK, n)
        some = mass[low:high]
        m = some.shape[0]
        for c in range(C):
            x, far = p[c, low:high], length[c, low:high]
            a0, a1, b0, b1 = plain[c, :m], plain[C + c, :m], heavy[c, :m], heavy[C + c, :m]
            own = cross = along = zero
            for i in range(m):
                y = x[i] * far[i]
                a0[i] = x[i]
                a1[i] = y
                b0[i] = some[i] * x[i]
                b1[i] = some[i] * y
                own += some[i] * x[i]
                cross += some[i] * y
                along += some[i] * y * far[i]
            out[c, c] += own
            out[c, C + c] += cross
            out[C + c, c] += cross
            out[C + c, C + c] += along
        # Two rows by four; what is symmetric is summed once.
        for a in range(0, 2 * C, 2):
            v, w = heavy[a, :m], heavy[a + 1, :m]
            b = 0
            while b + 4 <= a:
                q0, q1, q2, q3 = plain[b, :m], plain[b + 1, :m], plain[b + 2, :m], plain[b + 3, :m]
                r0 = r1 = r2 = r3 = s0 = s1 = s2 = s3 = zero
                for i in range(m):
                    y0, y1, y2, y3 = q0[i], q1[i], q2[i], q3[i]
                    r0 += v[i] * y0
                    r1 += v[i] * y1
                    r2 += v[i] * y2
                    r3 += v[i] * y3
                    s0 += w[i] * y0
                    s1 += w[i] * y1
                    s2 += w[i] * y2
                    s3 += w[i] * y3
                sums[0, b], sums[0, b + 1], sums[0, b + 2], sums[0, b + 3] = r0, r1, r2, r3
                sums[1, b], sums[1, b + 1], sums[1, b + 2], sums[1, b + 3] = s0, s1, s2, s3
                b += 4
            while b <= a + 1:
                q0 = plain[b, :m]
                sums[0, b] = dot(v, q0)
                sums[1, b] = dot(w, q0)
                b += 1
            for e in range(2):
                for b in range(a + e):
                    out[a + e, b] -= sums[e, b]
                    out[b, a + e] -= sums[e, b]
                out[a + e, a + e] -= sums[e, a + e]


@inline
def add_along(mix: Any, r: int, x: Any, GW: Any, R: Any) -> None:
    """R (C, K+1) += what M turns into sum_k x_k U_k."""
    C, K1 = GW.shape
    for e in range(C):
        weights = bias = x[0] - x[0]
        for k in range(r):
            weights += x[k] * mix[C + e, k]
            bias += x[k] * mix[e, k]
        out = R[e]
        own = GW[e]
        for j in range(K1):
            out[j] += weights * own[j]
        out[K1 - 1] += bias


@inline
def products_along(M: Any, mix: Any, r: int, GW: Any, d: Any, x: Any, some: Any) -> None:
    """x[:r] = U d; `some` (C, K+1) is scratch, d (C (K+1),)."""
    C, K1 = GW.shape
    some[:] = 0.0
    add_rows(d.reshape(C, K1), 0, M, C, some, 0, K1)
    x[:r] = 0.0
    for e in range(C):
        weights = dot(GW[e], some[e])  # the intercept's entry of GW is zero
        bias = some[e, K1 - 1]
        for k in range(r):
            x[k] += weights * mix[C + e, k] + bias * mix[e, k]


@inline
def rows_along(M: Any, mix: Any, r: int, GW: Any, c: int, A: Any, m: int, UA: Any, some: Any) -> None:
    """UA[:r, :m] = U at the coordinates A[:m] of class c; `some` (C, >=m) is scratch."""
    C, K1 = GW.shape
    factors = np.empty((r, C), GW.dtype)
    for e in range(C):
        for k in range(r):
            factors[k, e] = M[c, e] * mix[C + e, k]
        for a in range(m):
            some[e, a] = GW[e, A[a]]
    UA[:r, :m] = 0.0
    add_rows(some, 0, factors, C, UA, 0, m)
    for a in range(m):
        if A[a] == K1 - 1:
            for k in range(r):
                for e in range(C):
                    UA[k, a] += M[c, e] * mix[e, k]
