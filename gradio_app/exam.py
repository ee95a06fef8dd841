"""Exams as the page shows them."""

from collections.abc import Mapping
from typing import Any, TypedDict

from inficond.core.errors import InputError
from inficond.core.evaluation.exam import exam_level
from inficond.core.report.exam_lines import DIGITS, exam_summary, verdict
from inficond.core.sessions.exam import exam_part
from inficond.core.sessions.exam_records import exam_record
from inficond.gradio_app.exports import SummaryRow
from inficond.gradio_app.presenters import format_number, format_signed
from inficond.gradio_app.visitor import Visitor

HEAD = ["average precision", "as fitted", "now", "gain", "interval", "promised", "optimism", ""]


class ExamTable(TypedDict):
    """Figures of all classes, compared with the teacher or with the labels."""

    title: str
    head: list[str]
    rows: list[SummaryRow]


class ExamPayload(TypedDict):
    """The exam of the current student, or of an earlier one.

    `unavailable` is the reason for which the project has none. `current` is true if the figures are those of
    the current student.
    """

    unavailable: str
    images: int
    taken: int
    about: list[str]
    current: bool
    lines: list[str]
    tables: list[ExamTable]


def exam_payload(visitor: Visitor) -> ExamPayload:
    """Return what the page shows of the exam; nothing is measured."""
    session = visitor.session
    try:
        images = len(exam_part(session.project))
    except InputError as error:
        return {
            "unavailable": str(error), "images": 0, "taken": 0, "about": [], "current": False, "lines": [],
            "tables": [],
        }  # fmt: skip
    taken = session.history.exams_taken()
    last = session.last_exam()
    record = exam_record(last)
    return {
        "unavailable": "",
        "images": images,
        "taken": taken,
        "about": _about(images, taken),
        "current": last is not None and last.steps_since == 0,
        "lines": [] if record is None else exam_summary(record, True),
        "tables": [] if record is None else _tables(record),
    }


def _about(images: int, taken: int) -> list[str]:
    """Return what an exam does, before it is taken."""
    level = f"{100 * exam_level(taken + 1):.1f} %"
    before = (
        "No exam was" if not taken else f"{taken} exam{'s' * (taken > 1)} {'were' if taken > 1 else 'was'}"
    )
    return [
        f"{images:,} images are locked: no figure, preview or suggestion on this page has used them.",
        "An exam measures the fitted and the current student on them. It becomes a step of the history.",
        f"{before} taken of this project so far. The next one has {level} intervals: every further exam has "
        "wider ones, so that those of all exams hold together at 95 %.",
    ]


def _tables(record: Mapping[str, Any]) -> list[ExamTable]:
    rows = [*record["classes"].items(), ("mean", record["mean"])]
    tables: list[ExamTable] = []
    for kind, title in (("fidelity", "Compared with the teacher"), ("accuracy", "Compared with the labels")):
        shown = [(name, one[kind]["ap"]) for name, one in rows if one[kind]]
        if shown:
            made = [_row(name, ap, last=i == len(shown) - 1) for i, (name, ap) in enumerate(shown)]
            tables.append({"title": title, "head": HEAD, "rows": made})
    return tables


def _row(name: str, ap: Mapping[str, Any], last: bool) -> SummaryRow:
    gain = ap["gain"]
    span = "" if gain["low"] is None else f"{_signed(gain['low'])} … {_signed(gain['high'])}"
    cells = [
        name,
        format_number(ap["fitted"]["value"], DIGITS),
        format_number(ap["now"]["value"], DIGITS),
        _signed(gain["value"]),
        span,
        _signed(ap["promised"]["value"]),
        _signed(ap["optimism"]),
        verdict(gain),
    ]
    return {"cells": cells, "strong": last}


def _signed(value: float | None) -> str:
    return format_signed(value, DIGITS)
