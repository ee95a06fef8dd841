"""Request guard: enforces the route table, the access policy and the limits before Gradio is reached."""

import asyncio
import logging
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inficond.core.strict_json import parse_json
from inficond.gradio_app.access import AccessPolicy
from inficond.gradio_app.limits import (
    BODIES,
    MIB,
    REQUESTS,
    Budget,
    Caller,
    LimitExceeded,
    caller_of,
    check_json,
)
from inficond.gradio_app.routes import TOKEN_HEADER, Route, RouteTable

LOG = logging.getLogger("inficond.page")
MAX_DISCARDED, DISCARD_SECONDS = 4 * MIB, 2.0
"""Bytes and seconds of a body that is read although it is refused."""
SEND_SECONDS = 30.0
"""Seconds that a client may take to receive a piece of a response."""
SINGLE_HEADERS = (
    "host", "origin", "sec-fetch-site", "sec-fetch-mode", "content-length", "content-type", TOKEN_HEADER
)  # fmt: skip
"""Request headers that decide about access or limits; a repeated one could hide another."""
CALLER_KEY = "inficond.caller"
"""Key of the caller in the ASGI scope."""
NOT_FOUND = "this page has no such route"
TOO_LONG = "the request body is too long: at most {} bytes are accepted here"
TOO_SLOW = "the request body did not arrive in time"
INTERNAL_ERROR = "internal error; it was logged"
_RESTRICTED_DOCUMENT = "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; sandbox"


class Refused(Exception):
    """A request that is answered with an error status.

    Parameters
    ----------
    status : int
    reason : str
        One line.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class RequestGuard:
    """Middleware that refuses requests outside the route table, the access policy or the limits.

    It also sets the caller (`CALLER_KEY`) in the scope of the request, removes CORS headers from responses
    and adds security headers.

    Parameters
    ----------
    app : ASGIApp
        The application to guard.
    routes : RouteTable
    policy : AccessPolicy
    """

    def __init__(self, app: ASGIApp, routes: RouteTable, policy: AccessPolicy) -> None:
        self.app = app
        self.routes = routes
        self.policy = policy
        self._requests = Budget(REQUESTS)
        self._bodies = Budget(BODIES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve or refuse one request."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        caller = caller_of(scope, self.policy.on_space)
        scope[CALLER_KEY] = caller
        response, body = _Response(send, self.policy), _Body(receive)
        try:
            route = self._route(scope)
            response.is_file = "/file=" in route.path
            with self._requests.using(caller):
                await self._serve(route, caller, scope, body, response)
        except LimitExceeded as error:
            await response.refuse(scope, body, Refused(429, str(error)))
        except Refused as refusal:
            await response.refuse(scope, body, refusal)
        except ConnectionAbortedError:
            return  # uvicorn closes the connection
        except Exception:
            if response.timed_out:
                return
            LOG.exception("%s %.200r failed", scope["method"], scope.get("path", ""))
            await response.refuse(scope, body, Refused(500, INTERNAL_ERROR))

    def _route(self, scope: Scope) -> Route:
        """Return the route of a request that the access policy accepts."""
        method, path = scope["method"], scope.get("path", "")
        headers = Headers(scope=scope)
        repeated = next((name for name in SINGLE_HEADERS if len(headers.getlist(name)) > 1), None)
        if repeated is not None:
            raise Refused(400, f"the header {repeated} appears more than once")
        refusal = self.policy.refusal(headers, method, path)
        if refusal is not None:
            raise Refused(403, refusal)
        route = self.routes.find(method, path)
        if route is None:
            allowed = self.routes.methods(path)
            raise Refused(405, f"use {' or '.join(allowed)} here") if allowed else Refused(404, NOT_FOUND)
        return route

    async def _serve(
        self, route: Route, caller: Caller, scope: Scope, receive: Receive, response: "_Response"
    ) -> None:
        length = _content_length(scope, route)
        if not route.is_json:
            body = _limited(receive, route) if route.max_body else _discarded(receive)
            return await self.app(scope, body, response.send)
        with self._bodies.using(caller, length or route.max_body):
            content = await _read_body(receive, route)
            check_json(content, route.max_depth, route.max_values)
            if route.mcp:
                _refuse_files(content)
            await self.app(scope, _replayed(content, receive), response.send)


class _Body:
    """The `receive` of a request, which knows whether the body has been received to its end."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> Message:
        message = await self._receive()
        self.ended |= not message.get("more_body", False)
        return message


class _Response:
    """The response to one request, with the security headers of the page."""

    def __init__(self, send: Send, policy: AccessPolicy) -> None:
        self._send = send
        self._frame_ancestors = f"frame-ancestors {policy.frame_ancestors}"
        self.is_file = False
        self.started = False
        self.timed_out = False

    async def send(self, message: Message) -> None:
        """Send a part of the response, with a time limit for the client to receive it."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(raw=list(message.get("headers", [])))
            for name in [n for n in headers if n.lower().startswith("access-control-")]:
                del headers[name]
            headers["Content-Security-Policy"] = (
                _RESTRICTED_DOCUMENT if self.is_file else self._frame_ancestors
            )
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
            message = {**message, "headers": headers.raw}
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._send(message)
        except TimeoutError:
            self.timed_out = True
            raise

    async def refuse(self, scope: Scope, body: _Body, refusal: Refused) -> None:
        """Answer with an error status, unless a response has begun; then raise to end the connection."""
        if self.started:
            raise refusal
        # a body that is not read to its end makes the connection useless for another request
        headers = {"Connection": "close"} if scope["method"] not in ("GET", "HEAD") else None
        if headers and not body.ended:  # or the client sees a reset connection instead of the answer
            await discard(body)
        await PlainTextResponse(refusal.reason, refusal.status, headers)(scope, body, self.send)


def _content_length(scope: Scope, route: Route) -> int:
    """Return the declared length of a body, 0 if none is declared.

    Raises
    ------
    Refused
        It is not a number, or longer than the route accepts.
    """
    declared = Headers(scope=scope).get("content-length", "0")
    if not (declared.isascii() and declared.isdecimal()) or len(declared) > 18:
        raise Refused(400, "the header Content-Length is not a number")
    if int(declared) > route.max_body:
        raise Refused(413, TOO_LONG.format(route.max_body))
    return int(declared)


async def _read_body(receive: Receive, route: Route) -> bytes:
    """Read a request body completely.

    Raises
    ------
    Refused
        It is too long or too slow.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(route.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionAbortedError
                content += message.get("body", b"")
                if len(content) > route.max_body:
                    raise Refused(413, TOO_LONG.format(route.max_body))
                if not message.get("more_body", False):
                    return bytes(content)
    except TimeoutError:
        raise Refused(408, TOO_SLOW) from None


async def discard(receive: Receive) -> None:
    """Discard a body, within limits: many clients read a response only after they have sent their body."""
    left = MAX_DISCARDED
    try:
        async with asyncio.timeout(DISCARD_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except (TimeoutError, Refused):
        return


def _limited(receive: Receive, route: Route) -> Receive:
    """Return a `receive` that refuses a body that is too long or too slow."""
    left = route.max_body
    deadline = asyncio.get_running_loop().time() + route.body_seconds

    async def limited() -> Message:
        nonlocal left
        try:
            async with asyncio.timeout_at(deadline):
                message = await receive()
        except TimeoutError:
            raise Refused(408, TOO_SLOW) from None
        left -= len(message.get("body", b""))
        if left < 0:
            raise Refused(413, TOO_LONG.format(route.max_body))
        return message

    return limited


def _discarded(receive: Receive) -> Receive:
    """Return a `receive` for a route without a body."""

    async def discarded() -> Message:
        message = await receive()
        if message.get("body"):
            raise Refused(413, TOO_LONG.format(0))
        return message

    return discarded


def _replayed(content: bytes, receive: Receive) -> Receive:
    """Return a `receive` that delivers a body that was already read."""
    delivered = False

    async def replayed() -> Message:
        nonlocal delivered
        if not delivered:
            delivered = True
            return {"type": "http.request", "body": content, "more_body": False}
        return await receive()

    return replayed


def _refuse_files(content: bytes) -> None:
    """Refuse an MCP request with a file argument: Gradio would read the file from the disk of this machine.

    Raises
    ------
    Refused
        It holds one, or is not JSON.
    """
    try:
        pending: list[Any] = [parse_json(content)]
    except ValueError as error:
        raise Refused(400, f"the request is not valid JSON: {error}") from None
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "path" in value and ("meta" in value or "url" in value):
                raise Refused(400, "MCP requests cannot carry files")
            pending += value.values()
        elif isinstance(value, list):
            pending += value
