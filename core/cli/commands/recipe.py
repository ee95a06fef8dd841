"""Print the steps of the project's branch as a recipe, to be replayed on this or another project.

example:
  inficond recipe DIR > RECIPE.json
"""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "print the steps of the branch as a recipe"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print JSON in either mode: the output is the recipe."""
    from inficond.core.facade import Project

    out.document(Project.open(args.project).session("main").recipe().to_json())
    return 0
