"""Texts of a comparison, for the command, the report page and the page."""

from collections.abc import Iterator, Mapping

from inficond.core.comparison.measure import SideBySide
from inficond.core.evaluation.bootstrap import Change
from inficond.core.evaluation.exam import SHOWN
from inficond.core.report.wording import plural

METRIC_LABELS = {
    "ap": "average precision",
    "f1": "F1",
    "balanced_agreement": "balanced agreement",
    "agreement": "agreement",
}
ACCURACY_LABELS = {**METRIC_LABELS, "balanced_agreement": "balanced accuracy", "agreement": "accuracy"}
CHANGE_LABELS = {
    "yes-no": "yes → no",
    "no-yes": "no → yes",
    "right-wrong": "right → wrong",
    "wrong-right": "wrong → right",
    "agree-disagree": "agrees → disagrees",
    "disagree-agree": "disagrees → agrees",
}
CHANGE_MEANINGS = {
    "yes-no": "A answers yes, B no",
    "no-yes": "A answers no, B yes",
    "right-wrong": "by the labels, A is right and B is wrong",
    "wrong-right": "by the labels, A is wrong and B is right",
    "agree-disagree": "A agrees with its teacher, B does not",
    "disagree-agree": "A does not agree with its teacher, B does",
}
MATCHED = {
    "project": "the images of the project",
    "content": "images with the same content in both projects",
    "name": "images of the same name",
}
REFERENCES = {"fidelity": "own teacher", "accuracy": "labels"}


def headline(found: SideBySide) -> list[str]:
    """Return the sides and the images that were compared, one line each."""
    n = len(found.images.first)
    held_out = not found.images.note and found.a.fit_known and found.b.fit_known
    lines = [
        f"A  {found.a.name}",
        f"B  {found.b.name}",
        f"on {plural(n, 'image')}" + (" that neither was fitted on" if held_out else ""),
    ]
    if found.images.matched_by != "project":
        lines[-1] += f", {MATCHED[found.images.matched_by]}"
    if found.images.note:
        lines.append(found.images.note)
    if not (found.a.fit_known and found.b.fit_known):
        lines.append("Whether a file was fitted on these images is not known.")
    if found.fidelity is None and found.accuracy is None:
        lines.append("No labels, so only answers are compared.")
    if found.left_out:
        lines.append(f"left out, because only one side has them: {', '.join(found.left_out[:8])}")
    return lines


def measured(found: SideBySide) -> Iterator[tuple[str, Change]]:
    """Return the changes of the mean over the classes, then the average precision of each class."""
    if found.top1 is not None:
        yield "top-1 accuracy (labels)", found.top1
    several = "mean " if len(found.classes) > 1 else ""
    for kind, mean in (("accuracy", found.accuracy), ("fidelity", found.fidelity)):
        for name in SHOWN if mean is not None else ():
            yield f"{several}{metric_label(kind, name)} ({REFERENCES[kind]})", (mean or {})[name]
    if len(found.classes) > 1:
        for cls, one in found.classes.items():
            for kind, changes in (("accuracy", one.accuracy), ("fidelity", one.fidelity)):
                if changes is not None:
                    yield f"{cls}: {metric_label(kind, 'ap')} ({REFERENCES[kind]})", changes["ap"]


def metric_label(kind: str, name: str) -> str:
    """Return the name of a metric of kind ``fidelity`` or ``accuracy``."""
    labels: Mapping[str, str] = ACCURACY_LABELS if kind == "accuracy" else METRIC_LABELS
    return labels[name]


def difference(change: Change, digits: int = 3) -> str:
    """Format a difference with its interval and what it says."""
    d = change.delta
    if d.value != d.value:
        return "–"
    text = f"{d.value:+.{digits}f}"
    if d.low == d.low:
        text += f" ({d.low:+.{digits}f} … {d.high:+.{digits}f}) {change.verdict}"
    return text.replace("-", "−")
