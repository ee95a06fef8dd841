"""A fit with a working set of columns gives the optimum of all columns, with their certificate."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inficond.core.solver import FitResult, fit, path, wide

N, K, C = 240, 300, 3
Fit = Callable[..., FitResult]


@pytest.fixture
def narrow_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use working sets of 8 columns at first, for problems with more than 100 columns."""
    monkeypatch.setattr(wide, "WIDE", 100)
    monkeypatch.setattr(wide, "FIRST", 8)


def problem(link: str = "sigmoid", dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    X = np.maximum(
        rng.standard_normal((N, 12)) @ rng.standard_normal((12, K)) + rng.standard_normal((N, K)), 0
    )
    logits = X[:, :C] - X[:, C : 2 * C] + 0.3 * X[:, 50 : 50 + C]
    T = np.exp(logits) / (np.exp(logits).sum(1, keepdims=True) if link == "softmax" else 1 + np.exp(logits))
    return X.astype(dtype), T.astype(dtype)


def compare(monkeypatch: pytest.MonkeyPatch, X: np.ndarray, T: np.ndarray, **options: Any) -> FitResult:
    """Fit with and without a working set; their objectives differ by at most their gaps."""
    some = fit(X, T, **options)
    with monkeypatch.context() as patch:
        patch.setattr(wide, "WIDE", K)
        all_columns = fit(X, T, **{**options, "tol": 1e-6})
    assert some.converged.all()
    assert all_columns.converged.all()
    slack = 1e-6 * np.maximum(all_columns.objective, 1e-3)
    assert np.all(some.objective <= all_columns.objective + some.gap + slack)
    assert np.all(some.objective >= all_columns.objective - all_columns.gap - slack)
    return some


@pytest.mark.usefixtures("narrow_limit")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("lam", [0.05, 5e-3, 5e-4])
def test_the_optimum_is_that_of_all_columns(
    monkeypatch: pytest.MonkeyPatch, link: str, dtype: type, lam: float
) -> None:
    X, T = problem(link, dtype)
    found = compare(monkeypatch, X, T, lam=lam, link=link)
    assert found.weights.shape == (C, K)


@pytest.mark.usefixtures("narrow_limit")
def test_bounds_penalties_and_sample_weights_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    X, T = problem()
    rng = np.random.default_rng(5)
    lower, upper = np.full((C, K), -np.inf), np.full((C, K), np.inf)
    lower[0, 200] = upper[0, 200] = 0.2
    lower[1, 201], upper[:, 0] = 0.1, 0.0
    penalty = np.ones((C, K))
    penalty[:, 210], penalty[:, 211], penalty[2] = 0.0, np.inf, 3.0
    found = compare(
        monkeypatch,
        X,
        T,
        lam=0.01,
        lower=lower,
        upper=upper,
        penalty=penalty,
        sample_weight=rng.random(N) * 3,
    )
    assert found.weights[0, 200] == pytest.approx(0.2)
    assert found.weights[1, 201] >= 0.1
    assert np.all(found.weights[:, 0] <= 0)
    assert np.all(found.weights[:, 211] == 0)
    assert np.all(found.weights[:2, 210] != 0)


@pytest.mark.usefixtures("narrow_limit")
def test_a_fit_continues_from_another(monkeypatch: pytest.MonkeyPatch) -> None:
    X, T = problem()
    first = fit(X, T, lam=0.02)
    again = fit(X, T, lam=0.02, init=first)
    assert np.all(again.n_iter == 1)
    assert np.array_equal(again.weights != 0, first.weights != 0)
    results = path(X, T, lams=[0.05, 0.02, 0.01])
    assert np.all(np.diff([r.objective.sum() for r in results]) < 0)
    compare(monkeypatch, X, T, lam=0.01, init=first)


@pytest.mark.usefixtures("narrow_limit")
def test_the_number_of_threads_changes_no_bit() -> None:
    X, T = problem()
    one, two = fit(X, T, n_threads=1), fit(X, T, n_threads=2)
    assert np.array_equal(one.weights, two.weights)
    assert np.array_equal(one.gap, two.gap)


@pytest.mark.usefixtures("narrow_limit")
def test_a_limit_of_passes_is_reported() -> None:
    X, T = problem()
    with pytest.warns(UserWarning, match="did not reach tol"):
        found = fit(X, T, lam=1e-3, max_iter=2, tol=1e-7)
    assert not found.converged.all()
    assert np.all(found.gap > 0)


def test_many_columns_use_a_working_set_without_a_matrix_of_all_of_them() -> None:
    X, T = problem()
    rng = np.random.default_rng(1)
    columns = wide.WIDE + 100
    noise = np.maximum(rng.standard_normal((N, columns - K)), 0).astype(np.float32)
    found = fit(np.hstack([X, noise]), T, lam=0.05)
    assert found.converged.all()
    assert found.weights.shape == (C, columns)
    assert found.model is None
