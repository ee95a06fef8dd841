"""What core returns, as several views show it: a change with its interval, a suggestion, contributions as
bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inficond.core.tuning.actions import spell

if TYPE_CHECKING:
    from inficond.core.evaluation import Change, ClassMetrics
    from inficond.core.history.node import Node
    from inficond.core.students import Contributions
    from inficond.core.tuning.missing import MissingConcept
    from inficond.core.tuning.preview import ClassChange, Preview
    from inficond.core.tuning.suggest import Suggestion
    from inficond.gradio_app.visitor import Visitor

LABELS = {
    "ap": "fidelity (AP)",
    "balanced_agreement": "balanced agr.",
    "f1": "fidelity (F1)",
    "agreement": "agreement",
    "bce": "cross-entropy",
}
"""As view 2 calls them."""
ACCURACY = "accuracy (AP)"
COUNTS = "missed · extra"
SHORT = {"ap": "AP", "balanced_agreement": "balanced", "f1": "F1", "agreement": "agreement", "bce": "loss"}


def number(value: float | None, digits: int = 2) -> str:
    """With a real minus sign; a dash where nothing is known."""
    if value is None or value != value:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """With its sign, as a change."""
    if value is None or value != value:
        return "–"
    return ("+" if value >= 0 else "−") + f"{abs(value):.{digits}f}"


def small(value: float) -> str:
    """A clear change, which is never shown as none."""
    return signed(value, 2 if abs(value) >= 0.005 else 3)


def change_of(label: str, change: "Change") -> dict[str, Any]:
    """A change as one chip: before, after, the difference with its 95 % interval, and whether it is clear."""
    d = change.delta
    return {
        "label": label,
        "before": number(change.before),
        "after": number(change.after),
        "delta": signed(d.value),
        "range": f"[{signed(d.low)}, {signed(d.high)}]",
        "clear": change.clear,
        "better": change.verdict == "better",
        "more": f"{label}: {number(change.before, 3)} → {number(change.after, 3)}, difference {signed(d.value, 3)}, "  # noqa: E501
        f"95 % interval {signed(d.low, 3)} to {signed(d.high, 3)}: {change.verdict}",
    }


def changes_of(moved: "ClassChange") -> list[dict[str, Any]]:
    """The chips of a class: fidelity, accuracy where there are labels, and the two misaligned counts."""
    chips = [change_of(LABELS[name], moved.fidelity[name]) for name in ("ap", "balanced_agreement", "f1")]
    if moved.accuracy is not None:
        chips.append(change_of(ACCURACY, moved.accuracy["ap"]))
    if moved.focus is not None and moved.focus_size:
        chips.append(change_of("agr. in focus", moved.focus["agreement"]))
    b, a = moved.before, moved.after
    chips.append(
        {
            "label": COUNTS,
            "before": f"{b['missed']} · {b['extra']}",
            "after": f"{a['missed']} · {a['extra']}",
            "delta": "",
            "range": "",
            "clear": False,
            "better": False,
            "more": f"images missed {b['missed']} → {a['missed']}, extra {b['extra']} → {a['extra']}; "
            f"with the teacher newly agree {len(moved.fixed)}, newly disagree {len(moved.broken)}",
            "count": True,
        }
    )
    return chips


def now_of(metrics: "ClassMetrics") -> list[dict[str, str]]:
    """Where a class stands, under the same labels as its changes."""
    chips = [
        {"label": LABELS[n], "value": number(getattr(metrics, n)), "term": term}
        for n, term in (("ap", "fidelity"), ("balanced_agreement", "balanced agreement"), ("f1", "F1"))
    ]
    if metrics.student_accuracy is not None:
        chips.append({"label": ACCURACY, "value": number(metrics.student_accuracy.ap), "term": "accuracy"})
    counts = metrics.counts
    chips.append({"label": COUNTS, "value": f"{counts['missed']} · {counts['extra']}", "term": "misaligned"})
    return chips


def preview_of(preview: "Preview", cls: str) -> dict[str, Any]:
    """A preview: predicted weights, the class's chips, and who else moves."""
    moved = preview.classes[cls]
    return {
        "title": preview.title,
        "weights": {w.concept: w.after for w in moved.weights},
        "changes": changes_of(moved),
        "others": list(preview.others),
        "fixed": len(moved.fixed),
        "broken": len(moved.broken),
    }


def bars_of(why: "Contributions", concepts: Sequence[str], most: int) -> list[dict[str, Any]]:
    """Contributions as bars that sum to the logit: the largest, the rest together, the bias, the sum."""
    bars = []
    for column, value, z in zip(why.columns[:most], why.values[:most], why.z[:most]):
        name = concepts[int(column)]
        more = f"{name}: {signed(float(z), 1)} standard deviations from the mean image"
        bars.append(
            {"key": f"c {name}", "name": name, "value": float(value), "kind": "concept", "more": more}
        )
    rest = why.values[most:]
    if len(rest):
        bars.append(
            {
                "key": "rest",
                "name": f"{len(rest)} others",
                "value": float(rest.sum()),
                "kind": "rest",
                "more": "",
            }
        )
    bars.append(
        {
            "key": "bias",
            "name": "bias",
            "value": float(why.bias),
            "kind": "bias",
            "more": "the same for every image",
        }
    )
    bars.append({"key": "sum", "name": "sum (logit)", "value": float(why.logit), "kind": "sum", "more": ""})
    return bars


def suggestion_of(found: "Suggestion") -> dict[str, Any]:
    """A suggestion as one chip: what to do, its predicted gain, and all the rest on hover."""
    gain = found.gain
    others = f"; also moves {', '.join(found.others)}" if found.others else ""
    return {
        "text": spell(found.actions, 3, plain=True),
        "actions": [a.to_json() for a in found.actions],
        "gain": f"{SHORT[found.metric]} {small(gain.delta.value)}" if gain.clear else "no clear change",
        "clear": gain.clear,
        "more": f"{spell(found.actions, 12, plain=True)}: {found.effect}{others}",
    }


def step_title(node: "Node") -> str:
    """What a step did, in the page's words."""
    if node.kind == "root":
        return "The student as it was fitted"
    return spell(node.actions, plain=True) if node.kind == "tune" else node.title


def step_of(visitor: "Visitor", node: "Node") -> str:
    """A step by the name that the visitor gave it, else by what it did to which classes."""
    named = next((entry.name for entry in visitor.session.tree() if entry.node.id == node.id), "")
    where = f"{', '.join(node.classes)}: " if node.classes else ""
    return named or f"{where}{step_title(node)}"


def missing_more(found: "MissingConcept") -> str:
    """Why a word is worth adding."""
    ap = found.fidelity.get("ap")
    gain = f", AP {signed(ap.delta.value)} predicted" if ap is not None else ""
    return (
        f"“{found.word}” is no concept yet: where the student fails, its region scores explain what is missing "  # noqa: E501
        f"(weight about {signed(found.weight)}{gain}; nearest now: {found.nearest})"
    )


def weights_of(moved: Mapping[str, "ClassChange"], most: int = 20) -> list[dict[str, Any]]:
    """The weights that differ between two steps, largest change first."""
    rows: list[dict[str, Any]] = [
        {
            "concept": w.concept,
            "cls": w.cls,
            "before": w.before,
            "after": w.after,
            "change": w.after - w.before,
        }
        for change in moved.values()
        for w in change.weights
    ]
    rows.sort(key=lambda r: -abs(r["change"]))
    return rows[:most]
