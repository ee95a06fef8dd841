"""View 1: the configuration of the project, and the concepts added to it."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from inficond.core.images.sources.addresses import without_credentials
from inficond.core.tuning.thresholds import MATCHED
from inficond.gradio_app.views import View, ViewPart

if TYPE_CHECKING:
    from inficond.core.project.folder import ProjectFolder
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


class Fact(TypedDict):
    """A line of the table of facts; `term` is a key of the glossary, `more` a tooltip."""

    label: str
    value: str
    term: NotRequired[str]
    more: NotRequired[str]


class ClassCount(TypedDict):
    """The number of images of a class."""

    name: str
    n: int


class ProjectChoice(TypedDict):
    """A project that the visitor may open."""

    key: str
    name: str


class FactsPart(TypedDict):
    """The part ``configuration.facts``."""

    facts: list[Fact]
    bars: list[ClassCount]
    bars_title: str
    added: list[str]
    projects: list[ProjectChoice]
    project: str
    name: str
    lam: float
    threshold: float | str
    note: str


def _exam_fact(project: "ProjectFolder") -> list[Fact]:
    """Return the number of locked images, if the project has any."""
    if project.exam is None:
        return []
    return [{"label": "exam", "term": "exam", "value": f"{_count(len(project.exam))} locked"}]


def _facts(visitor: "Visitor", selection: "Selection") -> FactsPart:
    session, project = visitor.session, visitor.project
    config = project.config
    n_validation = int(project.is_validation.sum())
    encoder, teacher = config.get("encoder") or {}, config.get("teacher") or {}
    students = session.students
    facts: list[Fact] = [
        {"label": "images", "value": _count(len(project))},
        {"label": "held out", "term": "held out", "value": _count(n_validation)},
        *_exam_fact(project),
        {"label": "teacher", "term": "teacher", "value": _name(teacher), "more": _details(teacher)},
        {"label": "classes", "value": str(len(project.classes))},
        {
            "label": "encoder",
            "term": "encoder",
            "value": f"{_name(encoder)}, on {_provider(encoder)}",
            "more": _details(encoder),
        },
        {
            "label": "concepts",
            "term": "concept",
            "value": str(len(session.concepts)),
            "more": _words(config),
        },
        {"label": "λ", "term": "lambda", "value": f"{students.lam:.3g}, {students.link}"},
        {"label": "threshold", "term": "threshold", "value": _class_threshold(visitor, selection)},
    ]
    positives = visitor.cached(("images per class",), lambda: (project.T >= 0.5).sum(0))
    source = _source(visitor)
    return {
        "facts": facts,
        "bars": [{"name": name, "n": int(n)} for name, n in zip(project.classes, positives)],
        "bars_title": "images per class, by the teacher",
        "added": [c for c in session.concepts[len(project.concepts) :] if c not in session.state.dropped],
        "projects": [{"key": key, "name": p.name} for key, p in visitor.available_projects.items()],
        "project": visitor.key,
        "name": project.name,
        "lam": students.lam,
        "threshold": _common_threshold(visitor),
        "note": f"Images: {source}." if source else "",
    }


def _source(visitor: "Visitor") -> str:
    """Return where the images are from: for the owner the whole address, for others its last part."""
    address = str((visitor.project.config.get("source") or {}).get("images") or "")
    shown = without_credentials(address)
    return shown if visitor.is_owner else re.split(r"[/\\]", shown.rstrip("/\\"))[-1]


def _words(config: Mapping[str, Any]) -> str:
    """Return how the words were chosen, and which of them are in use because of the name prior."""
    lines = [str(c) for c in config.get("choices") or [] if str(c).startswith(("words:", "name prior:"))]
    helped = (config.get("name_prior") or {}).get("helped") or {}
    lines += [f"{cls}: {', '.join(words)}" for cls, words in helped.items()]
    return "; ".join(lines)


def _count(n: int) -> str:
    """Format a count with a narrow space between groups of three digits."""
    return f"{n:,}".replace(",", "\u202f")


def _class_threshold(visitor: "Visitor", selection: "Selection") -> str:
    """Format the threshold of the selected class."""
    return f"{visitor.session.students.thresholds[visitor.session.class_index(selection.cls)]:.2g}"


def _common_threshold(visitor: "Visitor") -> float | str:
    """Return the threshold that all classes share, or `MATCHED` if it differs between classes."""
    thresholds = visitor.session.students.thresholds
    first = float(thresholds[0])
    return round(first, 4) if (thresholds == thresholds[0]).all() else MATCHED


def _name(model: Any) -> str:
    return str(model.get("name") or model.get("spec") or "–") if isinstance(model, dict) else str(model)


def _details(model: Any) -> str:
    if not isinstance(model, dict):
        return str(model)
    lines = [f"{k}: {model[k]}" for k in ("name", "source", "licence", "kind", "dim") if model.get(k)]
    return ", ".join(lines) or _name(model)


def _provider(encoder: Any) -> str:
    """Return the name of the ONNX Runtime provider that encoded the images, as the project recorded it."""
    name = str(encoder.get("provider") or "CPU").replace("ExecutionProvider", "")
    return {"cpu": "CPU", "cuda": "CUDA", "tensorrt": "TensorRT"}.get(name.lower(), name)


VIEW = View(
    "configuration",
    1,
    "Configuration",
    "The images and models. Add a concept, or try your own image.",
    (ViewPart("configuration.facts", ("cls", "node"), _facts),),
)
