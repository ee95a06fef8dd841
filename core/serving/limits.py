"""Limits of a server: bytes and time of request bodies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import HTTPException, Request
from starlette.requests import ClientDisconnect

MAX_BODY = 32 << 20
"""Bytes of one request body."""
MAX_BODIES = 128 << 20
"""Bytes of all request bodies that are being received or decoded."""
BODY_SECONDS = 30.0
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
