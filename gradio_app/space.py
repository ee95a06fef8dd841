"""The page as a Hugging Face Space serves it: one read-only project, many visitors, nothing of them kept."""

import contextlib
import ctypes
import os
from pathlib import Path

from inficond.core import Project
from inficond.gradio_app.app import Page, build_page


def serve(project: Path) -> None:
    """Serve a project until the Space is stopped.

    Parameters
    ----------
    project : Path
        A project folder; it may be read-only. Visitors tune in memory, each for themselves.

    Notes
    -----
    The address comes from `GRADIO_SERVER_NAME` and `GRADIO_SERVER_PORT`, which a Space sets.
    """
    _share_memory()
    page = build_space_page(project)
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    page.launch(host, int(os.environ.get("GRADIO_SERVER_PORT", "7860")))


def build_space_page(project: Path) -> Page:
    """The page on a project, for strangers: none may name a folder of the machine, and no visit is kept."""
    page = build_page(Project.open(project), local_folders=False)
    page.visitors.disable_saving()
    return page


def _share_memory() -> None:
    """Let threads allocate from two arenas (glibc): each keeps what it once needed, and a server has many."""
    M_ARENA_MAX = -8
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
