"""Logits to loss, residual and curvature, once per pass, in place."""

from typing import Any

import numba
import numpy as np

from inficond.core.solver.kernels._compile import inline, jit, read_only_rows
from inficond.core.solver.kernels.elementary import exp_negative, log1p_unit, log_positive

# Columns of `sums`, per class: what one pass over the rows adds up.
LOSS, RESIDUAL, CURVATURE, CHI2, CURVATURE_PART, RAY, RAY2 = range(7)
BLOCK = 128  # rows summed in the data's own precision before they are added in float64


@inline
def sigmoid_block(
    Z: Any, rows: int, T: Any, start: int, S: Any, offset: Any, bias: Any, V: Any, part: int, sums: Any,
    classes: Any,
) -> None:  # fmt: skip
    """Turn logits into weighted residuals and add up what the solver needs.

    Parameters
    ----------
    Z : (C, >=rows) in: logits without offset; out: s (p - t)
    T : (all classes, N) targets
    start : first row of this chunk within T and S
    S : (0, N) no weights, (1, N) per row, or (all classes, N)
    offset : (C,) added to the logits
    bias : (C,) the part of the logits that is not of the weights
    V : (C, >=part) out: s p (1 - p) of the first `part` rows
    sums : (C, 7) float64, added to; columns as named above
    classes : (C,) row of T (and S) of each class
    """
    weighted = S.shape[0] > 0
    per_class = S.shape[0] > 1
    for c in range(Z.shape[0]):
        o = offset[c]
        intercept = bias[c]
        zero = o - o
        one = zero + np.float32(1.0)
        k = classes[c]
        for low in range(0, rows, BLOCK):
            # Slices, and loops from 0: an index that might be negative would keep the loop from vectorising.
            high = min(low + BLOCK, rows)
            z = Z[c, low:high]
            t = T[k, start + low : start + high]
            n = z.shape[0]
            loss = zero
            residual = zero
            curvature = zero
            chi2 = zero
            ray = zero
            ray2 = zero
            if weighted:
                s = S[k if per_class else 0, start + low : start + high]
                for i in range(n):
                    eta = z[i] + o
                    e = exp_negative(-abs(eta))
                    inv = one / (one + e)
                    p = inv if eta >= zero else e * inv
                    r = p - t[i]
                    d = e * inv * inv
                    # Not max(eta, 0) - t eta: sums of either would be rounded where their difference is tiny.
                    loss += s[i] * (eta * ((one if eta >= zero else zero) - t[i]) + log1p_unit(e))
                    residual += s[i] * r
                    curvature += s[i] * d
                    u = eta - intercept
                    ray += s[i] * d * u
                    ray2 += s[i] * d * u * u
                    chi2 += s[i] * (r * r / d)
                    z[i] = s[i] * r
            else:
                for i in range(n):
                    eta = z[i] + o
                    e = exp_negative(-abs(eta))
                    inv = one / (one + e)
                    p = inv if eta >= zero else e * inv
                    r = p - t[i]
                    d = e * inv * inv
                    loss += eta * ((one if eta >= zero else zero) - t[i]) + log1p_unit(e)
                    residual += r
                    curvature += d
                    u = eta - intercept
                    ray += d * u
                    ray2 += d * u * u
                    chi2 += r * r / d
                    z[i] = r
            sums[c, LOSS] += loss
            sums[c, RESIDUAL] += residual
            sums[c, CURVATURE] += curvature
            sums[c, CHI2] += chi2
            sums[c, RAY] += ray
            sums[c, RAY2] += ray2
        # The residual is s (p - t), so p comes back without another exponential.
        z = Z[c, :part]
        t = T[k, start : start + part]
        v = V[c, :part]
        kept = 0.0
        if weighted:
            s = S[k if per_class else 0, start : start + part]
            for i in range(part):
                p = (z[i] / s[i] if s[i] > zero else zero) + t[i]
                v[i] = s[i] * max(p * (one - p), zero)
                kept += v[i]
        else:
            for i in range(part):
                p = z[i] + t[i]
                v[i] = max(p * (one - p), zero)
                kept += v[i]
        sums[c, CURVATURE_PART] += kept


sigmoid_pass = jit(
    "void(f4[:,::1], i8, f4[:,::1], i8, f4[:,::1], f4[::1], f4[::1], f4[:,::1], i8, f8[:,::1], i8[::1])",
    "void(f8[:,::1], i8, f8[:,::1], i8, f8[:,::1], f8[::1], f8[::1], f8[:,::1], i8, f8[:,::1], i8[::1])",
)(sigmoid_block.py_func)
"""`sigmoid_block`, for Python to call."""


@jit(
    numba.void(
        read_only_rows(numba.float32), numba.int64, numba.int64, numba.float64[::1], numba.float64[::1]
    ),
    numba.void(
        read_only_rows(numba.float64), numba.int64, numba.int64, numba.float64[::1], numba.float64[::1]
    ),
)
def moments(X: Any, low: int, high: int, total: Any, squares: Any) -> None:
    """Add each column's sum and sum of squares, both about the first row, over rows low to high."""
    K = X.shape[1]
    first = X[0]
    for a in range(low, high, 64):
        b = min(a + 64, high)
        part = np.zeros(K, X.dtype)
        square = np.zeros(K, X.dtype)
        for i in range(a, b):
            x = X[i]
            for k in range(K):
                d = x[k] - first[k]
                part[k] += d
                square[k] += d * d
        for k in range(K):
            total[k] += part[k]
            squares[k] += square[k]


@inline
def softmax_block(
    Z: Any, rows: int, T: Any, start: int, S: Any, offset: Any, P: Any, mass: Any, at: int, part: int,
    residual: Any, sums: Any,
) -> None:  # fmt: skip
    """Turn logits into weighted residuals and add up what the solver needs.

    Parameters
    ----------
    Z : (C, rows) in: logits without offset; out: s (tau p - t), tau the sum of the row's targets
    T : (C, N) targets
    start : first row of this chunk within T and S
    S : (0, N) no weights or (1, N)
    offset : (C,) added to the logits
    P, mass : (C, >=part) and (>=part,) out from `at` on: probabilities and s tau, up to `part`
    residual : (C,) float64, added to
    sums : (2,) float64, added to: loss and chi2
    """
    C = Z.shape[0]
    zero = offset[0] - offset[0]
    one = zero + np.float32(1.0)
    scratch = np.empty((5, BLOCK), Z.dtype)
    for low in range(0, rows, BLOCK):
        # Slices, and loops from 0, as above; what depends on the weights is decided outside the loops.
        high = min(low + BLOCK, rows)
        n = high - low
        top, whole, tau, dot = scratch[0, :n], scratch[1, :n], scratch[2, :n], scratch[3, :n]
        s = scratch[4, :n]
        weighted = S.shape[0] > 0
        first, o = Z[0, low:high], offset[0]
        for i in range(n):
            top[i] = first[i] + o
            whole[i] = zero
            tau[i] = zero
            dot[i] = zero
            s[i] = one
        if weighted:
            given = S[0, start + low : start + high]
            for i in range(n):
                s[i] = given[i]
        for c in range(1, C):
            z, o = Z[c, low:high], offset[c]
            for i in range(n):
                top[i] = max(top[i], z[i] + o)
        for c in range(C):
            z, t, o = Z[c, low:high], T[c, start + low : start + high], offset[c]
            for i in range(n):
                eta = z[i] + o - top[i]
                e = exp_negative(eta)
                whole[i] += e
                tau[i] += t[i]
                dot[i] += t[i] * eta
                z[i] = e
        loss = 0.0
        for i in range(n):
            loss += s[i] * (tau[i] * log_positive(whole[i]) - dot[i])
            whole[i] = one / whole[i]
        sums[0] += loss
        kept = max(0, min(n, part - at - low))
        place = at + low
        chi = zero
        for c in range(C):
            z, t = Z[c, low:high], T[c, start + low : start + high]
            added = zero
            for i in range(n):
                z[i] *= whole[i]
            if kept > 0:
                p = P[c, place : place + kept]
                for i in range(kept):
                    p[i] = z[i]
            for i in range(n):
                q = tau[i] * z[i]
                r = q - t[i]
                # Without targets there is neither a residual nor what to divide it by.
                chi += s[i] * (r * r / (q if tau[i] > zero else one))
                r *= s[i]
                added += r
                z[i] = r
            residual[c] += added
        sums[1] += chi
        if kept > 0:
            m = mass[place : place + kept]
            for i in range(kept):
                m[i] = tau[i] * s[i]


softmax_pass = jit(
    "void(f4[:,::1], i8, f4[:,::1], i8, f4[:,::1], f4[::1], f4[:,::1], f4[::1], i8, i8, f8[::1], f8[::1])",
    "void(f8[:,::1], i8, f8[:,::1], i8, f8[:,::1], f8[::1], f8[:,::1], f8[::1], i8, i8, f8[::1], f8[::1])",
)(softmax_block.py_func)
"""`softmax_block`, for Python to call."""


@jit("void(f4[::1], f4[::1])", "void(f8[::1], f8[::1])")
def binary_entropy(t: Any, out: Any) -> None:
    """-t log t - (1 - t) log(1 - t) of each entry."""
    zero = t[0] - t[0]
    one = zero + np.float32(1.0)
    tiny = zero + np.float32(1e-37)
    for i in range(t.shape[0]):
        x = t[i]
        y = one - x
        out[i] = -(x * log_positive(max(x, tiny)) + y * log_positive(max(y, tiny)))


@jit("void(f4[:,::1], f4[::1], f8[::1])", "void(f8[:,::1], f8[::1], f8[::1])")
def entropies(T: Any, S: Any, total: Any) -> None:
    """total[0] += sum_n s_n (tau_n log tau_n - sum_c t_cn log t_cn) of targets T (C, N), tau their sum.

    Parameters
    ----------
    T : (C, N) targets
    S : (0,) no weights or (N,)
    total : (1,) float64, added to
    """
    C, N = T.shape
    zero = T[0, 0] - T[0, 0]
    tiny = zero + np.float32(1e-37)
    tau = np.empty(BLOCK, T.dtype)
    h = np.empty(BLOCK, T.dtype)
    for low in range(0, N, BLOCK):
        n = min(BLOCK, N - low)
        tau[:] = zero
        h[:] = zero
        for c in range(C):
            t = T[c, low : low + n]
            for i in range(n):
                x = t[i]
                tau[i] += x
                h[i] -= x * log_positive(max(x, tiny))
        for i in range(n):
            h[i] += tau[i] * log_positive(max(tau[i], tiny))
        if S.shape[0] > 0:
            for i in range(n):
                h[i] *= S[low + i]
        for i in range(n):
            total[0] += h[i]
