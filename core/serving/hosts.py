"""Check of the Host and Origin headers, which protects local servers from web pages of other sites."""

import ipaddress
import socket
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

FOREIGN = ("cross-site", "same-site")
"""Values of `Sec-Fetch-Site` that a browser sends for requests of another origin."""


def host_name(netloc: str) -> str:
    """Return the name in a Host header in lower case, without port; ``[::1]:8080`` becomes ``::1``."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class SameOrigin:
    """Middleware that answers only requests addressed to this server, from its own origin or from programs.

    A web page of another site reaches a local server by its address (the browser then sends an Origin header
    or `Sec-Fetch-Site`), or by a name of its own that resolves to this machine (then the Host header is that
    name). A server on loopback accepts the names of loopback as Host. Any other server accepts IP addresses,
    which cannot be re-pointed, and the name of the machine.

    Parameters
    ----------
    app : ASGI application
    listens : str
        Address that the server listens on.
    names : sequence of str
        Further names that are accepted as Host.
    """

    def __init__(self, app: ASGIApp, listens: str, names: tuple[str, ...] = ()) -> None:
        self._app = app
        self._on_loopback = is_loopback(listens)
        machine = () if self._on_loopback else (socket.gethostname(),)
        self._names = {name.lower() for name in (listens, *machine, *names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403, or pass the request on."""
        if scope["type"] == "http":
            reason = self._refused(Headers(scope=scope))
            if reason:
                response = JSONResponse({"detail": reason}, 403, {"Connection": "close"})
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, headers: Headers) -> str:
        """Return why a request is refused, or an empty string."""
        hosts = headers.getlist("host")
        name = host_name(hosts[0]) if len(hosts) == 1 else ""
        known = name in self._names or is_loopback(name) or (not self._on_loopback and is_address(name))
        if not known:
            return "this Host name is not served; start the server with --allow-host NAME to serve it"
        for origin in headers.getlist("origin"):
            if urlsplit(origin).netloc.lower() != hosts[0].lower():
                return "requests from pages of other sites are not answered"
        if any(site.lower() in FOREIGN for site in headers.getlist("sec-fetch-site")):
            return "requests from pages of other sites are not answered"
        return ""
