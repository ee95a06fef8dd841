"""Comparison of two states of a branch: weights, metrics with intervals, images that change subset.

Used for previews, for steps that were taken, and for two nodes of a history.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation import SUBSETS, Change
from inficond.core.evaluation.bootstrap import changes_between, replicates_for, resampled
from inficond.core.evaluation.subsets import subset_codes
from inficond.core.html_table import html_table
from inficond.core.tuning.changes import WeightChange, changes
from inficond.core.tuning.cost import Cost
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

SHOWN = 5
"""Weights of a class that a notebook shows."""
MOST_REPLICATES, FEWEST_REPLICATES = 400, 200
_WORK = 3_000_000


@dataclass(frozen=True, eq=False)
class ClassChange:
    """Change of one class, on validation images.

    Parameters
    ----------
    cls : str
        The class.
    weights : tuple of WeightChange
        Changed weights, largest change first.
    fidelity : mapping from metric to Change
        Compared with the teacher, overrides applied.
    accuracy : mapping from metric to Change, or None
        Compared with ground truth; None where the project has no labels for the class.
    focus : mapping from metric to Change, or None
        Fidelity within the focus subset.
    focus_size : int
        Validation images in the focus subset.
    before, after : mapping from subset to int
        Number of images in each of the four subsets.
    fixed, broken : ndarray of int
        Rows of the images on which teacher and student newly agree, and newly disagree.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> preview = session.preview("water bird", {"kind": "mute", "concept": "group:water"})
    >>> change = preview.classes["water bird"]
    >>> change.fidelity["ap"].verdict, len(change.fixed) > len(change.broken)
    ('better', True)
    """

    cls: str
    weights: tuple[WeightChange, ...]
    fidelity: Mapping[str, Change]
    accuracy: Mapping[str, Change] | None
    focus: Mapping[str, Change] | None
    focus_size: int
    before: Mapping[str, int]
    after: Mapping[str, int]
    fixed: NDArray[np.intp] = field(repr=False)
    broken: NDArray[np.intp] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, with None for NaN."""

        def plain(changes: Mapping[str, Change] | None) -> dict[str, Any] | None:
            return None if changes is None else {name: change.to_dict() for name, change in changes.items()}

        return {
            "class": self.cls,
            "weights": [[w.concept, w.before, w.after] for w in self.weights],
            "fidelity": plain(self.fidelity),
            "accuracy": plain(self.accuracy),
            "focus": plain(self.focus),
            "focus_size": self.focus_size,
            "subsets": {"before": dict(self.before), "after": dict(self.after)},
            "fixed": self.fixed.tolist(),
            "broken": self.broken.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Preview:
    """Predicted effect of a step that was not taken.

    Parameters
    ----------
    title : str
        Description of the step.
    classes : mapping from class to ClassChange
        The classes of the step.
    others : mapping from class to ClassChange
        Other classes that change: under a softmax, or where a concept is added or dropped.
    state : BranchState
        State after the step.
    gap : float
        Upper bound on (objective − optimum) of the predicted weights, summed over the refitted classes.
    costs : tuple of Cost
        Classes, slices and groups of validation images that clearly lose.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> preview = session.preview("water bird", {"kind": "mute", "concept": "group:water"})
    >>> preview.title, list(preview.classes), preview.others
    ('water bird: mute group:water', ['water bird'], {})
    """

    title: str
    classes: Mapping[str, ClassChange]
    others: Mapping[str, ClassChange]
    state: BranchState = field(repr=False)
    gap: float = float("nan")
    costs: tuple[Cost, ...] = ()

    def _repr_html_(self) -> str:
        """Show changed weights and fidelity of each class in a notebook."""
        rows = []
        for name, change in {**self.classes, **self.others}.items():
            ap = change.fidelity.get("ap")
            shown = ", ".join(f"{w.concept} {w.before:+.2f} → {w.after:+.2f}" for w in change.weights[:SHOWN])
            before, after = (None, None) if ap is None else (ap.before, ap.after)
            rows.append((name, before, after, len(change.fixed), len(change.broken), shown))
        head = ("class", "fidelity AP", "after", "images fixed", "broken", "weights")
        return html_table(f"Preview: {self.title}", head, rows)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "title": self.title,
            "classes": {name: c.to_json() for name, c in self.classes.items()},
            "others": {name: c.to_json() for name, c in self.others.items()},
            "gap": None if np.isnan(self.gap) else self.gap,
            "costs": [cost.to_json() for cost in self.costs],
        }


def compare_states(
    workspace: Workspace,
    before: BranchState,
    after: BranchState,
    classes: Sequence[str] | None = None,
    focus: NDArray[np.bool_] | None = None,
    replicates: int | None = None,
    seed: int = 0,
) -> dict[str, ClassChange]:
    """Compare two states of a branch class by class.

    Parameters
    ----------
    workspace : Workspace
        Of the project.
    before, after : BranchState
        The two states.
    classes : sequence of str, optional
        Classes to compare; by default those whose weights, targets or threshold differ.
    focus : ndarray of shape (N,), bool, optional
        A subset that is also reported separately.
    replicates : int, optional
        Number of bootstrap replicates.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict from class to ClassChange
        In the order of the project's classes.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.preview import compare_states
    >>> session = Project.open(demo_project()).session()
    >>> before = session.state
    >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"})
    >>> list(compare_states(session.workspace, before, session.state))
    ['water bird']
    """
    students = workspace.students
    names = [(*students.concepts, *state.added) for state in (before, after)]
    T = workspace.targets(after, "validation")
    return {
        cls: _compare(workspace, before, after, cls, T[:, c], focus, names, replicates, seed)
        for c, cls in enumerate(students.classes)
        if (cls in classes if classes is not None else _differ(workspace, before, after, c, cls))
    }


def preview_replicates(n: int) -> int:
    """Return the number of bootstrap replicates of a preview with n validation images.

    Examples
    --------
    >>> from inficond.core.tuning.preview import preview_replicates
    >>> preview_replicates(480) >= preview_replicates(100_000)
    True
    """
    return int(np.clip(_WORK // max(1, n), FEWEST_REPLICATES, MOST_REPLICATES))


def _differ(workspace: Workspace, before: BranchState, after: BranchState, c: int, cls: str) -> bool:
    """Return whether weights, bounds, targets or threshold of a class (softmax: of any class) differ."""
    if workspace.threshold(before, c) != workspace.threshold(after, c):
        return True
    if workspace.students.link == "softmax":
        return any(not one.same_as(after.classes[name]) for name, one in before.classes.items())
    return not before.classes[cls].same_as(after.classes[cls])


def _compare(
    workspace: Workspace,
    before: BranchState,
    after: BranchState,
    cls: str,
    t: NDArray[np.float32],
    focus: NDArray[np.bool_] | None,
    names: Sequence[tuple[str, ...]],
    replicates: int | None,
    seed: int,
) -> ClassChange:
    rows, groups = workspace.validation_rows, workspace.validation_groups
    c = workspace.students.class_index(cls)
    at0, at1 = workspace.threshold(before, c), workspace.threshold(after, c)
    s0 = workspace.score(before, cls, "validation")
    s1 = workspace.score(after, cls, "validation")

    def measured(target: NDArray[Any], keep: NDArray[np.bool_] | None) -> dict[str, Change]:
        sides = [target, s0, s1] if groups is None else [target, s0, s1, groups]
        chosen = sides if keep is None else [np.ascontiguousarray(side[keep]) for side in sides]
        t, old, new, *among = chosen
        B = replicates_for(len(t)) if replicates is None else replicates
        sources = among[0] if among else None

        def table(scores: NDArray[Any], at: float) -> NDArray[np.float64]:
            return resampled(t, scores, groups=sources, threshold=at, replicates=B, seed=seed)

        # The state before stays the same while a slider is dragged, so it is resampled once.
        key = ("replicates", at0, seed, B, _digest(t, old, *among))
        here = workspace.cache.get(key, lambda: table(old, at0), lambda made: made.nbytes)
        return changes_between(here, table(new, at1))

    fidelity = measured(t, None)
    accuracy = inside = None
    if workspace.labels is not None:
        truth = workspace.labels_validation[:, c]
        known = ~np.isnan(truth)
        if known.any():
            accuracy = measured(truth, None if known.all() else known)
    within = None if focus is None else focus[rows]
    if within is not None and within.any():
        inside = measured(t, within)
    codes0 = subset_codes(t, s0, threshold=at0)
    codes1 = subset_codes(t, s1, threshold=at1)
    agreed0, agreed1 = codes0 < 2, codes1 < 2
    return ClassChange(
        cls=cls,
        weights=changes(cls, names[0], names[1], before.classes[cls], after.classes[cls]),
        fidelity=fidelity,
        accuracy=accuracy,
        focus=inside,
        focus_size=0 if within is None else int(within.sum()),
        before=_counts(codes0),
        after=_counts(codes1),
        fixed=rows[agreed1 & ~agreed0],
        broken=rows[agreed0 & ~agreed1],
    )


def _digest(*arrays: NDArray[Any]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


def _counts(codes: NDArray[np.uint8]) -> dict[str, int]:
    return {name: int(n) for name, n in zip(SUBSETS, np.bincount(codes, minlength=len(SUBSETS)))}
