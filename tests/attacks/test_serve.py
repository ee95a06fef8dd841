"""Attacks on `inficond serve`, started as a user starts it."""

import io
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from PIL import Image
from tests.attacks.page_attacks import idle_connections

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.onnx_student.export import export_student

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Address and process id of a served student."""
    student = tmp_path_factory.mktemp("serve") / "student.onnx"
    export_student(Project.open(demo_project()), student)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "inficond.core.cli.main", "serve", str(student), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=few_descriptors)
    assert process.stdout is not None
    assert f"http://127.0.0.1:{port}/predict" in process.stdout.readline()
    transport = httpx.HTTPTransport(retries=20)
    with httpx.Client(transport=transport, timeout=60) as client:
        assert client.get(f"http://127.0.0.1:{port}/health").json()["ok"] is True
    yield f"http://127.0.0.1:{port}", process.pid
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def few_descriptors() -> None:
    """Allow 128 file descriptors, as some systems do."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))


@pytest.mark.skipif(sys.platform == "win32", reason="has no such limit")
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HTTP/1.1\r\nHo",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nx",
    ],
    ids=["idle", "headers", "body"],
)
def test_held_connections_do_not_lock_others_out(sent: bytes, server: tuple[str, int]) -> None:
    url, _ = server
    with idle_connections(int(url.rsplit(":", 1)[1]), 200, sent):
        assert [httpx.get(f"{url}/health", timeout=60).status_code for _ in range(3)] == [200] * 3


def png(width: int, height: int) -> bytes:
    """A black picture; a file of a few kilobytes whatever its size."""
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


def resident(pid: int) -> int:
    """Bytes that a process and its children hold in memory."""
    total = 0
    children = Path(f"/proc/{pid}/task").glob("*/children")
    for process in [pid, *(int(child) for file in children for child in file.read_text().split())]:
        status = Path(f"/proc/{process}/status").read_text()
        total += int(status.split("VmRSS:")[1].split()[0]) * 1024
    return total


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_small_files_of_many_pixels_leave_no_memory_behind(server: tuple[str, int]) -> None:
    url, pid = server
    before = resident(pid)
    bomb = png(8_000, 7_900)
    assert len(bomb) < 16_000
    with ThreadPoolExecutor(48) as pool:
        codes = list(
            pool.map(lambda _: httpx.post(f"{url}/predict", content=bomb, timeout=120).status_code, range(48))
        )
    assert set(codes) <= {200, 400, 429}
    assert httpx.post(f"{url}/predict", content=png(100, 100), timeout=60).status_code == 200
    assert resident(pid) < before + 600 * MEGABYTE


def test_unfinished_bodies_hold_little_memory(server: tuple[str, int]) -> None:
    url, pid = server
    host, port = url.removeprefix("http://").split(":")
    before = resident(pid) if sys.platform == "linux" else 0
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: {32 * MEGABYTE}\r\n\r\n"
    block = bytes(MEGABYTE)
    sockets = []
    for _ in range(24):
        s = socket.create_connection((host, int(port)), timeout=30)
        sockets.append(s)
        try:
            s.sendall(head.encode())
            for _ in range(16):
                s.sendall(block)
        except OSError:  # the server has refused it
            continue
    assert httpx.post(f"{url}/predict", content=png(64, 64), timeout=60).status_code in (200, 503)
    if sys.platform == "linux":
        assert resident(pid) < before + 300 * MEGABYTE
    for s in sockets:
        s.close()
    transport = httpx.HTTPTransport(retries=5)
    with httpx.Client(transport=transport, timeout=60) as client:
        assert client.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:8080", "Origin": "http://evil.example:8080"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_pages_of_other_sites_are_not_answered(server: tuple[str, int], headers: dict[str, str]) -> None:
    url, _ = server
    for path in ("/", "/health", "/predict"):
        for method in ("GET", "POST", "OPTIONS"):
            answer = httpx.request(method, url + path, headers=headers)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers


def test_a_decoding_process_that_dies_is_replaced(server: tuple[str, int]) -> None:
    url, pid = server
    if sys.platform != "linux":
        pytest.skip("finds the processes in /proc")
    children = [
        int(child)
        for file in Path(f"/proc/{pid}/task").glob("*/children")
        for child in file.read_text().split()
        if b"decode_worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    assert children
    for child in children:
        os.kill(child, signal.SIGKILL)
    codes = [httpx.post(f"{url}/predict", content=png(64, 64), timeout=60).status_code for _ in range(8)]
    assert codes.count(200) >= 8 - len(children)
    assert codes[-1] == 200
    assert httpx.get(f"{url}/health", timeout=60).status_code == 200
