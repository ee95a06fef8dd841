# ruff: noqa: B023  (every closure is called within its iteration)
"""Further measurements of the solver benchmark: refits under changed bounds, two threads, first fits."""

import contextlib
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.solver_data import Instance, objective
from inficond.core.solver import fit
from inficond.core.solver.threads import run, single_threaded_blas

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

FIRST = """
import time, numpy as np
rng = np.random.default_rng(0)
X = rng.random((5000, 584), dtype=np.float32)
T = rng.random((5000, 20), dtype=np.float32)
start = time.process_time()
from inficond.core.solver import fit, warm_up
if {warm}:
    warm_up()
    start = time.process_time()
fit(X, T, 0.01, n_threads=1)
first = time.process_time()
fit(X, T, 0.01, n_threads=1)
second = time.process_time()
print(first - start - (second - first))
"""


def _wall_time(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _processor_time(work: Callable[[], Any]) -> float:
    """Return the processor time of single-threaded work; other programs affect it less than wall time."""
    start = time.process_time()
    work()
    return time.process_time() - start


def two_threads(instances: Sequence[Instance], repeats: int, out: "Output") -> dict[str, Any]:
    """Measure fits with one thread and with two, alternately; return seconds and their ratio.

    The possible gain of two threads on this machine is measured in the same alternation, with matrix products
    that fit into the cache of a processor: two virtual processors are seldom two physical ones.
    """
    found: dict[str, Any] = {}
    for instance in instances:
        X, T = instance.make()
        times: dict[int, list[float]] = {1: [], 2: []}
        reference: dict[int, list[float]] = {1: [], 2: []}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(2 * repeats + 1):
                for threads in times:
                    times[threads].append(
                        _wall_time(lambda n=threads: fit(X, T, instance.lam, tol=1e-2, n_threads=n))  # type: ignore[misc]
                    )
                    reference[threads].append(_wall_time(lambda n=threads: _products(n)))  # type: ignore[misc]
        one, two = (median(times[n][1:]) for n in (1, 2))
        machine = median(reference[1][1:]) / median(reference[2][1:])
        found[instance.name] = {"one": one, "two": two, "ratio": one / two, "machine": machine}
        out.say(
            f"threads {instance.name}: {one * 1e3:.0f} ms and {two * 1e3:.0f} ms, {one / two:.2f} times "
            f"(possible on this machine: {machine:.2f})"
        )
    return found


def _products(threads: int, side: int = 192, count: int = 400) -> None:
    """Compute the same number of matrix products with any number of threads."""
    A = np.ones((side, side), np.float32)

    def work(share: int) -> None:
        product = np.empty_like(A)
        for _ in range(share):
            np.matmul(A, A, out=product)

    with single_threaded_blas():
        run(work, [count // threads] * threads, threads)


def refits(instances: Sequence[Instance], repeats: int, out: "Output") -> dict[str, Any]:
    """Measure refits of one class after five bounds changed, and the same by glum with a warm start.

    Everything runs on one thread: idle threads of glum's pool would spin, which processor time includes.
    """
    from threadpoolctl import threadpool_limits

    with contextlib.suppress(ModuleNotFoundError):
        import glum  # noqa: F401  (threadpool_limits applies to loaded libraries only)  # pyright: ignore[reportMissingImports]

    found: dict[str, Any] = {}
    with threadpool_limits(1):
        for instance in instances:
            found[instance.name] = _refit(instance, repeats, out)
    return found


def _refit(instance: Instance, repeats: int, out: "Output") -> dict[str, Any]:
    """Measure the refits of one instance."""
    X, T = instance.make()
    one = fit(X, T, instance.lam, warn=False).select([0])
    t = T[:, [0]]
    lower = np.full((1, instance.K), -np.inf)
    upper = -lower
    strongest = np.argsort(-np.abs(one.weights[0]))[:5]
    tau = float(np.median(np.abs(one.weights[0][one.weights[0] != 0])))
    for i, k in enumerate(strongest):
        w = one.weights[0, k]
        if i % 2:
            upper[0, k] = w - 0.5 * max(abs(w), tau)
        else:
            lower[0, k] = w + 0.5 * max(abs(w), tau)
    sole = Instance(instance.name, "", instance.N, instance.K, 1, instance.lam)
    accurate = fit(X, t, instance.lam, init=one, lower=lower, upper=upper, tol=1e-6, warn=False)
    least = objective(sole, X, t, accurate.weights, accurate.bias)
    tol = 1e-4
    for loose in (0.1, 0.03, 0.01, 1e-3):
        r = fit(X, t, instance.lam, init=one, lower=lower, upper=upper, tol=loose, n_threads=1, warn=False)
        if float(((objective(sole, X, t, r.weights, r.bias) - least) / least).max()) <= 1e-4:
            tol = loose
            break
    exact, certified, glums = [], [], []
    peer = _glum(X, t, instance, one, lower, upper)
    for _ in range(max(repeats, 5)):
        exact.append(
            _processor_time(
                lambda: fit(X, t, instance.lam, init=one, lower=lower, upper=upper, tol=tol, n_threads=1)
            )
        )
        certified.append(
            _processor_time(lambda: fit(X, t, instance.lam, init=one, lower=lower, upper=upper, n_threads=1))
        )
        if peer is not None:
            glums.append(_processor_time(peer[0]))
    row: dict[str, Any] = {
        "refit": median(exact), "certified": median(certified), "passes": int(r.n_iter.max()),
    }  # fmt: skip
    if peer is not None:
        w, b = peer[1]()
        row["glum"] = median(glums)
        row["glum_suboptimality"] = float(((objective(sole, X, t, w, b) - least) / least).max())
        row["ratio"] = row["glum"] / row["refit"]
    out.say(
        f"refit {instance.name}: to 1e-4 {row['refit'] * 1e3:.1f} ms, "
        f"certified {row['certified'] * 1e3:.1f} ms"
        + (f", glum warm {row['glum'] * 1e3:.0f} ms ({row['ratio']:.0f} times)" if peer else "")
    )
    return row


def _glum(
    X: Any, t: Any, instance: Instance, one: Any, lower: Any, upper: Any
) -> tuple[Callable[[], Any], Callable[[], Any]] | None:
    """Return a warm-started refit by glum, without standardization, and a function for its result."""
    try:
        from glum import GeneralizedLinearRegressor  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        return None
    Z = np.asfortranarray((X - X.mean(0)) / X.std(0), np.float32)
    model = GeneralizedLinearRegressor(
        family="binomial", alpha=instance.lam, l1_ratio=1.0, solver="irls-cd", gradient_tol=1e-4, max_iter=100,  # noqa: E501  # pyright: ignore[reportArgumentType]
        lower_bounds=lower[0].astype(np.float32), upper_bounds=upper[0].astype(np.float32), warm_start=False,
        start_params=np.r_[one.bias, np.clip(one.weights[0], lower[0], upper[0])].astype(np.float32),
    )  # fmt: skip

    def work() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(Z, t[:, 0])

    work()
    return work, lambda: (model.coef_[None], np.atleast_1d(model.intercept_))


def first_fit(repeats: int, out: "Output") -> dict[str, float]:
    """Measure the excess time of the first fit of a process over the second, without and with `warm_up`."""
    found = {}
    for name, warm in (("cold", False), ("warmed", True)):
        code = FIRST.format(warm=warm)
        times = [
            float(
                subprocess.run(
                    [sys.executable, "-c", code], capture_output=True, text=True, check=True
                ).stdout
            )
            for _ in range(repeats)
        ]
        found[name] = median(times)
        out.say(f"first fit, {name}: {found[name]:.2f} s more than the second")
    return found
