"""Refits under changed bounds and weights, and regularization paths."""

import numpy as np
import pytest

from inficond.core.solver import fit, lambda_for_nec, lambda_max

from .test_fit import T, X

r = fit(X, T, tol=1e-6)
one, t = r.select([0]), T[:, [0]]


def enlarged(times=1.3):
    """Return bounds that enlarge the three largest weights of class 0."""
    low, high = np.full((1, X.shape[1]), -np.inf), np.full((1, X.shape[1]), np.inf)
    for k in np.argsort(-np.abs(one.weights[0]))[:3]:
        w = one.weights[0, k]
        (low if w > 0 else high)[0, k] = times * w
    return low, high


def test_a_refit_is_optimal_under_its_bounds():
    low, high = enlarged()
    refit = fit(X, t, init=one, lower=low, upper=high, tol=1e-6)
    cold = fit(X, t, lower=low, upper=high, tol=1e-6)
    assert refit.objective == pytest.approx(cold.objective, rel=2e-6)
    assert refit.n_iter[0] < cold.n_iter[0]


def test_a_refit_with_a_pass_limit_returns_a_valid_gap():
    low, high = enlarged()
    exact = fit(X, t, init=one, lower=low, upper=high, tol=1e-6)
    limited = fit(X, t, init=one, lower=low, upper=high, max_iter=2, warn=False)
    assert limited.n_iter.max() <= 2
    assert limited.objective[0] - exact.objective[0] <= limited.gap[0]
    assert limited.objective[0] == pytest.approx(exact.objective[0], rel=1e-3)


def test_a_refit_uses_new_sample_weights():
    s = np.where(np.arange(len(X)) < 300, 5.0, 1.0)
    refit = fit(X, t, init=one, sample_weight=s, tol=1e-6)
    cold = fit((X - one.mean) / one.scale, t, sample_weight=s, standardize=False, tol=1e-6)
    assert refit.objective == pytest.approx(cold.objective, rel=2e-6)


def test_a_start_at_other_weights_reaches_the_same_optimum():
    moved = one.at_weights(one.weights * 0.5, one.bias)
    assert np.isinf(moved.gap).all()
    refit = fit(X, t, init=moved, tol=1e-6)
    assert refit.objective == pytest.approx(one.objective, rel=2e-6)


def test_the_penalty_for_a_wanted_number_of_concepts():
    found = lambda_for_nec(X, T, 5)
    assert found.nec.mean() <= 5
    assert found.nec.mean() > 3.5
    assert 0 < found.lam < lambda_max(X, T).max()
    assert found.converged.all()


def test_more_concepts_than_columns_end_at_a_negligible_penalty():
    found = lambda_for_nec(X[:300, :5], T[:300], 6, tol=1e-2)
    assert found.nec.mean() == 5
    assert found.lam < 1e-3 * lambda_max(X[:300, :5], T[:300]).max()
    unpenalized = fit(X[:300, :5], T[:300], lam=0.0, tol=1e-4)
    assert np.all(found.objective <= unpenalized.objective * 1.02)
