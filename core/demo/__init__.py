"""The built-in demo: photo collages with a shortcut inside, as a project that opens offline."""

from pathlib import Path

__all__ = ["demo_project"]


def demo_project() -> Path:
    """The folder of the built-in project, made on first use; see `inficond.core.demo.project`.

    Returns
    -------
    Path
        What `Project.open` takes.
    """
    from inficond.core.demo.project import demo_project as make

    return make()
