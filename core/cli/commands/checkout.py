"""Go to a node of the history, by id, beginning of an id, or name. Later steps branch off there."""

import argparse

from inficond.core.cli import history_step
from inficond.core.cli.output import Output

SUMMARY = "go to a node of the history"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    history_step.configure(parser)
    parser.add_argument("node", metavar="NODE", help="id or name, as listed by `inficond history`")


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's branch."""
    return history_step.move(args, out, lambda session: session.checkout(args.node))
