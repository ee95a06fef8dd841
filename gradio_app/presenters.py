"""Presentation of core results that several views share: changes, suggestions and contributions."""

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from inficond.core.concepts.clearness import CLEAR, NOT_SEEN
from inficond.core.tuning.actions import Action, spell
from inficond.core.tuning.requested import requested_by_concept, requested_by_strength

if TYPE_CHECKING:
    from inficond.core.evaluation import Change, ClassMetrics
    from inficond.core.history.node import Node
    from inficond.core.sessions.session import Session
    from inficond.core.students import Contributions, Students
    from inficond.core.tuning.cost import Cost
    from inficond.core.tuning.missing import MissingConcept
    from inficond.core.tuning.preview import ClassChange, Preview
    from inficond.core.tuning.suggest import Suggestion
    from inficond.gradio_app.visitor import Visitor

METRIC_LABELS = {
    "ap": "fidelity (AP)",
    "balanced_agreement": "balanced agr.",
    "f1": "fidelity (F1)",
    "agreement": "agreement",
    "bce": "cross-entropy",
}
"""Labels of metrics, the same as in view 2."""
ACCURACY_LABEL = "accuracy (AP)"
COUNTS_LABEL = "missed · extra"
SHORT_LABELS = {
    "ap": "AP",
    "balanced_agreement": "balanced",
    "f1": "F1",
    "agreement": "agreement",
    "bce": "loss",
}


class ChangeChip(TypedDict):
    """A change of a metric: values before and after, the difference and its 95 % interval, as text."""

    label: str
    before: str
    after: str
    delta: str
    range: str
    clear: bool
    better: bool
    more: str
    count: NotRequired[bool]


class MetricChip(TypedDict):
    """The current value of a metric, as text."""

    label: str
    value: str
    term: str


class ContributionBar(TypedDict):
    """A term of a logit; `kind` is ``concept``, ``rest``, ``bias`` or ``sum``.

    `unclear` is the line in place of the region of a concept that is seen in no single place.
    `absence` describes a concept whose value is below the mean: it has no evidence region. `absent` is the
    word for its label: "no" below half of the mean, else "less".
    """

    key: str
    name: str
    value: float
    kind: str
    more: str
    absence: NotRequired[str]
    unclear: NotRequired[str]
    absent: NotRequired[str]


class CostRow(TypedDict):
    """A class, slice or group that clearly loses by a step: cells of a table, and one line."""

    cells: list[str]
    line: str


class PreviewPayload(TypedDict):
    """The predicted result of tuning actions on a class."""

    title: str
    weights: dict[str, float]
    changes: list[ChangeChip]
    others: list[str]
    fixed: int
    broken: int
    costs: list[CostRow]


class SuggestionPayload(TypedDict):
    """A suggestion: its actions, and its predicted gain as text."""

    text: str
    actions: list[dict[str, Any]]
    gain: str
    clear: bool
    more: str
    costs: list[CostRow]


class Strengths(TypedDict):
    """The strengths of `up` and `down` as `value`, each with the weight that it requests as `requested`."""

    up: list[dict[str, float]]
    down: list[dict[str, float]]


def format_number(value: float | None, digits: int = 2) -> str:
    """Format a number with a Unicode minus sign; a missing value or NaN is an en dash."""
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def format_signed(value: float | None, digits: int = 2) -> str:
    """Format a difference with its sign, and none if it rounds to 0; a missing value or NaN is an en dash."""
    if value is None or value != value:
        return "–"
    if float(f"{value:.{digits}f}") == 0:
        return f"{0:.{digits}f}"
    return ("+" if value >= 0 else "−") + f"{abs(value):.{digits}f}"


def format_clear_change(value: float) -> str:
    """Format a significant difference with enough digits that it is not shown as zero."""
    return format_signed(value, 2 if abs(value) >= 0.005 else 3)


def change_chip(label: str, change: "Change") -> ChangeChip:
    """Return a change of a metric as a chip."""
    d = change.delta
    return {
        "label": label,
        "before": format_number(change.before),
        "after": format_number(change.after),
        "delta": format_signed(d.value),
        "range": f"[{format_signed(d.low)}, {format_signed(d.high)}]",
        "clear": change.clear,
        "better": change.verdict == "better",
        "more": f"{label}: {format_number(change.before, 3)} → {format_number(change.after, 3)}, "
        f"difference {format_signed(d.value, 3)}, "
        f"95 % interval {format_signed(d.low, 3)} to {format_signed(d.high, 3)}: {change.verdict}",
    }


def change_chips(change: "ClassChange") -> list[ChangeChip]:
    """Return the chips of a class: fidelity, accuracy where labels exist, and the misaligned counts.

    With a focus, the agreement in the focus takes the place of F1, so that all chips fit their row.
    """
    focused = change.focus is not None and change.focus_size > 0
    shown = ("ap", "balanced_agreement") if focused else ("ap", "balanced_agreement", "f1")
    chips = [change_chip(METRIC_LABELS[name], change.fidelity[name]) for name in shown]
    if change.accuracy is not None:
        chips.append(change_chip(ACCURACY_LABEL, change.accuracy["ap"]))
    if change.focus is not None and focused:
        chips.append(change_chip("agr. in focus", change.focus["agreement"]))
    b, a = change.before, change.after
    chips.append(
        {
            "label": COUNTS_LABEL,
            "before": f"{b['missed']} · {b['extra']}",
            "after": f"{a['missed']} · {a['extra']}",
            "delta": "",
            "range": "",
            "clear": False,
            "better": False,
            "more": f"images missed {b['missed']} → {a['missed']}, extra {b['extra']} → {a['extra']}; "
            f"newly agree with the teacher: {len(change.fixed)}, newly disagree: {len(change.broken)}",
            "count": True,
        }
    )
    return chips


def metric_chips(metrics: "ClassMetrics") -> list[MetricChip]:
    """Return the current metrics of a class, with the same labels as `change_chips`."""
    chips: list[MetricChip] = [
        {"label": METRIC_LABELS[n], "value": format_number(getattr(metrics, n)), "term": term}
        for n, term in (("ap", "fidelity"), ("balanced_agreement", "balanced agreement"), ("f1", "F1"))
    ]
    if metrics.student_accuracy is not None:
        accuracy = format_number(metrics.student_accuracy.ap)
        chips.append({"label": ACCURACY_LABEL, "value": accuracy, "term": "accuracy"})
    counts = metrics.counts
    misaligned = f"{counts['missed']} · {counts['extra']}"
    chips.append({"label": COUNTS_LABEL, "value": misaligned, "term": "misaligned"})
    return chips


def preview_payload(preview: "Preview", cls: str) -> PreviewPayload:
    """Return the predicted weights and metrics of a class, and the other classes that change."""
    change = preview.classes[cls]
    return {
        "title": preview.title,
        "weights": {w.concept: w.after for w in change.weights},
        "changes": change_chips(change),
        "others": list(preview.others),
        "fixed": len(change.fixed),
        "broken": len(change.broken),
        "costs": [cost_row(cost) for cost in preview.costs],
    }


def cost_row(cost: "Cost") -> CostRow:
    """Return a class, slice or group that clearly loses as a row of a table."""
    d = cost.change
    if cost.kind == "class":
        what = METRIC_LABELS[cost.name]
    else:
        kinds = {"slice": "images with", "group": "images that show", "source": "images of source"}
        what = f"{kinds[cost.kind]} {cost.name}"
    moved = f"{cost.lost} · {cost.gained}"
    cells = [f"{cost.cls}: {what}", str(cost.size), moved, format_signed(d.value),
             f"{format_signed(d.low)} … {format_signed(d.high)}"]  # fmt: skip
    return {"cells": cells, "line": cost.text}


def contribution_bars(
    contributions: "Contributions", students: "Students", count: int
) -> list[ContributionBar]:
    """Return the terms of a logit as bars: the `count` largest, the other terms' sum, the bias, the total."""
    bars: list[ContributionBar] = []
    for i, column in enumerate(contributions.columns[:count].tolist()):
        name, z = students.concepts[int(column)], float(contributions.z[i])
        more = f"{name}: {format_signed(z, 1)} standard deviations from the mean image"
        bar = _bar(f"c {name}", name, float(contributions.values[i]), "concept", more)
        if contributions.absent[i]:
            usual = float(students.mean[column])
            value = usual + z * float(students.scale[column])
            bar["absent"] = "no" if value < usual / 2 else "less"
            bar["absence"] = absence_line(name, value, usual)
        bars.append(bar)
    rest = contributions.values[count:]
    if len(rest):
        bars.append(_bar("rest", f"{len(rest)} others", float(rest.sum()), "rest"))
    bars.append(_bar("bias", "bias", float(contributions.bias), "bias", "the same for every image"))
    bars.append(_bar("sum", "sum (logit)", float(contributions.logit), "sum"))
    return bars


def absence_line(concept: str, value: float, usual: float) -> str:
    """Return a line with the difference between an image's concept value and the mean."""
    shown = f"{format_number(value)}, usually {format_number(usual)}"
    return f"no {concept} here: {shown}" if value < usual / 2 else f"less {concept} than usual: {shown}"


def is_unclear(clearness: float | None) -> bool:
    """Return whether evidence of this clearness is not shown in an opened image; None is unknown."""
    return clearness is not None and clearness < CLEAR


def not_seen_line(concept: str) -> str:
    """Return a line in place of evidence that is not clear."""
    return f"{concept}: {NOT_SEEN} of this image; its value comes from the whole image"


def _bar(key: str, name: str, value: float, kind: str, more: str = "") -> ContributionBar:
    return {"key": key, "name": name, "value": value, "kind": kind, "more": more}


def strengths_payload(weight: float, tau: float) -> Strengths:
    """Return the strengths of `up` and `down`, each with the weight that it requests."""
    found = requested_by_strength(weight, tau)
    up, down = ([{"value": x, "requested": w} for x, w in found[kind]] for kind in ("up", "down"))
    return {"up": up, "down": down}


def action_payload(action: Action, cls: str, session: "Session") -> dict[str, Any]:
    """Return an action with the weight that it requests, for a group with those of its members."""
    state = session.state
    requested = requested_by_concept(
        action, state.classes[cls].weights, session.concepts, session.concept_groups, state.dropped
    )
    members = [{"concept": concept, "requested": weight} for concept, weight in requested.items()]
    more = {} if action.concept in requested else {"members": members}
    return {**action.to_json(), "requested": members[0]["requested"], **more}


def suggestion_payload(suggestion: "Suggestion", session: "Session") -> SuggestionPayload:
    """Return a suggestion as a chip: its actions, its predicted gain, and details for the tooltip."""
    gain = suggestion.gain
    others = f"; also changes {', '.join(suggestion.others)}" if suggestion.others else ""
    label = f"{SHORT_LABELS[suggestion.metric]} {format_clear_change(gain.delta.value)}"
    return {
        "text": spell(suggestion.actions, 3, plain=True),
        "actions": [action_payload(a, suggestion.cls, session) for a in suggestion.actions],
        "gain": label if gain.clear else "gain unclear",
        "clear": gain.clear,
        "more": f"{spell(suggestion.actions, 12, plain=True)}: {suggestion.effect}{others}",
        "costs": [cost_row(cost) for cost in suggestion.costs],
    }


def step_title(node: "Node") -> str:
    """Return a description of what a node changed."""
    if node.kind == "root":
        return "The student as it was fitted"
    return spell(node.actions, plain=True) if node.kind == "tune" else node.title


def step_label(visitor: "Visitor", node: "Node") -> str:
    """Return the name that the visitor gave a node, or its classes and description."""
    name = next((entry.name for entry in visitor.session.tree() if entry.node.id == node.id), "")
    classes = f"{', '.join(node.classes)}: " if node.classes else ""
    return name or f"{classes}{step_title(node)}"


def missing_word_reason(missing: "MissingConcept") -> str:
    """Return the reason for adding a word as a concept."""
    ap = missing.fidelity.get("ap")
    gain = f", AP {format_signed(ap.delta.value)} predicted" if ap is not None else ""
    return (
        f"“{missing.word}” is not a concept yet. Its region scores explain some of the student's "
        f"errors (weight about {format_signed(missing.weight)}{gain}; nearest concept: {missing.nearest})."
    )
