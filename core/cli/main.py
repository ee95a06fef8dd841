"""The `inficond` command: loads subcommands by entry point, runs one and converts errors to exit codes.

Exit codes: 0 success; 2 wrong use or bad input (one line on stderr); 1 an internal error (traceback); 130
interrupted.
"""

import argparse
import os
import sys
import threading
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from typing import NoReturn

from inficond.core.cli.command import load_command
from inficond.core.cli.completion import PrintCompletion
from inficond.core.cli.output import Output, complain, discard, prepare_streams
from inficond.core.errors import Cancelled, InputError, fault_of_library, fault_of_surroundings, one_line
from inficond.core.extensions import COMMANDS, extensions
from inficond.core.file_access import in_home
from inficond.core.garbage import collect_rarely
from inficond.core.processors import available_processors
from inficond.core.version import __version__

ORDER = [
    "demo", "distill", "launch", "report", "tune", "history", "undo", "redo", "checkout", "compare",
    "recipe", "replay", "predict", "export", "bench", "doctor",
]  # fmt: skip

DESCRIPTION = """\
Distil an image classifier (the teacher) into small, readable linear models (the students) over visual
concepts such as "wheel", "water" or "fur", and correct them without code.
"""

EPILOG = """\
first steps:
  inficond demo                          open the built-in demo, offline
  inficond distill PHOTOS --out DIR      build a project from your photographs
  inficond launch DIR                    inspect and correct its students

`inficond COMMAND --help` describes a command. To complete commands in bash:
  eval "$(inficond --print-completion bash)"
"""


NO_THREADS = "cannot start a thread; allow more processes and memory (`ulimit -u`, `ulimit -v`)"
FEW_PROCESSES = 1000
"""Limit of processes and threads below which the number that can be started is tried."""


class _Parser(argparse.ArgumentParser):
    """Argument parser that reports wrong use as one line."""

    def error(self, message: str) -> NoReturn:
        complain(f"{self.prog}: {one_line(message)} (see `{self.prog} --help`)")
        raise SystemExit(2)


def commands() -> dict[str, EntryPoint]:
    """Return the installed subcommands in the order of the help text."""
    found = extensions(COMMANDS)
    rank = {name: i for i, name in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: (rank.get(item[0], len(ORDER)), item[0])))


def build_parser(wanted: str | None = None, arguments: bool = True) -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Parameters
    ----------
    wanted : str, optional
        Only this command is imported; by default all of them are.
    arguments : bool
        Whether the commands' own arguments are added. The list of commands does not need them, and those of
        `bench` import every benchmark.
    """
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
        build=build_parser,
        help="print the completion script for a shell (bash, zsh, tcsh)",
    )
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)
    for name, entry in commands().items():
        if wanted is not None and name != wanted:
            subparsers.add_parser(name)
            continue
        try:
            module = load_command(entry)
        except InputError as error:
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
        if not arguments:
            continue
        sub.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        module.configure(sub)
        sub.set_defaults(run=module.run)
    return parser


def _in_home(argument: str) -> str:
    """Expand the ``~`` of ``--option=~/path``, which shells leave as it is."""
    option, _, value = argument.partition("=")
    return f"{option}={in_home(value)}" if option.startswith("--") and value.startswith("~") else argument


def _has_current_folder() -> bool:
    try:
        os.getcwd()
    except OSError:
        return False
    return True


def _can_start(count: int) -> bool:
    """Return whether so many threads can run at once."""
    release = threading.Event()
    try:
        for _ in range(count):
            threading.Thread(target=release.wait, daemon=True).start()
    except RuntimeError:
        return False
    finally:
        release.set()
    return True


def _check_threads() -> None:
    """Refuse a low limit of threads: libraries of linear algebra end the process where they reach it.

    Raises
    ------
    InputError
        Fewer threads can be started than the libraries start.
    """
    try:
        import resource

        most = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    except (ImportError, AttributeError, OSError, ValueError):  # systems without this limit
        return
    if 0 <= most < FEW_PROCESSES and not _can_start(3 * available_processors() + 2):
        raise InputError(NO_THREADS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `inficond` with `argv`; return the exit code."""
    argv = [_in_home(text) for text in (sys.argv[1:] if argv is None else argv)]
    prepare_streams()
    name = "inficond"
    try:
        wanted = argv[0] if argv and argv[0] in commands() else None
        lists_commands = not argv or argv[0] in ("-h", "--help")
        parser = build_parser(wanted, arguments=not lists_commands)
        args = parser.parse_args(argv)
        if args.command is None:
            parser.print_help()
            return 0
        name, out = f"inficond {args.command}", Output(args.json)
        _check_threads()
        code = int(args.run(args, out) or 0)
        out.flush()
        return code
    except InputError as error:
        complain(f"{name}: {error}")
        return 2
    except FileNotFoundError as error:
        if "No usable temporary directory" in str(error):  # of Python's tempfile
            complain(f"{name}: no folder for temporary files can be written: set TMPDIR to one that can")
            return 2
        if _has_current_folder():
            raise
        complain(f"{name}: the current folder was deleted; change to another folder")
        return 2
    except MemoryError:
        complain(f"{name}: not enough memory; close other programs or use a machine with more memory")
        return 2
    except RuntimeError as error:
        if "start new thread" not in str(error):  # of Python's threading
            raise
        complain(f"{name}: {NO_THREADS}")
        return 2
    except Cancelled as error:
        complain(f"{name}: {error}; run it again to continue")
        return 130
    except KeyboardInterrupt:
        if not _can_start(1):  # OpenBLAS interrupts the process where it cannot start its threads
            complain(f"{name}: {NO_THREADS}")
            return 2
        complain(f"\n{name}: interrupted; finished work is kept")
        return 130
    except BrokenPipeError:
        discard(sys.stdout)
        return 0
    except (ImportError, OSError) as error:
        fault = fault_of_library(error) if isinstance(error, ImportError) else fault_of_surroundings(error)
        if fault is None:
            raise
        complain(f"{name}: {fault}")
        return 2


def run_process() -> int:
    """Run `inficond` in a process of its own; return the exit code."""
    collect_rarely()
    return main()


if __name__ == "__main__":
    raise SystemExit(run_process())
