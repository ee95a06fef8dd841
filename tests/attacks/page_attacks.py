"""Attacks on a running page through HTTP alone, and measurements of its process.

Nothing here imports the page, so the attacks also run against other builds.
"""

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from tests.large_pictures import blank_png

MB = 1 << 20


@dataclass
class Target:
    """A page in a process of its own.

    Parameters
    ----------
    url : str
        Without a final slash.
    process : subprocess.Popen
    """

    url: str
    process: "subprocess.Popen[str]"

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(60)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()


def start_page(
    folder: Path,
    *options: str,
    python: str = sys.executable,
    environment: dict[str, str] | None = None,
    limits: Any = None,
) -> Target:
    """Start `inficond launch` on a project, on a free port of loopback."""
    command = [
        python,
        "-m",
        "inficond.core.cli.main",
        "launch",
        str(folder),
        "--no-browser",
        "--json",
        *options,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **(environment or {})}, preexec_fn=limits,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the page did not start"
    return Target(json.loads(line)["url"].rstrip("/"), process)


@contextlib.contextmanager
def running_page(folder: Path, *options: str, **more: Any) -> Iterator[Target]:
    """A page while the block runs."""
    target = start_page(folder, *options, **more)
    try:
        yield target
    finally:
        target.end()


# -- measurements


def processes(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in file.read_text().split():
                found += processes(int(child))
    return found


def resident(pid: int, field: str = "VmRSS") -> int:
    """Return a field of /proc/PID/status, summed over a process and its descendants, in bytes."""
    total = 0
    for process in processes(pid):
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{process}/status").read_text()
            total += int(status.split(f"{field}:")[1].split()[0]) * 1024
    return total


@contextlib.contextmanager
def memory_growth(pid: int) -> Iterator[list[int]]:
    """Measure by how many bytes the peak memory of a process exceeds its memory at the beginning.

    The list receives one number when the block ends.
    """
    result: list[int] = []
    for process in processes(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{process}/clear_refs").write_text("5")  # resets VmHWM
    before = resident(pid)
    yield result
    result.append(resident(pid, "VmHWM") - before)


def wait_until_idle(pid: int, seconds: float = 60.0) -> None:
    """Wait until a process uses less than a tenth of a processor, or until the time is over.

    An idle server that wakes ten times per second uses up to four hundredths of a slow one.
    """
    end = time.monotonic() + seconds
    before = -1
    while time.monotonic() < end:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        used = int(fields[11]) + int(fields[12])
        if used - before <= 10:  # ticks of 10 ms
            return
        before = used
        time.sleep(1.0)


# -- pictures


def picture(width: int, height: int, kind: str = "PNG", mode: str = "1") -> bytes:
    """Return a black picture; as a bilevel PNG it has a few kilobytes whatever its size."""
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, kind)
    return out.getvalue()


# -- attacks


def send(port: int, data: Sequence[bytes], timeout: float = 60.0) -> str:
    """Send blocks to a connection and return the response; empty if the connection was closed without one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
            with contextlib.suppress(OSError):  # refused before all was sent
                for block in data:
                    s.sendall(block)
            parts = []
            with contextlib.suppress(OSError):
                while block := s.recv(1 << 16):
                    parts.append(block)
            return b"".join(parts).decode("latin-1")
    except OSError:
        return ""


def status(response: str) -> int:
    """Return the HTTP status of a raw response; 0 if there is none."""
    return int(response.split(" ", 2)[1]) if response.startswith("HTTP/") else 0


def post_head(path: str, length: int, kind: str = "application/json", close: bool = True) -> bytes:
    """Return the head of a POST request."""
    end = "Connection: close\r\n" if close else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length}\r\n{end}\r\n"
    ).encode()


LOOK_ALIKES = (
    "/gradio_api/call/upload", "/gradio_api/run/upload", "/gradio_api/component_server/upload", "/rpc/upload",
    "/gradio_api/upload/upload", "/x/upload",
)  # fmt: skip
"""Addresses that end like the one for uploads."""


def long_json_at_look_alikes(target: Target, megabytes: int, paths: Sequence[str] = LOOK_ALIKES) -> list[int]:
    """Finding 3: a long body of JSON to addresses that end like the upload; return the statuses."""
    block = b"[]," * (MB // 3)
    statuses = []
    for path in paths:
        body = [b'{"data":['] + [block] * megabytes + [b"[]]}"]
        head = post_head(path, sum(map(len, body)))
        statuses.append(status(send(target.port, [head, *body])))
    return statuses


def long_form_field(target: Target, megabytes: int, name: str = "text") -> int:
    """Finding 4: a plain field instead of a file on the upload route; return the status."""
    begin = f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
    body = [begin] + [b"a" * MB] * megabytes + [b"\r\n--b--\r\n"]
    head = post_head("/gradio_api/upload", sum(map(len, body)), "multipart/form-data; boundary=b")
    return status(send(target.port, [head, *body]))


def nested_json(target: Target, paths: Sequence[str], connections: int = 3, each: int = 4) -> list[int]:
    """Finding 5: JSON of very many nested lists, from several connections; return the statuses."""
    wide = b"[" + b"[[[]]]," * (4 * MB // 7 - 100) + b"[]]"
    body = b'{"session_hash":"x","fn_index":0,"component_id":1,"fn_name":"ping","data":' + wide + b"}"

    def one(i: int) -> int:
        path = paths[i % len(paths)]
        return status(send(target.port, [post_head(path, len(body)), body], 120))

    with ThreadPoolExecutor(connections) as pool:
        return list(pool.map(one, range(connections * each)))


def large_pictures(target: Target, count: int, classify: Any) -> list[str]:
    """Finding 15: small files of 64 million pixels, uploaded and classified; return the outcomes.

    `classify(client, address)` asks for the classification of an upload.
    """
    bomb = blank_png(8_000, 7_900)

    def one(i: int) -> str:
        with httpx.Client(base_url=target.url, timeout=300) as client:
            answer = client.post("/gradio_api/upload", files={"files": (f"{i}.png", bomb)})
            return (
                classify(client, answer.json()[0]) if answer.status_code == 200 else str(answer.status_code)
            )

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def session_hashes(target: Target, count: int, length: int = 8, connections: int = 4) -> list[int]:
    """Finding 28: requests under new session names; return the statuses."""

    def some(first: int) -> list[int]:
        found = []
        with httpx.Client(base_url=target.url, timeout=30) as client:
            for i in range(first, count, connections):
                name = f"{i:x}".rjust(length, "s")
                call = {
                    "session_hash": name,
                    "component_id": 1,
                    "fn_name": "ping",
                    "fn_index": -1,
                    "data": [],
                }
                for path in ("component_server", "component_server/", "queue/join"):
                    found.append(client.post(f"/gradio_api/{path}", json=call).status_code)
                found.append(client.get(f"/gradio_api/queue/data?session_hash={name}x").status_code)
        return found

    with ThreadPoolExecutor(connections) as pool:
        return [s for part in pool.map(some, range(connections)) for s in part]


@contextlib.contextmanager
def idle_connections(
    port: int, count: int, sent: bytes = b"", answered: bool = False
) -> Iterator[list[socket.socket]]:
    """Finding 25: connections that send nothing, or a part of a request, while the block runs.

    With `answered`, each has received the beginning of a response before the block runs.
    """
    held = []
    try:
        for _ in range(count):
            with contextlib.suppress(OSError):
                s = socket.create_connection(("127.0.0.1", port), timeout=30)
                held.append(s)
                if sent:
                    s.sendall(sent)
                if answered:
                    s.recv(1)
        yield held
    finally:
        for s in held:
            s.close()


def closed_by_server(connections: Sequence[socket.socket], seconds: float) -> int:
    """Return how many connections the server closes within a time."""
    end = time.monotonic() + seconds
    closed = 0
    for s in connections:
        s.settimeout(max(0.05, end - time.monotonic()))
        try:
            while s.recv(4096):
                pass
            closed += 1
        except TimeoutError:
            continue
        except OSError:
            closed += 1
    return closed


def broken_uploads(target: Target, count: int) -> None:
    """Finding 7: uploads that are broken off after some kilobytes.

    Return when the server has closed all connections. After that it starts no further upload.
    """
    begin = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(20_000)
    for _ in range(count):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", target.port), timeout=10) as s,
        ):
            s.sendall(post_head("/gradio_api/upload", 1_000_000, "multipart/form-data; boundary=b") + begin)
            s.shutdown(socket.SHUT_WR)
            while s.recv(1000):
                pass


def in_parallel(works: Sequence[Any]) -> list[Any]:
    """Call functions at the same time; return their results."""
    barrier = threading.Barrier(len(works))

    def one(work: Any) -> Any:
        barrier.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def get(target: Target, path: str, timeout: float = 60.0) -> int:
    """Return the status of a GET request on a new connection; 0 if there is no response."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=timeout)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
