"""Open the page on a project, in the browser; by default only this machine can reach it.

The page works on the project itself: its steps are those of `inficond history`, in every tab and after a
restart. With `--isolated`, and if other machines can reach the page, each tab works on a copy of its own.
"""

import argparse
from typing import TYPE_CHECKING

from inficond.core.cli.output import Output

if TYPE_CHECKING:
    from inficond.core import Project

SUMMARY = "open the page on a project"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("project", metavar="DIR", help="a project made by `inficond distill`")
    add_server_arguments(parser)
    parser.add_argument(
        "--isolated",
        action="store_true",
        help="each browser tab works on a copy of its own; the project's history stays as it is",
    )


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of commands that serve the page."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    add("--port", type=int, help="default: the first free one from 7860")
    add("--no-browser", action="store_true", help="do not open a browser")
    add(
        "--public-name", action="append", default=[], metavar="NAME",
        help="host name under which others reach the page, such as a reverse proxy's; may be repeated",
    )  # fmt: skip
    add("--mcp", action="store_true", help="also offer the API to MCP clients (extra `mcp`)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Serve until interrupted."""
    from inficond.core import Project

    return serve(Project.open(args.project), args, out)


def serve(project: "Project", args: argparse.Namespace, out: Output) -> int:
    """Serve the page of a project until interrupted."""
    from inficond.gradio_app.serve import serve_project

    browser = not args.no_browser
    return serve_project(
        project, args.host, args.port, browser, out, args.mcp, args.public_name, args.isolated
    )
