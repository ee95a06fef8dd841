"""Hessian in the subspace of intercepts and weights: from the rows, and in the model."""

import numpy as np
import pytest

from inficond.core.solver import fit, softmax_corrections
from inficond.core.solver.datafits import softmax
from inficond.core.solver.kernels import softmax_corrections as kernels
from inficond.core.solver.kernels.model_corrections import class_corrections

from .test_fit import problem


def fitted(link="sigmoid", weighted=False):
    X, T = problem(N=900, K=20, C=4)
    X, T = X.astype(np.float64), T.astype(np.float64)
    s = np.random.default_rng(0).uniform(0.2, 3, len(X)) if weighted else np.ones(len(X))
    if link == "softmax":
        T = T / T.sum(1, keepdims=True)
    r = fit(X, T, 1e-3, link, sample_weight=s if weighted else None, tol=1e-3)
    r.model.pairs[:] = 0  # without BFGS corrections
    design = r.model.design
    return r, (X - design.centre) * design.multiplier, s / s.sum()


def hessian_model(r, c):
    """Return the Hessian model (K+1, K+1) of class c in float64."""
    model = r.model
    G, a = model.design.gram(), float(model.curvature[c, 0, 0])
    memory, n = model.S.shape[1:]
    U, sign = np.empty((2 * memory + 2, n)), np.empty(2 * memory + 2)
    used = class_corrections(
        G, a, 1e-6 * a, model.subspace_hessian[c], model.weights[c], model.S[c], model.Y[c], model.GS[c],
        model.pairs[c], model.newest[c], U, sign,
    )  # fmt: skip
    return a * G + 1e-6 * a * np.eye(n) + (U[:used].T * sign[:used]) @ U[:used]


def explicit_corrections(M, mixing, GW):
    """Return the corrections of a softmax as vectors (r, C (K+1)), from their definition."""
    C, K1 = GW.shape
    intercept = np.eye(K1)[-1]
    rows = np.einsum("er,ek->rek", mixing[C:], GW) + np.einsum("er,k->rek", mixing[:C], intercept)
    return np.einsum("ce,rek->rck", M, rows).reshape(-1, C * K1)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_pass_gives_the_hessian_in_the_subspace(weighted):
    r, Z, s = fitted(weighted=weighted)
    for c, (w, found) in enumerate(zip(r.model.weights, r.model.subspace_hessian)):
        slope = Z @ w[:-1]
        p = 1 / (1 + np.exp(-slope - w[-1]))
        v = s * p * (1 - p)
        assert found == pytest.approx([v.sum(), v @ slope, v @ slope**2], rel=1e-9), c


@pytest.mark.parametrize("weighted", [False, True])
def test_the_model_has_this_hessian_and_is_positive_definite(weighted):
    r, _, _ = fitted(weighted=weighted)
    for c, (h00, h01, h11) in enumerate(r.model.subspace_hessian):
        B = hessian_model(r, c)
        bias = np.eye(21)[20]
        w = np.r_[r.model.weights[c, :-1], 0.0]
        ridge = 1e-6 * r.model.curvature[c, 0, 0]
        assert bias @ B @ bias == pytest.approx(h00 + ridge, rel=1e-9)
        assert bias @ B @ w == pytest.approx(h01, rel=1e-9, abs=1e-12)
        assert w @ B @ w == pytest.approx(h11 + ridge * (w @ w), rel=1e-9)
        assert np.linalg.eigvalsh(B).min() > 0
        plain = h00 * r.model.design.gram()
        assert np.linalg.norm(B - plain) > 0.05 * np.linalg.norm(plain)  # the correction is not negligible


def test_the_corrected_model_is_closer_to_the_true_hessian_than_the_gram_matrix():
    r, Z, s = fitted()
    full = np.c_[Z, np.ones(len(Z))]
    for c, w in enumerate(r.model.weights):
        p = 1 / (1 + np.exp(-full @ w))
        exact = (full * (s * p * (1 - p))[:, None]).T @ full
        far = np.linalg.norm(r.model.subspace_hessian[c, 0] * r.model.design.gram() - exact)
        assert np.linalg.norm(hessian_model(r, c) - exact) < 0.75 * far


def test_the_subspace_hessian_of_a_softmax():
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(3), 50).T
    slope, weight = rng.normal(size=(3, 50)), rng.uniform(0, 2, 50)
    expected = np.zeros((6, 6))
    for n in range(50):
        D = np.r_[np.eye(3), np.diag(slope[:, n])]  # derivatives of the logits
        expected += weight[n] * D @ (np.diag(p[:, n]) - np.outer(p[:, n], p[:, n])) @ D.T
    found = np.zeros((6, 6))
    kernels.add_subspace_hessian(np.ascontiguousarray(p), slope, weight, found)
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_softmax_model_has_this_hessian(monkeypatch):
    monkeypatch.setattr(softmax_corrections, "NEGLIGIBLE", 1e-9)
    monkeypatch.setattr(softmax_corrections, "UNCHANGED", 0.0)
    r, _, _ = fitted("softmax")
    model = r.model
    G, M, C = model.design.gram(), model.curvature[0], 4
    mixing, sign, GW = softmax_corrections.softmax_corrections(
        G, M, model.subspace_hessian[0], model.weights[0]
    )
    U = explicit_corrections(M, mixing, GW)
    W = model.weights[0].reshape(C, -1)
    H = model.subspace_hessian[0].reshape(2 * C, 2 * C)
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


def test_factored_corrections_equal_explicit_ones():
    rng = np.random.default_rng(4)
    C, K1, r = 5, 12, 7
    M = rng.random((C, C))
    M = M + M.T
    mixing, x = rng.normal(size=(2 * C, r)), rng.normal(size=r)
    GW = rng.normal(size=(C, K1))
    GW[:, -1] = 0  # standardized columns are orthogonal to the intercept
    U = explicit_corrections(M, mixing, GW)
    R = np.zeros((C, K1))
    kernels.add_correction_rows.py_func(mixing, r, x, GW, R)
    assert (M @ R).ravel() == pytest.approx(x @ U)
    d, found = rng.normal(size=C * K1), np.full(r, np.nan)
    kernels.correction_products.py_func(M, mixing, r, GW, d, found, np.full((C, K1), np.nan))
    assert found == pytest.approx(U @ d)
    for columns in ([3, 11, 0], [2], []):
        UA = np.full((r, 3), np.nan)
        some = np.full((C, K1), np.nan)
        kernels.correction_columns.py_func(
            M, mixing, r, GW, 2, np.array(columns, int), len(columns), UA, some
        )
        assert UA[:, : len(columns)] == pytest.approx(U.reshape(r, C, K1)[:, 2, columns])


def test_a_softmax_of_many_classes_needs_no_subspace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above a number of classes only the Hessian of the intercepts is summed, over one row in eight."""
    X, T = problem(N=900, K=20, C=4)
    T = T / T.sum(1, keepdims=True)
    usual = fit(X, T, 1e-3, "softmax")
    monkeypatch.setattr(softmax, "MAX_SUBSPACE_CLASSES", 3)
    without = fit(X, T, 1e-3, "softmax")
    assert without.converged.all()
    assert not without.model.subspace_hessian.any()
    np.testing.assert_allclose(without.model.curvature, usual.model.curvature, rtol=0.1, atol=1e-4)
    assert abs(without.objective - usual.objective) <= without.gap + usual.gap
