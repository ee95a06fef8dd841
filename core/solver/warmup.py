"""Loading of everything that a first fit would otherwise wait for."""

import numpy as np

from inficond.core.solver.api import fit


def warm_up() -> None:
    """Load the kernels (the first time: compile them) and start BLAS and the threads.

    Call it outside the path of the first user, for instance in a thread while the page is being served.

    Examples
    --------
    >>> from threading import Thread
    >>> from inficond.core.solver import warm_up
    >>> loading = Thread(target=warm_up)
    >>> loading.start()
    >>> loading.join()  # before the first fit
    """
    rng = np.random.default_rng(0)
    for N, precision in ((600, np.float32), (40, np.float64)):
        X = rng.random((N, 512)).astype(precision)
        t = X[:, :1]  # correlated with a column, so that weights are non-zero and all kernels run
        T = np.hstack([t, 1 - t])
        result = fit(X, T, 0.05, tol=1e-2)
        fit(X, T[:, :1], 0.05, init=result.select([0]), lower=0.9 * result.weights[:1], tol=1e-2)
        s = np.arange(1.0, N + 1)
        fit(X, T, 0.05, link="softmax", tol=1e-2, sample_weight=s)
        three = np.hstack([t, 1 - t, t]) / (1 + t)
        fit(X, three, 0.05, link="softmax", tol=1e-2, sample_weight=s)  # by Newton steps


def load_kernels(link: str) -> None:
    """Load the kernels with which a small problem is fitted, in a few hundredths of a second.

    Parameters
    ----------
    link : {"sigmoid", "softmax"}
    """
    X = np.random.default_rng(0).random((60, 3), np.float32)
    fit(X, X / X.sum(axis=1, keepdims=True), 0.01, link=link)
