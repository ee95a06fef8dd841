"""Serving the page from a command: a free port, one line that says where, a tidy end."""

import importlib.util
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING

from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.serving.ports import open_port

if TYPE_CHECKING:
    from inficond.core import Project


def serve_project(
    project: "Project", host: str, port: int | None, browser: bool, out: Output, mcp: bool = False
) -> int:
    """Serve a project until Ctrl+C or a polite kill.

    Parameters
    ----------
    project : Project
    host : str
        Address to listen on.
    port : int or None
        The first free one from 7860 where None.
    browser : bool
        Open a browser.
    out : Output
    mcp : bool
        Offer the page's functions to MCP clients too.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        The port is taken, the address is not this machine's, or `mcp` lacks its package.
    """
    if mcp and importlib.util.find_spec("mcp") is None:
        raise InputError("--mcp needs one more package: pip install 'inficond[mcp]'")
    open_port(host, port).close()  # says in one line why none can be listened on, before anything is loaded
    from inficond.gradio_app.app import build_page
    from inficond.gradio_app.guard import is_loopback

    page = build_page(project, local_folders=is_loopback(host))
    try:
        _, url, _ = page.launch(host, port, prevent_thread_lock=True, inbrowser=browser, mcp_server=mcp)
        out.say(f"{project.name}: {url}")
        if mcp:
            out.say(f"MCP clients: {url}gradio_api/mcp/")
        out.say("Ctrl+C stops it.")
        out.result({"url": url, "project": str(project.path)})
        sys.stdout.flush()
        _wait()
    finally:
        page.close()
    return 0


def _wait() -> None:
    """Sleep until interrupted; a polite kill counts as an interrupt."""
    stop = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        stop.set()

    for name in ("SIGINT", "SIGTERM"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    while not stop.wait(3600):
        pass
