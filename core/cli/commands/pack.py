"""Pack projects, model folders or exported students into one file for an offline machine.

Of a project's history, only its own branch is packed; visits of others and hidden files are left out.
"""

import argparse

from inficond.core.bundle import pack
from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output

SUMMARY = "pack projects and models into one file for an offline machine"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "sources", nargs="+", type=given_path, metavar="SOURCE", help="project, model folder or file"
    )
    parser.add_argument("--out", required=True, type=given_path, metavar="FILE", help="the archive to write")


def run(args: argparse.Namespace, out: Output) -> None:
    """Pack, and print the size."""
    done = pack(args.sources, args.out, out.progress())
    out.say(f"{args.out}: {done['files']:,} files, {done['bytes'] / 1e6:,.1f} MB")
    out.result({"archive": str(args.out), **done})
