"""Behaviour of a fit besides optimality: units, warm starts, sample weights, threads, memory maps."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from inficond.core.solver import FitResult, fit, path, threads, validation
from inficond.core.solver.design import Design
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students import relaxed

from . import reference


def problem(N=3000, K=40, C=3, seed=0):
    """Make a problem with several chunks and groups of rows."""
    rng = np.random.default_rng(seed)
    X = np.maximum(0, rng.normal(0.2, 0.05, (N, K))).astype(np.float32)
    W = np.where(rng.random((C, K)) < 0.2, rng.normal(size=(C, K)), 0)
    E = (X - 0.2) / 0.05 @ W.T + rng.normal(size=(N, C)) - 2
    return X, (1 / (1 + np.exp(-E))).astype(np.float32)


X, T = problem()


def test_weights_are_in_standardized_units():
    r = fit(X, T)
    assert r.mean == pytest.approx(X.mean(0, dtype=np.float64), rel=1e-6)
    assert r.scale == pytest.approx(X.std(0, dtype=np.float64), rel=1e-5)
    assert r.objective == pytest.approx(reference.objective(X, T, r), rel=1e-6)
    assert r.weights.shape == (3, 40)
    assert r.nec.tolist() == np.count_nonzero(r.weights, axis=1).tolist()


def test_without_standardization_weights_are_in_units_of_the_data():
    r = fit(X, T, 1e-4, standardize=False)
    assert not r.mean.any()
    assert (r.scale == 1).all()
    assert r.converged.all()
    assert r.objective == pytest.approx(reference.objective(X, T, r), rel=1e-6)
    assert reference.optimum(X, T, r, 0) >= r.objective[0] - r.gap[0]


def test_scaling_columns_changes_nothing_with_standardization():
    a, b = fit(X, T, tol=1e-7), fit(X * np.float32(256), T, tol=1e-7)
    assert b.weights == pytest.approx(a.weights, abs=1e-4)


def test_a_column_far_from_zero_loses_no_accuracy():
    far = X.astype(np.float64)
    far[:, 0] += 4096
    r = fit(far.astype(np.float32), T)
    assert r.objective == pytest.approx(reference.objective(far.astype(np.float32), T, r), rel=1e-5)


def test_more_threads_give_the_same_result():
    a, b = fit(X, T, n_threads=1), fit(X, T, n_threads=3)
    assert np.array_equal(a.weights, b.weights)
    assert np.array_equal(a.gap, b.gap)


def test_a_warm_start_takes_fewer_passes_to_the_same_optimum():
    cold = fit(X, T, 2e-3, tol=1e-6)
    warm = fit(X, T, 2e-3, init=fit(X, T, 2.5e-3, tol=1e-6), tol=1e-6)
    assert warm.n_iter.sum() < cold.n_iter.sum()
    assert warm.objective == pytest.approx(cold.objective, rel=2e-6)


def test_a_fit_starts_from_saved_weights():
    r = fit(X, T)
    saved = FitResult.from_weights(r.weights.astype(np.float32), r.bias, r.mean, r.scale, r.lam)
    again = fit(X, T, init=saved)
    assert again.n_iter.max() <= 3
    assert np.array_equal(again.mean, saved.mean)
    assert again.objective == pytest.approx(r.objective, rel=1e-4)


def test_a_fit_does_not_modify_its_start():
    r = fit(X, T)
    before = r.weights.copy(), r.model.S.copy()
    fit(X, T, 1e-4, init=r, lower=np.zeros(r.weights.shape))
    assert np.array_equal(r.weights, before[0])
    assert np.array_equal(r.model.S, before[1])


def test_rows_changed_in_place_are_detected():
    moved = X.copy()
    r = fit(moved, T)
    moved *= np.float32(1.5)
    again = fit(moved, T, init=r)
    assert again.model.design is not r.model.design
    assert again.objective == pytest.approx(reference.objective(moved, T, again), rel=1e-6)


def test_a_single_class_is_refitted_to_the_same_optimum():
    r = fit(X, T)
    one = fit(X, T[:, [1]], init=r.select([1]), tol=1e-6)
    assert one.objective == pytest.approx(fit(X, T, tol=1e-6).objective[[1]], rel=2e-6)


def test_a_weight_of_two_is_the_row_twice():
    s = np.ones(len(X))
    s[:500] = 2
    twice = np.vstack([X, X[:500]]), np.vstack([T, T[:500]])
    a = fit(X, T, sample_weight=s, standardize=False, lam=1e-4, tol=1e-6)
    b = fit(*twice, standardize=False, lam=1e-4, tol=1e-6)
    assert a.objective == pytest.approx(b.objective, rel=1e-5)


def test_weights_per_class_apply_to_each_class():
    s = np.random.default_rng(1).random(T.shape)
    both = fit(X, T, 1e-4, sample_weight=s, standardize=False, tol=1e-6)
    for c in range(3):
        one = fit(X, T[:, [c]], 1e-4, sample_weight=s[:, c], standardize=False, tol=1e-6)
        assert both.objective[c] == pytest.approx(one.objective[0], rel=2e-6)


def test_equal_bounds_fix_a_weight_exactly():
    low, high = np.full((3, 40), -np.inf), np.full((3, 40), np.inf)
    value = np.nextafter(0.1, 1)
    low[1, 5] = high[1, 5] = value
    low[2, 7] = -0.3
    high[2, 7] = -0.1
    r = fit(X, T, lower=low, upper=high)
    assert r.weights[1, 5] == value
    assert -0.3 <= r.weights[2, 7] <= -0.1
    assert r.converged.all()


def test_rows_are_read_from_a_memory_map(tmp_path, monkeypatch):
    monkeypatch.setattr(validation, "SMALL_BYTES", 0)
    np.save(tmp_path / "concepts.npy", X)
    mapped = np.load(tmp_path / "concepts.npy", mmap_mode="r")
    r = fit(mapped, T)
    assert np.array_equal(r.weights, fit(X, T).weights)
    assert np.shares_memory(r.model.design.X, mapped), "the rows were copied into memory"
    assert fit(mapped, T, init=r).model.design is r.model.design
    frozen, weights = T[:, :1].copy(), np.ones(len(X), np.float32)
    weights[0] = 2
    for array in (frozen, weights):
        array.flags.writeable = False
    assert fit(mapped, frozen, sample_weight=weights).converged.all()


def test_a_cold_start_on_a_sample_ends_at_the_same_optimum(monkeypatch):
    from inficond.core.solver import newton

    monkeypatch.setattr(validation, "SMALL_BYTES", 0)
    whole = fit(X, T, tol=1e-6)
    monkeypatch.setattr(newton, "MIN_SAMPLE_ROWS", 400)
    sampled = fit(X, T, tol=1e-6)
    assert sampled.n_iter.max() < whole.n_iter.max()
    assert sampled.objective == pytest.approx(whole.objective, rel=2e-6)


def test_a_fit_that_float32_cannot_certify_continues_in_float64(monkeypatch):
    monkeypatch.setattr(validation, "SMALL_BYTES", 0)
    calls = []
    original = Design.as_float64
    monkeypatch.setattr(Design, "as_float64", lambda self: calls.append(1) or original(self))
    r = fit(X, T, 1e-4, tol=1e-6)
    assert r.converged.all()
    assert calls, "float32 was expected not to suffice"


@pytest.mark.usefixtures("two_blas_threads")
def test_blas_threads_are_restored_after_concurrent_fits():
    before = [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]
    assert set(before) == {2}
    results = [None] * 4

    def work(i):
        results[i] = fit(X, T, n_threads=2).weights

    workers = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert all(np.array_equal(results[0], r) for r in results)
    assert [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"] == before


@pytest.mark.usefixtures("two_blas_threads")
def test_every_thread_computes_with_one_thread_of_blas():
    """Regression: threadpoolctl 3.8 obeyed one thread only; others computed results with other bits."""

    def counts():
        with single_threaded_blas():
            return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

    found = [counts()]
    other = threading.Thread(target=lambda: found.append(counts()))
    other.start()
    other.join()
    assert found == [[1] * len(found[0])] * 2


def test_constant_targets_are_fitted_by_the_intercept():
    for value in (0.0, 1.0, 0.3):
        r = fit(X, np.full((len(X), 1), value, np.float32))
        assert not r.weights.any()
        assert r.converged.all()
        assert 1 / (1 + np.exp(-r.bias[0])) == pytest.approx(value, abs=1e-4)


def test_a_path_starts_at_zero_weights():
    fits = path(X, T, lam=2e-3, steps=6)
    assert [r.lam for r in fits] == sorted((r.lam for r in fits), reverse=True)
    assert not fits[0].weights.any()
    assert fits[-1].lam == pytest.approx(2e-3)
    assert fits[-1].objective == pytest.approx(fit(X, T, 2e-3).objective, rel=2e-4)


def test_softmax_of_two_classes_equals_a_sigmoid():
    t = T[:, :1]
    two = fit(X, np.c_[t, 1 - t], 2e-3, "softmax", tol=1e-6)
    # The minimum of lam (|w1| + |w2|) subject to w1 - w2 = w is lam |w|.
    one = fit(X, t, 2e-3, tol=1e-6)
    assert two.objective.shape == two.gap.shape == two.n_iter.shape == (1,)
    assert two.objective[0] == pytest.approx(one.objective[0], rel=1e-5)


def test_tasks_inside_tasks_wait_for_no_other_thread():
    done = []

    def outer(i):
        threads.run(lambda j: done.append((i, j)), range(3), 2)

    threads.run(outer, range(4), 2)
    assert sorted(done) == [(i, j) for i in range(4) for j in range(3)]


def test_fits_in_threads_give_the_losses_of_fits_one_after_the_other(monkeypatch):
    losses = []
    for least in (0, 1 << 60):
        monkeypatch.setattr(relaxed, "LEAST_PRODUCTS", least)
        validation = relaxed.CrossValidation(X, T, "sigmoid")
        losses.append(validation.losses([0.02, 0.005], [None, None]))
    assert np.array_equal(*losses)
