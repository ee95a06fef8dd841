"""Interface of a command, which an installed package may add."""

import argparse
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Protocol, runtime_checkable

from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.extensions import load
from inficond.core.file_access import in_home


def given_path(text: str) -> Path:
    """Return the path in an argument, for `type=` of argparse.

    Raises
    ------
    argparse.ArgumentTypeError
        It is empty, as a variable that is not set makes it; a `Path` would then be the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; is a variable not set?")
    return in_home(text)


@runtime_checkable
class Command(Protocol):
    """A module that is a subcommand; its docstring is the description in the help text.

    Importing it must be cheap: `inficond --help` imports all commands. A benchmark of ``inficond bench`` has
    the same interface.
    """

    SUMMARY: str
    """One line for the list of commands, in lower case, without a full stop."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments; ``--json`` is there already."""
        ...

    def run(self, args: argparse.Namespace, out: Output) -> int | None:
        """Run the command.

        Parameters
        ----------
        args : argparse.Namespace
        out : Output
            `say` prints a line of text, `result` the JSON object of ``--json``.

        Returns
        -------
        int or None
            The exit code; None means 0.

        Raises
        ------
        InputError
            The input is wrong: its text becomes one line on stderr and the exit code is 2.
        """
        ...


def load_command(point: EntryPoint) -> Command:
    """Import a command.

    Raises
    ------
    InputError
        It cannot be imported, or lacks a part of the interface.
    """
    module = load(point)
    missing = [name for name in ("SUMMARY", "configure", "run") if not hasattr(module, name)]
    if missing:
        raise InputError(
            f"the extension {point.name!r} ({point.value}) is not a command: it lacks {', '.join(missing)}"
        )
    return module
