"""Open the page on the built-in demo project; works offline and downloads nothing.

The first start compiles the solver and renders the demo's images, once. `--prepare-only` does only that, for
installers (`make demo` uses it).
"""

import argparse

from inficond.core.cli.output import Output
from inficond.gradio_app.commands.launch import add_server_arguments, serve

SUMMARY = "open the page on the built-in demo, offline"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_server_arguments(parser)
    parser.add_argument("--prepare-only", action="store_true", help="prepare the files of the demo and stop")


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the demo project if it does not exist yet, and serve it until interrupted."""
    from inficond.core import Project
    from inficond.core.demo import demo_project

    project = Project.open(demo_project())
    args.isolated = True  # the tour starts from the fitted students each time
    if not args.prepare_only:
        return serve(project, args, out)
    from inficond.gradio_app.app import build_page

    # Run what a first visitor uses, so that all kernels are compiled and cached.
    session = project.session()
    session.summary()
    session.suggest(project.classes[0])
    build_page(project).close()
    out.say(f"ready: {project.path}")
    out.result({"project": str(project.path)})
    return 0
