"""Open the page on the built-in demo project: offline, nothing to prepare."""

import argparse

from inficond.core.cli.output import Output
from inficond.gradio_app.commands.launch import add_serving, serve

SUMMARY = "open the page on the built-in demo, offline"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_serving(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Make the demo project where it is not there yet, and serve it until interrupted."""
    from inficond.core.demo import demo_project
    from inficond.core.project.project import Project

    return serve(Project.open(demo_project()), args, out)
