"""Open the page on a project: six linked views in the browser, on this machine only unless told otherwise."""

import argparse
from typing import TYPE_CHECKING

from inficond.core.cli.output import Output

if TYPE_CHECKING:
    from inficond.core import Project

SUMMARY = "open the page on a project"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("project", metavar="DIR", help="a project made by `inficond distill`")
    add_serving(parser)


def add_serving(parser: argparse.ArgumentParser) -> None:
    """The arguments that every command which serves the page has."""
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    parser.add_argument(
        "--mcp", action="store_true", help="offer the functions to MCP clients too (extra `mcp`)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Serve until interrupted."""
    from inficond.core import Project

    return serve(Project.open(args.project), args, out)


def serve(project: "Project", args: argparse.Namespace, out: Output) -> int:
    """Serve a project's page until interrupted."""
    from inficond.gradio_app.serve import serve_project

    return serve_project(project, args.host, args.port, not args.no_browser, out, args.mcp)
