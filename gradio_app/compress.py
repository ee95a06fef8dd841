"""Compression of what Gradio sends plain: the page itself and the answers to the views."""

from starlette.middleware.gzip import GZipMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

PATHS = ("/config", "/gradio_api/component_server", "/component_server")


class CompressPage:
    """Gzip for the page and for `PATHS`; images, uploads and event streams pass untouched.

    Parameters
    ----------
    app : ASGIApp
        What is wrapped.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.page = GZipMiddleware(app, minimum_size=2000, compresslevel=9)
        self.answers = GZipMiddleware(
            app, minimum_size=8000, compresslevel=4
        )  # 20 times in a minute: speed counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        path = scope.get("path", "")
        if scope["type"] != "http":
            chosen = self.app
        elif path in ("", "/"):
            chosen = self.page
        else:
            chosen = self.answers if path.startswith(PATHS) else self.app
        await chosen(scope, receive, send)
