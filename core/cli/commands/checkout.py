"""Go to a node of the history, by id, the beginning of an id, or name; the next step branches off there."""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "go to a node of the history"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("node", metavar="NODE", help="id or name, as `inficond history` shows them")


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's own branch."""
    from inficond.core.facade import Project

    session = Project.open(args.project).session("main")
    with session.exclusive():
        left = session.node
        node = session.checkout(args.node)
    out.say(f"now at {node.id}  {node.title}")
    out.result({"node": node.id, "left": left, "title": node.title})
    return 0
