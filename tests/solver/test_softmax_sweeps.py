"""A softmax of many classes is fitted by sweeps over the classes, with the certificate of other fits."""

from typing import Any

import numpy as np
import pytest

from inficond.core.solver import fit, softmax_sweeps

from .problems import count_passes, softmax_problem

N, K, C = 900, 24, 60


def problem(dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    return softmax_problem(N, K, C, 0.2, dtype)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Passes of each fit that used sweeps."""
    monkeypatch.setattr(softmax_sweeps, "MIN_CLASSES", C)
    return count_passes(monkeypatch, softmax_sweeps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_optimum_is_that_of_a_fit_without_sweeps(
    dtype: type, weighted: bool, passes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, T = problem(dtype)
    options: dict[str, Any] = {"lam": 2e-3, "link": "softmax"}
    if weighted:
        options["sample_weight"] = np.random.default_rng(0).choice([0.0, 1.0, 3.0], size=N)
    found = fit(X, T, **options)
    assert passes == [found.n_iter[0] - 1]  # the sweeps alone reached the tolerance
    assert found.converged.all()
    monkeypatch.setattr(softmax_sweeps, "MIN_CLASSES", C + 1)
    exact = fit(X.astype(np.float64), T.astype(np.float64), **options, tol=1e-7)
    assert len(passes) == 1
    assert 0 <= found.gap[0] <= 1e-4 * found.objective[0]
    assert exact.objective[0] * (1 - 1e-6) <= found.objective[0] <= exact.objective[0] + found.gap[0]
    np.testing.assert_allclose(found.weights, exact.weights, atol=0.02 * np.abs(exact.weights).max())


def test_bounds_penalties_and_a_second_fit_from_the_first(passes: list[int]) -> None:
    X, T = problem()
    rng = np.random.default_rng(1)
    penalty = rng.choice([0.5, 1.0, np.inf], size=(C, K))
    upper = np.where(rng.random((C, K)) < 0.3, 0.05, np.inf)
    options: dict[str, Any] = {"link": "softmax", "penalty": penalty, "lower": -upper, "upper": upper}
    first = fit(X, T, lam=3e-3, **options)
    again = fit(X, T, lam=2e-3, init=first, **options)
    for found in (first, again):
        assert found.converged.all()
        assert np.all(found.weights[np.isinf(penalty)] == 0)
        assert np.all(np.abs(found.weights) <= upper)
    exact = fit(X.astype(np.float64), T.astype(np.float64), lam=2e-3, **options, tol=1e-7)
    assert np.abs(again.objective - exact.objective)[0] <= again.gap[0] + exact.gap[0]
    assert len(passes) == 3


def test_dense_fits_are_finished_without_sweeps(monkeypatch: pytest.MonkeyPatch, passes: list[int]) -> None:
    monkeypatch.setattr(softmax_sweeps, "MAX_WORDS", 2)
    X, T = problem()
    found = fit(X, T, lam=2e-3, link="softmax")
    assert found.converged.all()
    assert passes[0] < found.n_iter[0] - 1
