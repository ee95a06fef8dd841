"""What makes the page arrive sooner: its answers compressed, Gradio's own files compressed once and kept."""

import re
from collections.abc import MutableMapping
from typing import Any

from gradio.brotli_middleware import BrotliResponder, Mode
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ANSWERS = ("/config", "/gradio_api/component_server", "/component_server")
"""Answers to the views: JSON that Gradio sends plain."""
HASHED = re.compile(r"/assets/[\w.@-]+-[\w-]{8}\.\w+$")
"""Gradio's built files: their names change with their content, so that they may be kept for ever."""
FOREVER = b"public, max-age=31536000, immutable"
MOST_KEPT = 32 * 2**20
"""Bytes of files kept in memory."""


class CompressPage:
    """Compression of the page and of the answers to its views; pictures and event streams pass untouched.

    Gradio compresses its scripts and styles anew at every request, in the loop that also serves everybody
    else: they are kept as they were first sent, and browsers are told to keep them too.

    Parameters
    ----------
    app : ASGIApp
        What is wrapped.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._kept: dict[tuple[str, str], tuple[Message, bytes]] = {}
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope.get("path", "")
        if HASHED.search(path) and scope.get("method") == "GET":
            return await self._file(path, scope, receive, send)
        if path in ("", "/"):
            return await _compressed(self.app, 2_000, 5)(scope, receive, send)
        if path.startswith(ANSWERS):
            return await _compressed(self.app, 8_000, 4)(scope, receive, send)
        await self.app(scope, receive, send)

    async def _file(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """One of Gradio's files: from memory where it was asked for before in the same encoding."""
        headers = Headers(scope=scope)
        if "range" in headers or "if-none-match" in headers:
            return await self.app(scope, receive, send)
        key = path, _encoding(headers)
        if key not in self._kept:
            return await self.app(scope, receive, self._keeping(key, send))
        start, body = self._kept[key]
        await send({**start, "headers": list(start["headers"])})
        await send({"type": "http.response.body", "body": body})

    def _keeping(self, key: tuple[str, str], send: Send) -> Send:
        """Pass a response on, and keep it where it is whole and no more than there is room for."""
        start: MutableMapping[str, Any] = {}
        pieces: list[bytes] = []

        async def pass_on(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(raw=message["headers"])["Cache-Control"] = FOREVER.decode()
                start.update(message)
            elif message["type"] == "http.response.body" and start:
                pieces.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._keep(key, start, b"".join(pieces))
            await send(message)

        return pass_on

    def _keep(self, key: tuple[str, str], start: MutableMapping[str, Any], body: bytes) -> None:
        if key in self._kept or self._size + len(body) > MOST_KEPT:
            return
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["Content-Length"] = str(len(body))
        self._size += len(body)
        self._kept[key] = ({**start, "headers": headers.raw}, body)


def _encoding(headers: Headers) -> str:
    """The encoding that a browser is answered in: the best of those it takes."""
    taken = headers.get("accept-encoding", "")
    return "br" if "br" in taken else "gzip" if "gzip" in taken else ""


def _compressed(app: ASGIApp, least: int, quality: int) -> ASGIApp:
    """An app whose answers of at least `least` bytes are compressed."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        encoding = _encoding(Headers(scope=scope))
        if encoding == "br":
            await BrotliResponder(app, quality, Mode.text, 20, 0, least)(scope, receive, send)
        elif encoding == "gzip":
            await GZipResponder(app, least)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return serve
