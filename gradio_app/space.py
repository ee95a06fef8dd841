"""The page on a Hugging Face Space: one read-only project for many visitors, whose visits are not stored."""

import contextlib
import ctypes
import os
import threading
from pathlib import Path

from inficond.core import Project
from inficond.core.garbage import exclude_loaded
from inficond.gradio_app.app import Page, build_page

M_ARENA_MAX = -8
"""Parameter of glibc's `mallopt`: the number of memory arenas."""


def serve_space(project: Path) -> None:
    """Serve a project until the Space is stopped.

    Parameters
    ----------
    project : Path
        A project folder, which may be read-only. Visitors tune in memory, each separately.

    Notes
    -----
    The address comes from `GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT`, which a Space sets.
    """
    _limit_malloc_arenas()
    page = build_space_page(project)
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    page.start(host, int(os.environ.get("GRADIO_SERVER_PORT", "7860")))
    exclude_loaded()
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()
    page.close()


def build_space_page(project: Path) -> Page:
    """Build the page of a Space: visitors cannot name a path of the server, and no visit is saved."""
    page = build_page(Project.open(project), local_folders=False)
    page.visitors.disable_saving()
    return page


def _limit_malloc_arenas() -> None:
    """Let all threads allocate from two arenas (glibc), since each arena keeps the memory it once needed."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
