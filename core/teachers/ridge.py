"""L2-penalised linear classifiers on dense features, fitted by L-BFGS.

Minimises ``mean_n loss(t_n, W f_n + b) + l2 / 2 · ‖W‖²`` where the loss is the cross-entropy of a softmax
over the classes, or of one sigmoid per class. The intercept is not penalised. The search direction is the
two-loop recursion of Nocedal and Wright, *Numerical Optimization* (2006), algorithm 7.4, with backtracking on
the Armijo condition.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Objective = Callable[[Vector], tuple[float, Vector]]
MEMORY = 12
"""Pairs of steps and gradient changes that approximate the curvature."""
ARMIJO = 1e-4


@dataclass(frozen=True)
class LinearClassifier:
    """A linear classifier over standardised features.

    Parameters
    ----------
    weights : (C, D) float64
    bias : (C,) float64
    mean, scale : (D,) float64
        Features are used as ``(f - mean) / scale``.
    link : {"sigmoid", "softmax"}
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    link: str

    def predict(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the probabilities (N, C) of features (N, D)."""
        z = (np.asarray(features, np.float64) - self.mean) / self.scale
        return probabilities(z @ self.weights.T + self.bias, self.link)


def probabilities(logits: NDArray[np.float64], link: str) -> NDArray[np.float64]:
    """Return softmax probabilities over the last axis, or the sigmoid of each logit."""
    if link == "sigmoid":
        return 0.5 * (1.0 + np.tanh(0.5 * logits))
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def fit_ridge(
    features: NDArray[np.floating],
    targets: NDArray[np.floating],
    l2: float,
    link: str = "softmax",
    *,
    init: LinearClassifier | None = None,
    tol: float = 1e-4,
    max_iter: int = 300,
) -> LinearClassifier:
    """Fit an L2-penalised linear classifier.

    Parameters
    ----------
    features : (N, D)
        Standardised here, by their mean and standard deviation.
    targets : (N, C)
        Probabilities. NaN marks an unknown value of one class (sigmoid only); it does not enter the loss.
    l2 : float
        Penalty on standardised features.
    link : {"sigmoid", "softmax"}
    init : LinearClassifier, optional
        Start of the search, over features of the same scale.
    tol : float
        The search ends when the largest gradient component is below ``tol``.
    max_iter : int
        Most iterations.

    Returns
    -------
    LinearClassifier
    """
    F = np.asarray(features, np.float64)
    mean, scale = F.mean(axis=0), F.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    Z = ((F - mean) / scale).astype(np.float32)  # products in single precision, the search in double
    T = np.asarray(targets, np.float64)
    known = np.isfinite(T)
    T = np.where(known, T, 0.0)
    count = np.maximum(known.sum(axis=0), 1) if link == "sigmoid" else len(Z)
    C, D = T.shape[1], Z.shape[1]

    def evaluate(theta: Vector) -> tuple[float, Vector]:
        W, b = theta[: C * D].reshape(C, D), theta[C * D :]
        logits = (Z @ W.T.astype(np.float32)).astype(np.float64) + b
        if link == "sigmoid":
            loss = (known * (np.logaddexp(0.0, logits) - T * logits) / count).sum()
        else:
            top = logits.max(axis=1)
            partition = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
            loss = (T.sum(axis=1) * partition - (T * logits).sum(axis=1)).sum() / count
        residual = (
            known * (probabilities(logits, link) - T)
            if link == "sigmoid"
            else T.sum(axis=1, keepdims=True) * probabilities(logits, link) - T
        ) / count
        gradient = np.concatenate(
            [(residual.T.astype(np.float32) @ Z + l2 * W).ravel(), residual.sum(axis=0)]
        )
        return float(loss + 0.5 * l2 * (W**2).sum()), gradient

    theta = np.zeros(C * D + C) if init is None else np.concatenate([init.weights.ravel(), init.bias])
    theta = _minimise(evaluate, theta, tol, max_iter)
    return LinearClassifier(theta[: C * D].reshape(C, D), theta[C * D :], mean, scale, link)


def _minimise(evaluate: Objective, theta: Vector, tol: float, max_iter: int) -> Vector:
    """Minimise a smooth function by L-BFGS."""
    value, gradient = evaluate(theta)
    pairs: list[tuple[Vector, Vector, float]] = []
    for _ in range(max_iter):
        if np.abs(gradient).max() < tol:
            break
        direction: Vector = -gradient
        alphas: list[float] = []
        for s, y, rho in reversed(pairs):
            alphas.append(rho * float(s @ direction))
            direction = direction - alphas[-1] * y
        if pairs:
            s, y, _rho = pairs[-1]
            direction = direction * ((s @ y) / (y @ y))
        for (s, y, rho), alpha in zip(pairs, reversed(alphas)):
            direction = direction + (alpha - rho * (y @ direction)) * s
        slope = float(gradient @ direction)
        step = 1.0 if pairs else 1.0 / max(1.0, float(np.abs(gradient).sum()))
        for _backtrack in range(40):
            moved = theta + step * direction
            new_value, new_gradient = evaluate(moved)
            if new_value <= value + ARMIJO * step * slope:
                break
            step *= 0.5
        else:
            break
        s, y = moved - theta, new_gradient - gradient
        if s @ y > 1e-12 * (y @ y):
            pairs = [*pairs[-(MEMORY - 1) :], (s, y, 1.0 / float(s @ y))]
        theta, value, gradient = moved, new_value, new_gradient
    return theta
