"""One side of a comparison: a student or a teacher with its answers to images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.project.folder import ProjectFolder
from inficond.core.sessions.session import Session

Answers = Callable[[NDArray[np.intp]], NDArray[Any]]
"""Function from n rows of images to numbers of C classes, (n, C)."""


@dataclass(frozen=True, eq=False)
class Side:
    """A student, a teacher or a table of answers.

    Parameters
    ----------
    name : str
        What a person calls it.
    kind : str
        ``student``, ``teacher`` or ``answers``.
    classes : tuple of C str
    image_ids : sequence of N str
    answers : callable
        Probabilities of the classes for some of its images.
    thresholds : array (C,)
        Probabilities at or above them mean yes.
    unseen : array (N,), bool
        Images that it was not fitted on.
    fit_known : bool
        Whether `unseen` is known; it is not for files.
    targets : callable, optional
        Responses of its teacher for some of its images, with the person's overrides; only of students.
    labels : array (N, C), optional
        Ground truth, NaN where unknown.
    image_groups : sequence of N str or None, optional
        Images of one group share a source.
    concepts : tuple of K str, optional
    weights : array (C, K), optional
        Of a student, in standardised units.
    project : ProjectFolder, optional
        The folder with its images.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.comparison.sides import student_side
    >>> from inficond.core.demo import demo_project
    >>> side = student_side(Project.open(demo_project()).session())
    >>> side.kind, len(side.image_ids), int(side.unseen.sum())
    ('student', 1200, 480)
    """

    name: str
    kind: str
    classes: tuple[str, ...]
    image_ids: Sequence[str]
    answers: Answers = field(repr=False)
    thresholds: NDArray[Any]
    unseen: NDArray[np.bool_] = field(repr=False)
    fit_known: bool = True
    targets: Answers | None = field(default=None, repr=False)
    labels: NDArray[Any] | None = field(default=None, repr=False)
    image_groups: Sequence[str | None] | None = field(default=None, repr=False)
    concepts: tuple[str, ...] | None = field(default=None, repr=False)
    weights: NDArray[Any] | None = field(default=None, repr=False)
    project: ProjectFolder | None = field(default=None, repr=False)


def student_side(session: Session, node: str | None = None, name: str | None = None) -> Side:
    """Return the student at a node of a session.

    Parameters
    ----------
    session : Session
    node : str, optional
        Id, beginning of an id, or name of a node; by default the current one.
    name : str, optional
        By default the name of the project, with the title of the node if one is given.

    Raises
    ------
    InputError
        No such node.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> fitted = session.node
    >>> changed = session.drop_concept("fish")
    >>> before, after = student_side(session, fitted), student_side(session)
    >>> fish = before.concepts.index("fish")
    >>> bool(before.weights[0, fish] > 0), float(after.weights[0, fish])
    (True, 0.0)
    """
    found = session.current if node is None else session.find(node)
    state = session.state if node is None else session.history.state_at(found.id)
    workspace, project = session.workspace, session.project
    held_out = workspace.validation_rows

    def of_rows(validation: NDArray[Any], everywhere: Callable[[], NDArray[Any]], rows: Any) -> NDArray[Any]:
        if workspace.is_validation[rows].all():
            chosen: NDArray[Any] = validation[np.searchsorted(held_out, rows)]
            return chosen
        return everywhere()[rows]

    def answers(rows: NDArray[np.intp]) -> NDArray[Any]:
        validation = workspace.scores(state, "validation")
        return of_rows(validation, lambda: workspace.scores(state, "all"), rows)

    def targets(rows: NDArray[np.intp]) -> NDArray[Any]:
        def everywhere() -> NDArray[Any]:
            T = np.empty((workspace.n_images, len(state.classes)), np.float32)
            T[workspace.training_rows] = workspace.targets(state, "training")
            T[held_out] = workspace.targets(state, "validation")
            return T

        return of_rows(workspace.targets(state, "validation"), everywhere, rows)

    return Side(
        name=name or (project.name if node is None else f"{project.name}: {found.title}"),
        kind="student",
        classes=tuple(project.classes),
        image_ids=project.image_ids,
        answers=answers,
        thresholds=workspace.thresholds(state),
        unseen=workspace.is_validation,
        targets=targets,
        labels=project.labels,
        image_groups=project.image_groups,
        concepts=(*workspace.students.concepts, *state.added),
        weights=state.weights(),
        project=project,
    )


def teacher_side(project: ProjectFolder, name: str | None = None) -> Side:
    """Return the teacher of a project.

    Parameters
    ----------
    project : ProjectFolder
    name : str, optional
        By default the name of the project, marked as its teacher.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.comparison.sides import teacher_side
    >>> from inficond.core.demo import demo_project
    >>> teacher_side(Project.open(demo_project())).name
    'Photo collages: birds, beasts and a shortcut: teacher'
    """
    return Side(
        name=name or f"{project.name}: teacher",
        kind="teacher",
        classes=tuple(project.classes),
        image_ids=project.image_ids,
        answers=lambda rows: np.asarray(project.T[rows]),
        thresholds=np.full(len(project.classes), 0.5, np.float32),
        unseen=np.ones(len(project), bool),
        labels=project.labels,
        image_groups=project.image_groups,
        project=project,
    )
