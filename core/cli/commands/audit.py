"""Audit a project: shortcuts of its students with repairs, or whether its words matter.

`inficond audit DIR` finds features of the images that a student follows although the truth does not: words of
the surroundings, colour casts, marks in a corner, sizes. Each finding has its images, the share of the error
that it explains, and the action that repairs it. Groups of images with many errors are listed as a tree.

`inficond audit words DIR` fits the students twice with the name prior: once with each class's own name, once
with every class given the name of its neighbour. If the wrong names predict the teacher as well, fidelity
does not show that the words are right; then only the crops do.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.core.atomic_io import replacing
from inficond.core.cli.output import Output
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.audit.tree import Group

SUMMARY = "find shortcuts of the students and their repairs; `audit words DIR` tests the words"
WORDS = "words"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "target", nargs="+", metavar="DIR", help="project folder; `words` before it tests the words instead"
    )
    parser.add_argument("--html", metavar="FILE", help="write a self-contained page with pictures")
    parser.add_argument(
        "--class", dest="classes", metavar="C", action="append", help="only this class; may be repeated"
    )
    parser.add_argument(
        "--strength",
        type=float,
        metavar="S",
        help="of the name prior, for `audit words` (default: the project's, or 0.4)",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Choose the audit that the arguments name, and run it."""
    if len(args.target) == 2 and args.target[0] == WORDS:
        if args.html or args.classes:
            raise InputError("`audit words` takes neither --html nor --class; leave them out")
        return _audit_words(args.target[1], args.strength, out)
    if len(args.target) != 1:
        raise InputError(
            f"{' '.join(args.target)!r:.80}: name one project, as in `inficond audit DIR` or "
            "`inficond audit words DIR`"
        )
    if args.strength is not None:
        raise InputError("--strength belongs to `inficond audit words DIR`; leave it out")
    return _audit(args.target[0], args.classes, args.html, out)


def _audit(project: str, classes: list[str] | None, html: str | None, out: Output) -> int:
    from inficond.core.audit.audit import METHOD, audit
    from inficond.core.facade import Project

    target = None if html is None else Path(html)
    if target is not None and (target.is_dir() or not target.absolute().parent.is_dir()):
        raise InputError(f"--html {target}: name a file in an existing folder")
    session = Project.open(project).session()
    made = audit(session, classes, progress=out.progress())
    if target is not None:
        from inficond.core.audit.page import render_audit

        text = render_audit(made, session.project).encode("utf-8")
        with replacing(target) as file:
            file.write(text)
    out.say(made.project)
    for one in made.classes:
        out.say()
        if one.problem is not None:
            out.say(f"{one.cls}: not audited: {one.problem}")
            continue
        out.say(f"{one.cls}: balanced error {100 * (one.error or 0):.0f} % compared with the {one.truth}")
        if one.note is not None:
            out.say(f"  note: {one.note}")
        for i, finding in enumerate(one.findings, 1):
            out.say(f"  {i}. {finding.sentence}")
            out.say(f"     {'repair: ' if finding.repair else ''}{finding.advice}")
        if not one.findings:
            out.say("  no significant shortcut")
        for group in one.tree:
            _say_group(group, out, "  ")
    if made.duplicates:
        out.say()
        out.say(
            f"{len(made.duplicates)} images of the tune part have a near-duplicate among the training images"
        )
    out.say()
    out.say(METHOD)
    if target is not None:
        out.say(f"page: {target} ({len(text) / 2**20:.1f} MB, opens offline)")
    out.result({**made.to_json(), "html": None if target is None else str(target)})
    return 0


def _say_group(group: "Group", out: Output, indent: str) -> None:
    """Print a group of the tree and its parts."""
    out.say(
        f"{indent}{group.name}: {len(group.wrong)} of {len(group.rows)} wrong, "
        f"{100 * group.share:.0f} % of all errors"
    )
    for part in group.parts:
        _say_group(part, out, indent + "  ")


def _audit_words(folder: str, strength: float | None, out: Output) -> int:
    """Fit both students of the word-order test, print fidelity, absent concepts and the largest words."""
    from inficond.core.facade import Project
    from inficond.core.report.controls import control_lines
    from inficond.core.sessions.word_audit import audit_words

    project = Project.open(folder)
    for line in control_lines(project.config.get("controls")):
        out.say(line)
    found = audit_words(project.session(), strength)
    out.say(f"{'':24}{'fidelity AP':>12}{'absent':>8}  of yes answers")
    for name, one in (("own names", found.own), ("names of neighbours", found.neighbours)):
        absent = "–" if one.absent is None else f"{one.absent:.0%}"
        ap = "–" if one.ap is None else f"{one.ap:.3f}"
        out.say(f"{name:24}{ap:>12}{absent:>8}")
    for cls in found.own.words:
        out.say(f"{cls}: {', '.join(found.own.words[cls])}")
        out.say(f"  with the name {found.given[cls]!r}: {', '.join(found.neighbours.words[cls])}")
    out.say(found.verdict)
    out.result(found.to_json())
    return 0
