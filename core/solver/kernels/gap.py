"""The certificate's sums over coordinates, block by block."""

from typing import Any

import numpy as np

from inficond.core.solver.kernels._compile import jit


@jit(
    double="void(f8[:,::1], f8[::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1], f8[:,::1],"
    " f8[::1], f8[::1], f8[::1])"
)
def young(
    dual: Any,
    reach: Any,
    weights: Any,
    lam: Any,
    low: Any,
    high: Any,
    noise: Any,
    kappa: Any,
    linear: Any,
    size: Any,
) -> None:
    """The step towards the targets that makes a dual point feasible, and the Fenchel-Young sum there.

    Parameters
    ----------
    dual, weights, lam, low, high, noise : (B, n), as for `certificate.gap`
    reach : (B,) above 1/2 the dual point is void
    kappa : (B,) out: 1 - the largest factor of the dual gradient that is feasible
    linear : (B,) out: sum of lam |w| + g' w + h*(-g')
    size : (B,) out: sum of lam |w|, less what the box forces it to be (the slack at p' = t)
    """
    B, n = dual.shape
    for b in range(B):
        keep = 1.0
        for j in range(n):
            g = dual[b, j]
            over = 0.0
            if high[b, j] == np.inf:
                over = -g
            if low[b, j] == -np.inf:
                over = max(over, g)
            if over > 0.0 and over > lam[b, j] - noise[b, j]:
                keep = min(keep, lam[b, j] / (over + noise[b, j]) if lam[b, j] > 0.0 else 0.0)
        if not reach[b] <= 0.5:
            keep = 0.0
        kappa[b] = 1.0 - keep
        total = 0.0
        slack = 0.0
        for j in range(n):
            g = dual[b, j] * keep
            w = weights[b, j]
            l = lam[b, j]
            inside = min(max(0.0, low[b, j]), high[b, j])
            best = -g * inside - l * abs(inside)
            if high[b, j] < np.inf:
                x = high[b, j]
                best = max(best, noise[b, j] * abs(x) - g * x - l * abs(x))
            if low[b, j] > -np.inf:
                x = low[b, j]
                best = max(best, noise[b, j] * abs(x) - g * x - l * abs(x))
            total += max(l * abs(w) + g * w + best, 0.0)
            slack += l * (abs(w) - abs(inside))
        linear[b] = total
        size[b] = slack
