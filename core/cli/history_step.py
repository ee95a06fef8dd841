"""Shared code of the commands that move the project's branch: `undo`, `redo`, `checkout`."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from inficond.core.cli.output import Output

if TYPE_CHECKING:
    from inficond.core.history.node import Node
    from inficond.core.sessions.session import Session


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")


def move(args: argparse.Namespace, out: Output, step: "Callable[[Session], Node]") -> int:
    """Move the project's branch by `step` and print its new node."""
    from inficond.core.facade import Project

    session = Project.open(args.project).session("main")
    with session.exclusive():
        left = session.node
        node = step(session)
    out.say(f"now at {node.id}  {node.title}")
    out.result({"node": node.id, "left": left, "title": node.title})
    return 0
