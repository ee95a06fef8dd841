"""Groups of images with many errors as a tree, from coarse to fine.

The first level is the student's answer. Below it, an image group is split by the feature and threshold that
separate errors best, as long as the split is significant. Errors are compared among images with the same
answer: among images with the same truth, they would follow the student's own concepts even if the truth were
random.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.audit.class_data import ClassData, Feature
from inficond.core.audit.score_test import max_score_test

ALPHA = 0.01
"""Probability of a false split among those of a class; half of it for each answer of the student."""
QUANTILES = (0.2, 0.5, 0.8)
"""Thresholds that are tried for a feature."""
DEPTH = 2
"""Splits below an answer of the student."""
MIN_SIZE, MIN_WRONG = 10, 4


@dataclass(frozen=True, eq=False)
class Group:
    """Images that share the student's answer and some levels of features.

    Parameters
    ----------
    answer : bool
        The student's.
    conditions : tuple of (Feature, bool)
        Feature and whether its value is large.
    rows : (n,) int
        Rows of the project.
    wrong : (m,) int
        Rows of those that are answered wrongly.
    share : float
        Share of all wrong answers of the class that are in this group.
    p_value : float
        Of the split that made the group, corrected for all features and thresholds; 1 at the first level.
    parts : tuple of Group
        Its two halves, that with more errors first; empty where no split is significant.
    """

    answer: bool
    conditions: tuple[tuple[Feature, bool], ...]
    rows: NDArray[np.intp] = field(repr=False)
    wrong: NDArray[np.intp] = field(repr=False)
    share: float
    p_value: float
    parts: tuple["Group", ...] = ()

    @property
    def error(self) -> float:
        """Share of the group's images that are answered wrongly."""
        return len(self.wrong) / max(1, len(self.rows))

    @property
    def name(self) -> str:
        """``"called dog, with water"`` without the class: ``"yes · with water"``."""
        levels = [feature.level(high) for feature, high in self.conditions]
        return " · ".join(["yes" if self.answer else "no", *levels])


def error_tree(data: ClassData, alpha: float = ALPHA, seed: int = 0) -> tuple[Group, ...]:
    """Return the groups of a class: yes and no answers, each split where errors differ significantly.

    Parameters
    ----------
    data : ClassData
    alpha : float
        See `ALPHA`; a split below another one is only tried where that one is significant.
    seed : int
        Of the permutations.

    Returns
    -------
    tuple of Group
        One for each answer that the student gives, that with more errors first.
    """
    flags, tests = _splits(data)
    roots = []
    for answer in (True, False):
        members = np.flatnonzero(data.said == answer)
        if len(members):
            roots.append(_grown(data, flags, tests, members, answer, (), 1.0, alpha / 2, seed))
    return tuple(sorted(roots, key=lambda one: -len(one.wrong)))


def _splits(data: ClassData) -> tuple[NDArray[np.bool_], list[Feature]]:
    """Return flags (n, S) of all splits, and the feature of each."""
    columns, tests = [], []
    for j, feature in enumerate(data.features):
        x = data.values[:, j]
        seen: set[float] = set()
        for bar in np.quantile(x, QUANTILES).tolist():
            if bar not in seen and MIN_SIZE <= int((x > bar).sum()) <= len(x) - MIN_SIZE:
                columns.append(x > bar)
                tests.append(feature)
                seen.add(bar)
    if not columns:
        return np.zeros((len(data.rows), 0), bool), []
    return np.stack(columns, axis=1), tests


def _grown(
    data: ClassData,
    flags: NDArray[np.bool_],
    tests: Sequence[Feature],
    members: NDArray[np.intp],
    answer: bool,
    conditions: tuple[tuple[Feature, bool], ...],
    p_value: float,
    alpha: float,
    seed: int,
) -> Group:
    """Return the group of some images, split further where that is significant."""
    wrong = data.wrong[members]
    parts: tuple[Group, ...] = ()
    if len(conditions) < DEPTH and MIN_WRONG <= int(wrong.sum()) <= len(wrong) - MIN_WRONG:
        split = _best_split(data, flags, members, wrong, seed)
        if split is not None and split[1] <= alpha:
            at, p = split
            inside = flags[members, at]
            made = [
                _grown(
                    data, flags, tests, members[inside == high], answer,
                    (*conditions, (tests[at], high)), p, alpha / 2, seed,
                )
                for high in (True, False)
            ]  # fmt: skip
            parts = tuple(sorted(made, key=lambda one: -one.error))
    return Group(
        answer,
        conditions,
        data.rows[members],
        data.rows[members[wrong]],
        len(members[wrong]) / max(1, int(data.wrong.sum())),
        p_value,
        parts,
    )


def _best_split(
    data: ClassData,
    flags: NDArray[np.bool_],
    members: NDArray[np.intp],
    wrong: NDArray[np.bool_],
    seed: int,
) -> tuple[int, float] | None:
    """Return the split that separates errors best, and its p-value."""
    inside = flags[members].sum(axis=0)
    usable = np.flatnonzero((inside >= MIN_SIZE) & (inside <= len(members) - MIN_SIZE))
    if not len(usable):
        return None
    values = flags[np.ix_(members, usable)].astype(np.float64)
    together = data.flipped_together
    sources = None if together is None else together[members]
    z, p = max_score_test(values, wrong, np.zeros((len(members), 0)), sources, seed=seed)
    best = int(np.argmax(np.abs(z)))
    return int(usable[best]), float(p[best])
