"""Connections and bodies that never end, and bodies that are large together, are refused."""

import asyncio
import json
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import HTTPException, Request

from inficond.core.models.predictor import Predictor
from inficond.core.serving import connections
from inficond.core.serving.limits import MAX_BODY, Bodies
from inficond.core.serving.service import build_service

HEAD = "POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {}\r\n\r\n"


@pytest.fixture
def start(predictor: Predictor, serve: Callable) -> Callable[..., Any]:
    """Start a server with limits."""
    return lambda **options: serve(build_service(predictor, bodies=Bodies(**options)))


def connect(port: int, text: str) -> socket.socket:
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    s.sendall(text.encode())
    return s


def answer(s: socket.socket) -> tuple[int, str]:
    """Read a response until the server closes the connection."""
    with s:
        blocks = []
        while block := s.recv(1 << 16):
            blocks.append(block)
    head, _, body = b"".join(blocks).decode().partition("\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["detail"]


def test_a_body_that_does_not_arrive_is_refused(start: Callable) -> None:
    with start(seconds=0.3) as port:
        stalled = [connect(port, HEAD.format(1000) + "begin") for _ in range(20)]
        for s in stalled:
            assert answer(s) == (408, "the request body did not arrive within 0.3 s")
        assert httpx.get(f"http://127.0.0.1:{port}/health").json()["ok"] is True


def test_a_body_that_is_announced_as_too_large_is_refused_before_it_is_sent(start: Callable) -> None:
    with start() as port:
        status, reason = answer(connect(port, HEAD.format(MAX_BODY + 1)))
        assert status == 413
        assert "at most 32 MB" in reason


def test_bodies_that_are_too_large_together_are_refused() -> None:
    bodies = Bodies(each=10, together=25)

    def request(*blocks: bytes, announced: int | None = None) -> Request:
        messages = iter(
            {"type": "http.request", "body": block, "more_body": i + 1 < len(blocks)}
            for i, block in enumerate(blocks)
        )

        async def receive() -> Any:
            return next(messages)

        length = [] if announced is None else [(b"content-length", str(announced).encode())]
        return Request({"type": "http", "method": "POST", "headers": length}, receive)

    async def received(request: Request) -> bytes:
        async with bodies.body(request) as content:
            return content

    async def run() -> None:
        async with bodies.body(request(b"12345", b"67890")) as first, bodies.body(request(b"x" * 10)):
            assert first == b"1234567890"
            for late in (request(b"x" * 4, b"x" * 4), request(b"", announced=6)):
                with pytest.raises(HTTPException) as caught:
                    await received(late)
                assert caught.value.status_code == 503
                assert caught.value.headers is not None
                assert caught.value.headers["Retry-After"] == "1"
            assert await received(request(b"12345")) == b"12345"
        assert await received(request(b"x" * 10)) == b"x" * 10

    asyncio.run(run())


def test_a_connection_without_a_request_is_closed(start: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    with start() as port:
        idle = [
            connect(port, text) for text in ("", "GET / HT", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: 1")
        ]
        for s in idle:
            assert s.recv(1) == b""
            s.close()
        kept = connect(port, "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        received = b""
        while block := kept.recv(1 << 16):
            received += block
        assert received.startswith(b"HTTP/1.1 200")
        kept.close()


def test_a_client_that_disconnects_frees_its_memory(start: Callable) -> None:
    with start(together=1 << 20, each=1 << 20) as port:
        for _ in range(8):
            with connect(port, HEAD.format(1 << 20) + "x" * 500_000) as client:
                client.shutdown(socket.SHUT_WR)
                assert not client.recv(1)  # the server has noticed it and closed the connection
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", content=b"x" * (1 << 20))
        assert answer.status_code == 400
