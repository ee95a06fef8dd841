"""Build the project of a plan from the shards that `inficond encode` made.

The project is the same as from `inficond distill` in one process.

example:
  inficond merge pets.plan --store /scratch/pets
"""

import argparse

from inficond.core.cli.command import given_path
from inficond.core.cli.commands.encode import add_worker_options
from inficond.core.cli.output import Output, progress_line

SUMMARY = "build the project of a plan from the shards of its parts"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("plan", type=given_path, metavar="PLAN", help="the file that `inficond distill … --plan` wrote")
    add_worker_options(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the project and print the quality of its students, as `inficond distill` does."""
    from inficond.core.cli.built_project import print_built
    from inficond.core.pipeline.plan import merge, read_plan

    local = {"provider": args.provider, "workers": args.workers, "cache": not args.no_cache}
    with progress_line(out) as progress:
        path = merge(read_plan(args.plan, args.network), args.store, progress, **local)
    print_built(path, out)
    return 0
