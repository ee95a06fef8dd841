"""Previews, quick refits, sensitivities, and the penalty that gives a wanted number of concepts."""

import numpy as np
import pytest

from inficond.core.solver import fit, lambda_for_nec, lambda_max, links, preview, quick, sensitivities

from . import reference
from .test_fit import T, X

r = fit(X, T, tol=1e-6)
one, t = r.select([0]), T[:, [0]]


def tuned(times=1.3):
    """Bounds on the three strongest weights of class 0, each pushed outwards."""
    low, high = np.full((1, X.shape[1]), -np.inf), np.full((1, X.shape[1]), np.inf)
    for k in np.argsort(-np.abs(one.weights[0]))[:3]:
        w = one.weights[0, k]
        (low if w > 0 else high)[0, k] = times * w
    return low, high


def test_a_preview_reads_no_data_and_is_close_to_the_refit(monkeypatch):
    low, high = tuned()
    exact = fit(X, t, init=one, lower=low, upper=high, tol=1e-6)
    probe = fit(X, t, init=one, tol=1e-6)
    monkeypatch.setattr(
        links.Sigmoid, "evaluate", lambda *a: pytest.fail("a preview must not pass over the data")
    )
    seen = preview(one, low, high)
    assert np.all((seen.weights >= low) & (seen.weights <= high))
    change = exact.objective[0] - one.objective[0]
    assert seen.change[0] == pytest.approx(change, rel=0.35)
    # Of what tuning cost, the preview misses little.
    probe.weights, probe.bias = seen.weights, seen.bias
    assert reference.objective(X, t, probe)[0] - exact.objective[0] < 0.2 * change


def test_a_preview_without_bounds_stays_where_it_is():
    assert preview(one).weights == pytest.approx(one.weights, abs=2e-3)


def test_a_quick_refit_keeps_to_its_passes_and_says_how_far_it_may_be():
    low, high = tuned()
    exact = fit(X, t, init=one, lower=low, upper=high, tol=1e-6)
    fast = quick(one, X, t, low, high)
    assert fast.n_iter.max() <= 2
    assert fast.objective[0] - exact.objective[0] <= fast.gap[0]
    assert fast.objective[0] == pytest.approx(exact.objective[0], rel=1e-3)


def test_an_exact_refit_is_optimal_under_its_bounds():
    low, high = tuned()
    refit = fit(X, t, init=one, lower=low, upper=high, tol=1e-6)
    cold = fit(X, t, lower=low, upper=high, tol=1e-6)
    assert refit.objective == pytest.approx(cold.objective, rel=2e-6)
    assert refit.n_iter[0] < cold.n_iter[0]


def test_new_weights_of_rows_are_not_mistaken_for_the_old():
    s = np.where(np.arange(len(X)) < 300, 5.0, 1.0)
    refit = fit(X, t, init=one, sample_weight=s, tol=1e-6)
    assert refit.objective == pytest.approx(fit(X, t, sample_weight=s, tol=1e-6).objective, rel=2e-6)


def test_sensitivities_predict_what_a_bound_costs():
    step = 0.1
    told = sensitivities(one, one.weights + step)
    for k in (0, int(np.abs(one.weights[0]).argmax()), int(np.abs(one.weights[0]).argmin())):
        low = np.full((1, X.shape[1]), -np.inf)
        high = -low
        low[0, k] = high[0, k] = one.weights[0, k] + step
        true = fit(X, t, init=one, lower=low, upper=high, tol=1e-7).objective[0] - one.objective[0]
        assert told[0, k] == pytest.approx(true, rel=0.15, abs=1e-6)


def test_the_penalty_for_a_wanted_number_of_concepts():
    found = lambda_for_nec(X, T, 5)
    assert found.nec.mean() <= 5
    assert found.nec.mean() > 3.5
    assert 0 < found.lam < lambda_max(X, T).max()
    assert found.converged.all()


def test_softmax_is_previewed_too():
    P = T / T.sum(1, keepdims=True)
    all_of_it = fit(X, P, link="softmax")
    low = np.full(all_of_it.weights.shape, -np.inf)
    k = int(np.abs(all_of_it.weights[0]).argmax())
    low[0, k] = all_of_it.weights[0, k] + 0.2
    seen = preview(all_of_it, low)
    exact = fit(X, P, link="softmax", init=all_of_it, lower=low)
    assert seen.change.shape == (1,)
    assert seen.change[0] == pytest.approx(exact.objective[0] - all_of_it.objective[0], rel=0.25, abs=1e-5)
