"""The page: the top bar, six views on one board, and what serves them."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.middleware import Middleware

from inficond.gradio_app import api, theme
from inficond.gradio_app.compression import CompressionMiddleware
from inficond.gradio_app.guard import RequestGuard, forbid_url_fetching, is_loopback
from inficond.gradio_app.health import PageHealth
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.views import all_views
from inficond.gradio_app.visitor import VisitorRegistry

if TYPE_CHECKING:
    from inficond.core import Project

MAX_UPLOAD = 24 * 2**20
"""Bytes of one uploaded image."""
SWEEP_SECONDS, KEEP_SECONDS = 600, 3600
"""How often uploads and copies of exports that nobody took are looked for, and how old they get."""


@dataclass
class Page:
    """A built page: the Gradio app and what it was built on.

    Parameters
    ----------
    blocks : gr.Blocks
    visitors : VisitorRegistry
    files : PageFiles
    rpc : RpcServer
    options : dict
        Whatever its maker wants to keep with it.
    health : PageHealth or None
        What `/health` tells.
    """

    blocks: gr.Blocks
    visitors: VisitorRegistry
    files: PageFiles
    rpc: RpcServer
    options: dict[str, Any] = field(default_factory=dict)
    health: PageHealth | None = None

    def launch(self, host: str = "127.0.0.1", port: int | None = None, **more: Any) -> tuple[Any, str, str]:
        """Serve the page.

        Parameters
        ----------
        host : str
            Loopback by default: nobody else can reach it.
        port : int, optional
            The first free one from 7860 by default.
        **more
            Passed to `gr.Blocks.launch`.

        Returns
        -------
        tuple
            The FastAPI app, the local address, the public one (always none).
        """
        self.health = PageHealth(self)
        return self.blocks.queue(default_concurrency_limit=4, max_size=64, api_open=False).launch(
            server_name=host,
            server_port=port,
            theme=theme.theme(),
            css=theme.stylesheet(),
            head=theme.head_html(),
            allowed_paths=[str(self.files.folder)],
            max_file_size=MAX_UPLOAD,
            show_error=False,
            footer_links=[],
            app_kwargs={
                "middleware": [self._guard(host), Middleware(CompressionMiddleware)],
                "routes": [self.health.route()],
            },
            ssr_mode=False,
            run_history=False,
            quiet=True,
            **{"share": False, "enable_monitoring": False, **more},
        )

    def _guard(self, host: str) -> Middleware:
        """What stands before everything else."""
        return Middleware(
            RequestGuard,
            folders=[self.files.folder, self.files.uploads],
            hidden=self.blocks.upload_file_set.__contains__,
            own_machine=is_loopback(host),
        )

    def close(self) -> None:
        """Stop serving and remove what was made for the browsers."""
        self.blocks.close(verbose=False)
        if self.health is not None:
            self.health.close()
        self.rpc.queue.close()
        self.visitors.close()
        self.files.close()


def build_page(project: "Project", more: "list[Project] | None" = None, local_folders: bool = False) -> Page:
    """The page on a project.

    Parameters
    ----------
    project : Project
        What a visitor sees first.
    more : list of Project, optional
        Others to choose from.
    local_folders : bool
        Whether a visitor may name a folder of this machine for a new project: only where the visitor and the
        owner of the machine are one.

    Returns
    -------
    Page
    """
    for one in (project, *(more or [])):
        one.session()  # a damaged history is told now, not to the first visitor
    files = PageFiles()
    visitors = VisitorRegistry(project, files)
    for other in more or []:
        visitors.add(other)
    rpc = RpcServer(visitors, files.uploads, local_folders)
    os.environ["GRADIO_TEMP_DIR"] = str(files.uploads)
    with gr.Blocks(
        title=f"InFiConD · {project.name}",
        fill_width=True,
        analytics_enabled=False,
        delete_cache=(SWEEP_SECONDS, KEEP_SECONDS),
    ) as blocks:
        gr.HTML(
            value=None,
            html_template='<header class="inf topbar" role="banner"></header>',
            js_on_load="window.inficond.startPage(element, server, upload, props);",
            server_functions=rpc.functions(),
            apply_default_css=False,
            container=False,
            padding=False,
            elem_id="shell",
            local_folders=local_folders,
        )
        with gr.Column(elem_id="board"):
            for view in all_views():
                view.component()
        api.add_endpoints(visitors, files.uploads, local_folders)
    forbid_url_fetching(blocks)
    return Page(blocks, visitors, files, rpc)


def own_folder() -> Path:
    """Where this module lies; nothing of it is ever served."""
    return Path(__file__).parent
