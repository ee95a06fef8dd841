"""The two products of a pass for few classes: rows times weights, and residuals times rows.

A BLAS first packs the rows, which for few classes costs as much as the product. Here they are used where they
lie, in tiles whose sums stay in registers.
"""

from typing import Any

from inficond.core.solver.kernels._compile import inline

FEW = 48
"""Up to so many classes these are faster than a BLAS."""


@inline
def logits(X: Any, first: int, n: int, W: Any, Z: Any) -> None:
    """Z[:, :n] = W times the rows first to first + n of X, transposed; four rows by three classes at a time.

    Twelve sums and what they are of fit into the sixteen registers of AVX2.

    Parameters
    ----------
    X : (N, K)
    W : (C, K)
    Z : (C, >=n) out
    """
    C, K = W.shape
    zero = W[0, 0] - W[0, 0]
    i = 0
    while i + 4 <= n:
        x0, x1, x2, x3 = X[first + i], X[first + i + 1], X[first + i + 2], X[first + i + 3]
        c = 0
        while c + 3 <= C:
            w0, w1, w2 = W[c], W[c + 1], W[c + 2]
            a0 = a1 = a2 = b0 = b1 = b2 = c0 = c1 = c2 = d0 = d1 = d2 = zero
            for k in range(K):
                f0, f1, f2 = w0[k], w1[k], w2[k]
                y = x0[k]
                a0 += f0 * y
                a1 += f1 * y
                a2 += f2 * y
                y = x1[k]
                b0 += f0 * y
                b1 += f1 * y
                b2 += f2 * y
                y = x2[k]
                c0 += f0 * y
                c1 += f1 * y
                c2 += f2 * y
                y = x3[k]
                d0 += f0 * y
                d1 += f1 * y
                d2 += f2 * y
            Z[c, i], Z[c, i + 1], Z[c, i + 2], Z[c, i + 3] = a0, b0, c0, d0
            Z[c + 1, i], Z[c + 1, i + 1], Z[c + 1, i + 2], Z[c + 1, i + 3] = a1, b1, c1, d1
            Z[c + 2, i], Z[c + 2, i + 1], Z[c + 2, i + 2], Z[c + 2, i + 3] = a2, b2, c2, d2
            c += 3
        if c + 2 == C:
            w0, w1 = W[c], W[c + 1]
            a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = zero
            for k in range(K):
                f0, f1 = w0[k], w1[k]
                y = x0[k]
                a0 += f0 * y
                a1 += f1 * y
                y = x1[k]
                b0 += f0 * y
                b1 += f1 * y
                y = x2[k]
                c0 += f0 * y
                c1 += f1 * y
                y = x3[k]
                d0 += f0 * y
                d1 += f1 * y
            Z[c, i], Z[c, i + 1], Z[c, i + 2], Z[c, i + 3] = a0, b0, c0, d0
            Z[c + 1, i], Z[c + 1, i + 1], Z[c + 1, i + 2], Z[c + 1, i + 3] = a1, b1, c1, d1
            c += 2
        while c < C:
            w0 = W[c]
            a0 = b0 = c0 = d0 = zero
            for k in range(K):
                f0 = w0[k]
                a0 += f0 * x0[k]
                b0 += f0 * x1[k]
                c0 += f0 * x2[k]
                d0 += f0 * x3[k]
            Z[c, i], Z[c, i + 1], Z[c, i + 2], Z[c, i + 3] = a0, b0, c0, d0
            c += 1
        i += 4
    while i < n:
        x0 = X[first + i]
        for c in range(C):
            w0 = W[c]
            a0 = zero
            for k in range(K):
                a0 += w0[k] * x0[k]
            Z[c, i] = a0
        i += 1


@inline
def add_rows(X: Any, first: int, R: Any, low: int, high: int, G: Any) -> None:
    """G += R[:, low:high] times the rows first + low to first + high of X; six rows by two classes at a time.

    Parameters
    ----------
    X : (N, K)
    R : (C, >=high)
    G : (C, K) added to
    """
    C, K = G.shape
    i = low
    while i + 6 <= high:
        j = first + i
        x0, x1, x2, x3, x4, x5 = X[j], X[j + 1], X[j + 2], X[j + 3], X[j + 4], X[j + 5]
        c = 0
        while c + 2 <= C:
            g, h = G[c], G[c + 1]
            a0, a1, a2 = R[c, i], R[c, i + 1], R[c, i + 2]
            a3, a4, a5 = R[c, i + 3], R[c, i + 4], R[c, i + 5]
            b0, b1, b2 = R[c + 1, i], R[c + 1, i + 1], R[c + 1, i + 2]
            b3, b4, b5 = R[c + 1, i + 3], R[c + 1, i + 4], R[c + 1, i + 5]
            for k in range(K):
                y0, y1, y2, y3, y4, y5 = x0[k], x1[k], x2[k], x3[k], x4[k], x5[k]
                g[k] += ((a0 * y0 + a1 * y1) + (a2 * y2 + a3 * y3)) + (a4 * y4 + a5 * y5)
                h[k] += ((b0 * y0 + b1 * y1) + (b2 * y2 + b3 * y3)) + (b4 * y4 + b5 * y5)
            c += 2
        if c < C:
            g = G[c]
            a0, a1, a2 = R[c, i], R[c, i + 1], R[c, i + 2]
            a3, a4, a5 = R[c, i + 3], R[c, i + 4], R[c, i + 5]
            for k in range(K):
                g[k] += ((a0 * x0[k] + a1 * x1[k]) + (a2 * x2[k] + a3 * x3[k])) + (a4 * x4[k] + a5 * x5[k])
        i += 6
    while i < high:
        x0 = X[first + i]
        for c in range(C):
            g, a0 = G[c], R[c, i]
            for k in range(K):
                g[k] += a0 * x0[k]
        i += 1
