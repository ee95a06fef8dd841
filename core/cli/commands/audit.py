"""Audit the words of a project: does it matter which class gets which words?

`inficond audit words DIR` fits the students twice with the name prior: once with each class's own name, once
with every class given the name of its neighbour. If the wrong names predict the teacher as well, fidelity
does not show that the words are right; then only the crops do.
"""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "test whether the words of a project matter: every class given its neighbour's name"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", choices=("words",), help="what is audited")
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument(
        "--strength", type=float, metavar="S", help="of the name prior (default: the project's, or 0.4)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Fit both, print fidelity, absent concepts and the largest words."""
    from inficond.core.facade import Project
    from inficond.core.report.controls import control_lines
    from inficond.core.sessions.word_audit import audit_words

    project = Project.open(args.project)
    for line in control_lines(project.config.get("controls")):
        out.say(line)
    found = audit_words(project.session(), args.strength)
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
