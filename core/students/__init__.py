"""Students: fitting, contributions, the random-direction baseline and the file format.

Names that need Numba are imported on first use, so that reading a student does not import it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Functions with the name of their module are imported here: otherwise the name would refer to the module once
# it has been imported. These modules need only NumPy.
from inficond.core.students.contributions import Contributions, contributions
from inficond.core.students.distil import distil, keep_largest
from inficond.core.students.student import Students

if TYPE_CHECKING:
    from inficond.core.students.baseline import RandomBaseline, random_concept_baseline

_MODULES = {"RandomBaseline": "baseline", "random_concept_baseline": "baseline"}

__all__ = [
    "Contributions",
    "RandomBaseline",
    "Students",
    "contributions",
    "distil",
    "keep_largest",
    "random_concept_baseline",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"inficond.core.students.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
