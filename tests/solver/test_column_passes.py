"""Warm refits of one class, which replace passes over the rows by passes over the columns in use."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import FitResult, design, fit
from inficond.core.solver.datafits import Sigmoid
from inficond.core.solver.kernels import column_passes
from inficond.core.solver.subproblems import PerClassSubproblem

from . import reference
from .problems import Case, cases
from .test_fit import T, X
from .test_properties import check_certificate, many

pytestmark = pytest.mark.filterwarnings("ignore::inficond.core.solver.NotConverged")
TOL = 1e-5
lam = 0.02  # large enough for few columns to be in use
all_classes = fit(X, T, lam, tol=TOL)
one, t = all_classes.select([0]), T[:, [0]]


def pushed(result: FitResult, count: int, times: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (1, K) that enlarge the largest weights and set the smallest to zero."""
    w = result.weights[0]
    low, high = np.full((1, len(w)), -np.inf), np.full((1, len(w)), np.inf)
    used = np.flatnonzero(w)
    order = used[np.argsort(-np.abs(w[used]))]
    for k in order[:count]:
        (low if w[k] > 0 else high)[0, k] = times * w[k]
    for k in order[count:][-1:]:
        low[0, k] = high[0, k] = 0.0
    return low, high


def fit_without_polishing(monkeypatch: pytest.MonkeyPatch, *args: object, **options: object) -> FitResult:
    """Refit without passes over columns."""
    with monkeypatch.context() as patch:
        patch.setattr(PerClassSubproblem, "polish", lambda *a: None)
        return fit(*args, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_polishing_finds_the_same_optimum_in_fewer_passes(
    monkeypatch: pytest.MonkeyPatch, precision: type, weighted: bool
) -> None:
    rows, targets = X.astype(precision), t.astype(precision)
    mass = np.linspace(0, 2, len(X)) if weighted else None
    start = fit(rows, targets, lam, sample_weight=mass, tol=TOL)
    low, high = pushed(start, 3)
    options = {"lam": lam, "init": start, "lower": low, "upper": high, "sample_weight": mass, "tol": TOL}
    found = fit(rows, targets, **options)
    slow = fit_without_polishing(monkeypatch, rows, targets, **options)
    assert found.converged.all()
    assert found.objective == pytest.approx(slow.objective, rel=2 * TOL)
    assert found.weights == pytest.approx(slow.weights, abs=5e-3)
    assert np.all((found.weights >= low) & (found.weights <= high))
    assert found.n_iter[0] < slow.n_iter[0]


def test_a_refit_makes_at_most_two_passes_over_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    evaluate = Sigmoid.evaluate
    monkeypatch.setattr(Sigmoid, "evaluate", lambda *a: (passes.append(1), evaluate(*a))[1])
    low, high = pushed(one, 3)
    refit = fit(X, t, lam, init=one, lower=low, upper=high)
    assert refit.converged.all()
    assert len(passes) == refit.n_iter[0] <= 2
    assert reference.objective(X, t, refit) == pytest.approx(
        fit(X, t, lam, lower=low, upper=high, tol=1e-6).objective, rel=1e-4
    )


def test_refits_are_deterministic_for_any_number_of_threads() -> None:
    low, high = pushed(one, 3)
    fits = [fit(X, t, lam, init=one, lower=low, upper=high, n_threads=n) for n in (1, 2)]
    assert np.array_equal(fits[0].weights, fits[1].weights)
    assert np.array_equal(fits[0].gap, fits[1].gap)


def test_a_refit_does_not_modify_its_start() -> None:
    low, high = pushed(one, 3)
    before = [a.copy() for a in one.model.arrays]
    fit(X, t, lam, init=one, lower=low, upper=high)
    assert all(np.array_equal(a, b) for a, b in zip(before, one.model.arrays))


def check_refit(case: Case, times: float, tol: float, slack: float) -> None:
    """Check a refit of the first class: within its bounds, converged, and with a valid gap."""
    targets = case.T[:, :1]
    mass = case.sample_weight
    mass = mass if mass is None or mass.ndim == 1 else mass[:, :1]
    low, high = (None if b is None else b[:1] for b in (case.lower, case.upper))
    start = fit(case.X, targets, case.lam, sample_weight=mass, lower=low, upper=high, tol=1e-3)
    low, high = pushed(start, 2, times)
    refit = fit(
        case.X, targets, case.lam, init=start, sample_weight=mass, lower=low, upper=high, tol=tol,
        max_iter=1000,
    )  # fmt: skip
    assert np.all((refit.weights >= low) & (refit.weights <= high))
    check_certificate(Case(case.X, targets, case.lam, low, high, mass), refit, slack)
    assert refit.converged.all()


@many(200)
@given(cases(dtype=np.float64, lams=(1e-2, 0.3), least=8), st.floats(0.5, 2.0), st.sampled_from((1e-2, 1e-6)))
def test_the_gap_of_a_refit_bounds_the_suboptimality(case: Case, times: float, tol: float) -> None:
    check_refit(case, times, tol, 1e-9)


@many(200)
@given(cases(dtype=np.float32, lams=(1e-2, 0.3), least=8), st.floats(0.5, 2.0), st.sampled_from((1e-1, 1e-3)))
def test_the_gap_of_a_refit_bounds_the_suboptimality_in_single_precision(
    single_precision: None, case: Case, times: float, tol: float
) -> None:
    check_refit(case, times, tol, 3e-6)


def test_columns_that_stay_at_zero_leave_the_working_set() -> None:
    B = np.arange(36.0).reshape(6, 6)
    before = B.copy()
    A = np.array([3, 5, 8, 9, 11, 40])
    w = np.array([0.0, 2.0, 0.0, 0.0, 0.0, 0.5])
    gradient = np.array([0.1, 0.1, -0.95, 0.1, 0.2, 0.0])
    lam = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    low = np.array([-np.inf, -np.inf, -np.inf, -np.inf, 0.3, -np.inf])  # a weight of 0 violates its bound
    high = np.full(6, np.inf)
    left = column_passes.drop_columns(B, 6, A, w, gradient, lam, low, high, 0.9, np.empty(6, np.int64))
    kept = [1, 2, 4, 5]
    assert left == 4
    assert A[:left].tolist() == [5, 8, 11, 40]
    assert w[:left].tolist() == [2.0, 0.0, 0.0, 0.5]
    assert gradient[:left].tolist() == [0.1, -0.95, 0.2, 0.0]
    assert lam[:left].tolist() == [1.0, 1.0, 1.0, 0.0]
    assert low[:left].tolist() == [-np.inf, -np.inf, 0.3, -np.inf]
    assert np.array_equal(B[:left, :left], before[np.ix_(kept, kept)])


def test_memory_mapped_rows_are_not_copied(single_precision: None, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    start = fit(mapped, t, lam)
    assert start.model.design.X.base is not None
    assert start.model.design.columns is None
    low, high = pushed(start, 3)
    assert fit(mapped, t, lam, init=start, lower=low, upper=high).converged.all()


def test_large_matrices_are_not_transposed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design, "TRANSPOSED_BYTES", X.nbytes - 1)
    assert fit(X, t, lam).model.design.columns is None


def test_dense_students_are_not_polished(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(column_passes, "polish", lambda *a: pytest.fail("most columns are in use"))
    dense = fit(X, t, 1e-6, max_iter=50)
    assert dense.nec[0] > X.shape[1] / 2
    low, high = pushed(dense, 2)
    fit(X, t, 1e-6, init=dense, lower=low, upper=high, max_iter=3)


def test_a_class_without_weights_is_refitted() -> None:
    empty = fit(X, t, 10.0)
    assert not empty.weights.any()
    again = fit(X, t, 10.0, init=empty, sample_weight=np.linspace(1, 2, len(X)))
    assert again.converged.all()
    assert not again.weights.any()
