"""View 1: what is looked at, and what a person may add to it."""

from typing import TYPE_CHECKING, Any

from inficond.core.tuning.thresholds import MATCHED
from inficond.gradio_app.views import Part, View

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


def _facts(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session, project = visitor.session, visitor.project
    config = project.config
    n_validation = int(project.is_validation.sum())
    encoder, teacher = config.get("encoder") or {}, config.get("teacher") or {}
    students = session.students
    facts = [
        {"label": "images", "value": f"{len(project):,}".replace(",", "\u202f")},
        {"label": "held out", "term": "held out", "value": f"{n_validation:,}".replace(",", "\u202f")},
        {"label": "teacher", "term": "teacher", "value": _named(teacher), "more": _story(teacher)},
        {"label": "classes", "value": str(len(project.classes))},
        {
            "label": "encoder",
            "term": "encoder",
            "value": f"{_named(encoder)}, on {_provider(encoder)}",
            "more": _story(encoder),
        },
        {"label": "concepts", "term": "concept", "value": str(len(session.concepts))},
        {"label": "λ", "term": "lambda", "value": f"{students.lam:g}, {students.link}"},
        {"label": "threshold", "term": "threshold", "value": _threshold(visitor, selection)},
    ]
    yes = visitor.memo(("images per class",), lambda: (project.T >= 0.5).sum(0))
    return {
        "facts": facts,
        "bars": [{"name": name, "n": int(n)} for name, n in zip(project.classes, yes)],
        "bars_title": "images per class, by the teacher's yes",
        "added": [c for c in session.concepts[len(project.concepts) :] if c not in session.state.dropped],
        "vocabulary": visitor.vocabulary(),
        "projects": [{"key": key, "name": p.name} for key, p in visitor.shelf.items()],
        "project": visitor.key,
        "name": project.name,
        "lam": students.lam,
        "threshold": _asked_threshold(visitor),
        "note": f"Images: {source}." if (source := (config.get("source") or {}).get("images")) else "",
    }


def _threshold(visitor: "Visitor", selection: "Selection") -> str:
    """Of the selected class: it may differ from class to class."""
    return f"{visitor.session.students.thresholds[visitor.session.class_index(selection.cls)]:.2g}"


def _asked_threshold(visitor: "Visitor") -> float | str:
    """What the settings show: one number, or that each class has its own."""
    thresholds = visitor.session.students.thresholds
    one = float(thresholds[0])
    return round(one, 4) if (thresholds == thresholds[0]).all() else MATCHED


def _named(section: Any) -> str:
    return (
        str(section.get("name") or section.get("spec") or "–") if isinstance(section, dict) else str(section)
    )


def _story(section: Any) -> str:
    if not isinstance(section, dict):
        return str(section)
    said = [f"{k}: {section[k]}" for k in ("name", "source", "licence", "kind", "dim") if section.get(k)]
    return ", ".join(said) or _named(section)


def _provider(encoder: Any) -> str:
    """What the images were encoded on, as the project noted it."""
    name = str(encoder.get("provider") or "CPU").replace("ExecutionProvider", "")
    return {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}.get(name.lower(), name)


VIEW = View(
    "configuration",
    1,
    "Configuration",
    "What is looked at. Add a word, or an image.",
    (Part("configuration.facts", ("cls", "node"), _facts),),
)
