"""From which probability on a student says yes."""

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation import matched_threshold
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

MATCHED = "matched"


def thresholds_at(
    at: float | str, workspace: Workspace, state: BranchState
) -> tuple[float | str, tuple[float, ...]]:
    """What was asked, checked, and the threshold of each class.

    Parameters
    ----------
    at : float or "matched"
        One for all classes, or for each the one at which its student says yes to training images as often as
        the teacher (validation images never choose anything).
    workspace, state
        Where it is asked.

    Raises
    ------
    InputError
        Neither a number within (0, 1) nor ``matched``.
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
        raise InputError(f"a threshold is a number between 0 and 1, or {MATCHED!r}, not {str(at)[:40]!r}")
    return value, (float(np.float32(value)),) * len(students.classes)
