"""The built-in demo: photo collages whose training images contain a shortcut, as a project."""

from pathlib import Path

__all__ = ["demo_project"]


def demo_project() -> Path:
    """Return the folder of the built-in project; see `inficond.core.demo.project`.

    Returns
    -------
    Path
        What `Project.open` takes.
    """
    from inficond.core.demo.project import demo_project as make

    return make()
