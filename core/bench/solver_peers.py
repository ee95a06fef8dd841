"""Existing solvers on the same problem, each with the settings that its documentation recommends.

A peer is a function (instance, X, T, tolerance) -> weights (C, K) in standardized units, bias (C,). The whole
call is timed, including standardization and changes of memory layout. `LADDER` lists the tolerances to try,
from loose to tight; the loosest that is accurate enough is timed.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.bench.solver_data import Instance

Array = NDArray[Any]
Peer = Callable[[Instance, Array, Array, float], tuple[Array, Array]]


def ours(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run `inficond.core.solver.fit` on one thread."""
    from inficond.core.solver import fit

    r = fit(X, T, instance.lam, link=instance.link, tol=tol, n_threads=1, warn=False)
    return r.weights, r.bias


def standardized(X: Array, order: Any, dtype: Any = np.float32) -> Array:
    """Return the columns (N, K) with mean 0 and standard deviation 1, in a memory order and precision."""
    return np.asarray((X - X.mean(0)) / X.std(0), dtype=dtype, order=order)


@cache
def _skglm_parts(lam: float) -> tuple[Any, Any]:
    """Return datafit and penalty, compiled once, so that compilation is not timed."""
    from skglm.datafits.base import BaseDatafit  # pyright: ignore[reportMissingImports]
    from skglm.penalties import L1  # pyright: ignore[reportMissingImports]
    from skglm.utils.jit_compilation import compiled_clone  # pyright: ignore[reportMissingImports]

    class SoftLogistic(BaseDatafit):  # type: ignore[misc]
        """Binary cross-entropy with targets in [0, 1], which skglm does not have."""

        def __init__(self) -> None:
            pass

        def get_spec(self) -> tuple[()]:
            return ()

        def params_to_dict(self) -> dict[str, Any]:
            return {}

        def initialize(self, X, y):  # type: ignore[no-untyped-def]
            pass

        def get_lipschitz(self, X, y):  # type: ignore[no-untyped-def]
            return (X**2).sum(axis=0) / (len(y) * 4)

        def raw_grad(self, y, Xw):  # type: ignore[no-untyped-def]
            return (1 / (1 + np.exp(-Xw)) - y) / len(y)

        def raw_hessian(self, y, Xw):  # type: ignore[no-untyped-def]
            p = 1 / (1 + np.exp(-Xw))
            return p * (1 - p) / len(y)

        def value(self, y, w, Xw):  # type: ignore[no-untyped-def]
            return np.mean(np.log1p(np.exp(-np.abs(Xw))) + np.maximum(Xw, 0) - y * Xw)

        def gradient_scalar(self, X, y, w, Xw, j):  # type: ignore[no-untyped-def]
            return X[:, j] @ self.raw_grad(y, Xw)

        def intercept_update_step(self, y, Xw):  # type: ignore[no-untyped-def]
            return np.mean(1 / (1 + np.exp(-Xw)) - y) * 4

    return compiled_clone(SoftLogistic(), to_float32=True), compiled_clone(
        L1(np.float32(lam)), to_float32=True
    )


def skglm(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run skglm's ProxNewton with working sets in float32, class by class."""
    from skglm.solvers import ProxNewton  # pyright: ignore[reportMissingImports]

    datafit, penalty = _skglm_parts(instance.lam)
    Z = standardized(X, "F")
    W, b = np.zeros((instance.C, instance.K)), np.zeros(instance.C)
    solver = ProxNewton(tol=tol, fit_intercept=True, max_iter=100)
    for c in range(instance.C):
        w = solver.solve(Z, np.ascontiguousarray(T[:, c]), datafit, penalty)[0]  # pyright: ignore[reportOptionalSubscript]
        W[c], b[c] = w[:-1], w[-1]
    return W, b


def adelie(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run adelie's coordinate descent along a short path that ends at the penalty, class by class."""
    import adelie as ad  # pyright: ignore[reportMissingImports]

    dtype = np.float64
    Z = standardized(X, "F", dtype)
    W, b = np.zeros((instance.C, instance.K)), np.zeros(instance.C)
    options: dict[str, Any] = {
        "alpha": 1.0, "intercept": True, "tol": tol, "irls_tol": tol, "progress_bar": False, "n_threads": 1,
        "early_exit": False,
    }  # fmt: skip
    path = np.geomspace(40 * instance.lam, instance.lam, 8)
    for c in range(instance.C):
        state = ad.grpnet(Z, ad.glm.binomial(T[:, c].astype(dtype), dtype=dtype), lmda_path=path, **options)
        W[c], b[c] = state.betas.toarray()[-1], state.intercepts[-1]
    return W, b


def glum(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run glum's irls-cd in float32, class by class."""
    from glum import GeneralizedLinearRegressor  # pyright: ignore[reportMissingImports]

    Z = standardized(X, "F")
    W, b = np.zeros((instance.C, instance.K)), np.zeros(instance.C)
    for c in range(instance.C):
        model = GeneralizedLinearRegressor(
            family="binomial",
            alpha=instance.lam,
            l1_ratio=1.0,  # pyright: ignore[reportArgumentType]
            solver="irls-cd",
            gradient_tol=tol,
            max_iter=200,
        )
        model.fit(Z, T[:, c])
        W[c], b[c] = model.coef_, model.intercept_
    return W, b


def saga(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run scikit-learn's saga; soft targets become one row per label, weighted by its probability."""
    from sklearn.linear_model import LogisticRegression

    Z = standardized(X, "C")
    C, N = instance.C, instance.N
    if instance.link == "softmax":
        model = LogisticRegression(
            l1_ratio=1.0, C=1 / (instance.lam * N), solver="saga", tol=tol, max_iter=2000
        )
        model.fit(np.tile(Z, (C, 1)), np.repeat(np.arange(C), N), sample_weight=T.T.reshape(-1))
        return model.coef_, model.intercept_  # pyright: ignore[reportReturnType]
    W, b = np.zeros((C, instance.K)), np.zeros(C)
    for c in range(C):
        model = LogisticRegression(
            l1_ratio=1.0, C=1 / (instance.lam * N), solver="saga", tol=tol, max_iter=2000
        )
        model.fit(np.tile(Z, (2, 1)), np.repeat([0, 1], N), sample_weight=np.r_[1 - T[:, c], T[:, c]])
        W[c], b[c] = model.coef_[0], model.intercept_[0]  # pyright: ignore[reportIndexIssue]
    return W, b


def lbfgs(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
    """Run SciPy's L-BFGS-B with products in float32 and weights split by sign, all classes at once."""
    from scipy.optimize import minimize

    Z = standardized(X, "C")
    N, K, C = instance.N, instance.K, instance.C
    top = np.clip(T.mean(0, dtype=np.float64), 1e-6, 1 - 1e-6)
    start = np.zeros((2 * K + 1, C))
    start[-1] = np.log(top) if instance.link == "softmax" else np.log(top / (1 - top))

    def value(u: Array) -> tuple[float, Array]:
        U = u.reshape(2 * K + 1, C)
        E = Z @ (U[:K] - U[K:-1]).astype(np.float32) + U[-1].astype(np.float32)
        if instance.link == "softmax":
            E -= E.max(1, keepdims=True)
            P = np.exp(E)
            total = P.sum(1, keepdims=True)
            loss = float((np.log(total[:, 0]) - (T * E).sum(1)).sum(dtype=np.float64))
            R = P / total - T
        else:
            small = np.exp(-np.abs(E))
            loss = float((np.maximum(E, 0) - T * E + np.log1p(small)).sum(dtype=np.float64))
            R = np.where(E >= 0, 1, small) / (1 + small) - T
        g = (Z.T @ R).astype(np.float64) / N
        gradient = np.concatenate([g + instance.lam, instance.lam - g, R.mean(0, dtype=np.float64)[None]])
        return loss / N + instance.lam * float(U[:-1].sum()), gradient.ravel()

    bounds = [(0, None)] * (2 * K * C) + [(None, None)] * C
    options = {"maxiter": 3000, "maxfun": 4000, "ftol": tol * 1e-2, "gtol": 0.0, "maxcor": 20}
    U = minimize(value, start.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options=options).x
    U = U.reshape(2 * K + 1, C)
    return (U[:K] - U[K:-1]).T, U[-1]


def entry_point_peer(name: str) -> Peer:
    """Return a peer of another package (core does not import torch), loaded when it is first called."""

    def peer(instance: Instance, X: Array, T: Array, tol: float) -> tuple[Array, Array]:
        (entry_point,) = entry_points(group="inficond.solver_peers", name=name)
        return entry_point.load()(instance, X, T, tol)

    return peer


LADDER: dict[str, tuple[Peer, tuple[float, ...]]] = {
    "ours": (ours, (0.3, 0.1, 0.03, 0.02, 0.01, 3e-3, 1e-4)),
    "skglm": (skglm, (1e-3, 1e-4, 3e-5, 1e-5)),
    "adelie": (adelie, (1e-4, 1e-5, 1e-7)),
    "lbfgs": (lbfgs, (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)),
    "glum": (glum, (1e-3, 1e-4)),
    "saga": (saga, (1e-2,)),
    "adam": (entry_point_peer("adam"), (1 / 20, 1 / 100)),
}
# The other solvers have no elementwise L1 penalty with a softmax.
SOFTMAX = ("ours", "lbfgs", "adam")
