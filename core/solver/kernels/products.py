"""The two products of a pass for few classes: rows times weights, and residuals times rows.

A BLAS first packs the rows, which for few classes costs as much as the product. These products read the rows
in place, in tiles whose sums stay in registers.
"""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.compilation import inline
from inficond.core.solver.kernels.tiles import BYTES, CLASSES, VECTORS, tile

MAX_FUSED_CLASSES = 48
"""Number of classes up to which these products are faster than a BLAS."""
STRIP = VECTORS * BYTES
"""Bytes of each row that `add_product` reads at a time; those of a block of rows fit into the L1 cache."""


@inline
def logits(X: Any, first: int, n: int, W: Any, Z: Any) -> None:
    """Compute Z[:, :n] = W X[first : first + n]^T in tiles of four rows by three classes.

    Twelve sums and their operands fit into the sixteen registers of AVX2.

    Parameters
    ----------
    X : (N, K)
    first, n : first row, number of rows
    W : (C, K)
    Z : (C, >=n) written
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


def _tile_column(vectors: int) -> Any:
    """Make a function that adds one column of tiles: all classes by `vectors` vectors of columns."""
    four, three, two, one = (tile(classes, vectors) for classes in (CLASSES, 3, 2, 1))

    @inline
    def add(R: Any, n: int, X: Any, first: int, k: int, G: Any, column: int) -> None:
        """Add R[:, :n] X[first : first + n, k:] to G[:, column:], for as many columns as the tile has."""
        C = R.shape[0]
        c = 0
        while c + CLASSES <= C:
            four(R, c, n, X, first, k, G, c, column)
            c += CLASSES
        if c + 3 == C:
            three(R, c, n, X, first, k, G, c, column)
        elif c + 2 == C:
            two(R, c, n, X, first, k, G, c, column)
        elif c + 1 == C:
            one(R, c, n, X, first, k, G, c, column)

    return add


_add_wide, _add_narrow = _tile_column(VECTORS), _tile_column(1)


@inline
def add_product(X: Any, first: int, R: Any, n: int, G: Any, low: int, high: int) -> None:
    """Add R[:, :n] X[first : first + n, low:high] to G[:C, low:high].

    Parameters
    ----------
    X : (N, K)
    first, n : first row, number of rows
    R : (C, >=n)
    G : (>=C, >=high) added to
    low, high : range of columns, preferably a multiple of `STRIP` bytes wide
    """
    C = R.shape[0]
    lanes = BYTES // X.itemsize
    k = low
    while k + VECTORS * lanes <= high:
        _add_wide(R, n, X, first, k, G, k)
        k += VECTORS * lanes
    while k + lanes <= high:
        _add_narrow(R, n, X, first, k, G, k)
        k += lanes
    if k < high and high >= lanes:
        # The last vector overlaps the one before it; only its new columns are added.
        last = np.zeros((C, lanes), G.dtype)
        _add_narrow(R, n, X, first, high - lanes, last, 0)
        for c in range(C):
            for j in range(k, high):
                G[c, j] += last[c, j - (high - lanes)]
    elif k < high:
        for i in range(n):
            for c in range(C):
                for j in range(k, high):
                    G[c, j] += R[c, i] * X[first + i, j]
