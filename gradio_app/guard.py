"""What stands before the page: whom it answers, what may be asked, and what its answers say to browsers.

Gradio serves more than this page needs: addresses fetched on a visitor's behalf, its own editor, recordings,
bodies of any length. Each of those was tried from outside (`tests/attacks`); here they end.
"""

import contextlib
import ipaddress
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY = 4 * 2**20
"""Bytes of a request that is no upload: the longest honest one names two thousand uploads."""
MAX_UPLOADS = 4 * 2**30
"""Bytes of one request that uploads."""
SPARE_DISK = 512 * 2**20
"""Bytes of disk that uploads leave free."""

LOG = logging.getLogger("inficond.page")
FILE = "/file="
CLOSED = re.compile(
    r"/(proxy=|custom_component/|vibe-|undo-vibe-edit|dev/|process_recording|runs?-history|runs\b|profiling/"
    r"|deep_link|stream/|monitoring|file/)"
)
"""Routes of Gradio's that this page never uses."""
_FILE_HEADERS = (
    "content-type", "content-length", "content-disposition", "content-range", "content-encoding",
    "accept-ranges", "etag", "last-modified", "cache-control", "vary",
)  # fmt: skip
_NO_DOCUMENT = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"
_FRAMES = "frame-ancestors 'self' http://localhost:* http://127.0.0.1:* vscode-webview:"


class TooLarge(Exception):
    """A body went on for longer than it may."""


class RequestGuard:
    """Refuses what no honest browser asks of this page, before Gradio sees it.

    Parameters
    ----------
    app : ASGIApp
        What is guarded.
    folders : list of Path
        The only folders whose files `/file=` may hand out.
    hidden : callable
        Whether a file of those folders is nobody's to fetch (uploads).
    own_machine : bool
        The page listens on loopback: requests that come under another name than this machine's (a name that
        was bent to 127.0.0.1), or from another site's page, are not its owner's.
    """

    def __init__(
        self, app: ASGIApp, folders: list[Path], hidden: Callable[[str], bool], own_machine: bool
    ) -> None:
        self.app = app
        self.folders = [folder.resolve() for folder in folders]
        self.hidden = hidden
        self.own_machine = own_machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, path = Headers(scope=scope), scope.get("path", "")
        refusal = self._stranger(headers) or self._closed(path)
        if refusal is None and scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            limit, refusal = self._limit(path, headers)
            receive = _counted(receive, limit)
        send = self._marked(send, FILE in path)
        if refusal is not None:
            code, line = refusal
            return await PlainTextResponse(line, code)(scope, receive, send)
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except TooLarge:
            if not started:
                await PlainTextResponse(TOO_LONG, 413)(scope, receive, send)
        except Exception:  # what Gradio makes of senseless bodies (NaN, half a surrogate) ends the connection
            if started:
                raise
            LOG.exception("%s %.200r failed", scope["method"], path)
            await PlainTextResponse(FAULT, 500)(scope, receive, send)

    def _stranger(self, headers: Headers) -> tuple[int, str] | None:
        """On the owner's own machine: a request under a foreign name, or sent by another site's page."""
        if not self.own_machine:
            return None
        if not is_loopback(_host(headers.get("host", ""))):
            return 403, FOREIGN_NAME
        origin = headers.get("origin")
        if origin is not None and not is_loopback(_host(urlsplit(origin).netloc)):
            return 403, "another site's page may not use this one"
        return None

    def _closed(self, path: str) -> tuple[int, str] | None:
        if CLOSED.search(path.split(FILE, 1)[0]):
            return 404, "this page has no such address"
        if FILE in path and not self._fetchable(path.split(FILE, 1)[1]):
            return 403, "that file is not handed out"
        return None

    def _fetchable(self, name: str) -> bool:
        try:
            real = Path(name).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):
            return False
        inside = any(real.is_relative_to(folder) for folder in self.folders)
        return inside and real.is_file() and not self.hidden(str(real))

    def _limit(self, path: str, headers: Headers) -> tuple[int, tuple[int, str] | None]:
        """How long a body may be, and the refusal where it says that it is longer."""
        limit = MAX_BODY
        if path.rstrip("/").endswith("/upload"):
            free = min(shutil.disk_usage(folder).free for folder in self.folders)
            limit = max(0, min(MAX_UPLOADS, free - SPARE_DISK))
        said = headers.get("content-length", "0")
        if not said.isdecimal() or len(said) > 18 or int(said) > limit:
            return limit, (413, TOO_LONG)
        return limit, None

    def _marked(self, send: Send, is_file: bool) -> Send:
        """Answers that browsers take for what they are called, and show in no other site's frame."""

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                if is_file:  # Gradio repeats the request's headers, cookies included, where a range is asked
                    kept = [(k, v) for k, v in headers.raw if k.decode("latin-1").lower() in _FILE_HEADERS]
                    headers = MutableHeaders(raw=kept)
                    headers["Content-Security-Policy"] = _NO_DOCUMENT
                elif self.own_machine:
                    headers["Content-Security-Policy"] = _FRAMES
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
                message = {**message, "headers": headers.raw}
            await send(message)

        return marked


FAULT = "the request could not be answered; it was logged"
TOO_LONG = "the request is longer than this page takes: send less at once"
FOREIGN_NAME = (
    "this page answers only to names of its own machine, such as localhost: "
    "for others, start it with --host and the address it should listen on"
)


def _counted(receive: Receive, limit: int) -> Receive:
    """The body, ended by `TooLarge` where it passes the limit, whatever its headers said."""
    left = limit

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge
        return message

    return counted


def _host(netloc: str) -> str:
    """``[::1]:7860`` to ``::1``; empty where there is none, as for the origin ``null``."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{netloc}").hostname or ""
    return ""


def is_loopback(host: str) -> bool:
    """Whether an address or name can only mean this machine.

    Parameters
    ----------
    host : str
        As one listens on it or asks for it, without a port.
    """
    if host.rstrip(".").lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def forbid_url_fetching(blocks: object) -> None:
    """Let no component of a page fetch an address that a visitor wrote where a file belongs.

    Parameters
    ----------
    blocks : gr.Blocks
        Its components are changed in place.
    """
    for component in blocks.blocks.values():  # type: ignore[attr-defined]
        fetch = getattr(component, "async_move_resource_to_block_cache", None)
        if fetch is not None:
            component.async_move_resource_to_block_cache = _files_only(fetch)


def _files_only(fetch: Callable) -> Callable:
    async def moved(url_or_file_path: object) -> object:
        if re.match(r"\s*[a-z][a-z0-9+.-]+:/", str(url_or_file_path), re.IGNORECASE):
            raise gr.Error("this page fetches nothing from other machines: upload it", print_exception=False)
        return await fetch(url_or_file_path)

    return moved
