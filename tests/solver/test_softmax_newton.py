"""A softmax with few rows is fitted by Newton steps, with the certificate of other fits."""

from typing import Any

import numpy as np
import pytest

from inficond.core.solver import fit, softmax_newton
from inficond.core.solver.kernels.softmax_newton import take_newton_steps

from .problems import count_passes, softmax_problem

N, K, C = 300, 24, 5


def problem(dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    return softmax_problem(N, K, C, 0.4, dtype)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Passes of the Newton steps of each fit."""
    return count_passes(monkeypatch, softmax_newton)


def exact(monkeypatch: pytest.MonkeyPatch, X: np.ndarray, T: np.ndarray, **options: Any) -> Any:
    """Fit in float64 to high accuracy, without Newton steps."""
    with monkeypatch.context() as patch:
        patch.setattr(softmax_newton, "MAX_ROWS", 0)
        return fit(X.astype(np.float64), T.astype(np.float64), link="softmax", **options, tol=1e-7)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weights", [None, (N,), (N, C)])
def test_the_optimum_is_that_of_a_fit_without_newton_steps(
    dtype: type, weights: tuple[int, ...] | None, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, T = problem(dtype)
    options: dict[str, Any] = {"lam": 2e-3}
    if weights is not None:
        options["sample_weight"] = np.random.default_rng(0).choice([0.0, 1.0, 3.0], size=weights)
    found = fit(X, T, link="softmax", **options)
    assert passes == [found.n_iter[0] - 1]  # the steps alone reached the tolerance
    assert found.converged.all()
    best = exact(monkeypatch, X, T, **options)
    assert len(passes) == 1
    assert 0 <= found.gap[0] <= 1e-4 * found.objective[0]
    assert best.objective[0] * (1 - 1e-6) <= found.objective[0] <= best.objective[0] + found.gap[0]
    np.testing.assert_allclose(found.weights, best.weights, atol=0.02 * np.abs(best.weights).max())


def test_bounds_and_penalties_of_single_weights_hold(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, T = problem()
    rng = np.random.default_rng(1)
    lower, upper = np.full((C, K), -np.inf), np.full((C, K), np.inf)
    upper[rng.random((C, K)) < 0.3] = 0.1
    lower[0] = upper[0] = 0.05
    penalty = rng.choice([0.3, 1.0, np.inf], size=(C, K))
    penalty[0] = 1.0
    options: dict[str, Any] = {"lam": 3e-3, "lower": lower, "upper": upper, "penalty": penalty}
    found = fit(X, T, link="softmax", **options)
    assert passes == [found.n_iter[0] - 1]
    assert (found.weights >= lower).all()
    assert (found.weights <= upper).all()
    assert not found.weights[np.isinf(penalty)].any()
    assert found.objective[0] <= exact(monkeypatch, X, T, **options).objective[0] + found.gap[0]


def test_a_weight_in_use_that_a_later_penalty_excludes_is_dropped(passes: list[int]) -> None:
    X, T = problem()
    first = fit(X, T, lam=2e-3, link="softmax")
    penalty = np.ones((C, K))
    excluded = (first.weights != 0) & (np.arange(K) % 2 == 0)
    penalty[excluded] = 1e9
    second = fit(X, T, lam=2e-3, link="softmax", penalty=penalty, init=first)
    assert passes[1] == second.n_iter[0] - 1
    assert excluded.any()
    assert not second.weights[excluded].any()
    assert second.converged.all()


def test_a_second_fit_from_the_optimum_takes_no_step(passes: list[int]) -> None:
    X, T = problem()
    first = fit(X, T, lam=2e-3, link="softmax", tol=1e-6)
    fit(X, T, lam=2e-3, link="softmax", init=first)
    assert passes[1] == 1


def test_more_weights_than_fit_into_a_working_set_are_fitted_by_passes(
    passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, T = problem()
    monkeypatch.setattr(softmax_newton, "MAX_COORDINATES", 12)
    found = fit(X, T, lam=1e-3, link="softmax")
    assert np.count_nonzero(found.weights) > 12
    assert found.converged.all()
    assert found.n_iter[0] > passes[0] + 1


@pytest.mark.parametrize("max_iter", [1, 2, 4])
def test_the_limit_of_passes_includes_those_of_newton_steps(max_iter: int) -> None:
    X, T = problem()
    found = fit(X, T, lam=1e-4, link="softmax", tol=1e-9, max_iter=max_iter, warn=False)
    assert found.n_iter[0] <= max_iter


def test_without_a_penalty_the_step_is_that_of_newton() -> None:
    rng = np.random.default_rng(0)
    C, N = 3, 700
    rows = np.c_[rng.normal(size=(N, 7)), np.ones(N)].astype(np.float32)
    columns = np.ascontiguousarray(rows.T, np.float64)
    targets = np.ascontiguousarray(rng.dirichlet(np.ones(C), N).T) * rng.random(N) / N
    weight = targets.sum(axis=0)
    start = 0.3 * rng.normal(size=C * 8)
    start[8:11] = 0  # fixed
    free = np.flatnonzero(start)
    bound = np.where(start == 0, 0.0, np.inf)
    w = start.copy()
    passes = take_newton_steps(
        rows, columns, targets, weight, w, np.zeros(C * 8), -bound, bound, -np.inf, 1e-9, 2, 100
    )
    logits = start.reshape(C, 8) @ columns
    p = np.exp(logits) / np.exp(logits).sum(axis=0)
    slope = ((weight * p - targets) @ columns.T).reshape(-1)[free]
    class_of, column_of = np.divmod(free, 8)
    z, share = columns[column_of].T, p[class_of].T
    v, same = z * share, class_of[:, None] == class_of
    H = np.where(same, (weight[:, None] * v).T @ z, 0) - (weight[:, None] * v).T @ v
    moved = w - start
    assert passes == 2  # the full step is taken
    assert np.linalg.norm(H @ moved[free] + slope) < 0.02 * np.linalg.norm(slope)
    assert not moved[8:11].any()
