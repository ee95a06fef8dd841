"""Degenerate problems: every fit is finite and certified."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import fit, lambda_for_nec, lambda_max, path

from .test_properties import many

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 30)).astype(np.float32)
T = 1 / (1 + np.exp(-2 * X[:, :2].astype(np.float64)))


def check(r):
    for name in ("weights", "bias", "objective", "gap"):
        assert np.isfinite(getattr(r, name)).all(), name
    assert r.converged.all()
    return r


def single_positive(N, C):
    t = np.zeros((N, C))
    t[N // 2] = 1
    return t


ROWS = {
    "one row": lambda N, K: rng.normal(size=(1, K)),
    "two rows": lambda N, K: rng.normal(size=(2, K)),
    "fewer rows than columns": lambda N, K: rng.normal(size=(K // 2 + 1, K)),
    "identical rows": lambda N, K: np.tile(rng.normal(size=(1, K)), (N, 1)),
    "zeros": lambda N, K: np.zeros((N, K)),
    "one column": lambda N, K: rng.normal(size=(N, 1)),
    "duplicate columns": lambda N, K: np.repeat(rng.normal(size=(N, K // 2 + 1)), 2, 1),
    "constant columns": lambda N, K: np.c_[rng.normal(size=(N, K)), np.full((N, 2), 3.7)],
    "almost constant columns": lambda N, K: np.c_[
        rng.normal(size=(N, K)), 1e6 + 1e-3 * rng.normal(size=(N, 2))
    ],
    "one outlier": lambda N, K: np.r_[rng.normal(size=(N - 1, K)), np.full((1, K), 1e6)],
    "binary": lambda N, K: rng.integers(0, 2, (N, K)),
    "scales from 1e-12 to 1e12": lambda N, K: rng.normal(size=(N, K)) * np.logspace(-12, 12, K),
    "far from zero": lambda N, K: rng.normal(size=(N, K)) + 1e5,
}
TARGETS = {
    "zeros": lambda X, C: np.zeros((len(X), C)),
    "ones": lambda X, C: np.ones((len(X), C)),
    "constant": lambda X, C: np.full((len(X), C), 0.3),
    "one positive": lambda X, C: single_positive(len(X), C),
    "separable": lambda X, C: np.repeat(X[:, :1] > np.median(X[:, 0]), C, 1).astype(float),
    "denormal": lambda X, C: np.full((len(X), C), 1e-310),
    "soft": lambda X, C: rng.random((len(X), C)),
}


@many(80)
@given(
    rows=st.sampled_from(sorted(ROWS)),
    targets=st.sampled_from(sorted(TARGETS)),
    link=st.sampled_from(["sigmoid", "softmax"]),
    precision=st.sampled_from([np.float32, np.float64]),
    lam=st.sampled_from([0.0, 1e-300, 1e-3, 0.1, 1e300]),
    standardize=st.booleans(),
)
def test_every_combination_converges(single_precision, rows, targets, link, precision, lam, standardize):
    x = ROWS[rows](60, 8).astype(precision)
    t = TARGETS[targets](x, 3)
    if link == "softmax":
        t = (t + 1e-12) / (t + 1e-12).sum(1, keepdims=True)
    if not standardize and rows == "scales from 1e-12 to 1e12":
        lam = 0.1  # one lam cannot suit all these columns
    if lam < 1e-3:  # without penalty an optimum need not exist
        x, t = x[:, :2], 0.1 + 0.8 * t
        if link == "softmax":
            t /= t.sum(1, keepdims=True)
    check(fit(x, t, lam, link, standardize=standardize, tol=1e-3, max_iter=1000))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-9, 1e9, 1e15, 1e30])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_the_scale_of_the_rows_has_no_effect(single_precision, scale, link):
    t = T if link == "sigmoid" else T / T.sum(1, keepdims=True)
    expected = fit(X, t, 0.01, link, tol=1e-5)
    scaled = check(fit(X * np.float32(scale), t, 0.01, link, tol=1e-5))
    assert scaled.objective == pytest.approx(expected.objective, rel=3e-5)
    assert scaled.nec.tolist() == pytest.approx(expected.nec.tolist(), abs=1)


def test_separable_targets_without_penalty():
    r = check(fit(X, (X[:, :1] > 0).astype(float), 0.0))
    assert r.objective[0] < 1e-3


def test_few_positives_in_many_rows():
    many_rows = rng.standard_normal((100_001, 20)).astype(np.float32)
    rare = np.zeros((100_001, 1))
    rare[:10] = 1
    check(fit(many_rows, rare))


def test_duplicate_columns_have_the_same_optimum():
    twice, once = check(fit(np.repeat(X, 2, 1), T, tol=1e-6)), check(fit(X, T, tol=1e-6))
    assert twice.objective == pytest.approx(once.objective, rel=3e-6)


def test_values_beyond_float64_are_named():
    with pytest.raises(ValueError, match="X has columns whose variance exceeds the range of float64"):
        fit(X.astype(np.float64) * 1e300, T)


def test_paths_of_constant_targets():
    constant = np.full((200, 2), 0.3)
    assert lambda_max(X, constant) == pytest.approx(0, abs=1e-6)
    assert [check(r).nec.sum() for r in path(X, constant, steps=3)] == [0]
    assert check(lambda_for_nec(X, np.ones((200, 1)), 3)).nec.sum() == 0


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("lam", [-1, np.nan, np.inf, "0.1", None, [0.1], np.array([0.1]), True, 1j]),
        ("tol", [0, -1e-4, np.nan, np.inf, "loose", None, True]),
        ("max_iter", [0, -3, 2.7, 300.0, "many", None, True, np.inf]),
        ("n_threads", [0, -1, 1.5, "two", True]),
        ("standardize", ["no", 1, 0, None, np.array([True])]),
        ("warn", ["no", 1, None]),
        ("link", ["probit", "Sigmoid", None, 1, ["sigmoid"]]),
    ],
)
def test_invalid_options_are_named(name, values):
    for value in values:
        with pytest.raises(ValueError, match=f"^{name} must") as caught:
            fit(X, T, **{name: value})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"lam": np.float32(2.5e-3)},
        {"lam": np.array(2.5e-3)},
        {"tol": np.float16(1e-4)},
        {"max_iter": np.int8(100)},
        {"n_threads": np.uint16(2)},
        {"standardize": np.True_},
        {"warn": np.False_},
    ],
)
def test_numpy_scalars_are_valid_options(options):
    assert fit(X, T, **options).weights == pytest.approx(fit(X, T).weights, abs=1e-3)
