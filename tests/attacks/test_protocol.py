"""Malformed and ambiguous HTTP: repeated headers, absolute targets, encoded paths, other methods."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from tests.attacks.conftest import Arena

from inficond.core import Project
from inficond.gradio_app import app
from inficond.gradio_app.app import build_page
from inficond.gradio_app.routes import ROUTES


def exchange(arena: Arena, request: bytes, timeout: float = 20) -> tuple[int, str]:
    """Send bytes; return the status (0 if the connection was closed) and the whole response."""
    with socket.create_connection(("127.0.0.1", arena.port), timeout=timeout) as s:
        s.sendall(request)
        parts = []
        try:
            while block := s.recv(1 << 16):
                parts.append(block)
        except (TimeoutError, ConnectionResetError):
            pass
    text = b"".join(parts).decode("latin-1")
    return (int(text.split(" ", 2)[1]) if text.startswith("HTTP/") else 0), text


def head(target: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "Connection: close", "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    "lines",
    [("Host: localhost", "Host: evil.example"), ("Host: evil.example", "Host: localhost"),
     ("Host: localhost", "Origin: http://localhost", "Origin: http://evil.example"),
     ("Host: localhost", "Origin: http://evil.example", "Origin: http://localhost"),
     ("Host: localhost", "Origin: http://localhost http://evil.example"),
     ("Host: localhost", "Origin: http://localhost@evil.example"),
     ("Host: localhost", "Origin: http://evil.example#localhost"),
     ("Host: localhost", "Origin:"),
     ("Host: localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: none"),
     ("Host: localhost", "Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"),
     ("Host: localhost", "Sec-Fetch-Site: CROSS-SITE"), ("X-Forwarded-Host: localhost", "Host: evil.example"),
     ("Forwarded: host=localhost", "Host: evil.example")],
    ids=str,
)  # fmt: skip
def test_a_header_that_is_sent_twice_hides_no_foreign_one(lines: tuple[str, ...], arena: Arena) -> None:
    status, text = exchange(arena, head("/config", *lines))
    assert status in (400, 403), text[:200]
    assert "component" not in text


@pytest.mark.parametrize(
    "target", ["http://evil.example/config", "http://localhost/config", "//localhost/config"]
)
def test_an_absolute_target_does_not_replace_the_host(target: str, arena: Arena) -> None:
    status, text = exchange(arena, head(target, "Host: evil.example"))
    assert status in (400, 403, 404)
    assert "component" not in text


def spellings(path: str) -> Iterator[str]:
    """Other spellings of a path, which a router may treat as the same."""
    yield path + "/"
    yield path + "//"
    yield path.replace("/", "//")
    yield path.replace("/", "%2f")
    yield path + "%00"
    yield path + "/."
    yield "/x/.." + path
    yield quote(path[:-1]) + f"%{ord(path[-1]):02x}x"
    yield path + ";x=1"
    yield path.upper()


@pytest.mark.parametrize(
    "path", ["/gradio_api/upload_progress", "/gradio_api/component_server", "/gradio_api/run/predict",
             "/gradio_api/reset", "/gradio_api/app_id", "/gradio_api/heartbeat/x", "/monitoring/summary"],
)  # fmt: skip
def test_no_spelling_of_a_closed_route_reaches_it(path: str, arena: Arena) -> None:
    for target in (path, *spellings(path)):
        for method in ("GET", "POST"):
            lines = ("Host: localhost", "Content-Length: 2", "Content-Type: application/json")
            status, _ = exchange(arena, head(target, *lines, method=method) + b"{}")
            assert status in (0, 400, 404, 405), f"{method} {target}: {status}"


@pytest.mark.parametrize(
    "method", ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "get", "X" * 5000]
)
def test_other_methods_are_refused(method: str, arena: Arena) -> None:
    for target in ("/", "/config", "/rpc/hello", "/gradio_api/upload", "/health"):
        status, text = exchange(arena, head(target, "Host: localhost", "Cookie: own-secret", method=method))
        assert status in (0, 400, 404, 405, 501), f"{method} {target}: {status}"
        assert "own-secret" not in text
    assert arena.alive()


@pytest.mark.parametrize(
    "lines",
    [("Content-Length: 5", "Transfer-Encoding: chunked"), ("Content-Length: 2", "Content-Length: 40"),
     ("Transfer-Encoding: chunked, chunked",), ("Transfer-Encoding: xchunked",), ("Content-Length: +2",),
     ("Content-Length: 2 ",), ("Transfer-Encoding : chunked",),
     ("Content-Encoding: gzip", "Content-Length: 2")],
    ids=str,
)  # fmt: skip
def test_ambiguous_lengths_smuggle_no_request(lines: tuple[str, ...], arena: Arena) -> None:
    """One connection must not carry a second request inside the body of the first."""
    hidden = b"GET /config HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    first = "\r\n".join(["POST /rpc/ping HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()
    _, text = exchange(arena, first + b"{}" + b"0\r\n\r\n" + hidden, timeout=4)
    assert "component" not in text
    assert arena.alive()


def test_invalid_chunks_are_refused(hostile_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a page that waits one second for the rest of a chunk, not ten."""
    monkeypatch.setattr(app, "ROUTES", [replace(route, body_seconds=1.0) for route in ROUTES])
    page = build_page(Project.open(hostile_project))
    bodies = [b"5\r\n{}", b"ffffffffffffffff\r\n{}", b"-2\r\n{}\r\n0\r\n\r\n", b"zz\r\n{}\r\n0\r\n\r\n"]
    lines = ("Host: localhost", "Transfer-Encoding: chunked", "Content-Type: application/json")
    request = head("/rpc/ping", *lines, method="POST")
    try:
        url = page.start()
        with httpx.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(len(bodies)) as pool:
            target = Arena(page, url, hostile_project, client)
            found = list(pool.map(lambda body: exchange(target, request + body), bodies))
            assert {status for status, _ in found} <= {0, 400, 408}, dict(zip(bodies, found, strict=True))
            assert target.alive()
    finally:
        page.close()


def test_a_flood_of_requests_on_one_connection_is_answered_in_order(arena: Arena) -> None:
    """Pipelined requests neither run at the same time nor pile up without limit."""
    one = b"POST /rpc/ping HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", arena.port), timeout=30) as s:
        s.sendall(one * 300)
        s.shutdown(socket.SHUT_WR)
        text = b""
        try:
            while block := s.recv(1 << 16):
                text += block
        except ConnectionResetError:
            pass
    statuses = [part[:3] for part in text.split(b"HTTP/1.1 ")[1:]]
    assert len(statuses) <= 300
    assert set(statuses) <= {b"200", b"429"}
    assert arena.alive()
