"""The student, and everything that is measured about it.

The rest is loaded when first used, so that reading a student's file costs no Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# A function that is called like its module must be imported here: otherwise the name stands for the module as
# soon as anybody imports that. These modules need NumPy alone.
from inficond.core.students.contributions import Contributions, contributions
from inficond.core.students.distil import distil, keep_largest
from inficond.core.students.student import Students
from inficond.core.students.subsets import SUBSETS, subset_codes, subsets

if TYPE_CHECKING:
    from inficond.core.students.baseline import RandomBaseline, random_concept_baseline
    from inficond.core.students.bootstrap import Change, Interval, bootstrap_intervals, paired_bootstrap
    from inficond.core.students.metrics import (
        Accuracy,
        ClassMetrics,
        average_precision,
        class_metrics,
        matched_threshold,
    )
    from inficond.core.students.slices import Slice, find_slices
    from inficond.core.students.split import stratified_split

_HOME = {
    "Accuracy": "metrics",
    "Change": "bootstrap",
    "ClassMetrics": "metrics",
    "Interval": "bootstrap",
    "RandomBaseline": "baseline",
    "Slice": "slices",
    "average_precision": "metrics",
    "bootstrap_intervals": "bootstrap",
    "class_metrics": "metrics",
    "find_slices": "slices",
    "matched_threshold": "metrics",
    "paired_bootstrap": "bootstrap",
    "random_concept_baseline": "baseline",
    "stratified_split": "split",
}

__all__ = [
    "SUBSETS",
    "Accuracy",
    "Change",
    "ClassMetrics",
    "Contributions",
    "Interval",
    "RandomBaseline",
    "Slice",
    "Students",
    "average_precision",
    "bootstrap_intervals",
    "class_metrics",
    "contributions",
    "distil",
    "find_slices",
    "keep_largest",
    "matched_threshold",
    "paired_bootstrap",
    "random_concept_baseline",
    "stratified_split",
    "subset_codes",
    "subsets",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"inficond.core.students.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
