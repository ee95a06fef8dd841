"""Redo the step that was undone last."""

import argparse

from inficond.core.cli.history_step import configure, move
from inficond.core.cli.output import Output

__all__ = ["SUMMARY", "configure", "run"]

SUMMARY = "redo the step that was undone last"


def run(args: argparse.Namespace, out: Output) -> int:
    """Move the project's branch."""
    return move(args, out, lambda session: session.redo())
