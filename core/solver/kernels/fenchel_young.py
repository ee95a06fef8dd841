"""Sums over coordinates for the duality gap, block by block."""

from typing import Any

import numpy as np

from inficond.core.solver.kernels.compilation import inline, jit


@inline
def _minimum(x: Any) -> float:
    """Return the smallest entry of a vector, or 1 if all are larger."""
    m0 = m1 = m2 = m3 = 1.0
    i = 0
    while i + 4 <= x.shape[0]:
        m0 = min(m0, x[i])
        m1 = min(m1, x[i + 1])
        m2 = min(m2, x[i + 2])
        m3 = min(m3, x[i + 3])
        i += 4
    while i < x.shape[0]:
        m0 = min(m0, x[i])
        i += 1
    return min(min(m0, m1), min(m2, m3))


@jit(
    double="void(f8[:,::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1],"
    " f8[::1], f8[::1], f8[::1])"
)
def fenchel_young(
    dual: Any, dual_step: Any, weights: Any, lam: Any, low: Any, high: Any, gradient_error: Any, kappa: Any,
    linear: Any, penalty_slack: Any,
) -> None:  # fmt: skip
    """Scale a dual point to feasibility, and sum the Fenchel-Young terms there.

    Parameters
    ----------
    dual, weights, lam, low, high, gradient_error : (B, n), as for `certificate.duality_gap`
    dual_step : (B,) the dual point is invalid above 1/2
    kappa : (B,) written: 1 - the largest factor of the dual gradient that is feasible
    linear : (B,) written: sum of lam |w| + g' w + h*(-g')
    penalty_slack : (B,) written: sum of lam |w| minus its minimum over the box, the same sum at p' = t
    """
    B, n = dual.shape
    factors = np.empty(n)
    for b in range(B):
        # No branches, so that the loops vectorize.
        d, w, l, e = dual[b], weights[b], lam[b], gradient_error[b]
        lo, hi = low[b], high[b]
        for j in range(n):
            up = -d[j] if hi[j] == np.inf else 0.0
            down = d[j] if lo[j] == -np.inf else 0.0
            over = max(max(up, down), 0.0)
            inside = over <= max(l[j] - e[j], 0.0)
            factors[j] = 1.0 if inside else l[j] / (over + e[j])
        keep = _minimum(factors)
        if not dual_step[b] <= 0.5:
            keep = 0.0
        kappa[b] = 1.0 - keep
        total = 0.0
        slack = 0.0
        for j in range(n):
            g = d[j] * keep
            inside = min(max(0.0, lo[j]), hi[j])
            # h*(-g) is attained at 0 (or the point of the box nearest to it) or at a finite bound.
            x = hi[j] if hi[j] < np.inf else inside
            y = lo[j] if lo[j] > -np.inf else inside
            best = -g * inside - l[j] * abs(inside)
            best = max(best, e[j] * abs(x) - g * x - l[j] * abs(x))
            best = max(best, e[j] * abs(y) - g * y - l[j] * abs(y))
            total += max(l[j] * abs(w[j]) + g * w[j] + best, 0.0)
            slack += l[j] * (abs(w[j]) - abs(inside))
        linear[b] = total
        penalty_slack[b] = slack
