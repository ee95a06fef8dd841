# ruff: noqa: E501  (markup is read by the line)
"""Audit as one HTML file without scripts and requests."""

from collections.abc import Sequence
from html import escape

from inficond.core.audit.audit import METHOD, Audit, ClassAudit, Finding
from inficond.core.audit.tree import Group
from inficond.core.project.folder import ProjectFolder
from inficond.core.report.document import document
from inficond.core.report.pictures import ReportPictures, picture_strip
from inficond.core.report.wording import percent, plural

PICTURES = 8
"""Pictures of each side of a finding, and of a group of the tree."""


def render_audit(audit: Audit, project: ProjectFolder) -> str:
    """Return an audit as a complete HTML document that opens offline.

    Parameters
    ----------
    audit : Audit
    project : ProjectFolder
        Source of the pictures; images without readable thumbnails are named.
    """
    pictures = _Pictures(project)
    body = [_summary(audit)]
    body += [_class(i, one, pictures) for i, one in enumerate(audit.classes)]
    found = sum(len(one.findings) for one in audit.classes)
    return document(
        f"{audit.project} · audit",
        f"{plural(len(audit.classes), 'class', 'classes')}, {plural(found, 'shortcut') if found else 'no significant shortcut'}",
        f"InFiConD · audit\n{audit.project}",
        "\n".join(body),
        escape(METHOD),
    )


class _Pictures:
    """Rows of pictures of a project."""

    def __init__(self, project: ProjectFolder) -> None:
        self._project, self._pictures = project, ReportPictures(project, None)

    def strip(self, rows: Sequence[int]) -> str:
        images = ((self._project.image_ids[row], row) for row in rows[:PICTURES])
        return picture_strip(images, self._pictures)


def _summary(audit: Audit) -> str:
    rows = []
    for i, one in enumerate(audit.classes):
        if one.problem is not None:
            said = f'<span class="range">not audited: {escape(one.problem)}</span>'
        elif not one.findings:
            said = '<span class="range">no significant shortcut</span>'
        else:
            said = "; ".join(
                f"{escape(f.shortcut.feature.name)} ({percent(f.shortcut.explained.value)} of the error)"
                for f in one.findings
            )
        rows.append(
            f'<tr><td class="name"><a href="#c{i}">{escape(one.cls)}</a></td><td class="n">{percent(one.error)}</td><td>{said}</td></tr>'
        )
    duplicates = ""
    if audit.duplicates:
        duplicates = (
            f'<p class="quiet">{plural(len(audit.duplicates), "image")} of the tune part {"has" if len(audit.duplicates) == 1 else "have"} '
            "a near-duplicate among the training images: figures on them are too good.</p>"
        )
    return (
        '<section class="card"><h2>What the students follow</h2><div class="scroll" tabindex="0" role="group" aria-label="Classes"><table>'
        '<thead><tr><th scope="col">class</th><th scope="col" class="n">balanced error</th><th scope="col">shortcuts</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>{duplicates}</section>"
    )


def _class(number: int, one: ClassAudit, pictures: _Pictures) -> str:
    parts = [f'<section class="card class" id="c{number}"><h2>{escape(one.cls)}</h2>']
    if one.problem is not None:
        return "".join([*parts, f'<p class="quiet">Not audited: {escape(one.problem)}.</p></section>'])
    parts.append(
        f'<p class="quiet">Balanced error {percent(one.error)} compared with the {escape(one.truth)}.'
    )
    if one.note is not None:
        parts.append(f" {escape(one.note[:1].upper() + one.note[1:])}.")
    parts.append("</p>")
    if not one.findings:
        parts.append("<p>No significant shortcut.</p>")
    parts += [_finding(i, finding, pictures) for i, finding in enumerate(one.findings, 1)]
    if one.tree:
        parts.append('<div class="block"><h3>Where the errors are</h3>')
        parts += [_group(group, 0, pictures) for group in one.tree]
        parts.append("</div>")
    return "".join([*parts, "</section>"])


def _finding(number: int, one: Finding, pictures: _Pictures) -> str:
    explained = one.shortcut.explained
    said = (
        f"{percent(explained.value)} of the error"
        + (
            f", 95 % {percent(explained.low)} to {percent(explained.high)}"
            if explained.low == explained.low
            else ""
        )
        + f" · p ≤ {one.shortcut.p_value:.2g}, corrected"
    )
    share = max(0.0, min(1.0, explained.value)) if explained.value == explained.value else 0.0
    sides = [
        ("extra", "says yes, wrongly", one.extra),
        ("missed", "says no, wrongly", one.missed),
    ]
    shown = "".join(
        f'<div><h4><span class="key {kind}"></span>The student {text}: {plural(len(rows), "image")}</h4>{pictures.strip(rows)}</div>'
        for kind, text, rows in sides
        if rows
    )
    repair = ""
    if one.advice:
        repair = f'<p class="repair"><strong>{"Repair" if one.repair else "No repair"}</strong> {escape(one.advice)}</p>'
    return (
        f'<div class="finding"><h3>{number}. {escape(one.shortcut.feature.name)}</h3><p>{escape(one.sentence)}</p>'
        f'<div class="gauge" role="img" aria-label="{escape(said)}"><b style="width:{100 * share:.0f}%"></b></div>'
        f'<p class="quiet">{escape(said)}</p>{repair}<div class="columns">{shown}</div></div>'
    )


def _group(one: Group, depth: int, pictures: _Pictures) -> str:
    """Return a group and its parts, indented; its wrong images open on demand."""
    label = f"{escape(one.name)}: {len(one.wrong)} of {plural(len(one.rows), 'image')} wrong"
    share = f"{percent(one.share)} of all errors"
    bar = f'<span class="share" aria-hidden="true"><b style="width:{100 * one.share:.0f}%"></b></span>'
    line = f"{bar}<span>{label}</span> <strong>{share}</strong>"
    wrong = [int(row) for row in one.wrong]
    if wrong:
        line = f"<details><summary>{line}</summary>{pictures.strip(wrong)}</details>"
    else:
        line = f'<div class="summary">{line}</div>'
    return f'<div class="group" style="margin-left:{18 * depth}px">{line}</div>' + "".join(
        _group(part, depth + 1, pictures) for part in one.parts
    )
