"""Block coordinate descent of a softmax: one Newton step for each class after the other.

The probabilities of all rows stay in memory as ``E / total``; a step of one class changes its row of `E` and
the sums, so that a sweep over C classes costs C N exponentials and no product with all columns.
"""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.elementary import exp_negative, log1p_unit, log_positive

ROWS = 1024  # summed in the precision of the data
MAX_COORDINATE_ROUNDS = 100  # of coordinate descent on the quadratic model of a class
TOLERANCE = 1e-4  # squared step of a round relative to the first, at which coordinate descent stops
MAX_HALVINGS = 6
SUFFICIENT_DECREASE = 1e-3  # share of the predicted decrease that a step must achieve
RIDGE, SMALLEST = 1e-6, 1e-12  # of the second derivatives
NEGLIGIBLE = 1e-13  # predicted decrease below which a class stays
LEAST = 1e-30  # of an entry of E, which could not grow again from 0


def _signature_start(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    wide, places = numba.float64[::1], numba.int64[::1]
    return numba.float64(matrix, places, places, wide, wide, matrix, vector, vector, matrix, vector, vector)


@jit(_signature_start(numba.float32), _signature_start(numba.float64))
def start_sweeps(
    Z: Any, starts: Any, columns: Any, w: Any, bias: Any, T: Any, row_weight: Any, row_scale: Any, E: Any,
    top: Any, total: Any,
) -> float:  # fmt: skip
    """Compute E = exp(eta - top), its sums over the classes, and the loss.

    Parameters
    ----------
    Z : (J, N) columns in units of the solver
    starts : (C+1,) range of the coordinates of each class
    columns, w : (n,) rows of Z and weights of the coordinates
    bias : (C,)
    T : (C, N) targets
    row_weight, row_scale : (N,) weight of a row, with and without the sum of its targets, over the total
    E : (C, N) written
    top, total : (N,) written: largest eta and sum of E
    """
    C, N = E.shape
    kind = E.dtype.type
    linear = 0.0
    for c in range(C):
        e, t = E[c], T[c]
        e[:] = kind(bias[c])
        for a in range(starts[c], starts[c + 1]):
            f = kind(w[a])
            if f != 0:
                z = Z[columns[a]]
                for i in range(N):
                    e[i] += f * z[i]
        for low in range(0, N, ROWS):
            s = kind(0)
            for i in range(low, min(N, low + ROWS)):
                s += row_scale[i] * t[i] * e[i]
            linear += s
        if c == 0:
            top[:] = e
        else:
            for i in range(N):
                top[i] = max(top[i], e[i])
    total[:] = 0
    for c in range(C):
        e = E[c]
        for i in range(N):
            e[i] = max(exp_negative(e[i] - top[i]), kind(LEAST))
            total[i] += e[i]
    loss = 0.0
    for i in range(N):
        loss += row_weight[i] * (np.log(numba.float64(total[i])) + top[i])
    return loss - linear


@inline
def minimize_class_model(
    H: Any, g: Any, q: Any, d: Any, chosen: Any, m: int, w: Any, lam: Any, low: Any, high: Any
) -> float:
    """Minimize the quadratic model of m weights and an intercept; return the predicted decrease.

    d (m+1,) is the step, q the gradient of the model there; both are written.
    """
    for a in range(m + 1):
        q[a] = g[a]
        d[a] = 0.0
    first = 0.0
    for round_ in range(MAX_COORDINATE_ROUNDS):
        largest = 0.0
        for a in range(m + 1):
            h = H[a, a]
            if a < m:
                j = chosen[a]
                old = w[j] + d[a]
                u = old - q[a] / h
                bound = lam[j] / h
                new = u - bound if u > bound else (u + bound if u < -bound else 0.0)
                change = min(max(new, low[j]), high[j]) - old
            else:
                change = -q[a] / h
            if change != 0.0:
                d[a] += change
                for b in range(m + 1):
                    q[b] += change * H[a, b]
                largest = max(largest, change * change * h)
        if round_ == 0:
            first = largest
        if largest <= TOLERANCE * first:
            break
    predicted = -d[m] * 0.5 * (g[m] + q[m])
    for a in range(m):
        j = chosen[a]
        predicted -= d[a] * 0.5 * (g[a] + q[a]) + lam[j] * (abs(w[j] + d[a]) - abs(w[j]))
    return predicted


def _signature_sweep(f: Any) -> Any:
    vector, matrix = f[::1], f[:, ::1]
    wide, places = numba.float64[::1], numba.int64[::1]
    return numba.float64(
        matrix, places, places, wide, wide, wide, wide, wide, matrix, vector, vector, matrix, vector,
        numba.int64,
    )  # fmt: skip


@jit(_signature_sweep(numba.float32), _signature_sweep(numba.float64))
def sweep_classes(
    Z: Any, starts: Any, columns: Any, w: Any, bias: Any, lam: Any, low: Any, high: Any, T: Any,
    row_weight: Any, row_scale: Any, E: Any, total: Any, most: int,
) -> float:  # fmt: skip
    """Take a Newton step in the coordinates of each class, one class after the other; return the decrease.

    Parameters
    ----------
    Z, starts, columns, T, row_weight, row_scale : as for `start_sweeps`
    w, bias, E, total : updated
    lam, low, high : (n,) penalty and bounds of the coordinates
    most : largest number of coordinates of a class
    """
    C, N = E.shape
    kind = E.dtype.type
    zero, one, half = kind(0), kind(1), kind(0.5)
    p, r, v, factor = np.empty(N, E.dtype), np.empty(N, E.dtype), np.empty(N, E.dtype), np.empty(N, E.dtype)
    vz, relative = np.empty(ROWS, E.dtype), np.empty(ROWS, E.dtype)
    H = np.empty((most + 1, most + 1))
    g, d, q = np.empty(most + 1), np.empty(most + 1), np.empty(most + 1)
    chosen = np.empty(most + 1, np.int64)
    decrease = 0.0
    for c in range(C):
        e, t = E[c], T[c]
        g_bias = h_bias = 0.0
        for first in range(0, N, ROWS):
            sum_r = sum_v = zero
            for i in range(first, min(N, first + ROWS)):
                share = e[i] / total[i]
                x = row_weight[i] * share
                slope = x - row_scale[i] * t[i]
                curvature = x * (one - share)
                p[i], r[i], v[i] = share, slope, curvature
                sum_r += slope
                sum_v += curvature
            g_bias += sum_r
            h_bias += sum_v
        m = 0
        for a in range(starts[c], starts[c + 1]):
            z = Z[columns[a]]
            gradient = 0.0
            for first in range(0, N, ROWS):
                s = zero
                for i in range(first, min(N, first + ROWS)):
                    s += r[i] * z[i]
                gradient += s
            if w[a] != 0.0 or abs(gradient) > lam[a]:
                chosen[m], g[m] = a, gradient
                m += 1
        H[: m + 1, : m + 1] = 0.0
        g[m], H[m, m] = g_bias, h_bias
        for first in range(0, N, ROWS):
            n = min(N, first + ROWS) - first
            for a in range(m):
                z = Z[columns[chosen[a]]]
                s = zero
                for i in range(n):
                    x = v[first + i] * z[first + i]
                    vz[i] = x
                    s += x
                H[m, a] += s
                for b in range(a + 1):
                    y = Z[columns[chosen[b]]]
                    s = zero
                    for i in range(n):
                        s += vz[i] * y[first + i]
                    H[a, b] += s
        for a in range(m + 1):
            H[a, a] = H[a, a] * (1.0 + RIDGE) + SMALLEST
            for b in range(a):
                H[b, a] = H[a, b]
        predicted = minimize_class_model(H, g, q, d, chosen, m, w, lam, low, high)
        if not predicted > NEGLIGIBLE:
            continue
        step = 1.0
        for _ in range(MAX_HALVINGS):
            factor[:] = kind(step * d[m])
            change = 0.0
            for a in range(m):
                f = kind(step * d[a])
                if f != zero:
                    z = Z[columns[chosen[a]]]
                    for i in range(N):
                        factor[i] += f * z[i]
                j = chosen[a]
                change += lam[j] * (abs(w[j] + step * d[a]) - abs(w[j]))
            for first in range(0, N, ROWS):
                n = min(N, first + ROWS) - first
                largest = s = zero
                for i in range(n):
                    x = factor[first + i]
                    k = exp_negative(-abs(x))
                    k = one / k if x > zero else k
                    factor[first + i] = k
                    u = (k - one) * p[first + i]
                    relative[i] = u
                    largest = max(largest, abs(u))
                    s -= row_scale[first + i] * t[first + i] * x
                if largest <= half:
                    for i in range(n):
                        s += row_weight[first + i] * log1p_unit(relative[i])
                else:
                    for i in range(n):
                        s += row_weight[first + i] * log_positive(one + relative[i])
                change += s
            if change <= -SUFFICIENT_DECREASE * step * predicted:
                for i in range(N):
                    new = max(e[i] * factor[i], kind(LEAST))
                    total[i] += new - e[i]
                    e[i] = new
                for a in range(m):
                    w[chosen[a]] += step * d[a]
                bias[c] += step * d[m]
                decrease -= change
                break
            step *= 0.5
    return decrease
