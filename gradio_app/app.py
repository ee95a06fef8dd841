"""The page: the top bar and six views on one board, and the server that delivers them."""

import asyncio
import contextlib
import os
import threading
import time
import webbrowser
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import uvicorn
from fastapi import FastAPI
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute

from inficond.core.errors import InputError
from inficond.core.serving.connections import ConnectionPool, connection_limit, limit_connections
from inficond.core.serving.ports import open_port
from inficond.gradio_app import theme
from inficond.gradio_app.access import AccessPolicy, OwnerKey
from inficond.gradio_app.api import Api
from inficond.gradio_app.api_events import ApiEvents
from inficond.gradio_app.compression import CompressionMiddleware
from inficond.gradio_app.first_view import prepare_first_view
from inficond.gradio_app.guard import RequestGuard
from inficond.gradio_app.health import PageHealth
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.routes import MAX_UPLOAD, ROUTES, RouteTable
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.uploads import UploadHandler
from inficond.gradio_app.views import all_views
from inficond.gradio_app.visitor_registry import VisitorRegistry

if TYPE_CHECKING:
    from starlette.requests import Request

    from inficond.core import Project

START_SECONDS = 30.0
"""Seconds in which the server must start."""
STOP_SECONDS = 5.0
MEDIA_TYPES = {
    ".webp": "image/webp",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
}


@dataclass
class Page:
    """A page and its server.

    Parameters
    ----------
    blocks : gr.Blocks
    visitors : VisitorRegistry
    files : PageFiles
    rpc : RpcServer
    api : Api
    owner_key : OwnerKey
    options : dict
        Values that the creator of the page keeps with it.
    url : str
        Address of the running page, without the owner key; empty until `start`.
    """

    blocks: gr.Blocks
    visitors: VisitorRegistry
    files: PageFiles
    rpc: RpcServer
    api: Api
    owner_key: OwnerKey
    options: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    _server: "_Server | None" = None

    @property
    def owner_url(self) -> str:
        """Address that gives its holder the rights of the owner: it carries the owner key."""
        return f"{self.url}#owner={self.owner_key.value}" if self.owner_key.value else self.url

    def start(
        self,
        host: str = "127.0.0.1",
        port: int | None = None,
        mcp: bool = False,
        public_names: Iterable[str] = (),
    ) -> str:
        """Start the server in a background thread.

        Parameters
        ----------
        host : str
            Address to listen on; loopback by default, which no other machine reaches.
        port : int, optional
            The first free one from 7860 by default.
        mcp : bool
            Whether to offer the API endpoints to MCP clients.
        public_names : iterable of str
            Host names under which others reach the page; see `AccessPolicy`.

        Returns
        -------
        str
            `url`.

        Raises
        ------
        InputError
            No port can be listened on.
        """
        listener = open_port(host, port)
        number = listener.getsockname()[1]
        shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        app = self._application(host, number, mcp)
        guarded = RequestGuard(
            CompressionMiddleware(app),
            RouteTable(r for r in ROUTES if mcp or not r.mcp),
            AccessPolicy.from_environment(host, public_names),
        )
        config = uvicorn.Config(guarded, log_level="warning", proxy_headers=False, lifespan="on")
        config.load()
        limit_connections(config, ConnectionPool(connection_limit()))
        self._server = _Server(config)
        self._server.start([listener])
        self.url = f"http://{shown}:{number}/"
        self.visitors.start_housekeeping()
        return self.url

    def _application(self, host: str, port: int, mcp: bool) -> FastAPI:
        """Return the application: the page's own routes, and Gradio's behind them."""
        events = ApiEvents(self.api, {i: fn.api_name for i, fn in self.blocks.fns.items()}.get)
        routes: list[BaseRoute] = [
            PageHealth(self.visitors, self.rpc.queue).route(),
            UploadHandler(self.files).route(),
            HttpRoute("/late.js", _serve_late_script, methods=["GET", "HEAD"]),
            HttpRoute("/gradio_api/file={key}/{name}", self._serve_file, methods=["GET", "HEAD"]),
            *self.rpc.routes(),
            *events.routes(),
        ]
        app = FastAPI(routes=routes, docs_url=None, redoc_url=None, openapi_url=None)
        self.blocks.has_launched = True
        return gr.mount_gradio_app(
            app,
            self.blocks,
            path="/",
            server_name=host,
            server_port=port,
            footer_links=[],
            run_history=False,
            show_error=False,
            allowed_paths=[],
            max_file_size=MAX_UPLOAD,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=mcp,
            theme=theme.theme(),
            css=theme.stylesheet(),
            head=theme.head_html(),
        )

    async def _serve_file(self, request: "Request") -> Response:
        """Serve a registered file."""
        path = self.files.register.find(request.path_params["key"], request.path_params["name"])
        if path is not None:
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                return _page_file(path)
        return PlainTextResponse("this file does not exist, or its visit has ended", 404)

    def open_in_browser(self) -> None:
        """Open the page in the owner's browser.

        The address with the owner key must not appear on a command line, which other users of the machine can
        read. The browser is therefore given a private file that redirects to it.
        """
        redirect = self.files.folder / "open.html"
        redirect.touch(mode=0o600)
        redirect.write_text(
            f'<meta charset="utf-8"><meta http-equiv="refresh" content="0; url={self.owner_url}">'
            f'<a href="{self.owner_url}">InFiConD</a>\n',
            encoding="utf-8",
        )
        webbrowser.open(redirect.as_uri())

    def close(self) -> None:
        """Stop the server, save all visits, and delete the files of the page."""
        self.visitors.stop_background()
        if self._server is not None:
            self._server.stop()
        self.blocks.close(verbose=False)
        self.rpc.jobs.close()
        self.rpc.queue.close()
        self.visitors.close()
        self.files.close()


class _PageFile(FileResponse):
    """A file that is read in a few pieces: each piece waits for its turn among the threads of the page."""

    chunk_size = 256 * 1024  # bytes that a slow client can hold in memory


def _page_file(path: Path) -> Response:
    """Return a registered file; a picture is shown, another file is downloaded."""
    media_type = MEDIA_TYPES.get(path.suffix, "application/octet-stream")
    kind = "inline" if path.suffix in MEDIA_TYPES else "attachment"
    return _PageFile(path, media_type=media_type, content_disposition_type=kind, stat_result=path.stat())


async def _serve_late_script(request: "Request") -> Response:
    """Serve the script that the page loads at first use."""
    return Response(theme.late_script(), media_type="text/javascript", headers={"Cache-Control": "no-cache"})


class _Server(uvicorn.Server):
    """A uvicorn server in a background thread, without signal handlers."""

    def start(self, sockets: list[Any]) -> None:
        """Start, and wait until requests are accepted.

        Raises
        ------
        InputError
            The server did not start.
        """
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.serve(sockets)), name="inficond-server", daemon=True
        )
        self._thread.start()
        end = time.monotonic() + START_SECONDS
        while not self.started:
            if not self._thread.is_alive() or time.monotonic() > end:
                raise InputError("the page's server did not start; the log says why")
            time.sleep(1e-3)

    def install_signal_handlers(self) -> None:
        """Override uvicorn's handlers with nothing, since the command handles signals."""

    def capture_signals(self) -> Any:
        """Install no signal handlers: the command handles signals."""
        import contextlib

        return contextlib.nullcontext()

    def stop(self) -> None:
        """Stop, and wait until the last request is answered, for `STOP_SECONDS` at most."""
        self.should_exit = True
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            self.force_exit = True
            self._thread.join(STOP_SECONDS)


def build_page(
    project: "Project",
    more: "list[Project] | None" = None,
    local_folders: bool = False,
    one_history: bool = False,
) -> Page:
    """Build the page for a project.

    Parameters
    ----------
    project : Project
        The project that new visitors see.
    more : list of Project, optional
        Further projects that visitors may open.
    local_folders : bool
        Whether holders of the owner key may name folders and models of this machine.
    one_history : bool
        Whether all visits work on the projects' own histories; by default each works on a copy of its own.

    Returns
    -------
    Page

    Raises
    ------
    InputError
        The history of a project is damaged.
    """
    for one in (project, *(more or [])):
        one.session()
    files = PageFiles(outside=local_folders)
    os.environ["GRADIO_TEMP_DIR"] = str(files.folder / "gradio")
    visitors = VisitorRegistry(project, files, prepare=prepare_first_view, one_history=one_history)
    for other in more or []:
        visitors.add(other)
    owner_key = OwnerKey(local_folders)
    rpc = RpcServer(visitors, RequestQueue(), owner_key)
    with gr.Blocks(title=f"InFiConD · {project.name}", fill_width=True, analytics_enabled=False) as blocks:
        gr.HTML(
            value=None,
            html_template='<header class="inf topbar" role="banner"></header>',
            js_on_load="window.inficond.startPage(element, props);",
            apply_default_css=False,
            container=False,
            padding=False,
            elem_id="shell",
            local_folders=local_folders,
        )
        with gr.Column(elem_id="board"):
            for view in all_views():
                view.component()
        api = Api(rpc)
    return Page(blocks, visitors, files, rpc, api, owner_key)
