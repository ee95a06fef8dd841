"""Random problems for property tests, ill-conditioned ones included."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st


@dataclass(frozen=True)
class Case:
    """Arguments of a fit."""

    X: np.ndarray
    T: np.ndarray
    lam: float
    lower: np.ndarray | None
    upper: np.ndarray | None
    sample_weight: np.ndarray | None
    penalty: np.ndarray | None = None

    @property
    def options(self):
        """Keyword arguments of `fit`."""
        return {
            "lam": self.lam,
            "lower": self.lower,
            "upper": self.upper,
            "sample_weight": self.sample_weight,
            "penalty": self.penalty,
        }


TARGETS = ("soft", "hard", "one positive", "all 0", "all 1", "rare")
COLUMNS = ("plain", "duplicate", "constant", "far", "correlated")
WEIGHTS = (None, "rows", "rows and classes", "some zero")


@st.composite
def cases(draw, bounded=None, targets=TARGETS, dtype=None, lams=(1e-4, 0.3), least=3, multipliers=()):
    """Draw a problem of up to 80 rows and 24 columns."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    N, K, C = draw(st.integers(least, 80)), draw(st.integers(1, 24)), draw(st.integers(1, 3))
    X = rng.random((N, K)) * 10.0 ** draw(st.integers(-2, 1))
    column = draw(st.sampled_from(COLUMNS))
    if column == "duplicate" and K > 1:
        X[:, -1] = X[:, 0]
    elif column == "constant":
        X[:, -1] = 0.7
    elif column == "far":
        X[:, -1] = X[:, -1] + 1000
    elif column == "correlated":
        X = X[:, :1] + 1e-2 * X
    kind = draw(st.sampled_from(targets))
    T = rng.random((N, C))
    if kind == "hard":
        T = (T > 0.6).astype(float)
    elif kind == "one positive":
        T = np.zeros((N, C))
        T[rng.integers(N)] = 1
    elif kind in ("all 0", "all 1"):
        T = np.full((N, C), float(kind[-1]))
    elif kind == "rare":
        T = T**20
    lam = float(10 ** draw(st.floats(np.log10(lams[0]), np.log10(lams[1]))))
    lower = upper = None
    if draw(st.booleans()) if bounded is None else bounded:
        lower = np.where(rng.random((C, K)) < 0.5, -np.inf, rng.normal(size=(C, K)) * 0.5)
        upper = np.where(rng.random((C, K)) < 0.5, np.inf, rng.normal(size=(C, K)) * 0.5)
        upper = np.maximum(lower, upper)
        same = rng.random((C, K)) < 0.1  # fixed
        lower = np.where(same, 0.25, lower)
        upper = np.where(same, 0.25, upper)
    weights = draw(st.sampled_from(WEIGHTS))
    sample_weight = None
    if weights == "rows":
        sample_weight = rng.random(N) + 0.01
    elif weights == "rows and classes":
        sample_weight = rng.random((N, C)) + 0.01
    elif weights == "some zero":
        sample_weight = np.where(rng.random(N) < 0.3, 0.0, 5.0)
        sample_weight[0] = 1.0
    dtype = dtype or draw(st.sampled_from((np.float32, np.float64)))
    penalty = None
    if multipliers:
        penalty = rng.choice(multipliers, (C, K))
        if lower is not None:  # an excluded weight must be allowed to be 0
            penalty = np.where(np.isinf(penalty) & ((lower > 0) | (upper < 0)), 1.0, penalty)  # pyright: ignore[reportOptionalOperand]
    return Case(X.astype(dtype), T.astype(dtype), lam, lower, upper, sample_weight, penalty)


def softmax_problem(
    N: int, K: int, C: int, share: float, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows (N, K) and soft targets (N, C) that depend on a share of the columns in each class."""
    rng = np.random.default_rng(3)
    X = np.maximum(rng.normal(size=(N, 5)) @ rng.normal(size=(5, K)) + rng.normal(size=(N, K)), 0)
    W = rng.normal(size=(C, K)) * (rng.random((C, K)) < share)
    logits = X @ W.T + rng.normal(size=C)
    T = np.exp(logits - logits.max(1, keepdims=True))
    return X.astype(dtype), (T / T.sum(1, keepdims=True)).astype(dtype)


def count_passes(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[int]:
    """Return a list to which each call of `module.solve` adds its number of passes."""
    counted: list[int] = []
    usual = module.solve

    def solve(*arguments: Any) -> Any:
        found = usual(*arguments)
        counted.append(found[1])
        return found

    monkeypatch.setattr(module, "solve", solve)
    return counted
