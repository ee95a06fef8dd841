"""What core returns, as several views show it: a change with its interval, a suggestion, contributions as
bars."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from inficond.core.tuning.actions import spell

if TYPE_CHECKING:
    from inficond.core.students import Change, ClassMetrics, Contributions
    from inficond.core.tuning.missing import MissingConcept
    from inficond.core.tuning.preview import ClassChange, Preview
    from inficond.core.tuning.suggest import Suggestion

LABELS = {
    "ap": "AP · teacher",
    "balanced_agreement": "balanced",
    "f1": "F1 · teacher",
    "agreement": "agreement",
    "bce": "cross-entropy",
}


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
        chips.append(change_of("AP · labels", moved.accuracy["ap"]))
    if moved.focus is not None and moved.focus_size:
        chips.append(change_of("in focus", moved.focus["agreement"]))
    b, a = moved.before, moved.after
    chips.append(
        {
            "label": "missed · extra",
            "before": f"{b['missed']} · {b['extra']}",
            "after": f"{a['missed']} · {a['extra']}",
            "delta": "",
            "range": "",
            "clear": False,
            "better": False,
            "more": f"images missed {b['missed']} → {a['missed']}, extra {b['extra']} → {a['extra']}; "
            f"{len(moved.fixed)} newly agree with the teacher, {len(moved.broken)} newly disagree",
            "count": True,
        }
    )
    return chips


def now_of(metrics: "ClassMetrics") -> list[dict[str, str]]:
    """Where a class stands, under the same labels as its changes."""
    chips = [
        {"label": LABELS[n], "value": number(getattr(metrics, n))} for n in ("ap", "balanced_agreement", "f1")
    ]
    if metrics.student_accuracy is not None:
        chips.append({"label": "AP · labels", "value": number(metrics.student_accuracy.ap)})
    counts = metrics.counts
    chips.append({"label": "missed · extra", "value": f"{counts['missed']} · {counts['extra']}"})
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
        "text": spell(found.actions, 3).replace("group:", "everything like "),
        "actions": [a.to_json() for a in found.actions],
        "gain": f"{SHORT[found.metric]} {signed(gain.delta.value)}" if gain.clear else "no clear change",
        "clear": gain.clear,
        "more": f"{found.text}{others}",
    }


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
        {"concept": w.concept, "cls": w.cls, "before": w.before, "after": w.after}
        for change in moved.values()
        for w in change.weights
    ]
    rows.sort(key=lambda r: -abs(r["after"] - r["before"]))
    return rows[:most]
