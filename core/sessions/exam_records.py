"""Figures of exams as plain JSON, for reports and exported files."""

from collections.abc import Mapping
from typing import Any

from inficond.core.sessions.exam import TakenExam


def exam_record(exam: TakenExam | None) -> dict[str, Any] | None:
    """Return the figures of an exam for reports and exported files.

    Parameters
    ----------
    exam : TakenExam or None
        From `Session.last_exam`.

    Returns
    -------
    dict or None
        The detail of the node with its id as ``node``, its time as ``when``, and ``steps_since``; None if no
        exam was taken.
    """
    if exam is None:
        return None
    node = exam.node
    return {"node": node.id, "when": node.when, "steps_since": exam.steps_since, **dict(node.detail)}


def short_record(exam: TakenExam | None) -> dict[str, Any] | None:
    """Return the figures of an exam for the metadata of a file: average precision, without the tune part."""
    record = exam_record(exam)
    if record is None:
        return None
    kept = {key: record[key] for key in ("node", "when", "steps_since", "number", "level", "images")}
    return {
        **kept,
        "left_out": record["left_out"],
        "mean": _short(record["mean"]),
        "classes": {name: _short(one) for name, one in record["classes"].items()},
    }


def _short(one: Mapping[str, Any]) -> dict[str, Any]:
    return {
        kind: None if not one.get(kind) else {key: one[kind]["ap"][key] for key in ("fitted", "now", "gain")}
        for kind in ("fidelity", "accuracy")
    }
