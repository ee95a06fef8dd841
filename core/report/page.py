# ruff: noqa: E501  (markup is read by the line)
"""Report as one HTML file without scripts and requests, with light and dark themes."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from inficond.core.report.document import document
from inficond.core.report.parts import diverging, gauge, legend, stack, strip
from inficond.core.report.wording import figure, percent, plural, signed

if TYPE_CHECKING:
    from inficond.core.report.pictures import ReportPictures

_METRICS = {
    "ap": ("average precision", "of the student's ranking of the teacher's positives; 1 is perfect"),
    "balanced_agreement": ("balanced agreement", "mean of the agreement on the teacher's yes and on its no"),
    "f1": ("F1", "of the student's yes compared with the teacher's"),
    "agreement": ("agreement", "share of equal answers; high for a student that always says no"),
    "bce": ("cross-entropy", "in nats; lower is better"),
}
_GLOSSARY = {
    "Fidelity": "Agreement of the student with its teacher, whether or not the teacher is right.",
    "Accuracy": "Agreement of teacher and student with the labels, if there are labels.",
    "Average precision": "Quality of the student's ranking of the images: 1 if all images with the teacher's yes "
    "come first. A random ranking gets the share of yes.",
    "Missed, extra": "Missed: the teacher says yes and the student no. Extra: the student says yes and the teacher no.",
    "Slice": "Misaligned images described by one or two concepts. A concept is high in the fifth of the "
    "held-out images with its largest values. The p-value is corrected for multiple tests.",
    "Random directions": "The same fit on as many random directions of the embedding space as there are words. "
    "If the words are not better than this row, they do not explain the student's predictions.",
    "NEC, ANEC-5": "Number of effective concepts, those with a non-zero weight. ANEC-5 is the average precision "
    "with only the five largest, refitted.",
    "Intervals": "95 %, bootstrap over the held-out images; images of one source are resampled together.",
    "Weight": "Change of the logit if a concept increases by one standard deviation.",
}


def render_html(report: Mapping[str, Any], pictures: "ReportPictures | None" = None) -> str:
    """Return the HTML page of a report.

    Parameters
    ----------
    report : mapping
        Result of `measure.report`.
    pictures : ReportPictures, optional
        Source of the pictures; without it the page has figures only.

    Returns
    -------
    str
        A complete HTML document that works offline.

    Examples
    --------
    >>> from pathlib import Path
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.report import render_html, report
    >>> page = render_html(report(Project.open(demo_project()), classes=["water bird"]))
    >>> _ = Path("report.html").write_text(page, encoding="utf-8")
    >>> page[:15]
    '<!doctype html>'
    """
    about = report["project"]
    classes = list(report["classes"])
    body = [
        _verdict(report),
        _table(classes, report["overall"]),
        *(_class(i, entry, pictures) for i, entry in enumerate(classes)),
        _glossary(),
    ]
    return document(
        f"{about['name']} · student report",
        _about(about),
        f"InFiConD · student report\n{about['name']}",
        "\n".join(body),
        f"Made by InFiConD {escape(report['inficond'])} · node {escape(about['node'])} · "
        f"λ {about['lam']:g} · {escape(about['link'])} link",
    )


def _about(about: Mapping[str, Any]) -> str:
    models = " · ".join(
        f"{kind} {escape(str(about[kind].get('name') or about[kind].get('spec')))}"
        for kind in ("teacher", "encoder")
        if isinstance(about.get(kind), Mapping) and (about[kind].get("name") or about[kind].get("spec"))
    )
    sizes = (
        f"{plural(about['images'], 'image')}, {about['validation']:,} held out · "
        f"{plural(about['concepts'], 'concept')} · {plural(about['classes'], 'class', 'classes')}"
    )
    return f"{sizes}{' · ' + models if models else ''}"


def _verdict(report: Mapping[str, Any]) -> str:
    overall = report["overall"]
    fidelity, baseline, accuracy = overall["fidelity"], overall["baseline"], overall["accuracy"]
    tiles = [
        (
            "Fidelity: mean average precision",
            figure(fidelity["ap"], 3),
            f"random directions {figure(baseline['ap'], 3)}" if baseline else "no random-concept baseline",
        ),
        ("Balanced agreement", percent(fidelity["balanced_agreement"]), f"F1 {figure(fidelity['f1'])}"),
        (
            "Concepts per class",
            figure(overall["nec"], 0),
            f"five largest alone: {figure(overall['anec5'], 3)}"
            + (f" (random {figure(baseline['anec5'], 3)})" if baseline else ""),
        ),
    ]
    if "same_top_class" in fidelity:
        tiles.append(
            ("Same top class", percent(fidelity["same_top_class"]), f"KL {figure(fidelity['kl'], 3)}")
        )
    if accuracy:
        student, teacher = accuracy["student"]["ap"], accuracy["teacher"]["ap"]
        tiles.append(
            ("Accuracy: mean average precision", figure(student, 3), f"teacher {figure(teacher, 3)}")
        )
    said = "".join(f"<p>{escape(line)}</p>" for line in report["summary"])
    shown = "".join(
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{value} <div class="sub">{escape(sub)}</div></dd></div>'
        for name, value, sub in tiles
    )
    return (
        f'<section class="card verdict" id="summary"><h3>How good is this student?</h3>{said}'
        f'<dl class="tiles">{shown}</dl></section>'
    )


def _table(classes: Sequence[Mapping[str, Any]], overall: Mapping[str, Any]) -> str:
    labelled = overall["accuracy"] is not None
    rows = []
    for i, entry in enumerate(classes):
        m = entry["metrics"]
        random = None if not entry["baseline"] else entry["baseline"]["metrics"]["ap"]
        accuracy = ""
        if labelled:
            pair = [m[f"{who}_accuracy"] for who in ("student", "teacher")]
            accuracy = "".join(f'<td class="n">{figure(a["ap"] if a else None)}</td>' for a in pair)
        rows.append(
            f'<tr data-class="{escape(entry["name"])}">'
            f'<td class="name"><a href="#class-{i}">{escape(entry["name"])}</a></td>'
            f"<td>{gauge(entry['intervals']['ap'], random, 'average precision')}</td>"
            f'<td class="n">{figure(m["ap"])}</td><td class="n">{percent(m["balanced_agreement"])}</td>'
            f'<td class="n">{figure(m["f1"])}</td>{accuracy}<td class="n">{m["nec"]}</td>'
            f'<td class="n">{figure(m["anec5"])}</td><td>{stack(m["counts"])}</td></tr>'
        )
    mean = overall["fidelity"]
    accuracy = "".join(
        f'<td class="n">{figure(overall["accuracy"][who]["ap"])}</td>' for who in ("student", "teacher")
    ) if labelled else ""  # fmt: skip
    foot = (
        f'<tr><td class="name">mean</td><td></td><td class="n">{figure(mean["ap"])}</td>'
        f'<td class="n">{percent(mean["balanced_agreement"])}</td><td class="n">{figure(mean["f1"])}</td>'
        f'{accuracy}<td class="n">{figure(overall["nec"], 1)}</td>'
        f'<td class="n">{figure(overall["anec5"])}</td><td></td></tr>'
    )
    if overall["baseline"]:
        b = overall["baseline"]
        blank = "<td></td><td></td>" if labelled else ""
        foot += (
            f'<tr class="random"><td>random directions</td><td></td><td class="n">{figure(b["ap"])}</td>'
            f'<td class="n">{percent(b["balanced_agreement"])}</td><td class="n">{figure(b["f1"])}</td>'
            f'{blank}<td class="n">{figure(b["nec"], 1)}</td><td class="n">{figure(b["anec5"])}</td><td></td></tr>'
        )
    columns = (
        '<th class="n">student<br>accuracy</th><th class="n">teacher<br>accuracy</th>' if labelled else ""
    )
    return f"""<section class="card" id="classes"><h3>All classes</h3><div class="scroll"><table>
<thead><tr><th>class</th><th>average precision, 95 % interval</th><th class="n">AP</th>
<th class="n">balanced<br>agreement</th><th class="n">F1</th>{columns}<th class="n">NEC</th>
<th class="n">ANEC-5</th><th>teacher and student</th></tr></thead>
<tbody>{"".join(rows)}{foot}</tbody></table></div>{legend()}</section>"""


def _class(i: int, entry: Mapping[str, Any], pictures: "ReportPictures | None") -> str:
    reading = entry["reading"]
    said = f"<strong>{escape(reading[0])}</strong> " + escape(" ".join(reading[1:])) if reading else ""
    return f"""<section class="card class" id="class-{i}" data-class="{escape(entry["name"])}">
<header><h2>{escape(entry["name"])}</h2><a class="up" href="#classes">all classes</a></header>
<p class="reading">{said}</p>
<div class="columns"><div>{_figures(entry)}{_slices(entry, pictures)}</div>
<div>{_concepts(entry, pictures)}</div></div>{_misaligned(entry, pictures)}</section>"""


def _figures(entry: Mapping[str, Any]) -> str:
    base = entry["baseline"]
    marks = {
        "better": '<span class="good">words better</span>',
        "worse": '<span class="bad">random better</span>',
    }
    rows = []
    for key, (name, meaning) in _METRICS.items():
        cells = _cell(entry["intervals"][key])
        if base:
            verdict = base["words_against_random"][key]["verdict"]
            cells += (
                f'<td class="n">{figure(base["metrics"][key], 3)}<br>'
                f'<span class="range">{marks.get(verdict, "no clear difference")}</span></td>'
            )
        rows.append(f'<tr><td title="{escape(meaning)}">{name}</td>{cells}</tr>')
    head = '<th class="n">random<br>directions</th>' if base else ""
    accuracy = ""
    if entry["accuracy"]:
        lines = "".join(
            f"<tr><td>{who}</td>" + "".join(_cell(a[k]) for k in ("ap", "f1", "balanced_accuracy")) + "</tr>"
            for who, a in entry["accuracy"].items()
        )
        accuracy = (
            '<div class="block"><h3>Accuracy compared with the labels</h3><div class="scroll"><table><thead><tr><th></th>'
            '<th class="n">AP</th><th class="n">F1</th><th class="n">balanced<br>accuracy</th></tr></thead>'
            f"<tbody>{lines}</tbody></table></div></div>"
        )
    return (
        f'<div class="block"><h3>Fidelity to the teacher</h3><div class="scroll"><table><thead><tr><th></th>'
        f'<th class="n">words<br>95 % interval</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></div>'
        + accuracy
    )


def _cell(interval: Mapping[str, Any]) -> str:
    """Return a table cell with a figure and its interval."""
    low, high = figure(interval["low"]), figure(interval["high"])
    below = "–" if interval["low"] is None else f"{low} to {high}"
    return f'<td class="n">{figure(interval["value"], 3)}<br><span class="range">{below}</span></td>'


def _concepts(entry: Mapping[str, Any], pictures: "ReportPictures | None") -> str:
    found = entry["concepts"]
    if not found:
        return '<h3>Top concepts</h3><p class="quiet">The student uses no concept: λ is too high, or the teacher is constant.</p>'  # fmt: skip
    largest = max(abs(c["weight"]) for c in found)
    rows = []
    for c in found:
        shots = ""
        if pictures is not None:
            shots = "".join(
                _img(pictures.evidence(e["row"], c["name"]), f"{c['name']} in {e['image']}")
                for e in c["evidence"]
            )
        rows.append(
            f'<div class="concept" data-concept="{escape(c["name"])}" data-weight="{c["weight"]:.4f}"><div>'
            f'<div class="word">{escape(c["name"])}<span>{signed(c["weight"])}</span></div>'
            f'{diverging(c["weight"], largest)}</div><div class="shots">{shots}</div></div>'
        )
    return (
        f'<h3>Top concepts</h3><p class="quiet">{entry["metrics"]["nec"]} in use, the largest {len(found)} here. '
        f"Weights for {escape(entry['name'])} are blue, to the right; weights against it orange, to the left. "
        f"The pictures have the largest values of the concept; its evidence region is in colour.</p>{''.join(rows)}"
    )


def _slices(entry: Mapping[str, Any], pictures: "ReportPictures | None") -> str:
    found = entry["slices"]
    if not found:
        text = "No group of misaligned images is significant." if entry["metrics"]["ap"] is not None else "–"
        return f'<div class="block"><h3>Slices</h3><p class="quiet">{text}</p></div>'
    rows = "".join(
        f'<div class="slice"><p><span class="key {escape(s["kind"])}"></span><strong>{escape(s["name"])}</strong><br>'
        f"<small>{escape(s['kind'])}: {plural(s['size'], 'image')}, agreement {percent(s['agreement'])} compared with "
        f"{percent(s['elsewhere'])} elsewhere; corrected p&nbsp;≤&nbsp;{s['p_value']:.2g}</small></p>"
        f"{strip(s['images'][:6], pictures)}</div>"
        for s in found[:6]
    )
    return f'<div class="block"><h3>Slices of misaligned images</h3>{rows}</div>'


def _misaligned(entry: Mapping[str, Any], pictures: "ReportPictures | None") -> str:
    out = []
    for name, meaning in (("missed", "the teacher says yes, the student no"), ("extra", "the student says yes, the teacher no")):  # fmt: skip
        subset = entry["subsets"][name]
        shown = strip(subset["images"], pictures) if subset["size"] else '<p class="quiet">None.</p>'
        of = f", the {len(subset['images'])} worst" if subset["size"] > len(subset["images"]) else ""
        out.append(
            f'<div data-subset="{name}"><h3><span class="key {name}"></span>{name}: {subset["size"]:,}{of}</h3>'
            f'<p class="quiet">{meaning}</p>{shown}</div>'
        )
    return f'<div class="columns">{"".join(out)}</div>'


def _img(uri: str, alt: str) -> str:
    if not uri:
        return f'<span class="none" role="img" aria-label="{escape(alt)}"></span>'
    return f'<img src="{uri}" alt="{escape(alt)}" title="{escape(alt)}" loading="lazy">'


def _glossary() -> str:
    words = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in _GLOSSARY.items())
    return (
        '<section class="card" id="words"><h3>Reading this page</h3><details><summary>Terms</summary>'
        f"<dl>{words}</dl></details></section>"
    )
