"""View 2: how well each student reproduces its teacher, and on which images it does not."""

from typing import TYPE_CHECKING, Any, TypedDict

from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.views import View, ViewPart
from inficond.gradio_app.visitor import slice_id

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

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


def _table(visitor: "Visitor", selection: "Selection") -> TablePart:
    rows = visitor.cached(("performance",), lambda: [_row(visitor, c) for c in visitor.project.classes])
    return {"classes": rows, "labelled": any(r["truth"] for r in rows)}


def _row(visitor: "Visitor", cls: str) -> dict[str, Any]:
    metrics = visitor.session.metrics(cls)
    intervals = visitor.intervals(cls)
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


VIEW = View(
    "performance",
    2,
    "Student performance",
    "How well each student reproduces its teacher.",
    (
        ViewPart("performance.table", ("node",), _table),
        ViewPart("performance.slices", ("cls", "node"), _slices, slow=2),
    ),
)
