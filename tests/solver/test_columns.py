"""Refits of one class: passes over the columns in use take the place of most passes over the rows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inficond.core.solver import FitResult, design, fit, links, newton
from inficond.core.solver.kernels import columns

from . import reference
from .problems import Case, cases
from .test_fit import T, X
from .test_properties import check_certificate, many

pytestmark = pytest.mark.filterwarnings("ignore::inficond.core.solver.NotConverged")
TOL = 1e-5
lam = 0.02  # few enough weights for the columns to be worth their while
all_of_them = fit(X, T, lam, tol=TOL)
one, t = all_of_them.select([0]), T[:, [0]]


def pushed(result: FitResult, count: int, times: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Bounds (1, K) that push the strongest weights outwards and the weakest to zero."""
    w = result.weights[0]
    low, high = np.full((1, len(w)), -np.inf), np.full((1, len(w)), np.inf)
    used = np.flatnonzero(w)
    order = used[np.argsort(-np.abs(w[used]))]
    for k in order[:count]:
        (low if w[k] > 0 else high)[0, k] = times * w[k]
    for k in order[count:][-1:]:
        low[0, k] = high[0, k] = 0.0
    return low, high


def over_rows(monkeypatch: pytest.MonkeyPatch, *args: object, **how: object) -> FitResult:
    """The same refit without passes over columns."""
    with monkeypatch.context() as patch:
        patch.setattr(newton, "settle", lambda *a: None)
        return fit(*args, **how)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_they_find_what_passes_over_rows_find(
    monkeypatch: pytest.MonkeyPatch, precision: type, weighted: bool
) -> None:
    rows, targets = X.astype(precision), t.astype(precision)
    mass = np.linspace(0, 2, len(X)) if weighted else None
    start = fit(rows, targets, lam, sample_weight=mass, tol=TOL)
    low, high = pushed(start, 3)
    how = {"lam": lam, "init": start, "lower": low, "upper": high, "sample_weight": mass, "tol": TOL}
    found = fit(rows, targets, **how)
    slow = over_rows(monkeypatch, rows, targets, **how)
    assert found.converged.all()
    assert found.objective == pytest.approx(slow.objective, rel=2 * TOL)
    assert found.weights == pytest.approx(slow.weights, abs=5e-3)
    assert np.all((found.weights >= low) & (found.weights <= high))
    assert found.n_iter[0] < slow.n_iter[0]


def test_the_rows_are_passed_over_once_or_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    evaluate = links.Sigmoid.evaluate
    monkeypatch.setattr(links.Sigmoid, "evaluate", lambda *a: (passes.append(1), evaluate(*a))[1])
    low, high = pushed(one, 3)
    refit = fit(X, t, lam, init=one, lower=low, upper=high)
    assert refit.converged.all()
    assert len(passes) == refit.n_iter[0] <= 2
    assert reference.objective(X, t, refit) == pytest.approx(
        fit(X, t, lam, lower=low, upper=high, tol=1e-6).objective, rel=1e-4
    )


def test_the_same_start_gives_the_same_bits() -> None:
    low, high = pushed(one, 3)
    again = [fit(X, t, lam, init=one, lower=low, upper=high, n_threads=n) for n in (1, 2)]
    assert np.array_equal(again[0].weights, again[1].weights)
    assert np.array_equal(again[0].gap, again[1].gap)


def test_a_refit_changes_nothing_of_what_it_started_from() -> None:
    low, high = pushed(one, 3)
    before = [a.copy() for a in one.model._arrays]
    fit(X, t, lam, init=one, lower=low, upper=high)
    assert all(np.array_equal(a, b) for a, b in zip(before, one.model._arrays))


def check_refit(case: Case, times: float, tol: float, slack: float) -> None:
    """Of the first class: within its bounds, converged, and no further from the optimum than its gap says."""
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
def test_the_gap_bounds_what_a_refit_misses(case: Case, times: float, tol: float) -> None:
    check_refit(case, times, tol, 1e-9)


@many(200)
@given(cases(dtype=np.float32, lams=(1e-2, 0.3), least=8), st.floats(0.5, 2.0), st.sampled_from((1e-1, 1e-3)))
def test_the_gap_bounds_what_a_refit_misses_in_single_precision(
    single: None, case: Case, times: float, tol: float
) -> None:
    check_refit(case, times, tol, 3e-6)


def test_rows_kept_elsewhere_are_not_copied(single: None, tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", X)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    start = fit(mapped, t, lam)
    assert start.model.design.X.base is not None  # not a copy in memory
    assert start.model.design.columns is None
    low, high = pushed(start, 3)
    assert fit(mapped, t, lam, init=start, lower=low, upper=high).converged.all()


def test_too_many_rows_are_not_kept_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(design, "COLUMN_BYTES", X.nbytes - 1)
    assert fit(X, t, lam).model.design.columns is None


def test_a_student_of_many_weights_keeps_to_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "settle", lambda *a: pytest.fail("most columns are in use"))
    dense = fit(X, t, 1e-6, max_iter=50)
    assert dense.nec[0] > X.shape[1] / 2
    low, high = pushed(dense, 2)
    fit(X, t, 1e-6, init=dense, lower=low, upper=high, max_iter=3)


def test_a_class_without_any_weight_is_refitted_too() -> None:
    empty = fit(X, t, 10.0)
    assert not empty.weights.any()
    again = fit(X, t, 10.0, init=empty, sample_weight=np.linspace(1, 2, len(X)))
    assert again.converged.all()
    assert not again.weights.any()
