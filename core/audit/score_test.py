"""Test of many features at once: does the truth depend on a feature that the student misjudges?

The model is a logistic regression of the truth on the student's logit. The score of a feature is the
derivative of its log-likelihood by the weight of that feature. Under the null hypothesis its contributions
are symmetric, so flipping their signs source by source gives the distribution of the scores (Hemerik, Goeman
and Finos 2020, "Robust testing in generalized linear models by sign flipping score contributions"). The
largest standardised score over all features, under common flips, corrects for the number of features and
their correlation (the single-step maxT procedure of Westfall and Young 1993).
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver.threads import single_threaded_blas

FLIPS = 1999
LEAST_SOURCES = 8
_BLOCK = 500
Float64 = NDArray[np.float64]


def max_score_test(
    features: NDArray[np.floating],
    truth: NDArray[np.bool_],
    nuisance: NDArray[np.floating],
    sources: NDArray[np.intp] | None = None,
    signs: NDArray[np.floating] | None = None,
    flips: int = FLIPS,
    seed: int = 0,
) -> tuple[Float64, Float64]:
    """Return the standardised score of each feature and its p-value, corrected for all features.

    Parameters
    ----------
    features : array (n, F)
    truth : array (n,), bool
        The response.
    nuisance : array (n, q)
        Columns that the model contains, such as the student's logit; an intercept is added.
    sources : array (n,), int, optional
        Images of equal value share a source, whose contributions are flipped together.
    signs : array (F,), optional
        Direction of a one-sided test of each feature; two-sided by default.
    flips : int
        Number of random sign flips.
    seed : int
        Of the flips.

    Returns
    -------
    z : array (F,)
        Standardised scores; 0 for a constant feature.
    p : array (F,)
        Corrected p-values, at least 1/(flips + 1); 1 for all features if there are fewer than
        `LEAST_SOURCES` sources or the truth is constant.
    """
    n, F = features.shape
    z, p = np.zeros(F), np.ones(F)
    if F == 0 or n == 0 or truth.all() or not truth.any():
        return z, p
    Z = np.column_stack([np.ones(n), nuisance]).astype(np.float64)
    spread = Z.std(axis=0)
    Z[:, 1:] = (Z[:, 1:] - Z[:, 1:].mean(axis=0)) / np.maximum(spread[1:], 1e-9)
    mu = _logistic(Z, truth.astype(np.float64))
    weight = np.maximum(mu * (1 - mu), 1e-6)
    A = np.asarray(features, np.float64)
    inner = (Z * weight[:, None]).T @ Z + 1e-9 * n * np.eye(Z.shape[1])
    A = A - Z @ np.linalg.solve(inner, (Z * weight[:, None]).T @ A)
    contributions = A * (truth - mu)[:, None]
    if sources is not None:
        names, member = np.unique(sources, return_inverse=True)
        summed = np.zeros((len(names), F))
        np.add.at(summed, member, contributions)
        contributions = summed
    if len(contributions) < LEAST_SOURCES:
        return z, p
    norm = np.sqrt((contributions**2).sum(axis=0))
    scaled = contributions / np.where(norm > 1e-9 * np.sqrt(n), norm, np.inf)
    z = scaled.sum(axis=0)
    directed = np.abs(z) if signs is None else z * signs
    rng = np.random.default_rng(seed)
    largest = np.empty(flips)
    with single_threaded_blas():
        for start in range(0, flips, _BLOCK):
            b = min(_BLOCK, flips - start)
            drawn = rng.integers(0, 2, (b, len(scaled))).astype(np.float32) * 2 - 1
            flipped = drawn @ scaled.astype(np.float32)
            flipped = np.abs(flipped) if signs is None else flipped * np.asarray(signs, np.float32)
            largest[start : start + b] = flipped.max(axis=1)
    ranked = np.sort(largest)
    beaten = flips - np.searchsorted(ranked, directed - 1e-6, side="left")
    return z, (1.0 + beaten) / (flips + 1.0)


def _logistic(Z: Float64, y: Float64, steps: int = 30) -> Float64:
    """Return fitted probabilities of a logistic regression with a small ridge (Newton's method)."""
    beta = np.zeros(Z.shape[1])
    ridge = 1e-3 * np.eye(Z.shape[1])
    ridge[0, 0] = 1e-9
    for _ in range(steps):
        mu = 1 / (1 + np.exp(-np.clip(Z @ beta, -30, 30)))
        w = np.maximum(mu * (1 - mu), 1e-9)
        step = np.linalg.solve((Z * w[:, None]).T @ Z + ridge, Z.T @ (y - mu) - ridge @ beta)
        beta += np.clip(step, -4, 4)
        if np.abs(step).max() < 1e-8:
            break
    return 1 / (1 + np.exp(-np.clip(Z @ beta, -30, 30)))
