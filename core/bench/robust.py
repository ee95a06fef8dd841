"""Retraining with group labels: last-layer retraining and group-DRO on concept vectors, in NumPy.

Both need to know for each image whether it has the attribute, which a person who corrects a student does not.
"""

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import fit

Float64 = NDArray[np.float64]
LAMBDAS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Penalties of last-layer retraining that are tried."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1)
"""Penalties of group-DRO that are tried."""
SUBSETS = 10
STEPS, RATE, GROUP_RATE = 600, 0.02, 0.02


def worst_group(correct: NDArray[np.bool_], truth: NDArray[np.bool_], attribute: NDArray[np.bool_]) -> float:
    """Return the smallest accuracy over the four groups of truth and attribute; empty groups are ignored."""
    cells = [(truth == y) & (attribute == z) for y in (False, True) for z in (False, True)]
    return min(float(correct[cell].mean()) for cell in cells if cell.any())


def _group_ids(truth: NDArray[np.bool_], attribute: NDArray[np.bool_]) -> NDArray[np.intp]:
    return 2 * truth.astype(np.intp) + attribute.astype(np.intp)


def last_layer_retraining(
    X: NDArray[np.float32], truth: NDArray[np.bool_], attribute: NDArray[np.bool_], seed: int = 0
) -> tuple[Float64, float]:
    """Retrain the linear layer on held-out images with balanced groups.

    Deep feature reweighting of Kirichenko, Izmailov and Wilson 2023 ("Last layer re-training is sufficient
    for robustness to spurious correlations"): an ℓ1-penalised logistic regression on subsets with equally
    many images of each group, averaged; the penalty is chosen on one half of the images.

    Parameters
    ----------
    X : array (n, K), float32
        Standardised concept vectors of the tune part.
    truth, attribute : array (n,), bool
    seed : int

    Returns
    -------
    weights : array (K,)
    bias : float
    """
    rng = np.random.default_rng(seed)
    half = rng.random(len(X)) < 0.5
    scores = []
    for lam in LAMBDAS:
        w, b = _balanced_fit(X[half], truth[half], attribute[half], lam, rng, 2)
        said = X[~half] @ w + b >= 0
        scores.append(worst_group(said == truth[~half], truth[~half], attribute[~half]))
    return _balanced_fit(X, truth, attribute, LAMBDAS[int(np.argmax(scores))], rng, SUBSETS)


def _balanced_fit(
    X: NDArray[np.float32],
    truth: NDArray[np.bool_],
    attribute: NDArray[np.bool_],
    lam: float,
    rng: np.random.Generator,
    subsets: int,
) -> tuple[Float64, float]:
    group = _group_ids(truth, attribute)
    present = [np.flatnonzero(group == g) for g in range(4) if (group == g).any()]
    size = min(map(len, present))
    w, b = np.zeros(X.shape[1]), 0.0
    for _ in range(subsets):
        rows = np.concatenate([rng.permutation(members)[:size] for members in present])
        one = fit(
            np.ascontiguousarray(X[rows]), truth[rows, None].astype(np.float32), lam=lam, standardize=False
        )
        w += np.asarray(one.weights[0], np.float64) / subsets
        b += float(one.bias[0]) / subsets
    return w, b


def group_dro(
    X: NDArray[np.float32],
    truth: NDArray[np.bool_],
    attribute: NDArray[np.bool_],
    X_tune: NDArray[np.float32],
    truth_tune: NDArray[np.bool_],
    attribute_tune: NDArray[np.bool_],
) -> tuple[Float64, float]:
    """Minimise the loss of the worst group of the fit part (Sagawa, Koh, Hashimoto and Liang 2020).

    Weights of groups rise by exponentiated gradient while the linear model follows the weighted gradient with
    momentum. The ridge penalty is chosen by worst-group accuracy on the tune part.

    Parameters
    ----------
    X, truth, attribute : arrays (n, K), (n,), (n,)
        Standardised concept vectors, labels and attributes of the fit part.
    X_tune, truth_tune, attribute_tune
        Those of the tune part.

    Returns
    -------
    weights : array (K,)
    bias : float
    """
    best: tuple[float, Float64, float] | None = None
    for ridge in RIDGES:
        w, b = _dro(X, truth, _group_ids(truth, attribute), ridge)
        score = worst_group((X_tune @ w + b >= 0) == truth_tune, truth_tune, attribute_tune)
        if best is None or score > best[0]:
            best = score, w, b
    assert best is not None
    return best[1], best[2]


def _dro(
    X: NDArray[np.float32], truth: NDArray[np.bool_], group: NDArray[np.intp], ridge: float
) -> tuple[Float64, float]:
    present = np.unique(group)
    member = (group[:, None] == present).astype(np.float64)
    share = member / member.sum(axis=0)
    q = np.full(len(present), 1 / len(present))
    w, b = np.zeros(X.shape[1]), 0.0
    dw, db = np.zeros_like(w), 0.0
    sign = np.where(truth, 1.0, -1.0)
    for _ in range(STEPS):
        margin = sign * (X @ w + b)
        losses = share.T @ np.logaddexp(0.0, -margin)
        q *= np.exp(GROUP_RATE * losses)
        q /= q.sum()
        pull = (share @ q) * -sign / (1 + np.exp(np.clip(margin, -30, 30)))
        dw = 0.9 * dw + X.T @ pull + ridge * w
        db = 0.9 * db + float(pull.sum())
        w, b = w - RATE * dw, b - RATE * db
    return w, b
