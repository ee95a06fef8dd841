"""Sample weights: zero equals absence and two equals twice, in the standardization too."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import fit, lambda_for_nec, lambda_max

from .test_properties import many

pytestmark = pytest.mark.filterwarnings("ignore::inficond.core.solver.NotConverged")


def data(N=300, K=12, C=3, seed=0, link="sigmoid"):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, K)) * rng.uniform(0.1, 5, K) + rng.normal(size=K)
    T = 1 / (1 + np.exp(-X[:, :C] - rng.normal(size=(N, C))))
    if link == "softmax":
        T /= T.sum(1, keepdims=True)
    return X, T, rng


def check_equal(a, b):
    for name in ("weights", "bias", "mean", "scale", "objective", "gap"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@many(40)
@given(
    seed=st.integers(0, 2**31),
    link=st.sampled_from(["sigmoid", "softmax"]),
    per_class=st.booleans(),
    standardize=st.booleans(),
    equal=st.booleans(),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_a_weight_of_zero_equals_absence(seed, link, per_class, standardize, equal, dtype):
    X, T, rng = data(N=60, K=6, seed=seed, link=link)
    X = X.astype(dtype)
    present = rng.random(60) < 0.6
    present[:2] = True
    s = np.ones((60, 3)) if equal else rng.uniform(0.5, 2, (60, 3))
    s = s * present[:, None] if per_class else s[:, 0] * present
    X[~present] *= 100  # must not matter
    options = {"lam": 0.02, "link": link, "standardize": standardize}
    check_equal(
        fit(X, T, sample_weight=s, **options),
        fit(X[present], T[present], sample_weight=None if equal and not per_class else s[present], **options),
    )


def test_absent_rows_may_be_invalid():
    X, T, _ = data()
    s = np.ones(300)
    s[[3, 50]] = 0
    expected = fit(np.delete(X, [3, 50], 0), np.delete(T, [3, 50], 0), 0.02)
    X[3], T[50] = np.nan, np.nan
    X[50], T[3] = np.inf, 7
    check_equal(fit(X, T, 0.02, sample_weight=s), expected)
    with pytest.raises(ValueError, match=r"X\[3, 0\] is nan"):
        fit(X, np.clip(np.nan_to_num(T), 0, 1))


def test_missing_labels_have_weight_zero():
    X, T, rng = data()
    known = rng.random(T.shape) < 0.7
    r = fit(
        X, np.where(known, T, np.nan), 0.02, sample_weight=known.astype(float), standardize=False, tol=1e-7
    )
    for c in range(3):
        rows = known[:, c]
        one = fit(X[rows], T[rows][:, [c]], 0.02, standardize=False, tol=1e-7)
        assert r.objective[c] == pytest.approx(one.objective[0], rel=1e-6)
        assert r.weights[c] == pytest.approx(one.weights[0], abs=1e-3)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("standardize", [False, True])
def test_integer_weights_equal_repeated_rows(link, standardize):
    X, T, rng = data(link=link)
    times = rng.integers(0, 4, 300)
    options = {"lam": 0.02, "link": link, "standardize": standardize, "tol": 1e-8}
    a = fit(X, T, sample_weight=times, **options)
    b = fit(np.repeat(X, times, 0), np.repeat(T, times, 0), **options)
    assert a.mean == pytest.approx(b.mean, abs=1e-12)
    assert a.scale == pytest.approx(b.scale, rel=1e-12)
    assert a.objective == pytest.approx(b.objective, rel=1e-7)
    assert a.weights == pytest.approx(b.weights, abs=1e-3)


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e40, 1e300, 2.0])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("per_class", [False, True])
def test_the_scale_of_the_weights_has_no_effect(single_precision, scale, link, per_class):
    X, T, rng = data(link=link)
    s = rng.uniform(0.5, 2, T.shape if per_class else len(T))
    a, b = (fit(X, T, 0.02, link, sample_weight=w, tol=1e-6) for w in (s, s * scale))
    assert b.converged.all()
    assert b.objective == pytest.approx(a.objective, rel=1e-5)
    assert b.mean == pytest.approx(a.mean, abs=1e-9)


def test_weights_per_class_are_averaged_in_the_standardization():
    X, T, rng = data()
    s = rng.uniform(0, 2, T.shape)
    shares = (s / s.sum(0)).mean(1)
    r = fit(X, T, 0.02, sample_weight=s)
    assert r.mean == pytest.approx(shares @ X)
    assert r.scale == pytest.approx(np.sqrt(shares @ (X - r.mean) ** 2))


def test_a_refit_keeps_the_units_of_its_start_when_rows_get_weight_zero():
    X, T, _ = data(N=2000)
    start = fit(X, T, 0.02)
    s = np.where(np.arange(2000) < 500, 0.0, 1.0)
    refit = fit(X, T, 0.02, init=start, sample_weight=s, tol=1e-7)
    assert refit.model.design is start.model.design
    Z = (X - start.mean) / start.scale
    cold = fit(Z[500:], T[500:], 0.02, standardize=False, tol=1e-7)
    assert refit.objective == pytest.approx(cold.objective, rel=1e-6)
    again = fit(X, T, 0.02, init=fit(X, T, 0.02, sample_weight=s), sample_weight=s, tol=1e-7)
    assert again.converged.all()
    assert again.mean == pytest.approx(X[500:].mean(0))


def test_paths_ignore_absent_rows():
    X, T, _ = data()
    s = np.where(np.arange(300) < 40, 0.0, 1.0)
    assert np.array_equal(lambda_max(X, T, sample_weight=s), lambda_max(X[40:], T[40:]))
    a, b = lambda_for_nec(X, T, 3, sample_weight=s), lambda_for_nec(X[40:], T[40:], 3)
    assert a.lam == b.lam


def test_only_one_row_with_weight():
    X, T, _ = data()
    s = np.zeros(300)
    s[17] = 3
    r = fit(X, T, 0.02, sample_weight=s)
    assert not r.weights.any()
    assert r.converged.all()
    assert 1 / (1 + np.exp(-r.bias)) == pytest.approx(T[17], abs=1e-3)
