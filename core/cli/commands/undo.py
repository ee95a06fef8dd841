"""Go back one step of the history; nothing is deleted."""

import argparse

from inficond.core.cli.history_step import configure, move
from inficond.core.cli.output import Output

__all__ = ["SUMMARY", "configure", "run"]

SUMMARY = "go back one step"


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's own branch."""
    return move(args, out, lambda session: session.undo())
