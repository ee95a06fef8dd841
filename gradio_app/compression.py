"""Compression of responses, with a memory cache for Gradio's static files."""

import re
from collections.abc import MutableMapping
from typing import Any

from gradio.brotli_middleware import BrotliResponder, Mode
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipResponder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JSON_ROUTES = ("/config", "/rpc/", "/gradio_api/info")
"""Routes whose JSON responses Gradio sends without compression."""
HASHED_FILE = re.compile(r"/assets/[\w.@-]+-[\w-]{8}\.\w+$")
"""Paths of Gradio's built files, whose names change with their content."""
CACHE_CONTROL = "public, max-age=31536000, immutable"
MAX_CACHED = 32 * 2**20
"""Bytes of static files kept in memory."""


class CompressionMiddleware:
    """Middleware that compresses the page and JSON responses; images and event streams pass unchanged.

    Gradio compresses its scripts and styles again for each request, on the event loop that serves all
    visitors. This middleware caches the compressed response, and sets headers so that browsers cache it.

    Parameters
    ----------
    app : ASGIApp
        The application to wrap.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._cache: dict[tuple[str, str], tuple[Message, bytes]] = {}
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope.get("path", "")
        if HASHED_FILE.search(path) and scope.get("method") == "GET":
            return await self._serve_file(path, scope, receive, send)
        if path in ("", "/", "/late.js"):
            return await _compressed(self.app, 2_000, 5)(scope, receive, send)
        if path.startswith(JSON_ROUTES):
            return await _compressed(self.app, 8_000, 4)(scope, receive, send)
        await self.app(scope, receive, send)

    async def _serve_file(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a static file from memory if it was requested before in the same encoding."""
        headers = Headers(scope=scope)
        if "range" in headers or "if-none-match" in headers:
            return await self.app(scope, receive, send)
        key = path, _encoding(headers)
        if key not in self._cache:
            return await self.app(scope, receive, self._record(key, send))
        start, body = self._cache[key]
        await send({**start, "headers": list(start["headers"])})
        await send({"type": "http.response.body", "body": body})

    def _record(self, key: tuple[str, str], send: Send) -> Send:
        """Return a `send` that forwards a response and caches it when it is complete."""
        start: MutableMapping[str, Any] = {}
        chunks: list[bytes] = []

        async def forward(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(raw=message["headers"])["Cache-Control"] = CACHE_CONTROL
                start.update(message)
            elif message["type"] == "http.response.body" and start:
                chunks.append(message.get("body", b""))
                if not message.get("more_body", False):
                    self._store(key, start, b"".join(chunks))
            await send(message)

        return forward

    def _store(self, key: tuple[str, str], start: MutableMapping[str, Any], body: bytes) -> None:
        if key in self._cache or self._size + len(body) > MAX_CACHED:
            return
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["Content-Length"] = str(len(body))
        self._size += len(body)
        self._cache[key] = ({**start, "headers": headers.raw}, body)


def _encoding(headers: Headers) -> str:
    """Return the best content encoding that the client accepts: ``br``, ``gzip`` or none."""
    accepted = headers.get("accept-encoding", "")
    return "br" if "br" in accepted else "gzip" if "gzip" in accepted else ""


def _compressed(app: ASGIApp, min_size: int, quality: int) -> ASGIApp:
    """Wrap an application so that its responses of at least `min_size` bytes are compressed."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        encoding = _encoding(Headers(scope=scope))
        if encoding == "br":
            await BrotliResponder(app, quality, Mode.text, 20, 0, min_size)(scope, receive, send)
        elif encoding == "gzip":
            await GZipResponder(app, min_size)(scope, receive, send)
        else:
            await app(scope, receive, send)

    return serve
