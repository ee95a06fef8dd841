"""Fused passes and passes by BLAS products give the same results."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.solver import fit
from inficond.core.solver.datafits import Evaluation, Sigmoid, Softmax, base
from inficond.core.solver.design import Design
from inficond.core.solver.kernels import fused_passes
from inficond.core.solver.kernels.class_step import gather_hessian
from inficond.core.solver.kernels.products import add_product
from inficond.core.solver.targets import Targets

N, K = 1237, 90  # not multiples of any block or tile


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("weighted", [None, "rows", "classes"])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("link", "C"),
    [*((Sigmoid, C) for C in (1, 2, 3, 5, 8, 21)), *((Softmax, C) for C in (2, 3, 5, 8, 21))],
)
def test_fused_passes_equal_two_products(
    monkeypatch: pytest.MonkeyPatch, link: type, precision: type, C: int, weighted: str | None, flat: bool
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(0.2, 0.03, size=(N, K)).astype(precision)
    T = rng.dirichlet(np.ones(C), N) if link is Softmax else rng.random((N, C))
    mass = {None: None, "rows": rng.uniform(0, 5, N), "classes": rng.uniform(0, 5, (N, C))}[weighted]
    design = Design.build(X, X, True)
    problem = link(design, Targets.build(T.astype(precision), mass, precision, link is Softmax))
    blocks = np.arange(1 if link is Softmax else C)
    at = rng.normal(size=(C, K + 1)) * (0 if flat else 0.1)
    at[:, -1] = rng.normal(size=C)
    at = at.reshape(len(blocks), -1)
    monkeypatch.setattr(base, "DUAL_STRIDE", 1)  # otherwise other rows correct the dual point
    fused = problem.evaluate(blocks, at, 1)
    monkeypatch.setattr(base, "MAX_FUSED_CLASSES", 0)
    separate = problem.evaluate(blocks, at, 1)
    close = 1e-12 if precision is np.float64 else 2e-5
    for field in fields(Evaluation):
        one, two = getattr(fused, field.name), getattr(separate, field.name)
        assert one == pytest.approx(two, rel=close, abs=close), field.name


@settings(deadline=None)  # the first compiles
@given(
    C=st.integers(1, 13), K=st.integers(1, 70), n=st.integers(0, 9), low=st.integers(0, 69),
    precision=st.sampled_from([np.float32, np.float64]),
)  # fmt: skip
def test_products_of_any_shape(C: int, K: int, n: int, low: int, precision: type) -> None:
    rng = np.random.default_rng(C * K)
    low = min(low, K)
    X, R = (rng.normal(size=shape).astype(precision) for shape in ((n + 3, K), (C, n + 2)))
    X[[0, 1, -1]], R[:, n:] = np.nan, np.nan  # must not be read
    G = rng.normal(size=(C + 1, K)).astype(precision)
    expected = G.copy()
    expected[:C, low:] += R[:, :n] @ X[2 : 2 + n, low:]
    add_product(X, 2, R, n, G, low, K)
    assert np.array_equal(G[:, :low], expected[:, :low])
    assert np.array_equal(G[C], expected[C])
    assert pytest.approx(expected, rel=1e-5, abs=1e-5) == G


def test_only_few_classes_use_fused_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 40)).astype(np.float64)
    calls: list[int] = []
    original = fused_passes.sigmoid_pass
    monkeypatch.setattr(fused_passes, "sigmoid_pass", lambda *a: (calls.append(len(a[3])), original(*a)))
    fit(X, rng.random((300, base.MAX_FUSED_CLASSES)), lam=0.05, max_iter=1, warn=False)
    assert calls
    calls.clear()
    fit(X, rng.random((300, base.MAX_FUSED_CLASSES + 1)), lam=0.05, max_iter=1, warn=False)
    assert not calls


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_do_not_depend_on_the_number_of_threads(threads: int, link: str) -> None:
    rng = np.random.default_rng(1)
    X = rng.random((3000, 300)).astype(np.float32)
    T = rng.dirichlet(np.ones(70) / 10, len(X)).astype(np.float32)
    T[:, 0] = X[:, 0] > 0.9
    T /= T.sum(1, keepdims=True)
    one = fit(X, T, lam=1e-2, link=link, n_threads=1, tol=1e-2)
    other = fit(X, T, lam=1e-2, link=link, n_threads=threads, tol=1e-2)
    assert np.array_equal(one.weights, other.weights)
    assert np.array_equal(one.gap, other.gap)


def test_unused_corrections_are_not_read() -> None:
    """Uninitialized memory must not enter the model."""
    rng = np.random.default_rng(3)
    G = rng.random((6, 6)).astype(np.float32)
    columns = np.array([4, 1, 5])
    B = np.full((3, 3), np.nan, np.float32)
    unused = np.full((2, 6), np.nan, np.float32)
    gather_hessian.py_func(G, 0.5, 1e-3, unused, unused[:, 0], 0, columns, 0, 3, B)
    assert pytest.approx(0.5 * G[np.ix_(columns, columns)] + 1e-3 * np.eye(3), rel=1e-6) == B
