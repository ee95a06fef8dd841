"""The pass of one class alone gives what the two products of several give."""

import numpy as np
import pytest

from inficond.core.solver import fit, links


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_a_refit_by_single_reads_is_the_refit_by_two_products(
    monkeypatch: pytest.MonkeyPatch, weighted: bool, precision: type
) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(0.2, 0.03, size=(1237, 90)).astype(precision)  # no multiple of any block
    logits = (X[:, :4] - 0.2) @ [[60.0], [-40.0], [30.0], [20.0]] - 1
    T = (1 / (1 + np.exp(-logits))).astype(precision)
    weight = rng.uniform(0.5, 5, len(X)) if weighted else None
    upper = np.full((1, 90), np.inf)
    upper[0, 0] = 0.5
    given = {"lam": 2.5e-2, "upper": upper, "sample_weight": weight, "tol": 1e-6}
    calls = []
    real = links.single_pass
    monkeypatch.setattr(links, "single_pass", lambda *a: (calls.append(1), real(*a)))
    one = fit(X, T, **given)
    assert calls  # so this was the pass that is tested
    calls.clear()
    two = fit(X, np.hstack([T, T]), **{**given, "upper": np.vstack([upper, upper])})
    assert not calls
    assert one.converged.all()
    assert two.converged.all()
    assert one.objective[0] == pytest.approx(two.objective[0], rel=2e-6)
    assert np.abs(one.weights[0] - two.weights[0]).max() < 5e-3
    assert np.flatnonzero(one.weights).tolist() == np.flatnonzero(two.weights[0]).tolist()


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_number_of_threads_changes_no_bit(threads: int) -> None:
    rng = np.random.default_rng(1)
    X = rng.random((3000, 300)).astype(np.float32)
    T = (X[:, :1] > 0.9).astype(np.float32)
    one = fit(X, T, lam=1e-2, n_threads=1)
    other = fit(X, T, lam=1e-2, n_threads=threads)
    assert np.array_equal(one.weights, other.weights)
    assert one.gap == other.gap
