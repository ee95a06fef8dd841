"""Unpack an archive made by `inficond pack`, after verifying every byte."""

import argparse
from pathlib import Path

from inficond.core.bundle import unpack
from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output

SUMMARY = "unpack such a file and verify its checksums"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("archive", type=given_path, metavar="FILE", help="the archive")
    parser.add_argument(
        "--out",
        type=given_path,
        default=Path(),
        metavar="DIR",
        help="target folder (default: the current one)",
    )


def run(args: argparse.Namespace, out: Output) -> None:
    """Unpack, and print what was created."""
    made = unpack(args.archive, args.out, out.progress())
    for path in made:
        out.say(str(path))
    out.result({"made": [str(p) for p in made]})
