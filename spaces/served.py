"""The project that a Space opens."""

from pathlib import Path

PROJECTS = ("photographs", "demo")
"""Folders of projects, the preferred one first."""


def served_project(folder: Path) -> Path:
    """Return the project of a folder of a Space: the photographs if they are there, else the collages."""
    return next(
        (folder / name for name in PROJECTS if (folder / name / "project.json").is_file()), folder / "demo"
    )
