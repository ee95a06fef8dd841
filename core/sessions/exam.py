"""Exams: the student at the current node and the student as fitted, on the locked images of a project."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts import concept_vectors
from inficond.core.errors import InputError
from inficond.core.evaluation.exam import (
    FEW_POSITIVES,
    Comparison,
    beside_promise,
    exam_level,
    group_numbers,
    left_out_reason,
)
from inficond.core.history.node import Node
from inficond.core.project.exam_part import ExamPart
from inficond.core.project.folder import ProjectFolder
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session_history import SessionHistory
from inficond.core.sessions.session_queries import SessionQueries

BLOCK = 1024
"""Images whose added concepts are computed at a time."""


class TakenExam(NamedTuple):
    """An exam of a branch.

    Parameters
    ----------
    node : Node
        Of kind ``exam``; `detail` holds the figures.
    steps_since : int
        Steps that changed the student after it; 0 if the figures are those of the current student.
    """

    node: Node
    steps_since: int


def exam_part(project: ProjectFolder) -> ExamPart:
    """Return the locked images of a project.

    Raises
    ------
    InputError
        The project has none.
    """
    exam = project.exam
    if exam is None:
        reason = next((c for c in project.config.get("choices", []) if c.startswith("parts: ")), "")
        because = reason.partition("no exam part, because ")[2]
        raise InputError(
            f"the project {project.name!r} has no exam images"
            + (f" ({because})" if because else ", because it was made with two parts")
            + ": build it again with `inficond distill` from 150 images or more, and replay its recipe"
        )
    return exam


def last_exam(history: SessionHistory) -> TakenExam | None:
    """Return the exam of the current student, or else of the nearest earlier one on its branch."""
    steps = 0
    children = {t.node.parent: t.node for t in history.tree() if t.node.kind == "exam"}
    node: Node | None = history.current
    while node is not None:
        if node.kind == "exam":
            return TakenExam(node, steps)
        if node.id in children:
            return TakenExam(children[node.id], steps)
        steps += 1
        node = None if node.parent is None else history.find(node.parent)
    return None


def take_exam(
    context: ProjectContext, history: SessionHistory, queries: SessionQueries, note: str = ""
) -> Node:
    """Open the exam and record its figures as a node; the student stays the same.

    Parameters
    ----------
    context, history, queries
        Of the session whose current student is examined.
    note : str
        Stored with the node.

    Returns
    -------
    Node
        The new node. If this student was examined before, the node of that exam: its figures would be the
        same.

    Raises
    ------
    InputError
        The project has no exam images, or no class has positives among them; a `StorageError` if the node
        cannot be written.
    """
    exam = exam_part(context.project)
    with history.lock:
        before = last_exam(history)
        if before is not None and before.steps_since == 0:
            return before.node
        number = 1 + history.exams_taken()
        detail = exam_figures(context, queries, exam, number)
        return history.commit("exam", history.state, {}, detail=detail, note=note)


def exam_figures(
    context: ProjectContext, queries: SessionQueries, exam: ExamPart, number: int, seed: int = 0
) -> dict[str, Any]:
    """Measure the student as fitted and the current one on the exam images.

    Parameters
    ----------
    context, queries
        Of the session whose current student is measured.
    exam : ExamPart
    number : int
        Of this exam in the project, from 1; see `exam_level`.
    seed : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        JSON values: ``number``, ``level``, ``images``, ``sources``, ``left_out`` (class to reason),
        ``imprecise`` (classes), ``classes`` (class to ``positives``, ``fidelity``, ``accuracy``) and ``mean``
        (``fidelity``, ``accuracy``); each set of figures is that of `beside_promise`.

    Raises
    ------
    InputError
        No class has positives among the exam images.
    """
    level = exam_level(number)
    groups = group_numbers(exam.image_groups)
    sources = len(exam) if groups is None else int(groups.max()) + 1
    root, now = context.project.students, queries.students
    S0, S1 = root.predict(np.asarray(exam.X)), now.predict(_vectors(context, queries.state.added, exam))
    w, state = context.workspace, queries.state
    V0, V1 = (w.scores(one, "validation") for one in (w.root, state))
    T_tune = w.targets(state, "validation")
    left_out, imprecise, classes = {}, [], {}
    sides = {
        kind: (Comparison(groups, level, seed), Comparison(w.validation_groups, level, seed))
        for kind in ("fidelity", "accuracy")
    }
    for c, name in enumerate(queries.classes):
        t = np.asarray(exam.T[:, c])
        reason = left_out_reason(t)
        if reason is not None:
            left_out[name] = reason
            continue
        at = (float(root.thresholds[c]), float(now.thresholds[c]))
        positives = int((t >= 0.5).sum())
        if positives < FEW_POSITIVES:
            imprecise.append(name)

        def both(kind: str, on_exam: NDArray[Any], on_tune: NDArray[Any], c: int = c, at: Any = at) -> Any:
            locked, tune = sides[kind]
            found = locked.add(on_exam, S0[:, c], S1[:, c], at)
            if not np.isfinite(on_tune).any():
                return beside_promise(found, {})
            return beside_promise(found, tune.add(on_tune, V0[:, c], V1[:, c], at))

        classes[name] = {
            "positives": positives,
            "fidelity": both("fidelity", t, T_tune[:, c]),
            "accuracy": None,
        }
        truth = None if exam.labels is None else np.asarray(exam.labels[:, c])
        if truth is not None and np.isfinite(truth).any():
            classes[name]["accuracy"] = both("accuracy", truth, w.labels_validation[:, c])
    if not classes:
        raise InputError(
            f"the {len(exam)} exam images of {context.project.name!r} show none of its classes, so there is "
            "nothing to measure: build the project again from more images"
        )
    return {
        "number": number,
        "level": level,
        "images": len(exam),
        "sources": sources,
        "left_out": left_out,
        "imprecise": imprecise,
        "classes": classes,
        "mean": {
            kind: beside_promise(locked.mean(), tune.mean()) or None for kind, (locked, tune) in sides.items()
        },
    }


def _vectors(context: ProjectContext, added: Sequence[str], exam: ExamPart) -> NDArray[np.float32]:
    """Return the concept vectors of the exam images, added words last."""
    if not added:
        return np.asarray(exam.X)
    words = np.stack([context.words.embedding(word) for word in added])
    regions = exam.read_regions()
    blocks = [concept_vectors(regions[i : i + BLOCK], words) for i in range(0, len(exam), BLOCK)]
    return np.hstack([np.asarray(exam.X), np.concatenate(blocks)])
