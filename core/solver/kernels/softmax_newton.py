"""Newton step of a softmax on a working set: the exact Hessian, and the minimum of the model plus penalty."""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.class_step import minimize_quadratic
from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.products import add_product

RIDGE = 1e-9  # multiple of the mean second derivative added to the diagonal of the Hessian
SMALLEST = 1e-12  # mean second derivative assumed at least
ROWS = 256  # in the cache while their part of the Hessian is added
STRIP = 24  # rows of the Hessian that are computed together


@inline
def softmax_hessian(X: Any, p: Any, weight: Any, classes: Any, columns: Any) -> Any:
    """Return the Hessian of the loss on some coordinates, (m, m), in the precision of X.

    With v_j = p_c x_j for a coordinate j of class c, it is the sum over the rows, times their weights, of
    p_c x_i x_j if i and j belong to the same class c, minus v_i v_j.

    Parameters
    ----------
    X : (N, K+1) float32 standardized rows, the last column 1
    p : (C, N) probabilities
    weight : (N,)
    classes, columns : (m,) class, ascending, and column of X of each coordinate
    """
    N, m = X.shape[0], len(classes)
    H = np.zeros((m, m), X.dtype)
    right, left = np.empty((ROWS, m), X.dtype), np.empty((m, ROWS), X.dtype)
    for first in range(0, N, ROWS):
        count = min(ROWS, N - first)
        for n in range(count):
            x, y = X[first + n], right[n]
            for j in range(m):
                y[j] = x[columns[j]]
        for j in range(m):
            y, q = left[j], p[classes[j]]
            for n in range(count):
                y[n] = weight[first + n] * q[first + n] * right[n, j]
        start = 0
        while start < m:
            end = start + 1
            while end < m and classes[end] == classes[start]:
                end += 1
            add_product(right, 0, left[start:end], count, H[start:end], start, end)
            start = end
        for n in range(count):
            y = right[n]
            for j in range(m):
                y[j] *= -p[classes[j], first + n]
        for start in range(0, m, STRIP):  # of the lower triangle
            end = min(start + STRIP, m)
            add_product(right, 0, left[start:end], count, H[start:end], 0, end)
    for i in range(m):
        for j in range(i):
            H[j, i] = H[i, j]
    return H


@jit(
    single="void(f4[:,::1], f8[:,::1], f8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1], f8[::1],"
    " f8[::1], f8, i8)"
)
def minimize_softmax_model(
    X: Any, p: Any, weight: Any, classes: Any, columns: Any, q: Any, w: Any, lam: Any, low: Any, high: Any,
    end: float, rounds: int,
) -> None:  # fmt: skip
    """Minimize the model of the loss on some coordinates plus the penalty.

    Parameters
    ----------
    X, p, weight, classes, columns : as for `softmax_hessian`
    q : (m,) gradient of the loss at w; updated to that of the model
    w, lam, low, high : (m,); w is updated
    end, rounds : as for `class_step.minimize_quadratic`
    """
    m = len(classes)
    H = softmax_hessian(X, p, weight, classes, columns)
    B, h = np.empty((m, m)), np.empty(m)
    trace = 0.0
    for j in range(m):
        trace += H[j, j]
        for i in range(m):
            B[j, i] = H[j, i]
    for j in range(m):
        B[j, j] += RIDGE * max(trace / m, SMALLEST)
        h[j] = B[j, j]
    minimize_quadratic(B, m, h, q, w, lam, low, high, end, rounds, np.empty((6, m)))
