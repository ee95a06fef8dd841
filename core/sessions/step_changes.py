"""Changes by a step, as its node records them: classes, weights, and metrics before and after."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from inficond.core.sessions.metrics import state_metrics
from inficond.core.tuning.changes import WeightChange, changes
from inficond.core.tuning.state import BranchState, ClassState
from inficond.core.tuning.workspace import Workspace

UNRECORDED = ("notes", "threshold", "teacher_threshold", "anec5")
"""Fields of the metrics that nodes leave out."""


class StepChanges(NamedTuple):
    """Differences between the states before and after a step.

    Parameters
    ----------
    classes : mapping from class to ClassState
        The state of each class that differs, after the step.
    weights : tuple of WeightChange
    before, after : mapping from class to mapping
        Metrics of the classes that the step may have changed.
    """

    classes: Mapping[str, ClassState]
    weights: tuple[WeightChange, ...]
    before: Mapping[str, Mapping[str, Any]]
    after: Mapping[str, Mapping[str, Any]]


def step_changes(
    workspace: Workspace, old: BranchState, new: BranchState, kind: str, named: Sequence[str]
) -> StepChanges:
    """Return what changed from one state to the next.

    Parameters
    ----------
    workspace : Workspace
    old, new : BranchState
    kind : str
        Of the step; an exam changes no metrics.
    named : sequence of str
        Classes that the step names; their metrics are recorded even if nothing changed.
    """
    students = workspace.students
    moved = {
        c: s for c, s in new.classes.items() if s is not old.classes[c] and not s.same_as(old.classes[c])
    }
    everywhere = kind != "exam" and (students.link == "softmax" or new.thresholds != old.thresholds)
    touched = list(new.classes) if everywhere else list({**moved, **dict.fromkeys(named)})
    concepts_before = (*students.concepts, *old.added)
    concepts_after = (*students.concepts, *new.added)
    return StepChanges(
        moved,
        tuple(
            change
            for c, s in moved.items()
            for change in changes(c, concepts_before, concepts_after, old.classes[c], s)
        ),
        {c: _numbers(workspace, old, c) for c in touched},
        {c: _numbers(workspace, new, c) for c in touched},
    )


def _numbers(workspace: Workspace, state: BranchState, cls: str) -> dict[str, Any]:
    """Return the metrics that a node records."""
    found = state_metrics(workspace, state, cls).to_dict()
    return {k: v for k, v in found.items() if k not in UNRECORDED}
