"""View 2: how well each class's student follows its teacher, and on which images it does not."""

from typing import TYPE_CHECKING, Any

from inficond.gradio_app.serialization import plain
from inficond.gradio_app.views import Part, View
from inficond.gradio_app.visitor import slice_id

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

SHOWN = ("ap", "balanced_agreement", "f1", "agreement")


def _table(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    rows = visitor.memo(("performance",), lambda: [_line(visitor, c) for c in visitor.project.classes])
    return {"classes": rows, "labelled": any(r["truth"] for r in rows)}


def _line(visitor: "Visitor", cls: str) -> dict[str, Any]:
    metrics = visitor.session.metrics(cls)
    sure = visitor.intervals(cls)
    teacher, student = metrics.teacher_accuracy, metrics.student_accuracy
    line: dict[str, Any] = {
        "name": cls,
        "nec": metrics.nec,
        "counts": dict(metrics.counts),
    }
    for name in SHOWN:
        line[name] = (
            sure[name] if name in sure else {"value": getattr(metrics, name), "low": None, "high": None}
        )
    line["truth"] = {"teacher": teacher.ap, "student": student.ap} if teacher and student else None
    line["notes"] = list(metrics.notes)
    return plain(line)


def _slices(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    found = []
    for s in visitor.slices(selection.cls):
        found.append(
            {
                "id": slice_id(s),
                "side": s.kind,
                "short": s.name,
                "text": f"{s.name}: {s.size} images, {len(s.misaligned)} of them {s.kind}; teacher and "
                f"student agree on {100 * s.agreement:.0f} %, on {100 * s.elsewhere:.0f} % elsewhere",
                "size": s.size,
                "agreement": s.agreement,
                "rest": s.elsewhere,
            }
        )
    return plain({"cls": selection.cls, "slices": found})


VIEW = View(
    "performance",
    2,
    "Student performance",
    "How well each student follows its teacher.",
    (
        Part("performance.table", ("node",), _table),
        Part("performance.slices", ("cls", "node"), _slices, slow=2),
    ),
)
