"""Comparisons as the page shows them: its sides, tables, and the images of a cell."""

from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from inficond.core.comparison.measure import CHANGES, ClassComparison, SideBySide, WeightPair, side_by_side
from inficond.core.comparison.sides import Side, student_side, teacher_side
from inficond.core.comparison.wording import (
    CHANGE_LABELS,
    CHANGE_MEANINGS,
    REFERENCES,
    headline,
    metric_label,
)
from inficond.core.errors import InputError
from inficond.core.evaluation.bootstrap import Change
from inficond.core.evaluation.exam import SHOWN
from inficond.gradio_app.presenters import format_number, format_signed, step_label
from inficond.gradio_app.visitor import Visitor

TEACHER, PROJECT = "teacher", "project:"
"""Ids of sides that are not steps. Another project is its student, with ``:teacher`` its teacher."""
MOST_WEIGHTS = 20
MOST_STEPS = 200
"""Steps offered, the latest first."""


class SideChoice(TypedDict):
    """A side that can be chosen, and the group under which it is listed."""

    id: str
    text: str
    group: str


class MetricRow(TypedDict):
    """A metric on both sides, as text; `verdict` is ``better``, ``worse``, ``no clear change`` or empty."""

    label: str
    a: str
    b: str
    delta: str
    range: str
    verdict: str


class ChangeRow(TypedDict):
    """Numbers of images of a class that changed, in the order of the kinds."""

    cls: str
    counts: list[int]
    same: str


class ChangeKind(TypedDict):
    """A column of the table of changed images."""

    id: str
    label: str
    meaning: str


class ComparisonPayload(TypedDict):
    """Two sides on their common images; `problem` says why there is nothing to compare."""

    sides: list[SideChoice]
    a: str
    b: str
    problem: str
    lines: list[str]
    cls: str
    mean: list[MetricRow]
    metrics: list[MetricRow]
    kinds: list[ChangeKind]
    changed: list[ChangeRow]
    weights: list[dict[str, Any]]
    n_weights: int


def side_choices(visitor: Visitor) -> list[SideChoice]:
    """Return the sides that can be compared: the steps of the project, its teacher, other open projects."""
    entries = list(reversed(visitor.session.tree()))[:MOST_STEPS]
    root = visitor.session.context.root
    nodes = [entry.node for entry in entries]
    nodes += [] if root.id in {node.id for node in nodes} else [root]
    choices: list[SideChoice] = [
        {"id": node.id, "text": step_label(visitor, node), "group": "Steps"}
        for node in nodes
        if node.kind != "exam"
    ]
    choices.append({"id": TEACHER, "text": "The teacher", "group": "Teacher"})
    for key, project in visitor.available_projects.items():
        if key != visitor.key:
            choices.append(
                {"id": PROJECT + key, "text": f"{project.name}: student", "group": "Other projects"}
            )
            choices.append(
                {
                    "id": f"{PROJECT}{key}:{TEACHER}",
                    "text": f"{project.name}: teacher",
                    "group": "Other projects",
                }
            )
    return choices


def default_sides(visitor: Visitor) -> tuple[str, str]:
    """Return what is compared first: the student as fitted with the current one, or with its teacher."""
    session = visitor.session
    root, now = session.context.root.id, _measured_step(visitor, session.node)
    return (root, now) if now != root else (root, TEACHER)


def _measured_step(visitor: Visitor, side: str) -> str:
    """Return the step that an exam measured, which has the same student; other sides stay as they are."""
    nodes = {entry.node.id: entry.node for entry in visitor.session.tree()}
    while side in nodes and nodes[side].kind == "exam" and nodes[side].parent is not None:
        side = str(nodes[side].parent)
    return side


def comparison_payload(visitor: Visitor, a: str | None, b: str | None, cls: Any) -> ComparisonPayload:
    """Return a comparison for the dialog; a class that is missing on one side is replaced."""
    first, second = default_sides(visitor)
    a, b = _measured_step(visitor, a or first), _measured_step(visitor, b or second)
    choices = side_choices(visitor)
    try:
        found = comparison(visitor, a, b)
    except InputError as error:
        return {
            "sides": choices, "a": a, "b": b, "problem": str(error), "lines": [], "cls": "", "mean": [],
            "metrics": [], "kinds": [], "changed": [], "weights": [], "n_weights": 0,
        }  # fmt: skip
    shown = (found.classes.get(cls) if isinstance(cls, str) else None) or max(
        found.classes.values(), key=_moved
    )
    moved = [pair for pair in shown.weights if pair.a != pair.b]
    return {
        "sides": choices,
        "a": a,
        "b": b,
        "problem": "",
        "lines": [line[:1].upper() + line[1:] for line in headline(found)[2:]],
        "cls": shown.cls,
        "mean": _mean_rows(found),
        "metrics": _rows(shown.accuracy, shown.fidelity),
        "kinds": [
            {"id": kind, "label": CHANGE_LABELS[kind], "meaning": CHANGE_MEANINGS[kind]}
            for kind in found.kinds
        ],
        "changed": [_change_row(one, found) for one in found.classes.values()],
        "weights": [_weight_row(pair) for pair in moved[:MOST_WEIGHTS]],
        "n_weights": len(moved),
    }


def comparison(visitor: Visitor, a: str, b: str) -> SideBySide:
    """Return two sides on their common images; cached for the current node of the visitor.

    Raises
    ------
    InputError
        A side does not exist, neither is of the visitor's project, or they have no image or class in common.
    """
    if a.startswith(PROJECT) and b.startswith(PROJECT):
        raise InputError("both sides are of other projects: choose a step or the teacher of this one")
    nodes = tuple(_node(visitor, side) for side in (a, b))
    return visitor.cached(
        ("comparison", a, b, nodes), lambda: side_by_side(_side(visitor, a), _side(visitor, b))
    )


def moved_rows(visitor: Visitor, cls: str, moved: str) -> NDArray[np.intp]:
    """Return the rows of the visitor's project that changed, as a selection names them.

    Parameters
    ----------
    visitor : Visitor
    cls : str
        The selected class.
    moved : str
        Both sides and the kind of change, separated by ``~``.

    Raises
    ------
    InputError
        There is no such comparison.
    """
    a, b, kind = _parsed(moved)
    side = "b" if a.startswith(PROJECT) else "a"
    return comparison(visitor, a, b).rows(side, cls, kind)


def describe_moved(moved: str) -> str:
    """Return the kind of change as text."""
    return f"A to B: {CHANGE_LABELS[_parsed(moved)[2]]}"


def _parsed(moved: str) -> tuple[str, str, str]:
    parts = moved.split("~")
    if len(parts) != 3 or parts[2] not in CHANGES:
        raise InputError("the comparison of the link is not valid; all images are shown")
    return parts[0], parts[1], parts[2]


def _side(visitor: Visitor, side: str) -> Side:
    if side == TEACHER:
        return teacher_side(visitor.project, "The teacher")
    if not side.startswith(PROJECT):
        node = visitor.session.find(side)
        return student_side(visitor.session, node.id, step_label(visitor, node))
    key, _, teacher = side.removeprefix(PROJECT).partition(":")
    session = visitor.session_of(key)
    if teacher == TEACHER:
        return teacher_side(session.project)
    return student_side(session)


def _node(visitor: Visitor, side: str) -> str:
    """Return the node that a side stands for, so that a step of another project makes a new comparison."""
    if not side.startswith(PROJECT):
        return ""
    return visitor.session_of(side.removeprefix(PROJECT).partition(":")[0]).node


def _mean_rows(found: SideBySide) -> list[MetricRow]:
    top1 = [] if found.top1 is None else [_row("top-1 accuracy", found.top1)]
    return [*top1, *_rows(found.accuracy, found.fidelity)]


def _rows(accuracy: Any, fidelity: Any) -> list[MetricRow]:
    return [
        _row(f"{metric_label(kind, name)}, {REFERENCES[kind]}", changes[name])
        for kind, changes in (("accuracy", accuracy), ("fidelity", fidelity))
        if changes is not None
        for name in SHOWN
    ]


def _row(label: str, change: Change) -> MetricRow:
    d = change.delta
    known = d.low == d.low
    return {
        "label": label,
        "a": format_number(change.before, 3),
        "b": format_number(change.after, 3),
        "delta": _signed(d.value),
        "range": f"{_signed(d.low)} … {_signed(d.high)}" if known else "",
        "verdict": change.verdict if known else "",
    }


def _signed(value: float) -> str:
    """Format a difference; one that rounds to zero has no sign."""
    return "0.000" if abs(value) < 0.0005 else format_signed(value, 3)


def _change_row(one: ClassComparison, found: SideBySide) -> ChangeRow:
    return {
        "cls": one.cls,
        "counts": [len(one.changed[kind]) for kind in found.kinds],
        "same": f"{format_number(100 * one.same_answer.value, 1)} %",
    }


def _weight_row(pair: WeightPair) -> dict[str, Any]:
    return {"concept": pair.concept, "a": pair.a, "b": pair.b, "change": pair.difference}


def _moved(one: ClassComparison) -> int:
    return len(one.changed["yes-no"]) + len(one.changed["no-yes"])
