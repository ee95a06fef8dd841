"""Penalty multipliers: optimality, certificate, exclusion and unpenalized weights."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import fit, lambda_for_nec, lambda_max, path

from . import reference
from .problems import cases
from .test_properties import check_certificate, many

pytestmark = pytest.mark.filterwarnings("ignore::inficond.core.solver.NotConverged")
MULTIPLIERS = (0.0, 0.03, 0.5, 1.0, 2.0, 30.0, np.inf)


def data(N=400, K=15, C=3, seed=0, link="sigmoid"):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, K))
    logits = X @ (rng.normal(size=(K, C)) * (rng.random((K, C)) < 0.4)) + rng.normal(size=(N, C))
    if link == "softmax":
        T = np.exp(logits - logits.max(1, keepdims=True))
        return X, T / T.sum(1, keepdims=True), rng
    return X, 1 / (1 + np.exp(-logits)), rng


@many(120)
@given(
    cases(dtype=np.float64, lams=(1e-3, 0.3), multipliers=MULTIPLIERS), st.sampled_from((1e-1, 1e-3, 1e-6))
)
def test_the_gap_bounds_the_suboptimality(case, tol):
    check_certificate(case, fit(case.X, case.T, tol=tol, **case.options), 1e-9)


@many(80)
@given(cases(dtype=np.float64, lams=(1e-2, 0.3), targets=("soft",), least=30, multipliers=MULTIPLIERS[1:]))
def test_optimality_conditions_hold(case):
    r = fit(case.X, case.T, tol=1e-7, max_iter=1000, **case.options)
    assert r.converged.all()
    assert not r.weights[np.isinf(r.penalty)].any()
    if case.lower is not None:
        assert np.all((r.weights >= case.lower) & (r.weights <= case.upper))
    worst = reference.violations(case.X, case.T, r, case.lower, case.upper, case.sample_weight)
    L = 0.25 * (((case.X - r.mean) / r.scale) ** 2).max(0).max()
    assert np.all(worst <= np.sqrt(2 * L * (r.gap + 1e-12))[:, None] + 1e-9)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_multipliers_of_one_change_nothing(link):
    X, T, _ = data(link=link)
    a, b = fit(X, T, 0.02, link), fit(X, T, 0.02, link, penalty=np.ones(15))
    assert np.array_equal(a.weights, b.weights)
    assert np.array_equal(a.gap, b.gap)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("standardize", [False, True])
def test_a_multiplier_equals_a_scaled_column(link, standardize):
    X, T, rng = data(link=link)
    m = rng.uniform(0.3, 3, 15)
    Z = (X - X.mean(0)) / X.std(0) if standardize else X
    a = fit(X, T, 0.02, link, penalty=m, standardize=standardize, tol=1e-8)
    b = fit(Z / m, T, 0.02, link, standardize=False, tol=1e-8)
    assert a.objective == pytest.approx(b.objective, rel=1e-7)
    assert a.weights == pytest.approx(b.weights / m, abs=1e-3)


def test_agreement_with_an_unpenalized_reference():
    """Some columns without penalty: the optimum of L-BFGS-B, with a certificate that converges."""
    X, T, rng = data()
    m = np.where(rng.random((3, 15)) < 0.3, 0.0, 1.0)
    r = fit(X, T, 0.03, penalty=m, tol=1e-7)
    assert r.converged.all()
    g, gb = reference.gradient(X, T, r)
    assert np.abs(g[m == 0]).max() < 1e-4
    assert np.abs(gb).max() < 1e-4
    for c in range(3):
        least = reference.optimum(X, T, r, c)
        assert -1e-9 <= r.objective[c] - least <= r.gap[c] + 1e-12


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("lam", [0.0, 1e-300, 1e-9])
def test_without_penalty_a_fit_converges_to_a_certificate(single_precision, link, precision, lam):
    X, T, _ = data(N=600, K=10, link=link)
    X = X.astype(precision)
    r = fit(X, T, lam, link, tol=1e-5)
    assert r.converged.all()
    g, _ = reference.gradient(X, T, r)
    assert np.abs(g).max() < 2e-3
    accurate = fit(X.astype(np.float64), T, lam, link, tol=1e-10)
    true = reference.objective(X, T, r)
    assert np.all(true - reference.objective(X, T, accurate) <= r.gap + 1e-9)


def test_softmax_with_free_and_excluded_weights():
    X, T, rng = data(link="softmax")
    m = rng.choice([0.0, 0.2, 1.0, np.inf], (3, 15))
    r = fit(X, T, 0.02, "softmax", penalty=m, tol=1e-6)
    assert r.converged.all()
    assert not r.weights[np.isinf(m)].any()
    g, _ = reference.gradient(X, T, r)
    assert np.abs(g[m == 0]).max() < 1e-3
    accurate = fit(X, T, 0.02, "softmax", penalty=m, init=r, tol=1e-10)
    true, least = (reference.objective(X, T, one)[0] for one in (r, accurate))
    assert true - least <= r.gap[0] + 1e-12


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_every_penalized_weight_is_zero_above_lambda_max(link):
    X, T, rng = data(link=link)
    m = rng.choice([0.0, 0.5, 1.0, 3.0, np.inf], (3, 15))
    top = lambda_max(X, T, link, penalty=m)
    assert top.shape == ((1,) if link == "softmax" else (3,))
    above = fit(X, T, float(top.max()) * 1.001, link, penalty=m, tol=1e-7)
    assert not above.weights[m > 0].any()
    assert above.weights[m == 0].all()
    below = fit(X, T, float(top.max()) * 0.97, link, penalty=m, tol=1e-8)
    assert below.weights[m > 0].any()


def test_paths_and_refits_use_the_multipliers():
    X, T, rng = data()
    m = rng.uniform(0.2, 2, (3, 15))
    fits = path(X, T, lam=0.01, steps=5, penalty=m, tol=1e-6)
    cold = fit(X, T, 0.01, penalty=m, tol=1e-6)
    assert not fits[0].weights.any()
    assert fits[-1].objective == pytest.approx(cold.objective, rel=2e-6)
    found = lambda_for_nec(X, T, 3, penalty=m)
    assert found.nec.mean() <= 3
    assert np.array_equal(found.penalty, m)
    changed = m.copy()
    changed[0, :4] = 0.05
    refit = fit(X, T, 0.01, init=cold, penalty=changed, tol=1e-6)
    assert refit.objective == pytest.approx(fit(X, T, 0.01, penalty=changed, tol=1e-6).objective, rel=2e-6)
    one = fit(X, T[:, [0]], 0.01, init=cold.select([0]), penalty=changed[[0]], lower=np.full((1, 15), -0.2))
    assert np.array_equal(cold.select([0]).penalty, m[[0]])
    assert one.weights.min() >= -0.2
    assert one.converged.all()


def test_exclusion_equals_removing_the_columns():
    X, T, _ = data()
    m = np.ones(15)
    m[[2, 7]] = np.inf
    a = fit(X, T, 0.01, penalty=m, tol=1e-8)
    b = fit(np.delete(X, [2, 7], 1), T, 0.01, tol=1e-8)
    assert not a.weights[:, [2, 7]].any()
    assert a.objective == pytest.approx(b.objective, rel=1e-7)
    assert np.delete(a.weights, [2, 7], 1) == pytest.approx(b.weights, abs=1e-3)
    everything = fit(X, T, 0.01, penalty=np.full(15, np.inf))
    assert not everything.weights.any()
    assert everything.converged.all()


@pytest.mark.parametrize(
    ("penalty", "message"),
    [
        (np.ones(3), r"penalty must have shape \(15,\) or \(3, 15\): it has \(3,\)"),
        (-np.ones(15), r"penalty must not be negative or NaN: penalty\[0, 0\] is -1"),
        (np.full((3, 15), np.nan), r"penalty must not be negative or NaN: penalty\[0, 0\] is nan"),
        ("name", r"penalty must be an array of real numbers"),
    ],
)
def test_invalid_multipliers_are_named(penalty, message):
    X, T, _ = data()
    with pytest.raises(ValueError, match=message):
        fit(X, T, penalty=penalty)


def test_exclusion_must_agree_with_the_bounds():
    X, T, _ = data()
    lower = np.full((3, 15), -np.inf)
    lower[1, 4] = 0.5
    m = np.ones(15)
    m[4] = np.inf
    with pytest.raises(
        ValueError, match=r"penalty\[1, 4\] is inf, which fixes the weight at 0, but its bounds"
    ):
        fit(X, T, penalty=m, lower=lower)
