"""The influence of a class's concepts: weights, bounds, and values in agreeing and misaligned images."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation import SUBSETS
from inficond.core.sessions.session_queries import SessionQueries
from inficond.core.tuning.bounds import Bound, box

BINS = 16
"""Bins of a concept's histogram."""


@dataclass(frozen=True, eq=False)
class Influence:
    """The weights of a class, and how each concept's values differ between agreeing and misaligned images.

    Parameters
    ----------
    cls : str
        The class.
    concepts, groups : tuple of K str
        Columns; words added in this session come last.
    weights : ndarray of shape (K,)
        In standardised units.
    lower, upper : ndarray of shape (K,)
        The bounds in force, infinite where there is none.
    bounds : mapping from concept to Bound
        The actions that set the bounds.
    dropped : frozenset of str
        Concepts whose weight is 0 in every class.
    gap : ndarray of shape (K,)
        Mean of the standardised value in misaligned validation images minus that in agreeing ones; NaN
        where one side is empty.
    means : mapping from subset to ndarray of shape (K,)
        Mean raw value in each of the four subsets of the validation images, NaN for an empty one.
    edges : ndarray of shape (K, BINS + 1)
        Of the histograms, in raw units.
    agreeing, misaligned : ndarray of shape (K, BINS), int32
        Validation images by value of the concept.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> influence = Project.open(demo_project()).session().influence("water bird")
    >>> influence.weights.shape == (len(influence.concepts),)
    True
    >>> int(influence.misaligned[0].sum())  # images in the histogram of the first concept
    87
    """

    cls: str
    concepts: tuple[str, ...]
    groups: tuple[str, ...]
    weights: NDArray[np.float32]
    lower: NDArray[np.float32]
    upper: NDArray[np.float32]
    bounds: Mapping[str, Bound]
    dropped: frozenset[str]
    gap: NDArray[np.float32]
    means: Mapping[str, NDArray[np.float32]]
    edges: NDArray[np.float32] = field(repr=False)
    agreeing: NDArray[np.int32] = field(repr=False)
    misaligned: NDArray[np.int32] = field(repr=False)


def influence_of(queries: SessionQueries, cls: str) -> Influence:
    """Return weights, bounds, and each concept's distribution in agreeing and misaligned images.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> influence = Project.open(demo_project()).session().influence("water bird")
    >>> strongest = abs(influence.weights).argmax()
    >>> influence.concepts[strongest], influence.groups[strongest]
    ('fish', 'water')
    """
    codes, columns, w, state = queries.subset_codes(cls), queries.columns, queries.workspace, queries.state
    one = state.classes[cls]
    lower, upper = box(one.bounds, columns.index, len(columns.names), state.dropped)
    edges, bins = w.histogram_bins(state.added, BINS)
    K = len(columns.names)
    total = w.histogram(state.added, BINS)
    wrong = np.flatnonzero(codes >= 2)
    flat = bins[wrong].astype(np.int64) + np.arange(K) * BINS
    misaligned = np.bincount(flat.ravel(), minlength=K * BINS).reshape(K, BINS).astype(np.int32)
    sums = {name: _sum(columns.validation, codes == i) for i, name in enumerate(SUBSETS)}
    size = {name: int((codes == i).sum()) for i, name in enumerate(SUBSETS)}
    with np.errstate(invalid="ignore", divide="ignore"):
        means = {n: (columns.mean + columns.scale * (sums[n] / size[n])).astype(np.float32) for n in SUBSETS}
        gap = (sums["missed"] + sums["extra"]) / (size["missed"] + size["extra"]) - (
            sums["agree-pos"] + sums["agree-neg"]
        ) / (size["agree-pos"] + size["agree-neg"])
    return Influence(
        cls,
        columns.names,
        columns.groups,
        one.weights,
        lower,
        upper,
        dict(one.bounds),
        state.dropped,
        gap.astype(np.float32),
        means,
        edges,
        total - misaligned,
        misaligned,
    )


def _sum(Z: NDArray[np.float32], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return the sum of selected rows in one pass over Z."""
    return keep.astype(np.float32) @ Z
