"""Second derivatives by intercepts and by the length of the weights: those of the rows, and the model's."""

import numpy as np
import pytest

from inficond.core.solver import curvature, fit, refit
from inficond.core.solver.kernels import lengths

from .test_fit import problem


def fitted(link="sigmoid", weighted=False):
    X, T = problem(N=900, K=20, C=4)
    X, T = X.astype(np.float64), T.astype(np.float64)
    s = np.random.default_rng(0).uniform(0.2, 3, len(X)) if weighted else np.ones(len(X))
    if link == "softmax":
        T = T / T.sum(1, keepdims=True)
    r = fit(X, T, 1e-3, link, sample_weight=s if weighted else None, tol=1e-3)
    r.model.pairs[:] = 0  # what is asked about is the model without quasi-Newton corrections
    design = r.model.design
    return r, (X - design.centre) * design.multiplier, s / s.sum()


@pytest.mark.parametrize("weighted", [False, True])
def test_a_pass_finds_the_second_derivatives_along_the_weights(weighted):
    r, Z, s = fitted(weighted=weighted)
    for c, (w, ray) in enumerate(zip(r.model.weights, r.model.ray)):
        length = Z @ w[:-1]
        p = 1 / (1 + np.exp(-length - w[-1]))
        v = s * p * (1 - p)
        assert ray == pytest.approx([v.sum(), v @ length, v @ length**2], rel=1e-9), c


@pytest.mark.parametrize("weighted", [False, True])
def test_the_model_has_them_and_stays_positive(weighted):
    r, _, _ = fitted(weighted=weighted)
    for c, ray in enumerate(r.model.ray):
        B = refit.curvature(r, c)
        bias = np.eye(21)[20]
        w = np.r_[r.model.weights[c, :-1], 0.0]
        ridge = 1e-6 * r.model.curvature[c, 0, 0]
        assert bias @ B @ bias == pytest.approx(ray[0] + ridge, rel=1e-9)
        assert bias @ B @ w == pytest.approx(ray[1], rel=1e-9, abs=1e-12)
        assert w @ B @ w == pytest.approx(ray[2] + ridge * (w @ w), rel=1e-9)
        assert np.linalg.eigvalsh(B).min() > 0
        plain = ray[0] * r.model.design.gram()
        assert np.linalg.norm(B - plain) > 0.05 * np.linalg.norm(plain)  # it says something


def test_it_is_nearer_to_the_true_second_derivatives_than_the_shared_matrix():
    r, Z, s = fitted()
    full = np.c_[Z, np.ones(len(Z))]
    for c, w in enumerate(r.model.weights):
        p = 1 / (1 + np.exp(-full @ w))
        exact = (full * (s * p * (1 - p))[:, None]).T @ full
        far = np.linalg.norm(r.model.ray[c, 0] * r.model.design.gram() - exact)
        assert np.linalg.norm(refit.curvature(r, c) - exact) < 0.75 * far


def test_moments_of_a_softmax_are_those_of_its_rows():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 50).T
    length, mass = rng.normal(size=(3, 50)), rng.uniform(0, 2, 50)
    expected = np.zeros((6, 6))
    for n in range(50):
        D = np.r_[np.eye(3), np.diag(length[:, n])]  # logits by intercepts, then by lengths
        expected += mass[n] * D @ (np.diag(p[:, n]) - np.outer(p[:, n], p[:, n])) @ D.T
    found = np.zeros((6, 6))
    lengths.moments_along(np.ascontiguousarray(p), length, mass, found)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_softmax_model_has_the_second_derivatives_along_all_its_weights(monkeypatch):
    monkeypatch.setattr(curvature, "NEGLIGIBLE", 1e-9)
    monkeypatch.setattr(curvature, "SAME", 0.0)
    r, _, _ = fitted("softmax")
    model = r.model
    G, M, ray, C = model.design.gram(), model.curvature[0], model.ray[0], 4
    mix, sign, GW = curvature.lengths(G, M, ray, model.weights[0])
    U = curvature.written_out(M, mix, GW)
    W = model.weights[0].reshape(C, -1)
    H = ray.reshape(2 * C, 2 * C)
    rng = np.random.default_rng(1)
    for _ in range(20):
        change = rng.normal(size=2 * C)
        d = W * change[C:, None]
        d[:, -1] = change[:C]
        plain = float(np.einsum("ce,cj,ek,jk->", M, d, d, G))
        corrected = plain + float(sign @ (U @ d.ravel()) ** 2)
        assert corrected == pytest.approx(change @ H @ change, rel=1e-6)
    B = np.kron(M, G) + (U.T * sign) @ U
    assert np.linalg.eigvalsh(B).min() > -1e-9


def test_a_softmax_applies_its_corrections_without_writing_them_out():
    rng = np.random.default_rng(4)
    C, K1, r = 5, 12, 7
    M = rng.random((C, C))
    M = M + M.T
    mix, x = rng.normal(size=(2 * C, r)), rng.normal(size=r)
    GW = rng.normal(size=(C, K1))
    GW[:, -1] = 0  # standardised columns have nothing to do with the intercept
    U = curvature.written_out(M, mix, GW)
    R = np.zeros((C, K1))
    lengths.add_along.py_func(mix, r, x, GW, R)
    assert (M @ R).ravel() == pytest.approx(x @ U)
    d, found = rng.normal(size=C * K1), np.full(r, np.nan)
    lengths.products_along.py_func(M, mix, r, GW, d, found, np.full((C, K1), np.nan))
    assert found == pytest.approx(U @ d)
    for columns in ([3, 11, 0], [2], []):
        UA = np.full((r, 3), np.nan)
        some = np.full((C, K1), np.nan)
        lengths.rows_along.py_func(M, mix, r, GW, 2, np.array(columns, int), len(columns), UA, some)
        assert UA[:, : len(columns)] == pytest.approx(U.reshape(r, C, K1)[:, 2, columns])
