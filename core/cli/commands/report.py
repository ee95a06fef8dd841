"""Report the quality of a project's current students: fidelity with intervals, accuracy, concepts, slices.

examples:
  inficond report DIR                     a table
  inficond report DIR --html report.html  one page with pictures that opens offline
  inficond report DIR --json              all results for programs
"""

import argparse
from pathlib import Path
from typing import Any

from inficond.core.atomic_io import replacing
from inficond.core.cli.output import Output
from inficond.core.errors import InputError

SUMMARY = "report the quality of the students: a table, or a page with pictures"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("--html", metavar="FILE", help="write a self-contained page with pictures")
    parser.add_argument(
        "--class", dest="classes", metavar="C", action="append", help="only this class; may be repeated"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Measure, print, and write the page if requested."""
    from inficond.core.facade import Project
    from inficond.core.report import render_html, report
    from inficond.core.report.pictures import ReportPictures

    target = _writable(args.html) if args.html else None
    session = Project.open(args.project).session()
    data = report(session, classes=args.classes, progress=out.progress())
    if target is not None:
        pictures = ReportPictures.of(session.context)
        text = render_html(data, pictures).encode("utf-8")
        with replacing(target) as file:
            file.write(text)
    _say(data, out)
    if target is not None:
        out.say()
        out.say(f"page: {target} ({len(text) / 2**20:.1f} MB, opens offline)")
    out.result({**data, "html": None if target is None else str(target)})
    return 0


def _writable(name: str) -> Path:
    """Validate the path of the page before anything is measured."""
    path = Path(name)
    if path.is_dir():
        raise InputError(f"--html {path} is a folder: name a file in it, for example {path / 'report.html'}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--html {path}: the folder {path.parent} does not exist; create it first")
    return path


def _say(data: dict[str, Any], out: Output) -> None:
    out.say(data["project"]["name"])
    for line in data["summary"]:
        out.say(f"  {line}")
    _table(data, out)
    for c in data["classes"]:
        if c["concepts"]:
            words = ", ".join(f"{k['name']} {k['weight']:+.2f}" for k in c["concepts"][:6])
            out.say()
            out.say(f"{c['name']}: {words}")
        for s in c["slices"][:3]:
            out.say(f"  {s['kind']}: {s['text']} (p ≤ {s['p_value']:.2g})")
        for note in c["metrics"]["notes"]:
            out.say(f"  note: {note}")


def _table(data: dict[str, Any], out: Output) -> None:
    """Print one line per class, then the means."""
    from inficond.core.report.wording import figure, percent

    overall = data["overall"]
    labelled = overall["accuracy"] is not None
    width = max([len(c["name"]) for c in data["classes"]] + [18])
    heads = ["AP", "95 %", "random", "bal.agr", "F1", "NEC", "ANEC5", "missed", "extra"]
    heads += ["acc.S", "acc.T"] * labelled
    sizes = [5, 13, 6, 7, 5, 4, 5, 6, 5, 5, 5]

    def line(name: str, cells: list[str]) -> None:
        out.say(f"{name:<{width}}  " + " ".join(f"{x:>{n}}" for x, n in zip(cells, sizes)))

    out.say()
    line("class", heads)
    for c in data["classes"]:
        m, at = c["metrics"], c["intervals"]["ap"]
        random = c["baseline"]["metrics"]["ap"] if c["baseline"] else None
        cells = [figure(m["ap"]), f"{figure(at['low'])} … {figure(at['high'])}", figure(random)]
        cells += [percent(m["balanced_agreement"]), figure(m["f1"]), str(m["nec"]), figure(m["anec5"])]
        cells += [str(m["counts"]["missed"]), str(m["counts"]["extra"])]
        if labelled:
            pair = (m["student_accuracy"], m["teacher_accuracy"])
            cells += [figure(a["ap"] if a else None) for a in pair]
        line(c["name"], cells)
    fidelity, baseline, accuracy = overall["fidelity"], overall["baseline"], overall["accuracy"]
    cells = [figure(fidelity["ap"]), "", "", percent(fidelity["balanced_agreement"]), figure(fidelity["f1"])]
    cells += [figure(overall["nec"], 0), figure(overall["anec5"])]
    if labelled:
        cells += ["", "", figure(accuracy["student"]["ap"]), figure(accuracy["teacher"]["ap"])]
    if len(data["classes"]) > 1:
        line("mean", cells)
    if baseline:
        cells = [figure(baseline["ap"]), "", "", percent(baseline["balanced_agreement"])]
        line(
            "random directions",
            [*cells, figure(baseline["f1"]), figure(baseline["nec"], 0), figure(baseline["anec5"])],
        )
