"""The `inficond` command: finds its subcommands by entry point, runs one, turns errors into exit codes.

Exit codes: 0 done; 2 wrong use or bad input (one line on stderr); 1 a fault of ours (traceback).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

from inficond.core import __version__
from inficond.core.cli.completion import PrintCompletion
from inficond.core.cli.output import Output
from inficond.core.errors import Cancelled, InputError

ORDER = [
    "demo", "distill", "launch", "report", "tune", "history", "undo", "redo", "checkout", "compare",
    "recipe", "replay", "predict", "export", "bench", "doctor",
]  # fmt: skip

DESCRIPTION = """\
Distil an image classifier (the teacher) into small, readable students: linear models over visual
concepts such as "wheel", "water" or "fur"; then correct them without code.
"""

EPILOG = """\
first steps:
  inficond demo                          see it work, offline
  inficond distill PHOTOS --out DIR      your photographs -> concept vectors -> students
  inficond launch DIR                    look at them, correct them

`inficond COMMAND --help` tells more about each. For completion of commands in bash:
  eval "$(inficond --print-completion bash)"
"""


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong use is one line that also says where help is."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: {message} (see `{self.prog} --help`)", file=sys.stderr)
        raise SystemExit(2)


def commands() -> dict[str, EntryPoint]:
    """The installed subcommands, in the order in which help shows them."""
    found = {e.name: e for e in entry_points(group="inficond.commands")}
    rank = {name: i for i, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(ORDER)), item[0])))


def build_parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """The parser; only the command `wanted` is imported, or all of them when it is None (for help)."""
    parser = _Parser(
        prog="inficond",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inficond {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        help="print what makes a shell complete these commands (bash, zsh, tcsh)",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, entry in commands().items():
        if wanted is not None and name != wanted:
            subparsers.add_parser(name)
            continue
        try:
            module = import_module(entry.value)
        except ImportError as error:
            if wanted is not None:
                raise
            subparsers.add_parser(name, help=f"(cannot be loaded: {error})")
            continue
        sub = subparsers.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        module.configure(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `inficond` with `argv`; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    wanted = argv[0] if argv and argv[0] in commands() else None
    parser = build_parser(wanted)
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    out = Output(args.json)
    try:
        return int(args.run(args, out) or 0)
    except InputError as error:
        print(f"inficond {args.command}: {error}", file=sys.stderr)
        return 2
    except Cancelled as error:
        print(f"inficond {args.command}: {error}; run it again to go on", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(f"\ninficond {args.command}: stopped; what was finished is kept", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())
