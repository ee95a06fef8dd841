"""Decision thresholds of students."""

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation import matched_threshold
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
        is the teacher's. Validation images are not used.
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
        found = [
            matched_threshold(T[:, c], workspace.score(state, cls, "training"))
            for c, cls in enumerate(students.classes)
        ]
        return MATCHED, tuple(found)
    try:
        value = float(at)
    except (TypeError, ValueError, OverflowError):
        value = np.nan
    if isinstance(at, bool) or not 0 < value < 1:
        raise InputError(f"a threshold must be a number between 0 and 1 or {MATCHED!r}, not {str(at)[:40]!r}")
    return value, (float(np.float32(value)),) * len(students.classes)
