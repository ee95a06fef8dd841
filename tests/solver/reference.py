"""Reference implementation in float64: objective, gradient, optimality conditions and optimum."""

import numpy as np
from scipy.optimize import minimize


def normalised(sample_weight, N, C):
    """Return sample weights (N, C) that sum to 1 in each class."""
    s = np.ones((N, C)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    s = np.broadcast_to(s[:, None], (N, C)) if s.ndim == 1 else s
    return s / s.sum(0)


def multipliers(r):
    """Return lam times the multipliers of the result, (C, K), with excluded weights unpenalized."""
    m = np.ones(r.weights.shape) if r.penalty is None else np.where(np.isinf(r.penalty), 0.0, r.penalty)
    return r.lam * m


def logits(X, r):
    """Return standardized rows and logits (N, C) in float64."""
    Z = (np.asarray(X, np.float64) - r.mean) / r.scale
    return Z, Z @ r.weights.T + r.bias


def objective(X, T, r, sample_weight=None):
    """Return the objective at the weights of a result: (C,), or (1,) for softmax."""
    N, C = T.shape
    T = np.asarray(T, np.float64)
    _, E = logits(X, r)
    s = normalised(sample_weight, N, C)
    penalty = (multipliers(r) * np.abs(r.weights)).sum(1)
    if r.link == "sigmoid":
        return (s * (np.logaddexp(0, E) - T * E)).sum(0) + penalty
    top = E.max(1)
    loss = (np.log(np.exp(E - top[:, None]).sum(1)) + top) * T.sum(1) - (T * E).sum(1)
    return np.array([(s[:, 0] * loss).sum() + penalty.sum()])


def gradient(X, T, r, sample_weight=None):
    """Return the derivatives of the loss by weights (C, K) and biases (C,)."""
    N, C = T.shape
    Z, E = logits(X, r)
    s = normalised(sample_weight, N, C)
    if r.link == "sigmoid":
        R = s * (1 / (1 + np.exp(-np.clip(E, -700, 700))) - T)
    else:
        P = np.exp(E - E.max(1, keepdims=True))
        R = s * (P / P.sum(1, keepdims=True) * T.sum(1, keepdims=True) - T)
    return R.T @ Z, R.sum(0)


def bounds(r, lower, upper):
    """Return the bounds (C, K), with excluded weights fixed at 0."""
    excluded = np.zeros(r.weights.shape, bool) if r.penalty is None else np.isinf(r.penalty)
    low = np.full(r.weights.shape, -np.inf) if lower is None else lower
    high = np.full(r.weights.shape, np.inf) if upper is None else upper
    return np.where(excluded, 0.0, low), np.where(excluded, 0.0, high)


def violations(X, T, r, lower=None, upper=None, sample_weight=None):
    """Return the distance (C, K) of each gradient to the optimality conditions of penalty and box."""
    g, _ = gradient(X, T, r, sample_weight)
    w, lam = r.weights, multipliers(r)
    lower, upper = bounds(r, lower, upper)
    right = g + np.where(w >= 0, lam, -lam)  # slope of the objective towards larger weights
    left = g + np.where(w > 0, lam, -lam)  # and towards smaller ones
    return np.maximum(np.where(w < upper, -right, 0), np.where(w > lower, left, 0)).clip(0)


def optimum(X, T, r, c, lower=None, upper=None, sample_weight=None):
    """Return the smallest objective that L-BFGS-B finds for class c (sigmoid), with weights split by sign."""
    N, C = T.shape
    K = X.shape[1]
    Z = (np.asarray(X, np.float64) - r.mean) / r.scale
    t = np.asarray(T[:, c], np.float64)
    s = normalised(sample_weight, N, C)[:, c]
    low, high = (bound[c] for bound in bounds(r, lower, upper))
    lam = multipliers(r)[c]

    def value(u):
        w = u[:K] - u[K:-1]
        e = Z @ w + u[-1]
        residual = s * (1 / (1 + np.exp(-np.clip(e, -700, 700))) - t)
        g = Z.T @ residual
        return (s * (np.logaddexp(0, e) - t * e)).sum() + (lam * (u[:K] + u[K:-1])).sum(), np.r_[
            g + lam, lam - g, residual.sum()
        ]

    positive = [(max(0.0, a), max(0.0, b)) for a, b in zip(low, high)]
    negative = [(max(0.0, -b), max(0.0, -a)) for a, b in zip(low, high)]
    start = np.r_[[a for a, _ in positive], [a for a, _ in negative], r.bias[c]]
    warm = np.r_[np.maximum(r.weights[c], 0), np.maximum(-r.weights[c], 0), r.bias[c]]
    intervals = [*positive, *negative, (None, None)]
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-9}
    best = np.inf
    for u in (start, warm):
        best = min(
            best, minimize(value, u, jac=True, method="L-BFGS-B", bounds=intervals, options=options).fun
        )
    return best
