"""The L2-penalised classifier finds the minimum that scikit-learn finds."""

import numpy as np
import pytest

from inficond.core.teachers.ridge import fit_ridge

linear_model = pytest.importorskip("sklearn.linear_model")


def problem(n: int = 200, d: int = 30, c: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    y = (F / F.std(axis=0) @ rng.normal(size=(d, c)) + rng.gumbel(size=(n, c)) * 3).argmax(axis=1)
    return F, y


@pytest.mark.parametrize("l2", [0.3, 0.01])
def test_softmax_equals_scikit_learn(l2: float) -> None:
    F, y = problem()
    Z = (F - F.mean(axis=0)) / F.std(axis=0)
    reference = linear_model.LogisticRegression(C=1 / (l2 * len(F)), max_iter=2000, tol=1e-8).fit(Z, y)
    found = fit_ridge(F, np.eye(4)[y], l2, tol=1e-6, max_iter=2000).predict(F)
    assert np.allclose(found, reference.predict_proba(Z), atol=1e-3)


def test_sigmoid_equals_scikit_learn_on_the_known_labels_of_each_class() -> None:
    F, y = problem()
    Y = np.eye(4)[y]
    Y[::3, 1] = np.nan
    found = fit_ridge(F, Y, 0.1, "sigmoid", tol=1e-6, max_iter=2000)
    Z = (F - F.mean(axis=0)) / F.std(axis=0)
    for c in range(4):
        rows = np.isfinite(Y[:, c])
        reference = linear_model.LogisticRegression(C=1 / (0.1 * rows.sum()), max_iter=2000, tol=1e-8)
        expected = reference.fit(Z[rows], Y[rows, c]).predict_proba(Z)[:, 1]
        assert np.allclose(found.predict(F)[:, c], expected, atol=1e-3)


def test_a_constant_feature_has_no_effect() -> None:
    F, y = problem()
    with_constant = np.column_stack([F, np.full(len(F), 7.0)])
    a = fit_ridge(F, np.eye(4)[y], 0.1, tol=1e-6).predict(F)
    b = fit_ridge(with_constant, np.eye(4)[y], 0.1, tol=1e-6).predict(with_constant)
    assert np.allclose(a, b, atol=1e-4)
