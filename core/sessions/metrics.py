"""Metrics of a class at one state of a session."""

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation import ClassMetrics, Interval, bootstrap_intervals, class_metrics
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace


def state_metrics(workspace: Workspace, state: BranchState, cls: str, overrides: bool = True) -> ClassMetrics:
    """Compute the metrics of a class on the validation images.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
        Whose student is measured.
    cls : str
        A class of the project.
    overrides : bool
        Compare with the teacher's responses after the person's overrides (True), or with the teacher alone.

    Returns
    -------
    ClassMetrics
        `anec5` is None: it needs fits of its own, which only the report makes.
    """
    return _metrics(workspace, state, cls, *_probabilities(workspace, state, cls, overrides))


def metrics_with_intervals(
    workspace: Workspace, state: BranchState, cls: str
) -> tuple[ClassMetrics, dict[str, Interval]]:
    """Return `state_metrics`, and by name the values and 95 % intervals of the metrics that have them."""
    targets, scores = _probabilities(workspace, state, cls)
    intervals = bootstrap_intervals(
        targets,
        scores,
        groups=workspace.validation_groups,
        threshold=workspace.threshold(state, workspace.students.class_index(cls)),
    )
    return _metrics(workspace, state, cls, targets, scores), intervals


def _probabilities(
    workspace: Workspace, state: BranchState, cls: str, overrides: bool = True
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return targets and scores of a class on the validation images, (n,) each."""
    c = workspace.students.class_index(cls)
    targets = workspace.targets(state, "validation", overrides)[:, c]
    return targets, workspace.score(state, cls, "validation")


def _metrics(
    workspace: Workspace,
    state: BranchState,
    cls: str,
    targets: NDArray[np.float32],
    scores: NDArray[np.float32],
) -> ClassMetrics:
    c = workspace.students.class_index(cls)
    labels = workspace.labels_validation[:, c] if workspace.labels is not None else None
    if labels is not None and np.isnan(labels).all():
        labels = None
    return class_metrics(
        targets,
        scores,
        threshold=workspace.threshold(state, c),
        labels=labels,
        nec=int(np.count_nonzero(state.classes[cls].weights)),
    )
