"""A fit of rows in blocks has the certificate and, within the tolerance, the weights of a fit of all rows."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from inficond.core.solver import NotConverged, fit
from inficond.core.solver import row_blocks as blocked
from inficond.core.solver.row_blocks import LocalBlocks, RowBlock, fit_blocks

N, K, C = 5000, 40, 4
EDGES = (0, 1500, 1501, 4200, N)


@pytest.fixture(autouse=True)
def small_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the Hessian model from a tenth of the rows."""
    monkeypatch.setattr(blocked, "SAMPLE_ROWS", 500)


def problem(link: str, dtype: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X = np.maximum(rng.normal(size=(N, 6)) @ rng.normal(size=(6, K)) + rng.normal(size=(N, K)), 0)
    logits = X[:, :C] - X[:, C : 2 * C] + 0.5 * X[:, 20 : 20 + C]
    T = np.exp(logits) / (np.exp(logits).sum(1, keepdims=True) if link == "softmax" else 1 + np.exp(logits))
    return X.astype(dtype), T.astype(dtype)


def blocks(X: np.ndarray, T: np.ndarray, link: str) -> LocalBlocks:
    return LocalBlocks([RowBlock(X[a:b], T[a:b], link) for a, b in pairwise(EDGES)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("standardize", [True, False])
def test_certificate_and_weights_are_those_of_all_rows(link: str, dtype: type, standardize: bool) -> None:
    X, T = problem(link, dtype)
    options: dict[str, Any] = {"lam": 3e-3, "link": link, "standardize": standardize}
    found, whole = fit_blocks(blocks(X, T, link), **options), fit(X, T, **options)
    exact = fit(X.astype(np.float64), T.astype(np.float64), **options, tol=1e-9)
    assert found.converged.all()
    assert np.all(found.gap <= 1e-4 * found.objective)
    assert np.all(found.objective - exact.objective <= found.gap)
    assert np.all(found.objective >= exact.objective * (1 - 1e-6))
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-5)
    np.testing.assert_allclose(found.scale, whole.scale, rtol=1e-5)
    np.testing.assert_allclose(found.weights, exact.weights, atol=0.02 * np.abs(exact.weights).max())


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_bounds_and_penalties_hold(link: str) -> None:
    X, T = problem(link)
    rng = np.random.default_rng(0)
    penalty = rng.choice([0.5, 1.0, np.inf], size=(C, K))
    upper = np.where(rng.random((C, K)) < 0.3, 0.05, np.inf)
    options: dict[str, Any] = {"lam": 3e-3, "link": link, "penalty": penalty, "lower": -upper, "upper": upper}
    found, whole = fit_blocks(blocks(X, T, link), **options), fit(X, T, **options)
    assert found.converged.all()
    assert np.all(np.abs(found.objective - whole.objective) <= found.gap + whole.gap)
    assert np.all(found.weights[np.isinf(penalty)] == 0)
    assert np.all(np.abs(found.weights) <= upper)


def test_the_result_does_not_depend_on_the_threads_of_the_blocks() -> None:
    X, T = problem("sigmoid")
    one, two = (fit_blocks(LocalBlocks([RowBlock(X, T, n_threads=threads)]), lam=3e-3) for threads in (1, 2))
    assert np.array_equal(one.weights, two.weights)


def test_a_block_repeats_a_pass_that_it_has_not_kept() -> None:
    """The second sums of a softmax pass may be asked of a block that has been made again."""

    class Forgetful(LocalBlocks):
        def call(self, method: str, arguments: Any) -> list[Any]:
            if method == "softmax_shifts":
                super().call("softmax_sums", (*arguments[:1], arguments[1] * 2, arguments[2]))
            return super().call(method, arguments)

    X, T = problem("softmax")
    parts = [RowBlock(X[a:b], T[a:b], "softmax") for a, b in pairwise(EDGES)]
    usual, repeated = (fit_blocks(kind(parts), lam=3e-3, link="softmax") for kind in (LocalBlocks, Forgetful))
    assert np.array_equal(usual.weights, repeated.weights)
    assert np.array_equal(usual.gap, repeated.gap)


def test_a_limit_of_passes_is_reported() -> None:
    X, T = problem("sigmoid")
    with pytest.warns(NotConverged, match="raise max_iter"):
        assert not fit_blocks(blocks(X, T, "sigmoid"), lam=1e-4, max_iter=2).converged.all()


def test_bad_blocks_are_refused() -> None:
    X, T = problem("sigmoid")
    with pytest.raises(ValueError, match="list of row blocks is empty"):
        fit_blocks(LocalBlocks([]))
    with pytest.raises(
        ValueError, match="block 1 has 39 columns, 4 classes and float32 rows; block 0 has 40"
    ):
        fit_blocks(LocalBlocks([RowBlock(X, T), RowBlock(X[:, 1:], T)]))
    with pytest.raises(ValueError, match="need lam > 0"):
        fit_blocks(blocks(X, T, "sigmoid"), lam=0.0)
    X[1503, 2] = np.nan
    with pytest.raises(ValueError, match=r"block 2: X must be finite: X\[2, 2\]"):
        fit_blocks(blocks(X, T, "sigmoid"))
    with pytest.raises(ValueError, match="needs rows and columns"):
        RowBlock(X[:0], T[:0])
    with pytest.raises(ValueError, match="at most 4,096 columns"):
        fit_blocks(LocalBlocks([RowBlock(np.ones((3, 5000), np.float32), np.full((3, 1), 0.5))]))
