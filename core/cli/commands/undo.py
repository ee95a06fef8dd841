"""Undo the last step of the history. Nothing is deleted."""

import argparse

from inficond.core.cli.history_step import configure, move
from inficond.core.cli.output import Output

__all__ = ["SUMMARY", "configure", "run"]

SUMMARY = "undo the last step"


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's branch."""
    return move(args, out, lambda session: session.undo())
