"""Invalid arguments: every error is a ValueError that names the argument, the value and its position."""

import numpy as np
import pytest

from inficond.core.solver import FitResult, NotConverged, fit, lambda_for_nec, lambda_max, path

rng = np.random.default_rng(0)
X = rng.random((20, 4)).astype(np.float32)
T = rng.random((20, 2)).astype(np.float32)


def with_entry(A, place, value):
    B = A.copy()
    B[place] = value
    return B


FREE = np.full((2, 4), np.inf)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": with_entry(X, (3, 1), np.nan)}, r"X must be finite: X\[3, 1\] is nan"),
        ({"X": with_entry(X, (19, 3), np.inf)}, r"X must be finite: X\[19, 3\] is inf"),
        ({"X": X[0]}, r"X must have shape \(N, K\): it has 1 dimensions"),
        ({"X": X[:0], "T": T[:0]}, r"X has no rows \(N = 0\)"),
        ({"X": X[:, :0]}, r"X has no columns \(K = 0\)"),
        ({"X": np.array([["a", "b"]])}, r"X must be an array of real numbers: its dtype is <U1"),
        ({"X": X * 1j}, r"X must be an array of real numbers: its dtype is complex"),
        ({"T": T[:5]}, r"X and T must have the same number of rows: 20 and 5"),
        ({"T": T[:, :0]}, r"T has no columns"),
        ({"T": with_entry(T, (7, 1), np.nan)}, r"T must be within \[0, 1\]: T\[7, 1\] is nan"),
        ({"T": with_entry(T, (2, 0), 1.5)}, r"T must be within \[0, 1\]: T\[2, 0\] is 1.5"),
        ({"T": with_entry(T, (2, 0), -0.25)}, r"T must be within \[0, 1\]: T\[2, 0\] is -0.25"),
        ({"lam": -1}, r"lam must be finite and not negative: it is -1"),
        ({"lam": np.nan}, r"lam must be finite and not negative: it is nan"),
        ({"lam": "large"}, r"lam must be one number: it is 'large'"),
        ({"tol": 0}, r"tol must be finite and positive: it is 0"),
        ({"link": "probit"}, r"link must be one of sigmoid, softmax: it is 'probit'"),
        ({"lower": np.zeros((2, 3))}, r"lower must have shape \(C, K\) = \(2, 4\): it has \(2, 3\)"),
        ({"upper": with_entry(FREE, (1, 2), np.nan)}, r"upper must be a number or inf: upper\[1, 2\] is nan"),
        (
            {"upper": with_entry(FREE, (1, 2), -np.inf)},
            r"upper must be a number or inf: upper\[1, 2\] is -inf",
        ),
        (
            {"lower": np.zeros((2, 4)), "upper": with_entry(FREE, (0, 3), -0.5)},
            r"lower must not exceed upper: at \[0, 3\] they are 0.0 and -0.5",
        ),
        ({"sample_weight": np.ones(3)}, r"sample_weight must have shape \(20,\) or \(20, C\): it has \(3,\)"),
        (
            {"sample_weight": with_entry(np.ones(20), 4, -2)},
            r"sample_weight must not be negative.*\[4\] is -2",
        ),
        ({"sample_weight": with_entry(np.ones((20, 2)), (4, 1), np.nan)}, r"sample_weight\[4, 1\] is nan"),
        (
            {"sample_weight": with_entry(np.ones(20), 4, np.inf)},
            r"sample_weight must be finite: sample_weight\[4\] is inf",
        ),
        ({"sample_weight": np.zeros(20)}, r"sample_weight must have a positive sum"),
        ({"sample_weight": np.c_[np.ones(20), np.zeros(20)]}, r"positive sum for class 1"),
        ({"init": "before"}, r"init must be a FitResult: it is str"),
        (
            {"init": FitResult.from_weights(np.zeros((1, 4)), [0.0])},
            r"init must have weights of shape .*\(2, 4\)",
        ),
        (
            {"init": FitResult.from_weights(np.zeros((2, 4)), [0, 0], link="softmax")},
            r"init was fitted with link",
        ),
    ],
)
def test_invalid_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(**{"X": X, "T": T, **arguments})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "weights",
            with_entry(np.zeros((2, 4)), (1, 3), np.nan),
            r"init.weights must be finite.*\[1, 3\] is nan",
        ),
        ("bias", np.array([0.0, np.inf]), r"init.bias must be finite: init.bias\[1\] is inf"),
        ("bias", np.zeros(1), r"init must have a bias of shape \(2,\): it has \(1,\)"),
        ("mean", np.zeros(3), r"init must have a mean of shape \(4,\): it has \(3,\)"),
        ("scale", np.array([1.0, 0, 1, 1]), r"init.scale must be positive: init.scale\[1\] is 0.0"),
    ],
)
def test_a_start_that_was_changed_is_checked(name, value, message):
    start = fit(X, T, 0.01)
    setattr(start, name, value)
    for rows in (X, X.copy()):
        with pytest.raises(ValueError, match=message):
            fit(rows, T, 0.01, init=start)


@pytest.mark.parametrize("bound", [1e9, 1e12, 1e20, 1e30, 1e300])
@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_bounds_that_mean_no_bound_change_nothing(bound, link):
    targets = T / T.sum(1, keepdims=True) if link == "softmax" else T
    free = fit(X, targets, 0.001, link)
    found = fit(X, targets, 0.001, link, lower=np.full((2, 4), -bound), upper=np.full((2, 4), bound))
    assert found.converged.all()
    np.testing.assert_allclose(found.objective, free.objective, rtol=2e-4)


@pytest.mark.parametrize("bound", [1e5, 1e8])
def test_bounds_far_from_any_solution_raise_no_numerical_warning(bound):
    with np.errstate(all="raise", under="ignore"):
        result = fit(X, T, 0.001, lower=np.full((2, 4), bound), warn=False)
    assert np.all(result.weights >= bound)


def test_bounds_of_one_number_or_row_name_the_conversion():
    for lower in (0.0, np.zeros(4)):
        with pytest.raises(ValueError, match=r"use np.broadcast_to\(lower, \(2, 4\)\)"):
            fit(X, T, lower=lower)
    assert np.all(fit(X, T, lower=np.broadcast_to(0.0, (2, 4))).weights >= 0)


def test_saved_weights_are_checked():
    with pytest.raises(ValueError, match=r"bias must have 2 entries"):
        FitResult.from_weights(np.zeros((2, 4)), [0.0])
    with pytest.raises(ValueError, match=r"weights\[1, 0\] is nan"):
        FitResult.from_weights([[0.0], [np.nan]], [0.0, 0.0])
    with pytest.raises(ValueError, match=r"scale must be positive: scale\[1\] is 0.0"):
        FitResult.from_weights(np.zeros((1, 2)), [0.0], scale=[1, 0])


def test_nec_must_be_positive():
    with pytest.raises(ValueError, match="nec must be finite and positive: it is 0"):
        lambda_for_nec(X, T, 0)


def test_the_iteration_limit_warns_and_returns_the_best_point():
    with pytest.warns(NotConverged, match=r"2 of 2 fits did not reach tol=1e-09: the largest gap is \S+ at"):
        r = fit(X, T, 1e-3, tol=1e-9, max_iter=2)
    assert not r.converged.any()
    assert np.all(r.gap > 0)
    assert np.all(r.objective < fit(X, T, 10.0).objective)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([2], r"classes must be below the number of classes, 2: classes\[0\] is 2"),
        ([0, -3], r"classes\[1\] is -3"),
        ([0.0], "classes must be whole numbers"),
        ([True], r"classes must have shape \(2,\) as a mask"),
        ([[0]], "classes must be whole numbers"),
        (["boat"], "classes must be an array of real numbers"),
    ],
)
def test_selected_classes_must_exist(classes, message):
    result = fit(X, T, 0.01)
    with pytest.raises(ValueError, match=message):
        result.select(classes)


def test_classes_are_selected_by_number_or_mask():
    result = fit(X, T, 0.01)
    for classes in (1, [1], [-1], [False, True], np.array([1], np.uint8)):
        np.testing.assert_array_equal(result.select(classes).weights, result.weights[[1]])
    assert result.select([]).weights.shape == (0, 4)


@pytest.mark.parametrize("lams", [0.1, [], "0.1", [[0.1]], [0.1, -1], [0.1, np.nan]])
def test_penalties_of_a_path_must_be_a_sequence_of_numbers(lams):
    with pytest.raises(ValueError, match="lams must be"):
        path(X, T, lams)


def test_frames_whose_rows_are_in_another_order_are_refused():
    pandas = pytest.importorskip("pandas")
    names = [f"{n}.jpg" for n in range(20)]
    rows, targets = pandas.DataFrame(X, index=names), pandas.DataFrame(T, index=names)
    for call in (fit, lambda_max):
        with pytest.raises(ValueError, match=r"same order: row 0 is '0.jpg' in X and '19.jpg' in T"):
            call(rows, targets[::-1])
    with pytest.raises(ValueError, match="X and sample_weight must have their rows in the same order"):
        fit(rows, T, sample_weight=pandas.Series(np.ones(20), index=names[::-1]))
    expected = fit(X, T).weights
    for other in (targets, targets.reset_index(drop=True), targets.set_axis(["a"] * 20)):
        np.testing.assert_array_equal(fit(rows, other).weights, expected)


@pytest.mark.parametrize("scale", [5e-324, 1e-320, 1e-300, 1e300])
def test_weights_of_any_scale_that_a_number_can_have(scale):
    expected = fit(X, T, 0.01)
    found = fit(X, T, 0.01, sample_weight=np.full((20, 2), scale))
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-2)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_fits_need_no_suppressed_floating_point_errors(link):
    targets = T / T.sum(1, keepdims=True) if link == "softmax" else T
    weight = np.r_[0.0, np.ones(19)]
    with np.errstate(all="raise"):
        fit(X, targets, 0.01, link, sample_weight=weight)
        fit(X, targets, 0.5, link, penalty=[0, np.inf, 1, 1])
        assert len(path(X, targets, link=link, lam=0.01, steps=3)) == 3
