"""The measurements that the README quotes; each compares within one run on this machine."""

import argparse
import pkgutil
from importlib import import_module

import inficond.core.bench
from inficond.core.cli.output import Output

SUMMARY = "measure this machine: solver, encode, app"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add a subcommand for each module of `inficond.core.bench` that is a benchmark."""
    chosen = parser.add_subparsers(dest="benchmark", metavar="WHAT", required=True)
    for found in pkgutil.iter_modules(inficond.core.bench.__path__):
        module = import_module(f"inficond.core.bench.{found.name}")
        if hasattr(module, "configure"):
            sub = chosen.add_parser(
                found.name,
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
