"""Every command and subcommand has a help text."""

import argparse
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from inficond.core.cli.main import build_parser

COMMANDS = sorted({point.name for point in entry_points(group="inficond.commands")})


def inside(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and the parsers of its subcommands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in {id(p): p for p in action.choices.values() if p}.values():
                yield from inside(sub)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_describes_the_command(name: str) -> None:
    parsers = [p for p in inside(build_parser(name)) if p.prog.split()[1:2] == [name]]
    assert parsers
    for parser in parsers:
        told = parser.format_help()
        assert told.startswith("usage: inficond " + name)
    assert parsers[0].description, f"{parsers[0].prog} does not say what it does"
