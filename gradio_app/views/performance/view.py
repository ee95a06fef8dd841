"""View 2: how well each student reproduces its teacher, and on which images it does not."""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from inficond.core.sessions.class_confusion import confusion_table, share_without_class
from inficond.gradio_app.queries import reference_of
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.views import View, ViewPart
from inficond.gradio_app.visitor import slice_id

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MAX_CELLS = 2000
METRICS = ("ap", "balanced_agreement", "f1", "agreement")


class TablePart(TypedDict):
    """The part ``performance.table``: one row per class."""

    classes: list[dict[str, Any]]
    labelled: bool


class SlicePayload(TypedDict):
    """A slice of misaligned images."""

    id: str
    side: str
    short: str
    text: str
    size: int
    agreement: float
    rest: float


class SlicesPart(TypedDict):
    """The part ``performance.slices``."""

    cls: str
    slices: list[SlicePayload]


class ConfusionCell(TypedDict):
    """Number of held-out images of an actual and a predicted class, given by their columns."""

    actual: int
    predicted: int
    n: int


class ConfusionPart(TypedDict):
    """The part ``performance.confusion``: its non-zero cells, the largest first.

    `totals` are the images of each actual class, `without_class` is the share of images for which no student
    says yes.
    """

    reference: str
    references: list[str]
    classes: list[str]
    totals: list[int]
    cells: list[ConfusionCell]
    n: int
    accuracy: float
    without_class: float


def _table(visitor: "Visitor", selection: "Selection") -> TablePart:
    rows = visitor.cached(("performance",), lambda: [_row(visitor, c) for c in visitor.project.classes])
    return {"classes": rows, "labelled": any(r["truth"] for r in rows)}


def _row(visitor: "Visitor", cls: str) -> dict[str, Any]:
    metrics, intervals = visitor.measured(cls)
    teacher, student = metrics.teacher_accuracy, metrics.student_accuracy
    row: dict[str, Any] = {"name": cls, "nec": metrics.nec, "counts": dict(metrics.counts)}
    for name in METRICS:
        row[name] = intervals.get(name, {"value": getattr(metrics, name), "low": None, "high": None})
    row["truth"] = {"teacher": teacher.ap, "student": student.ap} if teacher and student else None
    row["notes"] = list(metrics.notes)
    plain: dict[str, Any] = to_plain(row)
    return plain


def _slices(visitor: "Visitor", selection: "Selection") -> SlicesPart:
    slices: list[SlicePayload] = [
        {
            "id": slice_id(s),
            "side": s.kind,
            "short": s.name,
            "text": f"{s.name}: {s.size} images, {len(s.misaligned)} of them {s.kind}; teacher and student "
            f"agree on {100 * s.agreement:.0f} %, on {100 * s.elsewhere:.0f} % of the other images",
            "size": s.size,
            "agreement": to_plain(float(s.agreement)),
            "rest": to_plain(float(s.elsewhere)),
        }
        for s in visitor.slices(selection.cls)
    ]
    return {"cls": selection.cls, "slices": slices}


def _confusion(visitor: "Visitor", selection: "Selection") -> ConfusionPart | None:
    """Return the confusion table of the held-out images, or None if the classes do not exclude each other."""
    session = visitor.session
    reference = reference_of(visitor, selection)
    if reference is None:
        return None
    table = visitor.cached(("confusion", reference), lambda: confusion_table(session, reference))
    cells = [(int(table.counts[a, p]), int(a), int(p)) for a, p in np.argwhere(table.counts)]
    largest = sorted(cells, reverse=True)[:MAX_CELLS]
    return {
        "reference": reference,
        "references": list(visitor.class_references()),
        "classes": list(visitor.project.classes),
        "totals": table.counts.sum(axis=1).tolist(),
        "cells": [{"actual": a, "predicted": p, "n": n} for n, a, p in largest],
        "n": table.n,
        "accuracy": to_plain(table.accuracy),
        "without_class": to_plain(visitor.cached(("without class",), lambda: share_without_class(session))),
    }


VIEW = View(
    "performance",
    2,
    "Student performance",
    "How well each student reproduces its teacher.",
    (
        ViewPart("performance.table", ("node",), _table, shared=True),
        ViewPart("performance.confusion", ("reference", "node"), _confusion, slow=1),
        ViewPart("performance.slices", ("cls", "node"), _slices, slow=2),
    ),
)
