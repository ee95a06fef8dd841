"""Go forward again to what was undone last."""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "go forward to what was undone last"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("project", metavar="DIR", help="project folder")


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's own branch."""
    from inficond.core.project.project import Project

    session = Project.open(args.project).session("main")
    with session.exclusive():
        left = session.node
        node = session.redo()
    out.say(f"now at {node.id}  {node.title}")
    out.result({"node": node.id, "left": left, "title": node.title})
    return 0
