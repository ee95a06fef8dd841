"""Hessians of single classes: their values, when they are used, and the optimality of the result."""

import numpy as np
import pytest
from hypothesis import given, settings

from inficond.core.solver import class_hessian, fit
from inficond.core.solver.design import Design
from inficond.core.solver.targets import Targets

from . import reference
from .problems import cases
from .test_fit import problem


def parts(sample_weight=None):
    X, T = problem(N=1500, K=30, C=2)
    X, T = X.astype(np.float64), T.astype(np.float64)
    design = Design.build(X, X, True)
    weights = np.random.default_rng(1).normal(size=(2, 31)) * 0.5
    v = class_hessian.variances(design, Targets.build(T, sample_weight, X.dtype), np.arange(2), weights, 1)
    Z = np.c_[(X - design.centre) * design.multiplier, np.ones(len(X))]
    return design, v, Z, weights


@pytest.mark.parametrize("weighted", [False, True])
def test_variances_of_weighted_rows(weighted):
    s = np.random.default_rng(0).random(1500) if weighted else np.ones(1500)
    _, v, Z, weights = parts(s if weighted else None)
    p = 1 / (1 + np.exp(-Z @ weights.T))
    assert v == pytest.approx((s[:, None] * p * (1 - p) / s.sum()).T, rel=1e-9)


def test_all_rows_give_the_exact_hessian():
    design, v, Z, _ = parts()
    exact = (Z * v[0][:, None]).T @ Z
    assert class_hessian.hessian(design, v[0], exact_rows=1500) == pytest.approx(exact, abs=1e-9)


def test_some_exact_rows_are_closer_than_the_shared_gram_matrix():
    design, v, Z, _ = parts()
    v = np.sort(v, axis=1) ** 8  # concentrated on few rows
    exact = (Z * v[0][:, None]).T @ Z
    far = np.linalg.norm(design.gram() * v[0].sum() - exact)
    near = np.linalg.norm(class_hessian.hessian(design, v[0], exact_rows=300) - exact)
    assert near < 0.5 * far


def test_only_a_dense_fit_builds_class_hessians(monkeypatch):
    built = []
    build = class_hessian.build
    monkeypatch.setattr(class_hessian, "build", lambda *a: built.append(a[2]) or build(*a))
    X, T = problem(N=2000, K=60, C=3)
    sparse = fit(X, T, 3e-2)
    assert not built
    r = fit(X, T, 1e-5, tol=1e-5)
    assert built
    assert sparse.nec.max() < 15 < r.nec.min()
    assert r.converged.all()
    true = reference.objective(X, T, r)
    for c in range(3):
        assert true[c] - r.gap[c] - 1e-9 <= reference.optimum(X, T, r, c) <= true[c] + 1e-9


@given(cases(dtype=np.float64))
@settings(max_examples=60, deadline=None)
def test_class_hessians_from_the_first_pass_do_not_change_the_optimum(case):
    names = ("MIN_PASSES", "MIN_DENSITY", "MAX_GAIN")
    before = [getattr(class_hessian, name) for name in names]
    class_hessian.MIN_PASSES, class_hessian.MIN_DENSITY, class_hessian.MAX_GAIN = 1, -1.0, np.inf
    try:
        r = fit(case.X, case.T, tol=1e-6, warn=False, **case.options)
    finally:
        for name, value in zip(names, before):
            setattr(class_hessian, name, value)
    if case.lower is not None:
        assert (r.weights >= case.lower).all()
        assert (r.weights <= case.upper).all()
    scale = np.maximum(r.objective, 1e-3)
    assert (r.gap[r.converged] <= 1e-6 * scale[r.converged] * 1.001).all()
    usual = fit(case.X, case.T, tol=1e-6, warn=False, **case.options)
    assert (r.objective <= usual.objective + r.gap + 1e-9).all()
    assert (usual.objective <= r.objective + usual.gap + 1e-9).all()
    # With these Hessians a fit may stall at rounding errors, a little above the tolerance.
    assert (r.gap <= 1e-5 * scale).all() or not usual.converged.all()
