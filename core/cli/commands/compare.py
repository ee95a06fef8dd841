"""Compare two nodes of the history: weights, metrics with intervals, images that changed subset."""

import argparse

from inficond.core.cli.commands.tune import say_change
from inficond.core.cli.output import Output

SUMMARY = "compare two nodes of the history"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("a", metavar="A", help="first node, by id or name")
    parser.add_argument("b", metavar="B", help="second node")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the differences."""
    from inficond.core.facade import Project

    session = Project.open(args.project).session("main")
    found = session.compare(args.a, args.b)
    for node in (found.a, found.b):
        out.say(f"{node.id}  {node.title}")
    if not found.classes:
        out.say("  no class differs")
    ids = session.image_ids
    for change in found.classes.values():
        say_change(out, change)
        for label, rows in (("newly agree", change.fixed), ("newly disagree", change.broken)):
            if len(rows):
                more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
                out.say(f"      {label}: {', '.join(ids[int(r)] for r in rows[:5])}{more}")
    out.result(
        {
            "a": found.a.id,
            "b": found.b.id,
            "classes": {
                cls: {
                    **change.to_json(),
                    "fixed": [ids[r] for r in change.fixed],
                    "broken": [ids[r] for r in change.broken],
                }
                for cls, change in found.classes.items()
            },
        }
    )
    return 0
