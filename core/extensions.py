"""Extensions: what installed packages add under the entry-point groups of this project."""

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from inficond.core.errors import InputError, fault_of_library

SOURCES = "inficond.sources"
"""Sources of images: name -> callable(address, TableOptions) -> ImageSource; used as ``NAME:ADDRESS``."""
COMMANDS = "inficond.commands"
"""Commands: name -> module that satisfies `inficond.core.cli.command.Command`."""
BENCHMARKS = "inficond.benchmarks"
"""Benchmarks of ``inficond bench``: name -> module of the same kind."""
EXPORTERS = "inficond.exporters"
"""``encoder``, ``teacher``, ``module`` -> callable that writes a model folder; see `docs/extending.md`."""
ENGINES = "inficond.engines"
"""Engines of builds: name -> callable(address or None) -> `inficond.core.pipeline.engines.Engine`."""
VIEWS = "inficond.views"
"""Views of the page: name -> module with a constant ``VIEW``, beside ``view.js`` and ``view.css``."""


def extensions(group: str) -> dict[str, EntryPoint]:
    """Return the extensions of a group, sorted by name; nothing is imported.

    Parameters
    ----------
    group : str
        Name of an entry-point group, for example `SOURCES`.
    """
    return {point.name: point for point in sorted(entry_points(group=group), key=lambda point: point.name)}


def load(point: EntryPoint) -> Any:
    """Import an extension.

    Raises
    ------
    InputError
        The package of the extension cannot be imported, or lacks the object.
    """
    try:
        return import_module(point.value) if not point.attr else point.load()
    except InputError:
        raise
    except Exception as error:  # the code of another package may raise anything
        package = point.dist.name if point.dist else point.module
        if package == "inficond" and isinstance(error, ImportError):
            fault = fault_of_library(error)
            if fault is not None:
                raise InputError(fault) from error
        raise InputError(
            f"the extension {point.name!r} of the package {package} cannot be loaded "
            f"({type(error).__name__}: {error}): update or uninstall {package}"
        ) from error
