"""Sides of a comparison as a command names them: projects, steps, teachers, student files, tables."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.comparison.sides import Answers, Side, student_side, teacher_side
from inficond.core.errors import InputError
from inficond.core.facade import Project
from inficond.core.images import ImageRecord
from inficond.core.models.tables import is_table_name, read_labels, read_responses
from inficond.core.pipeline.label_alignment import aligned_labels
from inficond.core.progress import Progress, Silent
from inficond.core.project.folder import ProjectFolder
from inficond.core.students import Students

TEACHER = "teacher"
"""Name of a project's teacher after ``#``, unless a step has this name."""
STUDENT_FILES = (".safetensors", ".onnx")
BATCH = 8


def open_sides(
    a: str,
    b: str,
    *,
    images: Sequence[tuple[str, Path | ImageRecord]] | None = None,
    labels: Path | None = None,
    provider: str = "auto",
    progress: Progress | None = None,
) -> tuple[Side, Side]:
    """Open both sides of a comparison.

    Parameters
    ----------
    a, b : str
        ``DIR``: the current student of a project; ``DIR#STEP``: that of a step; ``DIR#teacher``; a student as
        ``.onnx`` or ``.safetensors``, which answers the images of the other side's project; a table of
        answers.
    images : sequence of (name, path or ImageRecord), optional
        Image files for two ``.onnx`` students.
    labels : Path, optional
        Table of labels, where the projects have none.
    provider : str
        Execution provider of ``.onnx`` students.
    progress : Progress, optional

    Raises
    ------
    InputError
        A side cannot be opened, or there are no images for a student file.

    Examples
    --------
    >>> from inficond.core.comparison.files import open_sides
    >>> from inficond.core.demo import demo_project
    >>> student, teacher = open_sides(str(demo_project()), f"{demo_project()}#teacher")
    >>> student.kind, teacher.kind
    ('student', 'teacher')
    """
    opened = [_of_project(one) if Path(one).suffix.lower() not in STUDENT_FILES else None for one in (a, b)]
    host = next((side.project for side in opened if side is not None and side.project is not None), None)
    sides = []
    for text, side in zip((a, b), opened):
        made = side or _of_file(Path(text), host, images, provider, progress or Silent())
        sides.append(_labelled(made, labels) if labels is not None and made.labels is None else made)
    return sides[0], sides[1]


def _of_project(text: str) -> Side:
    path, _, step = text.rpartition("#") if not Path(text).exists() and "#" in text else (text, "", "")
    if not step and Path(path).is_file():
        return _of_table(Path(path))
    project = Project.open(path)
    session = project.session("main" if step else None)  # all branches are in the project's own history
    names = {entry.name for entry in session.tree()}
    if step == TEACHER and TEACHER not in names:
        return teacher_side(project)
    return student_side(session, step or None)


def _of_table(path: Path) -> Side:
    if not is_table_name(path):
        raise InputError(
            f"{path}: name a project folder, DIR#STEP, DIR#teacher, a student (.onnx, .safetensors) or a "
            "table of answers"
        )
    table = read_responses(path)
    values = table.values
    return Side(
        name=path.name,
        kind="answers",
        classes=table.classes,
        image_ids=table.images,
        answers=lambda rows: values[rows],
        thresholds=np.full(len(table.classes), 0.5, np.float32),
        unseen=np.ones(len(table.images), bool),
        fit_known=False,
    )


def _of_file(
    path: Path,
    host: ProjectFolder | None,
    images: Sequence[tuple[str, Path | ImageRecord]] | None,
    provider: str,
    progress: Progress,
) -> Side:
    """Return a student file that answers the images of a project, or given image files."""
    if path.suffix.lower() == ".safetensors":
        if host is None:
            raise InputError(
                f"{path} has no encoder: compare it with a project, or export it with "
                "`inficond export student`"
            )
        students = Students.load(path)
        return _on_project(
            path.name,
            students.classes,
            students.thresholds,
            host,
            _on_concepts(students, host, path),
            students,
        )
    from inficond.core.models.predictor import load_predictor

    predictor = load_predictor(path, provider, threads=1)
    files = [one for _, one in images] if images is not None else None

    def answers(rows: NDArray[np.intp]) -> NDArray[Any]:
        if files is not None:
            paths = [files[int(r)] for r in rows]
        elif host is not None:
            paths = [host.image_path(int(r)) for r in rows]
        else:
            raise InputError(f"{path} needs images: add --images, or compare it with a project")
        progress.start(f"answers of {path.name}", len(paths))
        found = []
        for prediction in predictor.predict_files(paths, BATCH):
            if prediction.probabilities is None:
                raise InputError(
                    f"{prediction.path} cannot be read ({prediction.reason}): restore the image, or compare "
                    "on other images with --images"
                )
            found.append(prediction.probabilities)
            progress.advance()
        return np.stack(found)

    if images is None and host is None:
        raise InputError(f"{path} needs images: add --images, or compare it with a project")
    if images is None and host is not None:
        return _on_project(path.name, predictor.classes, predictor.thresholds, host, answers, None)
    names = [name for name, _ in images or ()]
    return Side(
        name=path.name,
        kind="answers",
        classes=tuple(predictor.classes),
        image_ids=names,
        answers=answers,
        thresholds=predictor.thresholds,
        unseen=np.ones(len(names), bool),
        fit_known=False,
    )


def _on_project(
    name: str,
    classes: Sequence[str],
    thresholds: NDArray[Any],
    host: ProjectFolder,
    answers: Answers,
    students: Students | None,
) -> Side:
    """Return a student as a side that answers the images of another side's project.

    The project's labels and responses are in the order of its own classes; classes that it lacks have none.
    """
    columns = [host.classes.index(c) if c in host.classes else -1 for c in classes]
    known = all(column >= 0 for column in columns)

    def in_order(values: NDArray[Any]) -> NDArray[Any]:
        out = np.full((len(values), len(columns)), np.nan, np.float32)
        for i, column in enumerate(columns):
            if column >= 0:
                out[:, i] = values[:, column]
        return out

    return Side(
        name=name,
        kind="student",
        classes=tuple(classes),
        image_ids=host.image_ids,
        answers=answers,
        thresholds=thresholds,
        unseen=np.ones(len(host), bool),
        fit_known=False,
        targets=(lambda rows: in_order(np.asarray(host.T[rows]))) if known else None,
        labels=None if host.labels is None else in_order(np.asarray(host.labels)),
        image_groups=host.image_groups,
        concepts=None if students is None else tuple(students.concepts),
        weights=None if students is None else np.asarray(students.weights),
        project=host,
    )


def _on_concepts(students: Students, host: ProjectFolder, path: Path) -> Answers:
    """Return the answers of students to a project's images, from its concept vectors or its regions."""
    column = {name: k for k, name in enumerate(host.concepts)}
    own = host.students.encoder
    if students.encoder and own and students.encoder != own:
        raise InputError(
            f"{path} reads the encoder {students.encoder!r:.80}, the project {host.name!r} has {own!r:.80}: "
            "export the student as ONNX and compare that"
        )
    if all(name in column for name in students.concepts):
        order = [column[name] for name in students.concepts]
        return lambda rows: students.predict(np.asarray(host.X[rows])[:, order])
    if students.embeddings is None:
        missing = next(name for name in students.concepts if name not in column)
        raise InputError(
            f"{path} uses the concept {missing!r}, which the project {host.name!r} lacks, and has no word "
            "embeddings: save it again from its project"
        )
    return lambda rows: students.predict_regions(np.asarray(host.region_embeddings[rows]))


def _labelled(side: Side, path: Path) -> Side:
    labels, _ = aligned_labels(read_labels(path), side.image_ids, side.classes)
    return replace(side, labels=labels)
