"""Maintain a project folder.

`upgrade` rewrites a project of an older version in the current format, which has few files: thumbnails are
packed by the thousand. Older projects also open without it. Images, students and history stay as they are.
Close pages that show the project first.
"""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "rewrite a project folder in the current format"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("what", choices=("upgrade",), help="what is done")
    parser.add_argument("project", metavar="DIR", help="project folder")


def run(args: argparse.Namespace, out: Output) -> int:
    """Upgrade the project and say what was done."""
    from inficond.core.project.upgrade import upgrade

    line = upgrade(args.project, out.progress())
    out.say(line)
    out.result({"project": args.project, "done": line})
    return 0
