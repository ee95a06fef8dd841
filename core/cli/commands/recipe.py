"""The steps from the beginning to where the project stands, as a file to replay here or on another project.

example:
  inficond recipe DIR > RECIPE.json
"""

import argparse
import json

from inficond.core.cli.output import Output

SUMMARY = "print the steps taken, to be replayed elsewhere"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("project", metavar="DIR", help="project folder")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print JSON, whether asked for or not: the output is the recipe."""
    from inficond.core.project.project import Project

    recipe = Project.open(args.project).session("main").recipe().to_json()
    out.say(json.dumps(recipe, indent=1, ensure_ascii=False))
    out.result(recipe)
    return 0
