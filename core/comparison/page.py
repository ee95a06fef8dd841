# ruff: noqa: E501  (markup is read by the line)
"""Comparison as one HTML file without scripts and requests."""

from collections.abc import Sequence
from html import escape

from inficond.core.comparison.measure import ClassComparison, SideBySide
from inficond.core.comparison.wording import (
    CHANGE_LABELS,
    CHANGE_MEANINGS,
    difference,
    headline,
    measured,
)
from inficond.core.report.document import document
from inficond.core.report.pictures import ReportPictures, picture_strip
from inficond.core.report.wording import figure, percent, plural

MOST_PICTURES = 24
"""Pictures of a cell."""
MOST_WEIGHTS = 15
MOST_CLASSES = 40
"""Classes whose pictures and weights are on the page, those with the most changed answers first."""


def render_comparison(found: SideBySide) -> str:
    """Return a comparison as a complete HTML document that opens offline.

    The pictures are those of the first side that has a project. A cell of the table of changed images links
    to its pictures.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core.comparison.files import open_sides
    >>> from inficond.core.comparison.measure import side_by_side
    >>> from inficond.core.comparison.page import render_comparison
    >>> from inficond.core.demo import demo_project
    >>> sides = open_sides(str(demo_project()), f"{demo_project()}#teacher")
    >>> page = render_comparison(side_by_side(*sides))
    >>> _ = Path("comparison.html").write_text(page, encoding="utf-8")
    >>> page[:15]
    '<!doctype html>'
    """
    lines = headline(found)
    side = "a" if found.a.project is not None else "b"
    project = found.a.project or found.b.project
    pictures = None if project is None else ReportPictures(project, None)
    shown = sorted(
        found.classes.values(), key=lambda one: -sum(len(one.changed[k]) for k in ("yes-no", "no-yes"))
    )
    listed = {one.cls for one in shown[:MOST_CLASSES]}
    order = {cls: i for i, cls in enumerate(found.classes)}
    body = [_metrics(found), _counts(found, listed, order)]
    body += [
        _class(found, one, side, order[one.cls], pictures)
        for one in found.classes.values()
        if one.cls in listed
    ]
    return document(
        f"{found.a.name} and {found.b.name} · comparison",
        "<br>".join(escape(line[:1].upper() + line[1:]) for line in lines[2:]),
        f"InFiConD · comparison\n{lines[0]} · {lines[1]}",
        "\n".join(body),
        "Differences are from A to B. Intervals: 95 %, paired bootstrap over the images; images of one source "
        "are resampled together.",
    )


def _metrics(found: SideBySide) -> str:
    rows = []
    for title, change in measured(found):
        kind = {"better": "good", "worse": "bad"}.get(change.verdict, "range")
        rows.append(
            f'<tr><td class="name">{escape(title)}</td><td class="n">{figure(change.before, 3)}</td>'
            f'<td class="n">{figure(change.after, 3)}</td><td class="n {kind}">{escape(difference(change))}</td></tr>'
        )
    return (
        '<section class="card"><h2>Metrics</h2><div class="scroll" tabindex="0" role="group" aria-label="Metrics"><table><thead><tr>'
        '<th scope="col">measure</th><th scope="col" class="n">A</th><th scope="col" class="n">B</th>'
        f'<th scope="col" class="n">difference</th></tr></thead><tbody>{"".join(rows)}</tbody></table></div></section>'
    )


def _counts(found: SideBySide, listed: set[str], order: dict[str, int]) -> str:
    head = "".join(
        f'<th scope="col" class="n" title="{escape(CHANGE_MEANINGS[kind])}">{CHANGE_LABELS[kind]}</th>'
        for kind in found.kinds
    )
    rows = []
    for cls, one in found.classes.items():
        cells = []
        for kind in found.kinds:
            n = len(one.changed[kind])
            text = f'<a href="#c{order[cls]}-{kind}">{n:,}</a>' if n and cls in listed else f"{n:,}"
            cells.append(f'<td class="n">{text}</td>')
        same = f'<td class="n">{percent(one.same_answer.value)}</td>'
        rows.append(f'<tr><td class="name">{escape(cls)}</td>{"".join(cells)}{same}</tr>')
    return (
        '<section class="card"><h2>Images that changed sides</h2><div class="scroll" tabindex="0" role="group" aria-label="Images that changed sides"><table><thead><tr>'
        f'<th scope="col">class</th>{head}<th scope="col" class="n">same answer</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _class(
    found: SideBySide, one: ClassComparison, side: str, number: int, pictures: ReportPictures | None
) -> str:
    parts = [f'<section class="card class" id="c{number}"><h2>{escape(one.cls)}</h2>', _weights(one)]
    for kind, positions in one.changed.items():
        if len(positions):
            rows = found.rows(side, one.cls, kind).tolist()
            more = f", {MOST_PICTURES} of them here" if len(rows) > MOST_PICTURES else ""
            parts.append(
                f'<div class="block" id="c{number}-{kind}"><h3>{CHANGE_LABELS[kind]}: {plural(len(rows), "image")}{more}</h3>'
                f'<p class="quiet">{escape(CHANGE_MEANINGS[kind])}</p>{_strip(found, side, rows[:MOST_PICTURES], pictures)}</div>'
            )
    if not any(len(positions) for positions in one.changed.values()):
        parts.append('<p class="quiet">Every image has the same answer on both sides.</p>')
    return "".join([*parts, "</section>"])


def _strip(found: SideBySide, side: str, rows: Sequence[int], pictures: ReportPictures | None) -> str:
    ids = (found.a if side == "a" else found.b).image_ids
    return picture_strip(((ids[row], row) for row in rows), pictures)


def _weights(one: ClassComparison) -> str:
    moved = [pair for pair in one.weights if pair.a != pair.b]
    if not moved:
        return ""
    rows = "".join(
        f'<tr><td class="name">{escape(w.concept)}</td><td class="n">{figure(w.a)}</td><td class="n">{figure(w.b)}</td></tr>'
        for w in moved[:MOST_WEIGHTS]
    )
    more = f", the {MOST_WEIGHTS} largest differences" if len(moved) > MOST_WEIGHTS else ""
    return (
        f'<div class="block"><h3>{plural(len(moved), "weight")} that differ{"s" * (len(moved) == 1)}{more}</h3>'
        '<div class="scroll"><table><thead><tr><th scope="col">concept</th><th scope="col" class="n">A</th><th scope="col" class="n">B</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )
