"""Take the steps of a recipe on this project. Parts that do not apply are skipped and listed."""

import argparse

from inficond.core.cli.output import Output

SUMMARY = "take the steps of a recipe"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("project", metavar="DIR", help="project folder")
    parser.add_argument("recipe", metavar="RECIPE.json", help="output of `inficond recipe`")


def run(args: argparse.Namespace, out: Output) -> int:
    """Replay from the current node of the project."""
    from inficond.core.facade import Project
    from inficond.core.history.recipe import Recipe

    recipe = Recipe.read(args.recipe)
    session = Project.open(args.project).session("main")
    with session.exclusive():
        done = session.replay(recipe)
    for node in done.nodes:
        out.say(f"{node.id}  {node.title}")
    for skipped in done.skipped:
        out.say(f"skipped: {skipped}")
    out.say(f"{len(done.nodes)} of {len(recipe.steps)} steps taken")
    out.result(
        {
            "node": session.node,
            "nodes": [n.id for n in done.nodes],
            "skipped": [{"step": s.step, "what": s.what, "why": s.why} for s in done.skipped],
        }
    )
    return 0
