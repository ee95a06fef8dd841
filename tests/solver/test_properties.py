"""Properties of every fit, on random problems, ill-conditioned ones included."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from inficond.core.solver import fit, lambda_max

from . import reference
from .problems import cases

pytestmark = pytest.mark.filterwarnings("ignore::inficond.core.solver.NotConverged")


def many(n):
    return settings(
        max_examples=n, deadline=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )  # fmt: skip


def check_certificate(case, r, slack):
    true = reference.objective(case.X, case.T, r, case.sample_weight)
    assert r.objective == pytest.approx(true, rel=slack, abs=slack)
    for c in range(len(true)):
        least = reference.optimum(case.X, case.T, r, c, case.lower, case.upper, case.sample_weight)
        assert true[c] - least <= r.gap[c] + 1e-12, "the gap is smaller than the suboptimality"


@many(400)
@given(cases(dtype=np.float64), st.sampled_from((1e-1, 1e-3, 1e-6)))
def test_the_gap_bounds_the_suboptimality(case, tol):
    check_certificate(case, fit(case.X, case.T, tol=tol, **case.options), 1e-9)


@many(200)
@given(cases(dtype=np.float32, lams=(1e-3, 0.3)), st.sampled_from((1e-1, 1e-3)))
def test_the_gap_bounds_the_suboptimality_in_single_precision(single_precision, case, tol):
    check_certificate(case, fit(case.X, case.T, tol=tol, **case.options), 3e-6)


@pytest.mark.nightly
@many(3000)
@given(cases(), st.sampled_from((1e-1, 1e-3, 1e-6)))
def test_the_gap_bounds_the_suboptimality_on_thousands_of_problems(case, tol):
    # Columns that vary by less than a millionth of their mean count as constant, which changes the problem.
    spread, mean = case.X.std(0, dtype=np.float64), np.abs(case.X.mean(0, dtype=np.float64))
    assume(np.all((spread == 0) | (spread > 1e-5 * mean)))
    check_certificate(case, fit(case.X, case.T, tol=tol, **case.options), 1e-6)


@many(300)
@given(cases(lams=(1e-3, 0.3)))
def test_optimality_conditions_and_bounds_hold(case):
    r = fit(case.X, case.T, tol=1e-6, max_iter=1000, **case.options)
    if case.lower is not None:
        assert np.all(r.weights >= case.lower)
        assert np.all(r.weights <= case.upper)
    assert np.all(np.isfinite(r.weights))
    assert np.all(np.isfinite(r.bias))
    assert r.converged.all()
    worst = reference.violations(case.X, case.T, r, case.lower, case.upper, case.sample_weight)
    # A gap of e allows a violation of sqrt(2 L e), with L <= 1/4 the curvature along a standardized column.
    L = 0.25 * (((case.X - r.mean) / r.scale) ** 2).max(0).max()
    allowed = np.sqrt(2 * L * (r.gap + 1e-12))[:, None] + 1e-9
    assert np.all(worst <= allowed)


@many(100)
@given(cases(), st.integers(1, 6))
def test_the_objective_never_rises_above_the_start(case, passes):
    start = fit(case.X, case.T, 0.05, tol=1e-2, max_iter=3, lower=case.lower, upper=case.upper)
    before = fit(case.X, case.T, init=start, max_iter=1, **case.options)
    after = fit(case.X, case.T, init=start, max_iter=1 + passes, **case.options)
    true = [reference.objective(case.X, case.T, r, case.sample_weight) for r in (before, after)]
    assert np.all(true[1] <= true[0] * (1 + 1e-6) + 1e-9)


@many(60)
@given(
    cases(bounded=False, targets=("soft", "hard"), lams=(1e-2, 0.2), least=8),
    st.randoms(use_true_random=False),
)
def test_permuting_the_problem_permutes_the_result(case, random):
    (N, K), C = case.X.shape, case.T.shape[1]
    rows, columns, classes = (np.array(random.sample(range(n), n)) for n in (N, K, C))
    s = case.sample_weight
    permuted = s if s is None else (s[rows] if s.ndim == 1 else s[rows][:, classes])
    a = fit(case.X, case.T, case.lam, sample_weight=s, tol=1e-8, max_iter=1000)
    X, T = case.X[rows][:, columns], case.T[rows][:, classes]
    b = fit(X, T, case.lam, sample_weight=permuted, tol=1e-8, max_iter=1000)
    assert b.objective == pytest.approx(a.objective[classes], rel=1e-6)
    # With duplicate columns the weights are not unique, but the logits are.
    Ea, Eb = reference.logits(case.X, a)[1], reference.logits(case.X[rows][:, columns], b)[1]
    assert np.abs(Eb - Ea[rows][:, classes]).max() < 0.03


@many(60)
@given(cases(bounded=False, lams=(1e-4, 0.3)))
def test_above_lambda_max_every_weight_is_zero(case):
    top = lambda_max(case.X, case.T, sample_weight=case.sample_weight)
    r = fit(case.X, case.T, float(top.max()) * 1.001 + 1e-6, sample_weight=case.sample_weight)
    assert np.all(r.weights == 0)
    assert r.converged.all()


@many(40)
@given(cases(bounded=False, targets=("soft",), least=10))
def test_without_penalty_the_gradient_vanishes(case):
    X, T = case.X[:, : max(1, len(case.X) // 4)], 0.1 + 0.8 * case.T
    r = fit(X, T, 0.0, sample_weight=case.sample_weight, tol=1e-9, max_iter=500)
    assert r.converged.all()
    g, gb = reference.gradient(X, T, r, case.sample_weight)
    assert np.abs(g).max() < 2e-4
    assert np.abs(gb).max() < 2e-4
    for c in range(T.shape[1]):
        least = reference.optimum(X, T, r, c, sample_weight=case.sample_weight)
        true = reference.objective(X, T, r, case.sample_weight)[c]
        assert true - least <= 1e-5
        assert true - least <= r.gap[c] + 1e-9


@many(80)
@given(cases(targets=("soft", "hard", "rare"), lams=(1e-3, 0.2), least=6))
def test_softmax_is_optimal_and_certified(case):
    T = case.T + 1e-3
    T = T / T.sum(1, keepdims=True)
    s = None if case.sample_weight is None or case.sample_weight.ndim == 2 else case.sample_weight
    r = fit(case.X, T, case.lam, "softmax", case.lower, case.upper, sample_weight=s, tol=1e-5, max_iter=1500)
    if case.lower is not None:
        assert np.all((r.weights >= case.lower) & (r.weights <= case.upper))
    true = reference.objective(case.X, T, r, s)
    assert r.objective == pytest.approx(true, rel=1e-5)
    # A much more accurate fit is the reference.
    accurate = fit(case.X, T, case.lam, "softmax", case.lower, case.upper, r, s, tol=1e-9, max_iter=1500)
    assert true[0] - reference.objective(case.X, T, accurate, s)[0] <= r.gap[0] + 1e-9
    worst = reference.violations(case.X, T, r, case.lower, case.upper, s)
    L = 0.5 * (((case.X - r.mean) / r.scale) ** 2).max()
    assert worst.max() <= np.sqrt(2 * L * r.gap[0]) + 1e-6
