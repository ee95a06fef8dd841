"""Run the benchmarks quoted in the README. Each compares within one run on this machine."""

import argparse

from inficond.core.cli.command import load_command
from inficond.core.cli.output import Output
from inficond.core.extensions import BENCHMARKS, extensions

SUMMARY = "run a benchmark: solver, encode, app"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each benchmark; entry points keep core independent of torch."""
    chosen = parser.add_subparsers(dest="benchmark", metavar="WHAT", required=True)
    for name, found in extensions(BENCHMARKS).items():
        module = load_command(found)
        sub = chosen.add_parser(
            name,
            help=module.SUMMARY.replace("%", "%%"),  # argparse formats help, not descriptions
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        module.configure(sub)
        sub.set_defaults(measure=module.run)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the chosen benchmark."""
    return int(args.measure(args, out) or 0)
