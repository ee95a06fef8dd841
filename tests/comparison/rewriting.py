"""Some images of a project as another project, under other names."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project


def jpeg(row: int) -> bytes:
    """Return a file that passes for the thumbnail of an image."""
    return b"\xff\xd8\xff" + f"picture {row}".encode()


def rewritten(
    project: Project,
    folder: Path,
    rows: np.ndarray,
    names: Callable[[int], str],
    pictures: Callable[[int], bytes] | None,
    held_out: np.ndarray | None = None,
) -> Project:
    """Write some images of a project as another project, under other names."""
    write_project(
        folder,
        ProjectContents(
            images=[ImageRow(id=names(r), path=names(r), width=64, height=48) for r in rows.tolist()],
            T=np.asarray(project.T)[rows],
            labels=None,
            concepts=project.concepts,
            concept_groups=project.concept_groups,
            concept_embeddings=np.asarray(project.concept_embeddings),
            classes=project.classes,
            is_validation=project.is_validation[rows] if held_out is None else held_out,
            students=project.students,
            name=folder.name,
        ),
        [
            ImageBlock(
                X=np.asarray(project.X)[rows],
                thumbnails=None if pictures is None else [pictures(r) for r in rows.tolist()],
            )
        ],
    )
    return Project.open(folder)
