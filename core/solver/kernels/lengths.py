"""What a softmax's model knows from the rows, in factors.

The corrections of `curvature.lengths` are r vectors over all classes' coordinates,

    U_k[c] = sum_e M[c, e] (mix[C + e, k] GW[e] + mix[e, k] i),

with M (C, C) the mean curvature, GW[e] (K+1,) the Gram matrix times the weights of class e, and i the
intercept's unit vector. Written out they are r times as large as the weights and cost as many passes over
that memory; in factors they cost little more than M itself.
"""

from typing import Any

from inficond.core.solver.kernels._compile import inline
from inficond.core.solver.kernels.descent import dot


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
    """x[:r] = U d; `some` (K+1,) is scratch, d (C (K+1),)."""
    C, K1 = GW.shape
    zero = d[0] - d[0]
    for k in range(r):
        x[k] = zero
    for e in range(C):
        some[:] = zero
        for c in range(C):
            f = zero + M[e, c]
            part = d[c * K1 : (c + 1) * K1]
            for j in range(K1):
                some[j] += f * part[j]
        weights = dot(GW[e], some)  # the intercept's entry of GW is zero
        bias = some[K1 - 1]
        for k in range(r):
            x[k] += weights * mix[C + e, k] + bias * mix[e, k]


@inline
def rows_along(M: Any, mix: Any, r: int, GW: Any, c: int, A: Any, m: int, UA: Any, some: Any) -> None:
    """UA[:r, :m] = U at the coordinates A[:m] of class c; `some` (C, >=m) is scratch."""
    C, K1 = GW.shape
    zero = GW[0, 0] - GW[0, 0]
    intercept = -1
    for a in range(m):
        if A[a] == K1 - 1:
            intercept = a
    for e in range(C):
        for a in range(m):
            some[e, a] = GW[e, A[a]]
    for k in range(r):
        row = UA[k, :m]
        row[:] = 0.0
        bias = zero
        for e in range(C):
            bias += M[c, e] * mix[e, k]
        e = 0
        while e + 4 <= C:  # four at a time keep the row in registers
            p0, p1, p2, p3 = some[e, :m], some[e + 1, :m], some[e + 2, :m], some[e + 3, :m]
            f0 = zero + M[c, e] * mix[C + e, k]
            f1 = zero + M[c, e + 1] * mix[C + e + 1, k]
            f2 = zero + M[c, e + 2] * mix[C + e + 2, k]
            f3 = zero + M[c, e + 3] * mix[C + e + 3, k]
            for a in range(m):
                row[a] += (f0 * p0[a] + f1 * p1[a]) + (f2 * p2[a] + f3 * p3[a])
            e += 4
        while e < C:
            p0 = some[e, :m]
            f0 = zero + M[c, e] * mix[C + e, k]
            for a in range(m):
                row[a] += f0 * p0[a]
            e += 1
        if intercept >= 0:
            row[intercept] += bias
