"""Second derivatives of a class by itself: what they are, when they serve, that the answer stays optimal."""

import numpy as np
import pytest
from hypothesis import given, settings

from inficond.core.solver import curvature, fit
from inficond.core.solver.design import Design
from inficond.core.solver.targets import Targets

from . import reference
from .problems import cases
from .test_fit import problem


def parts(sample_weight=None):
    X, T = problem(N=1500, K=30, C=2)
    X, T = X.astype(np.float64), T.astype(np.float64)
    design = Design.build(X, X, True, None, None, 1)
    weights = np.random.default_rng(1).normal(size=(2, 31)) * 0.5
    v = curvature.variances(design, Targets.build(T, sample_weight, X.dtype), np.arange(2), weights, 1)
    Z = np.c_[(X - design.centre) * design.multiplier, np.ones(len(X))]
    return design, v, Z, weights


@pytest.mark.parametrize("weighted", [False, True])
def test_variances_are_those_of_the_weighted_rows(weighted):
    s = np.random.default_rng(0).random(1500) if weighted else np.ones(1500)
    _, v, Z, weights = parts(s if weighted else None)
    p = 1 / (1 + np.exp(-Z @ weights.T))
    assert v == pytest.approx((s[:, None] * p * (1 - p) / s.sum()).T, rel=1e-9)


def test_all_rows_give_the_exact_second_derivatives():
    design, v, Z, _ = parts()
    exact = (Z * v[0][:, None]).T @ Z
    assert curvature.second_derivatives(design, v[0], rows=1500) == pytest.approx(exact, abs=1e-9)


def test_some_rows_come_nearer_than_the_shared_matrix():
    design, v, Z, _ = parts()
    v = np.sort(v, axis=1) ** 8  # few rows count
    exact = (Z * v[0][:, None]).T @ Z
    far = np.linalg.norm(design.gram() * v[0].sum() - exact)
    near = np.linalg.norm(curvature.second_derivatives(design, v[0], rows=300) - exact)
    assert near < 0.5 * far


def test_a_dense_fit_uses_them_and_is_certified(monkeypatch):
    made = []
    build = curvature.build
    monkeypatch.setattr(curvature, "build", lambda *a: made.append(a[2]) or build(*a))
    X, T = problem(N=2000, K=60, C=3)
    sparse = fit(X, T, 3e-2)
    assert not made
    r = fit(X, T, 1e-5, tol=1e-5)
    assert made
    assert sparse.nec.max() < 15 < r.nec.min()
    assert r.converged.all()
    true = reference.objective(X, T, r)
    for c in range(3):
        assert true[c] - r.gap[c] - 1e-9 <= reference.optimum(X, T, r, c) <= true[c] + 1e-9


@given(cases(dtype=np.float64))
@settings(max_examples=60, deadline=None)
def test_used_from_the_first_pass_they_leave_the_answer_optimal(case):
    before = curvature.AFTER, curvature.DENSE, curvature.SLOW
    curvature.AFTER, curvature.DENSE, curvature.SLOW = 1, -1.0, np.inf
    try:
        r = fit(case.X, case.T, tol=1e-6, warn=False, **case.options)
    finally:
        curvature.AFTER, curvature.DENSE, curvature.SLOW = before
    if case.lower is not None:
        assert (r.weights >= case.lower).all()
        assert (r.weights <= case.upper).all()
    scale = np.maximum(r.objective, 1e-3)
    assert (r.gap[r.converged] <= 1e-6 * scale[r.converged] * 1.001).all()
    usual = fit(case.X, case.T, tol=1e-6, warn=False, **case.options)
    assert (r.objective <= usual.objective + r.gap + 1e-9).all()
    assert (usual.objective <= r.objective + usual.gap + 1e-9).all()
    assert r.converged.all() or not usual.converged.all()
