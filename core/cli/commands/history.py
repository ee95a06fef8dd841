"""Print the steps taken on a project as a tree; name and annotate them; verify the history.

examples:
  inficond history DIR
  inficond history DIR --name 3f2a9c "without water"
  inficond history DIR --check
"""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "print the tree of steps; name and annotate nodes"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("--name", nargs=2, metavar=("NODE", "TEXT"), help="name a node")
    parser.add_argument("--annotate", nargs=2, metavar=("NODE", "TEXT"), help="write a note about a node")
    parser.add_argument("--check", action="store_true", help="compare every node with its hash")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the tree."""
    from inficond.core.facade import Project

    session = Project.open(args.project).session("main")
    if args.name:
        session.name(*args.name)
    if args.annotate:
        session.annotate(*args.annotate)
    checked = session.context.history_store.check() if args.check else None
    nodes = session.tree()
    for t in nodes:
        mark = "→" if t.current else " "
        named = f"  “{t.name}”" if t.name else ""
        out.say(
            f"{mark} {'  ' * t.depth}{t.node.id}  {t.node.title}{named}  ({t.node.who}, {t.node.when[:19]})"
        )
        for line in filter(None, (t.node.note, t.note)):
            out.say(f"  {'  ' * t.depth}  {line}")
    if checked is not None:
        out.say(f"{checked} nodes verified")
    out.result(
        {
            "current": session.node,
            "checked": checked,
            "nodes": [
                {
                    **t.node.to_json(),
                    "name": t.name,
                    "annotation": t.note,
                    "current": t.current,
                    "depth": t.depth,
                }
                for t in nodes
            ],
        }
    )
    return 0
