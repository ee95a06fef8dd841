"""Subspace corrections of the softmax Hessian model, in factored form.

The corrections computed by `inficond.core.solver.softmax_corrections` are r vectors over the coordinates of
all classes,

    U_k[c] = sum_e M[c, e] (mixing[C + e, k] GW[e] + mixing[e, k] e_0),

with M (C, C) the mean curvature, GW[e] (K+1,) the Gram matrix times the weights of class e, and e_0 the unit
vector of the intercept. Explicit vectors would take r times the memory of the weights; the factors take
little more than M.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.model_corrections import dot
from inficond.core.solver.kernels.products import add_product

BLOCK = 128  # rows summed in the precision of the data before they are added in float64


def _signature(f: Any) -> Any:
    return numba.void(f[:, ::1], f[:, ::1], f[::1], numba.float64[:, ::1])


@jit(_signature(numba.float32), _signature(numba.float64))
def add_subspace_hessian(p: Any, slope: Any, row_weight: Any, out: Any) -> None:
    """Add the Hessian of the loss in the subspace of all intercepts and current weights, D^T F D.

    The logits of a row change by D_n = [I, diag(slope_n)] with the 2 C coordinates of the subspace, so the
    sum over rows is that of row_weight_n D_n^T (diag p_n - p_n p_n^T) D_n.

    Parameters
    ----------
    p : (C, n) probabilities
    slope : (C, n) logits without intercepts, w_c . z_n
    row_weight : (n,)
    out : (2 C, 2 C) float64, added to
    """
    C, n = p.shape
    zero = row_weight[0] - row_weight[0]
    plain = np.empty((2 * C, BLOCK), p.dtype)
    heavy = np.empty((2 * C, BLOCK), p.dtype)
    sums = np.empty((2, 2 * C), p.dtype)
    for low in range(0, n, BLOCK):
        high = min(low + BLOCK, n)
        weight = row_weight[low:high]
        m = weight.shape[0]
        for c in range(C):
            x, slope_c = p[c, low:high], slope[c, low:high]
            a0, a1, b0, b1 = plain[c, :m], plain[C + c, :m], heavy[c, :m], heavy[C + c, :m]
            diagonal = mixed = radial = zero
            for i in range(m):
                y = x[i] * slope_c[i]
                a0[i] = x[i]
                a1[i] = y
                b0[i] = weight[i] * x[i]
                b1[i] = weight[i] * y
                diagonal += weight[i] * x[i]
                mixed += weight[i] * y
                radial += weight[i] * y * slope_c[i]
            out[c, c] += diagonal
            out[c, C + c] += mixed
            out[C + c, c] += mixed
            out[C + c, C + c] += radial
        # Tiles of two rows by four columns of the lower triangle.
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
def add_correction_rows(mixing: Any, r: int, x: Any, GW: Any, R: Any) -> None:
    """Add to R (C, K+1) the combination whose product with M is sum_k x_k U_k."""
    C, K1 = GW.shape
    for e in range(C):
        weights = bias = x[0] - x[0]
        for k in range(r):
            weights += x[k] * mixing[C + e, k]
            bias += x[k] * mixing[e, k]
        out = R[e]
        row = GW[e]
        for j in range(K1):
            out[j] += weights * row[j]
        out[K1 - 1] += bias


@inline
def correction_products(M: Any, mixing: Any, r: int, GW: Any, d: Any, x: Any, scratch: Any) -> None:
    """Compute x[:r] = U d for d (C (K+1),); `scratch` is (C, K+1)."""
    C, K1 = GW.shape
    scratch[:] = 0.0
    add_product(d.reshape(C, K1), 0, M, C, scratch, 0, K1)
    x[:r] = 0.0
    for e in range(C):
        weights = dot(GW[e], scratch[e])  # GW is zero at the intercept
        bias = scratch[e, K1 - 1]
        for k in range(r):
            x[k] += weights * mixing[C + e, k] + bias * mixing[e, k]


@inline
def correction_columns(
    M: Any, mixing: Any, r: int, GW: Any, c: int, A: Any, m: int, UA: Any, scratch: Any
) -> None:
    """Compute UA[:r, :m] = U at the coordinates A[:m] of class c; `scratch` is (C, >=m)."""
    C, K1 = GW.shape
    factors = np.empty((r, C), GW.dtype)
    for e in range(C):
        for k in range(r):
            factors[k, e] = M[c, e] * mixing[C + e, k]
        for a in range(m):
            scratch[e, a] = GW[e, A[a]]
    UA[:r, :m] = 0.0
    add_product(scratch, 0, factors, C, UA, 0, m)
    for a in range(m):
        if A[a] == K1 - 1:
            for k in range(r):
                for e in range(C):
                    UA[k, a] += M[c, e] * mixing[e, k]
