"""Serving the page from a command until it is interrupted."""

import importlib.util
import os
import queue
import signal
import sys
from collections.abc import Iterable
from types import FrameType
from typing import TYPE_CHECKING

from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.garbage import exclude_loaded
from inficond.core.serving.ports import open_port

if TYPE_CHECKING:
    from inficond.core import Project

END_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
"""Signals that end the page in order; those that the system has."""
SIGNAL_SECONDS = 0.5
"""Longest delay of a signal."""


def serve_project(
    project: "Project",
    host: str,
    port: int | None,
    browser: bool,
    out: Output,
    mcp: bool = False,
    public_names: Iterable[str] = (),
    isolated: bool = False,
) -> int:
    """Serve a project until Ctrl+C or another signal of `END_SIGNALS`.

    Parameters
    ----------
    project : Project
    host : str
        Address to listen on.
    port : int or None
        The first free one from 7860 if None.
    browser : bool
        Whether to open a browser.
    out : Output
    mcp : bool
        Whether to offer the API to MCP clients.
    public_names : iterable of str
        Host names under which others reach the page.
    isolated : bool
        Whether each browser tab works on a copy of its own even if only this machine reaches the page. This
        is always so if others reach it, and if the project cannot be written.

    Returns
    -------
    int
        0.

    Raises
    ------
    InputError
        The port is in use, the address is not one of this machine, or `mcp` needs its package.
    """
    if mcp and importlib.util.find_spec("mcp") is None:
        raise InputError("--mcp needs one more package: pip install 'inficond[mcp]'")
    open_port(host, port).close()  # fails in one line before anything slow is imported
    from inficond.gradio_app.access import is_loopback
    from inficond.gradio_app.app import build_page

    signals = _end_signals()
    names = tuple(public_names)
    local = is_loopback(host)
    one_history = local and not names and not isolated and os.access(project.path, os.W_OK)
    page = build_page(project, local_folders=local, one_history=one_history)
    try:
        url = page.start(host, port, mcp, names)
        exclude_loaded()
        out.say(f"{project.name}: {page.owner_url}")
        if page.owner_key.value:
            out.say("This address lets you open folders of this machine: do not share it.")
        if one_history:
            out.say("Steps are written to the project's history: `inficond history` lists them.")
        if mcp:
            out.say(f"MCP clients: {url}gradio_api/mcp/")
        out.say("Ctrl+C stops it.")
        out.result({"url": url, "owner_url": page.owner_url, "project": str(project.path)})
        sys.stdout.flush()
        if browser:
            page.open_in_browser()
        # A signal that the system delivers to another thread runs its handler when this thread wakes up.
        while not _arrived(signals):
            pass
    finally:
        page.close()
    return 0


def _end_signals() -> queue.SimpleQueue[int]:
    """Return a queue that receives the signals of `END_SIGNALS`.

    Its `put` may interrupt its `get`. The `set` of an event may not interrupt its `wait`: with two signals at
    once, as from `make` and from the terminal, the process would wait for its own lock.
    """
    received: queue.SimpleQueue[int] = queue.SimpleQueue()

    def end(signum: int, frame: FrameType | None) -> None:
        received.put(signum)

    for name in END_SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end)
    return received


def _arrived(signals: queue.SimpleQueue[int]) -> bool:
    """Wait for a signal for at most `SIGNAL_SECONDS`."""
    try:
        signals.get(timeout=SIGNAL_SECONDS)
    except queue.Empty:
        return False
    return True
