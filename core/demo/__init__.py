"""The built-in demo: photo collages whose training images contain a shortcut, as a project."""

from pathlib import Path

__all__ = ["demo_project"]


def demo_project() -> Path:
    """Return the folder of the built-in project; see `inficond.core.demo.project`.

    Returns
    -------
    Path
        What `Project.open` takes.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> len(project), len(project.concepts), project.classes[:3]
    (1200, 163, ['water bird', 'land bird', 'cattle'])
    """
    from inficond.core.demo.project import demo_project as make

    return make()
