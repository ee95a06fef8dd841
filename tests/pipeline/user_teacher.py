"""Builds with a teacher of the user."""

from pathlib import Path
from typing import Any

from inficond.core import Project


def create(tiny: Any, tmp_path: Path, photos: Path, teacher: Any, **options: Any) -> Project:
    """Build a project from photographs and a teacher."""
    arguments = tiny.arguments(tmp_path / "out", images=photos, teacher=teacher, lam=0.01, baseline=False)
    return Project.create(**{**arguments, **options})
