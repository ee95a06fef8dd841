"""Files that a visitor downloads, and the summary of the report."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from inficond.core.errors import unknown
from inficond.core.progress import Progress
from inficond.gradio_app.file_names import file_stem
from inficond.gradio_app.file_register import PUBLIC
from inficond.gradio_app.page_files import EXPORT_SECONDS
from inficond.gradio_app.presenters import format_number
from inficond.gradio_app.visitor import Visitor

EXPORT_KINDS = ("safetensors", "onnx", "page", "recipe", "report")
EXPORT_SUFFIXES = {
    "safetensors": "student.safetensors",
    "onnx": "student.onnx",
    "page": "student.html",
    "recipe": "recipe.json",
    "report": "report.html",
}
EXPORT_USES = {
    "safetensors": "Weights, concepts and standardization; any safetensors reader opens it, without pickle.",
    "onnx": "Any ONNX Runtime runs it, and so does",
    "page": "Open it in a browser, offline, and drop a photograph on it.",
    "recipe": "Replay its steps on another project with",
    "report": "One page that contains its pictures and opens offline.",
}
EXPORT_COMMANDS = {"onnx": "inficond predict {name} IMAGES", "recipe": "inficond replay DIR {name}"}
EXPORT_COSTS = {"safetensors": 0.1, "onnx": 2.0, "page": 4.0, "recipe": 0.1, "report": 8.0}
"""Expected duration in seconds, for scheduling."""


class ExportPayload(TypedDict):
    """An exported file as the page offers it."""

    name: str
    url: str
    size: str
    use: str
    command: str


class SummaryRow(TypedDict):
    """A row of the table of the summary."""

    cells: list[str]
    strong: bool


class SummaryPayload(TypedDict):
    """Sentences and a table about the quality of the students."""

    summary: list[str]
    head: list[str]
    rows: list[SummaryRow]


def export_file(visitor: Visitor, kind: str, progress: Progress) -> Path:
    """Write a file for the visitor to download.

    Visits without a step share one file of each kind.

    Parameters
    ----------
    visitor : Visitor
    kind : str
        One of `EXPORT_KINDS`.
    progress : Progress

    Returns
    -------
    Path
        A registered file.

    Raises
    ------
    InputError
        The kind is unknown, or the project cannot be exported to it.
    """
    if kind not in EXPORT_KINDS:
        raise unknown("export", kind, EXPORT_KINDS)
    if visitor.has_steps:
        return _write_export(visitor, kind, progress, visitor.token, EXPORT_SECONDS)
    return visitor.cached(
        ("export", kind), lambda: _write_export(visitor, kind, progress, PUBLIC, float("inf"))
    )


def _write_export(visitor: Visitor, kind: str, progress: Progress, owner: str, seconds: float) -> Path:
    path = visitor.files.new_file(f"{file_stem(visitor.project.name)}-{EXPORT_SUFFIXES[kind]}")
    session = visitor.session
    progress.start("writing", 1)
    if kind == "safetensors":
        session.students.save(path)
    elif kind == "recipe":
        text = json.dumps(session.recipe().to_json(), ensure_ascii=False, indent=1)
        path.write_text(text, encoding="utf-8")
    elif kind == "report":
        _write_report(visitor, path, progress)
    elif kind == "page":
        from inficond.core.student_page import export_student_page

        export_student_page(session, path, overwrite=True, progress=progress)
    else:
        from inficond.core.onnx_student.export import export_student

        export_student(session, path, overwrite=True, progress=progress)
    progress.advance()
    visitor.files.register.add(path, owner, seconds)
    return path


def _write_report(visitor: Visitor, path: Path, progress: Progress) -> None:
    from inficond.core.report import render_html, report
    from inficond.core.report.pictures import ReportPictures

    session = visitor.session
    pictures = ReportPictures.of(session.context)
    html = render_html(report(session, progress=progress), pictures)
    path.write_text(html, encoding="utf-8")


def export_payload(path: Path, visitor: Visitor, kind: str) -> ExportPayload:
    """Return an exported file as the page offers it."""
    size = path.stat().st_size
    shown = f"{size / 2**20:.1f} MB" if size >= 2**20 else f"{max(1, round(size / 1024))} kB"
    return {
        "name": path.name,
        "url": visitor.files.register.url(path),
        "size": shown,
        "use": EXPORT_USES[kind],
        "command": EXPORT_COMMANDS.get(kind, "").format(name=path.name),
    }


def summary_payload(visitor: Visitor, progress: Progress) -> SummaryPayload:
    """Return sentences and a table about the quality of the students, with the random-concept baseline."""
    from inficond.core.report import report

    data = report(visitor.session, progress=progress)
    labelled = data["overall"]["accuracy"] is not None
    head = ["class", "fidelity (AP)", "95 % interval", "balanced agreement", "F1", "NEC", "AP with 5"]
    head += ["accuracy: teacher", "student"] if labelled else []
    rows: list[SummaryRow] = [{"cells": _class_cells(c, labelled), "strong": False} for c in data["classes"]]
    overall = data["overall"]
    baseline = overall["baseline"]
    rows.append(
        _overall_row("all classes, concepts", overall["fidelity"], overall["nec"], overall["anec5"],
                     overall["accuracy"] if labelled else None)
    )  # fmt: skip
    if baseline:
        none: dict[str, Any] | None = {} if labelled else None
        rows.append(_overall_row("all classes, random concepts", baseline, baseline.get("nec"), None, none))
    return {"summary": list(data["summary"]), "head": head, "rows": rows}


def _class_cells(row: Mapping[str, Any], labelled: bool) -> list[str]:
    m, interval = row["metrics"], row["intervals"]["ap"]
    cells = [
        row["name"],
        format_number(m["ap"]),
        f"{format_number(interval['low'])}–{format_number(interval['high'])}",
        format_number(m["balanced_agreement"]),
        format_number(m["f1"]),
        str(m["nec"]),
        format_number(m["anec5"]),
    ]
    if labelled:
        cells += [format_number((m[f"{who}_accuracy"] or {}).get("ap")) for who in ("teacher", "student")]
    return cells


def _overall_row(
    name: str,
    metrics: Mapping[str, Any],
    nec: float | None,
    anec5: float | None,
    accuracy: Mapping[str, Any] | None,
) -> SummaryRow:
    cells = [
        name,
        format_number(metrics["ap"]),
        "",
        format_number(metrics["balanced_agreement"]),
        format_number(metrics["f1"]),
        format_number(nec, 0),
        format_number(anec5),
    ]
    if accuracy is not None:
        cells += [format_number((accuracy.get(who) or {}).get("ap")) for who in ("teacher", "student")]
    return {"cells": cells, "strong": True}
