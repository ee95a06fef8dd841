"""Losses: logits to loss, residual and curvature, in place."""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit
from inficond.core.solver.kernels.elementary import exp_negative, log1p_unit, log_positive

# Columns of `sums`, per class; CURVATURE, H01 and H11 are the Hessian by intercept and along the weights.
LOSS, RESIDUAL, CURVATURE, CHI2, PARTIAL_CURVATURE, H01, H11 = range(7)
N_SUMS = 7
BLOCK = 128  # rows summed in the precision of the data before they are added in float64


@inline
def sigmoid_loss_block(
    Z: Any, rows: int, T: Any, start: int, S: Any, offset: Any, bias: Any, V: Any, part: int, sums: Any,
    class_rows: Any,
) -> None:  # fmt: skip
    """Replace logits by weighted residuals of the binary cross-entropy, and add up loss and curvature.

    Parameters
    ----------
    Z : (C, >=rows) logits without offset; overwritten by s (p - t)
    rows : number of rows in this chunk
    T : (all classes, N) targets
    start : first row of this chunk within T and S
    S : (0, N) for no weights, (1, N) per row, or (all classes, N)
    offset : (C,) added to the logits
    bias : (C,) intercepts, the part of the logits that does not depend on the weights
    V : (C, >=part) written: s p (1 - p) of the first `part` rows
    part : number of rows in V
    sums : (C, N_SUMS) float64, added to
    class_rows : (C,) row of T (and S) of each class
    """
    weighted = S.shape[0] > 0
    per_class = S.shape[0] > 1
    for c in range(Z.shape[0]):
        o = offset[c]
        intercept = bias[c]
        zero = o - o
        one = zero + np.float32(1.0)
        k = class_rows[c]
        for low in range(0, rows, BLOCK):
            # Slices, and loops from 0: an index that may be negative prevents vectorization.
            high = min(low + BLOCK, rows)
            z = Z[c, low:high]
            t = T[k, start + low : start + high]
            n = z.shape[0]
            loss = zero
            residual = zero
            curvature = zero
            chi2 = zero
            h01 = zero
            h11 = zero
            if weighted:
                s = S[k if per_class else 0, start + low : start + high]
                for i in range(n):
                    eta = z[i] + o
                    e = exp_negative(-abs(eta))
                    inv = one / (one + e)
                    p = inv if eta >= zero else e * inv
                    r = p - t[i]
                    d = e * inv * inv
                    # Not max(eta, 0) - t eta: the two sums would be rounded, and their difference may be
                    # tiny.
                    loss += s[i] * (eta * ((one if eta >= zero else zero) - t[i]) + log1p_unit(e))
                    residual += s[i] * r
                    curvature += s[i] * d
                    u = eta - intercept
                    h01 += s[i] * d * u
                    h11 += s[i] * d * u * u
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
                    h01 += d * u
                    h11 += d * u * u
                    chi2 += r * r / d
                    z[i] = r
            sums[c, LOSS] += loss
            sums[c, RESIDUAL] += residual
            sums[c, CURVATURE] += curvature
            sums[c, CHI2] += chi2
            sums[c, H01] += h01
            sums[c, H11] += h11
        # p is recovered from the residual s (p - t) without another exponential.
        z = Z[c, :part]
        t = T[k, start : start + part]
        v = V[c, :part]
        partial = 0.0
        if weighted:
            s = S[k if per_class else 0, start : start + part]
            for i in range(part):
                p = (z[i] / s[i] if s[i] > zero else zero) + t[i]
                v[i] = s[i] * max(p * (one - p), zero)
                partial += v[i]
        else:
            for i in range(part):
                p = z[i] + t[i]
                v[i] = max(p * (one - p), zero)
                partial += v[i]
        sums[c, PARTIAL_CURVATURE] += partial


sigmoid_loss = jit(
    "void(f4[:,::1], i8, f4[:,::1], i8, f4[:,::1], f4[::1], f4[::1], f4[:,::1], i8, f8[:,::1], i8[::1])",
    "void(f8[:,::1], i8, f8[:,::1], i8, f8[:,::1], f8[::1], f8[::1], f8[:,::1], i8, f8[:,::1], i8[::1])",
)(sigmoid_loss_block.py_func)
"""`sigmoid_loss_block`, callable from Python."""


@inline
def softmax_loss_block(
    Z: Any, rows: int, T: Any, start: int, S: Any, offset: Any, P: Any, row_weight: Any, at: int, part: int,
    residual: Any, sums: Any,
) -> None:  # fmt: skip
    """Replace logits by weighted residuals of the cross-entropy, and add up loss and chi-square.

    Parameters
    ----------
    Z : (C, rows) logits without offset; overwritten by s (tau p - t), tau the sum of the targets of a row
    rows : number of rows in this chunk
    T : (C, N) targets
    start : first row of this chunk within T and S
    S : (0, N) for no weights, or (1, N)
    offset : (C,) added to the logits
    P, row_weight : (C, >=part) and (>=part,) written from column `at` up to `part`: probabilities and s tau
    residual : (C,) float64, added to
    sums : (2,) float64, added to: loss and chi-square
    """
    C = Z.shape[0]
    zero = offset[0] - offset[0]
    one = zero + np.float32(1.0)
    scratch = np.empty((5, BLOCK), Z.dtype)
    for low in range(0, rows, BLOCK):
        # Slices, and loops from 0, as above; branches on the weights stay outside the loops.
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
        partial = max(0, min(n, part - at - low))
        place = at + low
        chi = zero
        for c in range(C):
            z, t = Z[c, low:high], T[c, start + low : start + high]
            added = zero
            for i in range(n):
                z[i] *= whole[i]
            if partial > 0:
                p = P[c, place : place + partial]
                for i in range(partial):
                    p[i] = z[i]
            for i in range(n):
                q = tau[i] * z[i]
                r = q - t[i]
                # tau = 0: the residual is zero, and so is the variance it is divided by.
                chi += s[i] * (r * r / (q if tau[i] > zero else one))
                r *= s[i]
                added += r
                z[i] = r
            residual[c] += added
        sums[1] += chi
        if partial > 0:
            m = row_weight[place : place + partial]
            for i in range(partial):
                m[i] = tau[i] * s[i]


softmax_loss = jit(
    "void(f4[:,::1], i8, f4[:,::1], i8, f4[:,::1], f4[::1], f4[:,::1], f4[::1], i8, i8, f8[::1], f8[::1])",
    "void(f8[:,::1], i8, f8[:,::1], i8, f8[:,::1], f8[::1], f8[:,::1], f8[::1], i8, i8, f8[::1], f8[::1])",
)(softmax_loss_block.py_func)
"""`softmax_loss_block`, callable from Python."""


@jit("void(f4[::1], f4[::1])", "void(f8[::1], f8[::1])")
def binary_entropy(t: Any, out: Any) -> None:
    """Compute -t log t - (1 - t) log(1 - t) of each entry."""
    zero = t[0] - t[0]
    one = zero + np.float32(1.0)
    tiny = zero + np.float32(1e-37)
    for i in range(t.shape[0]):
        x = t[i]
        y = one - x
        out[i] = -(x * log_positive(max(x, tiny)) + y * log_positive(max(y, tiny)))


@jit("void(f4[:,::1], f4[::1], f8[::1])", "void(f8[:,::1], f8[::1], f8[::1])")
def softmax_entropy(T: Any, S: Any, total: Any) -> None:
    """Add sum_n s_n (tau_n log tau_n - sum_c t_cn log t_cn) to total[0], with tau_n = sum_c t_cn.

    Parameters
    ----------
    T : (C, N) targets
    S : (0,) for no weights, or (N,)
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
