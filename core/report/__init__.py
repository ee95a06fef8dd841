"""Report on a project's students, as JSON and as one self-contained HTML file."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inficond.core.report.measure import report
    from inficond.core.report.page import render_html

__all__ = ["render_html", "report"]
_HOME = {"report": "measure", "render_html": "page"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"inficond.core.report.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
