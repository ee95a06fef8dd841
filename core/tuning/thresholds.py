"""Decision thresholds of students."""

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation import matched_threshold
from inficond.core.students.distil import exclusive_thresholds
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

MATCHED = "matched"


def thresholds_at(
    at: float | str, workspace: Workspace, state: BranchState
) -> tuple[float | str, tuple[float, ...]]:
    """Validate a requested threshold and return the threshold of each class.

    Parameters
    ----------
    at : float or "matched"
        One threshold for all classes, or for each class the one at which the rate of positive training images
        is the teacher's. Classes that exclude each other share their thresholds' scale, so that nearly every
        image has a yes (`exclusive_thresholds`). Validation images are not used.
    workspace : Workspace
    state : BranchState

    Returns
    -------
    at : float or "matched"
        The validated request.
    thresholds : tuple of C floats

    Raises
    ------
    InputError
        `at` is neither a number within (0, 1) nor ``matched``.
    """
    students = workspace.students
    if isinstance(at, str) and at == MATCHED:
        T = workspace.targets(state, "training")
        S = workspace.scores(state, "training")
        if students.link == "softmax":
            return MATCHED, tuple(exclusive_thresholds(S, T).tolist())
        return MATCHED, tuple(matched_threshold(T[:, c], S[:, c]) for c in range(T.shape[1]))
    try:
        value = float(at)
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if isinstance(at, bool) or not 0 < value < 1:
        raise InputError(f"a threshold must be a number between 0 and 1 or {MATCHED!r}, not {str(at)[:40]!r}")
    return value, (float(np.float32(value)),) * len(students.classes)


def without_yes(
    workspace: Workspace, state: BranchState, thresholds: tuple[float, ...] | None = None
) -> float | None:
    """Return the share of validation images for which no class says yes.

    None unless the classes exclude each other.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    thresholds : tuple of C floats, optional
        Those of the state by default.
    """
    students = workspace.students
    if students.link != "softmax" or not len(workspace.validation_rows):
        return None
    limits = workspace.thresholds(state) if thresholds is None else np.array(thresholds, np.float32)
    return float((workspace.scores(state, "validation") < limits).all(axis=1).mean())
