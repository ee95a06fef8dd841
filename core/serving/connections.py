"""Limits on connections: deadlines for request headers, and a maximum number of connections."""

import asyncio
import contextlib
import sys
from typing import Any

UNKNOWN_ADDRESS = "unknown"
HEADER_SECONDS = 15.0
"""Seconds in which a connection must send the headers of its next request."""
MAX_CONNECTIONS = 512
MIN_CONNECTIONS = 16
RESERVED_DESCRIPTORS = 48
"""File descriptors that connections leave free."""


class ConnectionPool:
    """The open connections of a server.

    If there are too many, one from the address with the most waiting connections is closed: the one that has
    waited longest for its next request, or, if none waits for a request, for the rest of a request body. If
    none waits at all, the newest connection from the address with the most connections is closed.

    Parameters
    ----------
    limit : int
        Maximum number of connections.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._connections: dict[Any, str] = {}

    def __len__(self) -> int:
        return len(self._connections)

    def add(self, connection: Any, address: str) -> None:
        """Add a connection; close another one if there are too many."""
        self._connections[connection] = address
        if len(self._connections) > self.limit:
            self._close_one(connection)

    def touch(self, connection: Any) -> None:
        """Mark a connection as the one used last."""
        if connection in self._connections:
            self._connections[connection] = self._connections.pop(connection)

    def remove(self, connection: Any) -> None:
        """Remove a closed connection."""
        self._connections.pop(connection, None)

    def _close_one(self, newest: Any) -> None:
        others = [c for c in self._connections if c is not newest]
        waiting = [c for c in others if not c.is_busy] or [c for c in others if c.is_receiving]
        if waiting:
            victim = self._of_largest_address(waiting)[0]
        else:
            victim = self._of_largest_address([newest, *reversed(others)])[0]
        self.remove(victim)
        victim.transport.close()

    def _of_largest_address(self, connections: list[Any]) -> list[Any]:
        by_address: dict[str, list[Any]] = {}
        for connection in connections:
            by_address.setdefault(self._connections[connection], []).append(connection)
        return max(by_address.values(), key=len)


def limit_connections(config: Any, pool: ConnectionPool, header_seconds: float = HEADER_SECONDS) -> None:
    """Make a uvicorn server close slow and surplus connections.

    Parameters
    ----------
    config : uvicorn.Config
        Of a server that is running or about to start. Changed in place.
    pool : ConnectionPool
    header_seconds : float
        See `HEADER_SECONDS`.
    """
    base = config.http_protocol_class

    class LimitedProtocol(base):  # type: ignore[misc, valid-type]
        """uvicorn's HTTP protocol with a deadline for request headers."""

        _deadline: asyncio.TimerHandle | None = None

        @property
        def is_busy(self) -> bool:
            """Whether a request is being answered."""
            return self.cycle is not None and not self.cycle.response_complete

        @property
        def is_receiving(self) -> bool:
            """Whether the body of a request has not arrived completely."""
            return self.is_busy and self.cycle.more_body

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            pool.add(self, (self.client or (UNKNOWN_ADDRESS,))[0])
            self._expect_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            pool.remove(self)
            self._cancel_deadline()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            pool.touch(self)
            if self.is_busy:
                self._cancel_deadline()
            elif self._deadline is None:
                self._expect_headers()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self.is_busy and self._deadline is None:
                self._expect_headers()

        def _expect_headers(self) -> None:
            self._deadline = self.loop.call_later(header_seconds, self._close_if_waiting)

        def _cancel_deadline(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _close_if_waiting(self) -> None:
            self._deadline = None
            if not self.is_busy:
                self.transport.close()

    config.http_protocol_class = LimitedProtocol


def connection_limit() -> int:
    """Return how many connections the file descriptors allow; raise the soft limit if possible."""
    if sys.platform == "win32":
        return MAX_CONNECTIONS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 4 * RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, soft - RESERVED_DESCRIPTORS - _open_descriptors()))


def _open_descriptors() -> int:
    """Return the number of open file descriptors of this process; 0 if the system does not report it."""
    import os

    with contextlib.suppress(OSError):
        return len(os.listdir("/proc/self/fd"))
    return 0
