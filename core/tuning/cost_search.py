"""Search for what a step costs elsewhere: classes, slices and groups of images that lose by it.

An image loses if teacher and student agree before the step and disagree after it, and gains in the opposite
case. For a set of n images of which f gain and b lose, the change of the agreement is (f − b) / n. Its
interval is that of a paired difference of shares with continuity correction (Fleiss, Levin and Paik 2003,
*Statistical Methods for Rates and Proportions*, section 13.1), with images of one source summed first.
Hundreds of slices are compared, so the losing ones are those that a false discovery rate of 5 % admits
(Benjamini and Hochberg 1995), and of sets that lose the same images only the clearest is reported.

Only the images that change are looked at, so the cost of a preview is found in about a millisecond.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation import Interval
from inficond.core.evaluation.bootstrap import LEVEL
from inficond.core.tuning.cost import METRIC_NAMES, Cost
from inficond.core.tuning.preview import ClassChange
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

SHARE = 0.2
"""A concept is high in the fifth of the validation images with the largest values, low in that with the
smallest."""
SAMPLED = 20_000
"""Validation images from which the ends of the fifths are computed, at most."""
SMALLEST, LARGEST = 10, 0.5
"""Images of a set, at least; share of the validation images, at most."""
FALSE_DISCOVERIES = 0.05
SAME = 2 / 3
"""Two sets lose the same images if they share this part of the lost images of the smaller one."""
MOST = 5
"""Losses of one class that are reported, at most."""
_Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


def find_costs(
    workspace: Workspace, state: BranchState, changes: Mapping[str, ClassChange]
) -> tuple[Cost, ...]:
    """Return the classes, slices, groups and sources that clearly lose by a step, clearest first per class.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
        Before the step.
    changes : mapping from class to ClassChange
        All classes that change; see `compare_states`.

    Returns
    -------
    tuple of Cost
    """
    out: list[Cost] = []
    for cls, change in changes.items():
        out += _metrics_lost(change)
        if len(change.broken):
            out += _sets_lost(workspace, state, cls, change)
    return tuple(out)


def _metrics_lost(change: ClassChange) -> list[Cost]:
    n = sum(change.before.values())
    return [
        Cost(
            "class",
            change.cls,
            name,
            change.fidelity[name].delta,
            n,
            len(change.fixed),
            len(change.broken),
            change.broken,
        )
        for name in METRIC_NAMES
        if change.fidelity[name].verdict == "worse"
    ]


def _sets_lost(workspace: Workspace, state: BranchState, cls: str, change: ClassChange) -> list[Cost]:
    rows = workspace.validation_rows
    changed = np.concatenate([change.fixed, change.broken])
    at = np.searchsorted(rows, changed)
    sign = np.concatenate([np.ones(len(change.fixed)), -np.ones(len(change.broken))])
    groups = workspace.validation_groups
    kinds, names, sizes, member = _sets(workspace, state, cls, at)
    gained = (sign > 0).astype(np.float64) @ member
    lost = (sign < 0).astype(np.float64) @ member
    if groups is None:
        squares = gained + lost
    else:  # images of one source count as one
        _, source = np.unique(groups[at], return_inverse=True)
        sums = np.zeros((int(source.max()) + 1, member.shape[1]))
        np.add.at(sums, source, sign[:, None] * member)
        squares = (sums**2).sum(axis=0)
    n = np.maximum(sizes, 1)
    value = (gained - lost) / n
    error = np.sqrt(squares) / n  # at no change, the mean of the differences is 0
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(lost > gained, (lost - gained - 1) / np.sqrt(squares), -np.inf)
    p = np.array([1.0 if v <= 0 else math.erfc(v / math.sqrt(2)) for v in z])
    clear = (value + _Z * error + 1 / n < 0) & (sizes >= SMALLEST) & (sizes <= LARGEST * len(rows))
    kept: list[int] = []
    for j in _discoveries(p, clear):
        mine = member[:, j] & (sign < 0)
        if all((mine & member[:, k]).sum() < SAME * min(mine.sum(), lost[k]) for k in kept):
            kept.append(j)
        if len(kept) == MOST:
            break
    return [
        Cost(
            kinds[j],
            cls,
            names[j],
            Interval(
                float(value[j]),
                float(value[j] - _Z * error[j] - 1 / n[j]),
                float(value[j] + _Z * error[j] + 1 / n[j]),
            ),
            int(sizes[j]),
            int(gained[j]),
            int(lost[j]),
            changed[member[:, j] & (sign < 0)],
        )
        for j in kept
    ]


def _discoveries(p: NDArray[np.float64], clear: NDArray[np.bool_]) -> list[int]:
    """Return the tests that the false discovery rate admits among all, smallest p first."""
    order = np.argsort(p, kind="stable")
    admitted = p[order] <= FALSE_DISCOVERIES * np.arange(1, len(p) + 1) / len(p)
    last = int(np.flatnonzero(admitted)[-1]) + 1 if admitted.any() else 0
    return [int(j) for j in order[:last] if clear[j]]


def _sets(
    workspace: Workspace, state: BranchState, cls: str, at: NDArray[np.intp]
) -> tuple[list[str], list[str], NDArray[np.int64], NDArray[np.bool_]]:
    """Return kind, name and size of all sets, and which of some validation images (h, sets) each contains."""
    added = state.added
    columns, ends = workspace.columns(added), _ends(workspace, added)
    low, high, n_low, n_high = ends
    Z = columns.validation[at]
    kinds = ["slice"] * (2 * len(columns.names))
    names = [f"{name} high" for name in columns.names] + [f"{name} low" for name in columns.names]
    sizes, parts = [n_high, n_low], [high <= Z, low >= Z]
    others = [c for c, name in enumerate(workspace.students.classes) if name != cls]
    if others:
        shown = workspace.T_validation[:, others] >= 0.5
        kinds += ["group"] * len(others)
        names += [workspace.students.classes[c] for c in others]
        sizes.append(shown.sum(axis=0))
        parts.append(shown[at])
    sources = _large_sources(workspace)
    if sources:
        groups = workspace.validation_groups
        assert groups is not None
        numbers = np.array([number for number, _, _ in sources])
        kinds += ["source"] * len(sources)
        names += [name for _, name, _ in sources]
        sizes.append(np.array([size for _, _, size in sources]))
        parts.append(groups[at][:, None] == numbers)
    return kinds, names, np.concatenate(sizes).astype(np.int64), np.hstack(parts)


def _ends(workspace: Workspace, added: tuple[str, ...]) -> tuple[NDArray[Any], ...]:
    """Return the ends of the lowest and highest fifth of each concept, (K,) each, and their sizes."""

    def make() -> tuple[NDArray[Any], ...]:
        Z = workspace.columns(added).validation
        step = max(1, -(-len(Z) // SAMPLED))
        low, high = np.quantile(Z[::step], (SHARE, 1 - SHARE), axis=0).astype(np.float32)
        sizes = [np.array([np.count_nonzero(test(Z[:, k], k)) for k in range(Z.shape[1])]) for test in (
            lambda z, k: z <= low[k], lambda z, k: z >= high[k]
        )]  # fmt: skip
        return low, high, sizes[0], sizes[1]

    return workspace.cache.get(("fifths", added), make, lambda x: sum(one.nbytes for one in x))


def _large_sources(workspace: Workspace) -> Sequence[tuple[int, str, int]]:
    """Return number, name and size of the sources with enough validation images."""
    groups = workspace.validation_groups
    if groups is None:
        return ()
    sizes = np.bincount(groups)
    large = [int(number) for number in np.flatnonzero(sizes >= SMALLEST)]
    return [(number, workspace.source_name(number), int(sizes[number])) for number in large]
