"""Evaluation of students: metrics, bootstrap intervals, subsets, slices and the split of the images.

Names are imported on first use, so that reading a student does not import Numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# A function with the name of its module is imported here: otherwise the name would refer to the module once
# it has been imported. This module needs only NumPy.
from inficond.core.evaluation.subsets import SUBSETS, subset_codes, subsets

if TYPE_CHECKING:
    from inficond.core.evaluation.bootstrap import Change, Interval, bootstrap_intervals, paired_bootstrap
    from inficond.core.evaluation.metrics import (
        Accuracy,
        ClassMetrics,
        average_precision,
        class_metrics,
        matched_threshold,
    )
    from inficond.core.evaluation.parts import Parts, divide
    from inficond.core.evaluation.slices import Slice, find_slices
    from inficond.core.evaluation.split import stratified_split

_MODULES = {
    "Accuracy": "metrics",
    "Change": "bootstrap",
    "ClassMetrics": "metrics",
    "Interval": "bootstrap",
    "Parts": "parts",
    "Slice": "slices",
    "average_precision": "metrics",
    "bootstrap_intervals": "bootstrap",
    "class_metrics": "metrics",
    "divide": "parts",
    "find_slices": "slices",
    "matched_threshold": "metrics",
    "paired_bootstrap": "bootstrap",
    "stratified_split": "split",
}

__all__ = [
    "SUBSETS",
    "Accuracy",
    "Change",
    "ClassMetrics",
    "Interval",
    "Parts",
    "Slice",
    "average_precision",
    "bootstrap_intervals",
    "class_metrics",
    "divide",
    "find_slices",
    "matched_threshold",
    "paired_bootstrap",
    "stratified_split",
    "subset_codes",
    "subsets",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"inficond.core.evaluation.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
