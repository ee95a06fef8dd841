"""Limits of a server: bytes and time of request bodies, and time for request headers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_BODY = 32 << 20
"""Bytes of one request body."""
MAX_BODIES = 128 << 20
"""Bytes of all request bodies that are being received or decoded."""
BODY_SECONDS = 30.0
HEADER_SECONDS = 10.0
CONNECTIONS = 256
CLOSE = {"Connection": "close"}


class Bodies:
    """Request bodies within limits of bytes and time.

    Parameters
    ----------
    each, together : int
        Bytes of one body, and of all bodies at the same time.
    seconds : float
        Time for a body to arrive.
    """

    def __init__(
        self, each: int = MAX_BODY, together: int = MAX_BODIES, seconds: float = BODY_SECONDS
    ) -> None:
        self._each, self._together, self._seconds = each, together, seconds
        self._held = 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Receive a body, and count it against the common limit while the block runs.

        Raises
        ------
        HTTPException
            400 if the client ended early, 408 if the body took too long, 413 if it is too large, 503 if the
            bodies of all clients together are.
        """
        parts: list[bytes] = []
        total = 0
        try:
            self._check(request.headers.get("content-length", ""))
            async with asyncio.timeout(self._seconds):
                async for part in request.stream():
                    total += len(part)
                    self._held += len(part)
                    parts.append(part)
                    if total > self._each:
                        raise self._too_large()
                    if self._held > self._together:
                        raise self._busy()
            yield b"".join(parts)
        except TimeoutError:
            reason = f"the request body did not arrive within {self._seconds:g} s"
            raise HTTPException(408, reason, headers=CLOSE) from None
        except ClientDisconnect:
            raise HTTPException(400, "the request body is incomplete", headers=CLOSE) from None
        finally:
            self._held -= total

    def _check(self, length: str) -> None:
        """Refuse a body by its announced length."""
        if length.isdigit() and int(length) > self._each:
            raise self._too_large()
        if length.isdigit() and self._held + int(length) > self._together:
            raise self._busy()

    def _too_large(self) -> HTTPException:
        return HTTPException(413, f"a picture may have at most {self._each >> 20} MB", headers=CLOSE)

    def _busy(self) -> HTTPException:
        reason = "too many pictures are being sent at the same time: try again in a moment"
        return HTTPException(503, reason, headers={"Retry-After": "1", **CLOSE})


class TimedProtocol(H11Protocol):
    """HTTP protocol of uvicorn that closes connections whose next request does not start in time."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Start the time for the first request."""
        super().connection_made(transport)
        self._wait_for_headers()

    def data_received(self, data: bytes) -> None:
        """Restart the time whenever a request or response has ended."""
        super().data_received(data)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_timer()
        super().connection_lost(exc)

    def _wait_for_headers(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if not idle:
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._close_idle)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None

    def _close_idle(self) -> None:
        self._timer = None
        if (self.cycle is None or self.cycle.response_complete) and not self.transport.is_closing():
            self.transport.close()
