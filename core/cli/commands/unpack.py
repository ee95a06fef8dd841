"""Unpack an archive made by `inficond pack`, after checking every byte of it."""

import argparse
from pathlib import Path

from inficond.core.bundle import unpack
from inficond.core.cli.output import Output

SUMMARY = "unpack such a file, its hashes checked"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("archive", type=Path, metavar="FILE", help="the archive")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to (default: here)")


def run(args: argparse.Namespace, out: Output) -> None:
    """Unpack and say what is there now."""
    made = unpack(args.archive, args.out, out.progress())
    for path in made:
        out.say(str(path))
    out.result({"made": [str(p) for p in made]})
