"""Distil an image classifier into small, readable linear students over visual concepts.

``inficond.distill(images)`` builds a project; ``inficond.Project.open(folder)`` opens one. Names are imported
at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inficond.core import InputError, Project, __version__, distill

__all__ = ["InputError", "Project", "__version__", "distill"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("inficond.core"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
