"""The objective, its gradient and a reference optimum in float64, written plainly."""

import numpy as np
from scipy.optimize import minimize


def normalised(sample_weight, N, C):
    """Sample weights as (N, C) that sum to 1 in each class."""
    s = np.ones((N, C)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    s = np.broadcast_to(s[:, None], (N, C)) if s.ndim == 1 else s
    return s / s.sum(0)


def logits(X, r):
    """(N, C) in float64, from the result's own standardisation."""
    Z = (np.asarray(X, np.float64) - r.mean) / r.scale
    return Z, Z @ r.weights.T + r.bias


def objective(X, T, r, sample_weight=None):
    """What the result's weights really cost: (C,), or (1,) for softmax."""
    N, C = T.shape
    T = np.asarray(T, np.float64)
    _, E = logits(X, r)
    s = normalised(sample_weight, N, C)
    if r.link == "sigmoid":
        return (s * (np.logaddexp(0, E) - T * E)).sum(0) + r.lam * np.abs(r.weights).sum(1)
    top = E.max(1)
    loss = (np.log(np.exp(E - top[:, None]).sum(1)) + top) * T.sum(1) - (T * E).sum(1)
    return np.array([(s[:, 0] * loss).sum() + r.lam * np.abs(r.weights).sum()])


def gradient(X, T, r, sample_weight=None):
    """(C, K) and (C,): derivatives of the loss by weights and biases."""
    N, C = T.shape
    Z, E = logits(X, r)
    s = normalised(sample_weight, N, C)
    if r.link == "sigmoid":
        R = s * (1 / (1 + np.exp(-np.clip(E, -700, 700))) - T)
    else:
        P = np.exp(E - E.max(1, keepdims=True))
        R = s * (P / P.sum(1, keepdims=True) * T.sum(1, keepdims=True) - T)
    return R.T @ Z, R.sum(0)


def violations(X, T, r, lower=None, upper=None, sample_weight=None):
    """(C, K): how far each weight is from the optimality conditions of penalty and box."""
    g, _ = gradient(X, T, r, sample_weight)
    w, lam = r.weights, r.lam
    lower = np.full(w.shape, -np.inf) if lower is None else lower
    upper = np.full(w.shape, np.inf) if upper is None else upper
    right = g + np.where(w >= 0, lam, -lam)  # slope of the objective towards larger weights
    left = g + np.where(w > 0, lam, -lam)  # and towards smaller ones
    return np.maximum(np.where(w < upper, -right, 0), np.where(w > lower, left, 0)).clip(0)


def optimum(X, T, r, c, lower=None, upper=None, sample_weight=None):
    """The least objective that L-BFGS-B finds for class c (sigmoid), weights split by sign."""
    N, C = T.shape
    K = X.shape[1]
    Z = (np.asarray(X, np.float64) - r.mean) / r.scale
    t = np.asarray(T[:, c], np.float64)
    s = normalised(sample_weight, N, C)[:, c]
    low = np.full(K, -np.inf) if lower is None else lower[c]
    high = np.full(K, np.inf) if upper is None else upper[c]

    def value(u):
        w = u[:K] - u[K:-1]
        e = Z @ w + u[-1]
        residual = s * (1 / (1 + np.exp(-np.clip(e, -700, 700))) - t)
        g = Z.T @ residual
        return (s * (np.logaddexp(0, e) - t * e)).sum() + r.lam * u[:-1].sum(), np.r_[
            g + r.lam, r.lam - g, residual.sum()
        ]

    positive = [(max(0.0, a), max(0.0, b)) for a, b in zip(low, high)]
    negative = [(max(0.0, -b), max(0.0, -a)) for a, b in zip(low, high)]
    start = np.r_[[a for a, _ in positive], [a for a, _ in negative], r.bias[c]]
    warm = np.r_[np.maximum(r.weights[c], 0), np.maximum(-r.weights[c], 0), r.bias[c]]
    bounds = [*positive, *negative, (None, None)]
    options = {"maxiter": 5000, "maxfun": 10000, "ftol": 1e-15, "gtol": 1e-9}
    best = np.inf
    for u in (start, warm):
        best = min(best, minimize(value, u, jac=True, method="L-BFGS-B", bounds=bounds, options=options).fun)
    return best
