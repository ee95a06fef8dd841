"""Shell completion: scripts generated from the installed commands."""

import argparse
from collections.abc import Callable
from typing import Any

SHELLS = ("bash", "zsh", "tcsh")
FILES = {"DIR", "FILE", "IMAGES", "STUDENT", "STUDENT.onnx", "ARCHIVE", "RECIPE", "CSV", "PROJECT", "SOURCE"}
"""Placeholders in help texts that stand for a file or a folder."""


class PrintCompletion(argparse.Action):
    """Option `--print-completion SHELL`, which prints the script and exits."""

    def __init__(self, build: Callable[[], argparse.ArgumentParser], **options: Any) -> None:
        super().__init__(**{**options, "choices": SHELLS, "metavar": "SHELL"})
        self._build = build

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: Any = None
    ) -> None:
        """Print the script for the shell `values`, and exit."""
        import shtab

        whole = self._build()
        _mark_files(whole)
        print(shtab.complete(whole, shell=values))
        parser.exit()


def _mark_files(parser: argparse.ArgumentParser) -> None:
    """Mark arguments as files for shtab, by their placeholders."""
    import shtab

    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in {id(p): p for p in action.choices.values()}.values():
                _mark_files(sub)
        elif FILES & set(_placeholders(action)):
            action.complete = shtab.FILE  # type: ignore[attr-defined]


def _placeholders(action: argparse.Action) -> tuple[str, ...]:
    shown = action.metavar or action.dest
    return shown if isinstance(shown, tuple) else (shown,)
