"""Metrics of a class at one state of a session."""

import numpy as np

from inficond.core.evaluation import ClassMetrics, class_metrics
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
    c = workspace.students.class_index(cls)
    labels = workspace.labels_validation[:, c] if workspace.labels is not None else None
    if labels is not None and np.isnan(labels).all():
        labels = None
    return class_metrics(
        workspace.targets(state, "validation", overrides)[:, c],
        workspace.score(state, cls, "validation"),
        threshold=workspace.threshold(state, c),
        labels=labels,
        nec=int(np.count_nonzero(state.classes[cls].weights)),
    )
