"""The engine of InFiConD: images, concepts, students, tuning and history; no page and no torch in it.

Importing this package is cheap on purpose: names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inficond.core.errors import InputError
    from inficond.core.project.project import Project

__version__ = "0.1.0"
__all__ = ["InputError", "Project", "__version__"]

_HOME = {
    "InputError": "inficond.core.errors",
    "Project": "inficond.core.project.project",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
