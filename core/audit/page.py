"""Audit as one HTML file without scripts and requests."""

import base64
import hashlib
from html import escape
from pathlib import Path

from inficond.core.audit.audit import METHOD, Audit, ClassAudit, Finding
from inficond.core.audit.tree import Group
from inficond.core.errors import InputError
from inficond.core.project.folder import ProjectFolder

PICTURES = 8
"""Pictures of a finding."""


def render_audit(audit: Audit, project: ProjectFolder) -> str:
    """Return an audit as a complete HTML document that opens offline.

    Parameters
    ----------
    audit : Audit
    project : ProjectFolder
        Source of the pictures; findings without readable thumbnails have none.
    """
    style = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src-elem 'sha256-{digest}'"
    body = [f"<h1>Audit of {escape(audit.project)}</h1>", f'<p class="soft">{escape(METHOD)}</p>']
    if audit.duplicates:
        body.append(
            f"<p>{len(audit.duplicates)} images of the tune part have a near-duplicate among the training "
            "images: figures on them are too good.</p>"
        )
    body += [_class(one, project) for one in audit.classes]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(audit.project)} · audit</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _class(one: ClassAudit, project: ProjectFolder) -> str:
    parts = [f"<h2>{escape(one.cls)}</h2>"]
    if one.problem is not None:
        return "".join([*parts, f'<p class="soft">Not audited: {escape(one.problem)}.</p>'])
    parts.append(
        f"<p>Balanced error {100 * (one.error or 0):.0f} % compared with the {escape(one.truth)}.</p>"
    )
    if one.note is not None:
        parts.append(f'<p class="soft">{escape(one.note)}</p>')
    if not one.findings:
        parts.append("<p>No significant shortcut.</p>")
    parts += [_finding(finding, project) for finding in one.findings]
    if one.tree:
        parts.append('<h3>Where the errors are</h3><ul class="tree">')
        parts += [_group(group) for group in one.tree]
        parts.append("</ul>")
    return "".join(parts)


def _finding(one: Finding, project: ProjectFolder) -> str:
    advice = f"<p><b>Repair:</b> {escape(one.advice)}</p>" if one.advice else ""
    rows = [*one.extra[: PICTURES // 2], *one.missed[: PICTURES // 2]]
    pictures = "".join(f"<li>{_picture(project, row)}</li>" for row in rows)
    return (
        f'<div class="finding"><p>{escape(one.sentence)}</p>{advice}'
        f'<ul class="strip">{pictures}</ul><small>p ≤ {one.shortcut.p_value:.2g}, corrected</small></div>'
    )


def _picture(project: ProjectFolder, row: int) -> str:
    name = escape(project.image_ids[row])
    try:
        data = project.thumbnail_bytes(row)
    except InputError:
        return f"<small>{name}</small>"
    kind = {b"\xff\xd8\xff": "jpeg", b"RIFF": "webp"}.get(
        data[:3] if data[:1] == b"\xff" else data[:4], "png"
    )
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return f'<img src="{uri}" alt="{name}" title="{name}">'


def _group(one: Group) -> str:
    share = f"{len(one.wrong)} of {len(one.rows)} wrong, {100 * one.share:.0f} % of all errors"
    parts = "".join(_group(part) for part in one.parts)
    return (
        f"<li>{escape(one.name)}: <b>{share}</b>"
        + (f'<ul class="tree">{parts}</ul>' if parts else "")
        + "</li>"
    )
