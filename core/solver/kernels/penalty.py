"""Weighted L1 norm with box constraints: proximal step and optimality violation, coordinate by coordinate.

One coordinate of the penalty is h(w) = lam |w| for low <= w <= high, and infinite elsewhere.
"""

from typing import Any

from inficond.core.solver.kernels.compilation import inline


@inline
def prox_step(w: float, gradient: float, curvature: float, lam: float, low: float, high: float) -> float:
    """Return the minimizer over v of gradient (v - w) + curvature (v - w)^2 / 2 + h(v)."""
    u = w - gradient / curvature
    t = lam / curvature
    if u > t:
        u -= t
    elif u < -t:
        u += t
    else:
        u = 0.0
    return min(max(u, low), high)


@inline
def violation(w: float, gradient: float, lam: float, low: float, high: float) -> float:
    """Return the distance of -gradient to the subdifferential of h at w."""
    v = -gradient
    if w > 0.0:
        a = v - lam
        b = a
    elif w < 0.0:
        a = v + lam
        b = a
    else:
        a = v - lam
        b = v + lam
    # [v - b, v - a] is the subdifferential of lam |.|; an active bound extends it to a half line.
    worst = 0.0
    if a > 0.0 and w < high:
        worst = a
    if b < 0.0 and w > low and -b > worst:
        worst = -b
    return worst


@inline
def violations(w: Any, gradient: Any, lam: Any, low: Any, high: Any, out: Any) -> float:
    """Compute `violation` of every coordinate without branches, and return the largest.

    Parameters
    ----------
    w, gradient, lam, low, high : (n,)
    out : (n,) written
    """
    for i in range(w.shape[0]):
        v = -gradient[i]
        x = w[i]
        a = v - (lam[i] if x >= 0.0 else -lam[i])
        b = v + (lam[i] if x <= 0.0 else -lam[i])
        up = a if x < high[i] else 0.0
        down = -b if x > low[i] else 0.0
        worst = up if up > down else down
        out[i] = worst if worst > 0.0 else 0.0
    zero = out[0] - out[0]
    m0 = m1 = m2 = m3 = zero
    i = 0
    while i + 4 <= w.shape[0]:
        m0 = max(m0, out[i])
        m1 = max(m1, out[i + 1])
        m2 = max(m2, out[i + 2])
        m3 = max(m3, out[i + 3])
        i += 4
    while i < w.shape[0]:
        m0 = max(m0, out[i])
        i += 1
    return max(max(m0, m1), max(m2, m3))
