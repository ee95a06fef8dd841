"""Open the page on the built-in demo project: offline, nothing to download.

The first start compiles the solver and draws the demo's pictures, once; `--prepare-only` does just that, so
that an
installer can do it beforehand (`make demo` does).
"""

import argparse

from inficond.core.cli.output import Output
from inficond.gradio_app.commands.launch import add_serving, serve

SUMMARY = "open the page on the built-in demo, offline"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_serving(parser)
    parser.add_argument("--prepare-only", action="store_true", help="do what the first start needs, and stop")


def run(args: argparse.Namespace, out: Output) -> int:
    """Make the demo project where it is not there yet, and serve it until interrupted."""
    from inficond.core import Project
    from inficond.core.demo import demo_project

    project = Project.open(demo_project())
    if not args.prepare_only:
        return serve(project, args, out)
    from inficond.gradio_app.app import build_page

    # What a first visitor would touch, so that every kernel on the way is compiled and kept.
    session = project.session()
    session.summary()
    session.suggest(project.classes[0])
    build_page(project).close()
    out.say(f"ready: {project.path}")
    out.result({"project": str(project.path)})
    return 0
