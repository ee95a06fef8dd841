"""What strangers leave behind: visits, uploads, projects and connections end, and nobody else's work does."""

import asyncio
import contextlib
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from tests import tiny_models
from tests.attacks import page_attacks as attacks
from tests.attacks.page_attacks import Target

from inficond.core import Project
from inficond.core.serving.connections import ConnectionPool, limit_connections
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.jobs import Job
from inficond.gradio_app.routes import TOKEN_HEADER
from inficond.gradio_app.visitor_registry import IDLE_SECONDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="uses limits of POSIX")
MUTE = {"selection": {}, "parts": []}


def ask(client: httpx.Client, procedure: str, **request: Any) -> dict[str, Any]:
    answer = client.post(f"/rpc/{procedure}", json=request)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def begin(client: httpx.Client) -> tuple[str, str, str]:
    """Begin a visit; return its token, a class and a concept."""
    hello = ask(client, "hello", selection={})
    rows = hello["parts"]["influence.rows"]["rows"]
    return hello["token"], hello["selection"]["cls"], rows[0]["name"]


def step(client: httpx.Client, token: str, cls: str, concept: str, value: float = 0.1) -> str:
    """Take a step; return its node."""
    action = {"kind": "set", "concept": concept, "value": value}
    return ask(client, "apply", token=token, cls=cls, actions=[action], **MUTE)["node"]


@pytest.fixture(scope="module")
def target(hostile_project: Path) -> Iterator[Target]:
    with attacks.running_page(hostile_project, "--isolated", limits=lambda: limit_descriptors(128)) as target:
        yield target


def limit_descriptors(count: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))


def test_newcomers_evict_no_steps_of_others(target: Target) -> None:
    """Finding 6: 520 requests without a token evicted everybody's unsaved work."""
    with httpx.Client(base_url=target.url, timeout=60) as client:
        token, cls, concept = begin(client)
        node = step(client, token, cls, concept)
        for _ in range(520):
            assert ask(client, "ping")["token"] != token
        for i in range(5):  # visits with steps are saved, so these do not matter either
            other, _, _ = begin(client)
            step(client, other, cls, concept, 0.01 * i)
        current = ask(client, "read", token=token, selection={}, parts=["provenance.tree"])
        assert current["token"] == token
        assert node in str(current["parts"]["provenance.tree"])


def test_idle_connections_do_not_lock_others_out(target: Target) -> None:
    """Finding 25: with 128 descriptors, held connections made the page unreachable."""
    for sent in (
        b"",
        b"GET / HTTP/1.1\r\nHost: loc",
        b"POST /rpc/ping HTTP/1.1\r\nHost: localhost\r\nContent-Le",
    ):
        with attacks.idle_connections(target.port, 200, sent):
            assert [attacks.get(target, "/robots.txt", 30) for _ in range(3)] == [200] * 3
            assert httpx.post(f"{target.url}/rpc/ping", json={}, timeout=60).json()["token"]


def test_keep_alive_connections_do_not_lock_others_out(target: Target) -> None:
    """As idle connections, those that have been served once and stay open."""
    whole = b"GET /robots.txt HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with attacks.idle_connections(target.port, 200, whole, answered=True):
        assert [attacks.get(target, "/robots.txt", 30) for _ in range(3)] == [200] * 3


@dataclass(eq=False)
class Connection:
    """A connection whose request is being answered."""

    closed: bool = False
    is_busy: bool = True
    is_receiving: bool = False

    @property
    def transport(self) -> "Connection":
        return self

    def close(self) -> None:
        self.closed = True


def test_many_requests_of_one_address_do_not_lock_others_out() -> None:
    pool = ConnectionPool(4)
    of_one = [Connection() for _ in range(4)]
    for connection in of_one:
        pool.add(connection, "203.0.113.1")
    stranger = Connection()
    pool.add(stranger, "203.0.113.2")
    assert [c.closed for c in (*of_one, stranger)] == [False, False, False, True, False]
    another = Connection()
    pool.add(another, "203.0.113.1")
    assert another.closed
    assert len(pool) == 4


def test_unfinished_bodies_do_not_lock_others_out(target: Target) -> None:
    """As idle connections, requests whose body does not arrive."""
    head = attacks.post_head("/rpc/ping", 500) + b'{"token":'
    upload = attacks.post_head("/gradio_api/upload", 5_000, "multipart/form-data; boundary=b")
    for sent in (head, upload):
        with attacks.idle_connections(target.port, 120, sent):
            assert [attacks.get(target, "/robots.txt", 30) for _ in range(3)] == [200] * 3


@contextlib.contextmanager
def small_server(header_seconds: float) -> Iterator[int]:
    """The page's HTTP protocol around a trivial application; yields the port."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off")
    config.load()
    limit_connections(config, ConnectionPool(50), header_seconds)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def test_headers_must_arrive_in_time() -> None:
    """Finding 25: nothing limited the time for headers."""
    with small_server(0.5) as port:
        for sent in (
            b"",
            b"GET /",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nx: ",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ):
            with attacks.idle_connections(port, 5, sent) as held:
                assert attacks.closed_by_server(held, 20) == 5


def test_a_trickle_of_header_bytes_does_not_extend_the_time() -> None:
    with small_server(0.5) as port, attacks.idle_connections(port, 1, b"GET / HTTP/1.1\r\n") as [held]:
        closed = False
        for _ in range(200):
            try:
                held.sendall(b"x")
                time.sleep(0.05)
                held.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    closed = held.recv(100) == b""
                held.setblocking(True)
            except OSError:
                closed = True
            if closed:
                break
        assert closed


# -- projects from uploads


@pytest.fixture
def page(hostile_project: Path) -> Iterator[Page]:
    page = build_page(Project.open(hostile_project))
    page.start()
    yield page
    page.close()


def uploads(client: httpx.Client, token: str, photos: Path) -> list[dict[str, str]]:
    files = []
    for path in sorted(p for p in photos.rglob("*") if p.is_file()):
        answer = client.post(
            "/gradio_api/upload",
            files={"files": (path.name, path.read_bytes())},
            headers={TOKEN_HEADER: token},
        )
        files.append({"path": answer.json()[0], "name": path.name})
    return files


def finished(client: httpx.Client, token: str, job: str) -> dict[str, Any]:
    while (state := ask(client, "job", token=token, job=job)["job"])["state"] == "running":
        time.sleep(0.1)
    return state


def left(page: Page) -> list[Path]:
    """Files of uploads and of projects that were built from them."""
    return [p for f in (page.files.uploads, page.files.projects) for p in f.rglob("*") if p.is_file()]


@pytest.mark.slow
def test_a_project_from_uploads_ends_with_its_visit(page: Page, tmp_path: Path) -> None:
    """Finding 13: projects from uploads stayed on disk, without a limit of their number."""
    photos = tiny_models.write_photos(tmp_path / "photos", 24)
    with httpx.Client(base_url=page.url, timeout=120) as client:
        token = ask(client, "hello")["token"]
        built = []
        for i in range(3):
            started = ask(
                client, "start_project", token=token, name=f"n{i}", files=uploads(client, token, photos),
                classes=f"bird: hen\nfish: tench\nc{i}: goldfish",
            )  # fmt: skip
            if "job" not in started:
                assert "end this visit" in started["error"]
                break
            built.append(finished(client, token, started["job"]))
        assert [b["state"] for b in built] == ["done"] * 2, [b["line"] for b in built]
        stranger = ask(client, "hello")["token"]
        for b in built:
            assert "error" in ask(client, "open_project", token=stranger, project=b["result"]["project"])
    assert left(page)
    assert len(page.visitors.projects) == 3
    page.visitors.sweep(time.monotonic() + IDLE_SECONDS + 1)
    assert len(page.visitors.projects) == 1
    page.visitors.sweep(time.monotonic() + 2 * IDLE_SECONDS + 2)
    assert left(page) == []


def test_the_images_of_a_failed_project_end_with_the_visit(page: Page, tmp_path: Path) -> None:
    """A project that fails keeps its images only as long as the visit may try again."""
    photos = tiny_models.write_photos(tmp_path / "photos", 4)
    with httpx.Client(base_url=page.url, timeout=120) as client:
        token = ask(client, "hello")["token"]
        files = uploads(client, token, photos)
        before = page.files.upload_use(token)
        started = ask(client, "start_project", token=token, name="x", files=files, classes="a: no such label")
        assert finished(client, token, started["job"])["state"] == "failed"
    assert len(left(page)) >= 4
    assert page.files.upload_use(token)[1] == before[1], "its images count as uploads"
    page.visitors.sweep(time.monotonic() + IDLE_SECONDS + 1)
    assert left(page) == []


def test_uploads_that_are_broken_off_are_deleted(page: Page) -> None:
    """Finding 7: of 903 uploads that were broken off, all stayed."""
    attacks.broken_uploads(Target(page.url.rstrip("/"), None), 60)  # type: ignore[arg-type]
    deadline = time.monotonic() + 30
    while (stored := list(page.files.uploads.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert stored == []


def test_uploads_of_one_address_are_limited_in_number_and_bytes(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inficond.gradio_app import uploads as module
    from inficond.gradio_app.limits import Quota

    monkeypatch.setattr(module, "UPLOAD_FILES", Quota("stored uploads", 30, 10, 4))
    content = attacks.picture(16, 16)
    with httpx.Client(base_url=page.url, timeout=60) as client:
        codes = [
            client.post("/gradio_api/upload", files={"files": ("a", content)}, headers=h).status_code
            for h in [{TOKEN_HEADER: "a" * 16}] * 6 + [{TOKEN_HEADER: "b" * 16}] * 6 + [{}] * 30
        ]
    assert codes[:12] == ([200] * 4 + [429] * 2) * 2
    assert codes.count(200) == 30


def test_visitors_who_try_the_same_picture_are_all_answered(page: Page) -> None:
    """Finding 11: uploads of one picture shared a path, and the first answer deleted it."""
    content = attacks.picture(80, 60, "JPEG", "RGB")

    def one() -> list[str]:
        with httpx.Client(base_url=page.url, timeout=120) as client:
            token = ask(client, "hello")["token"]
            said = []
            for _ in range(3):
                answer = client.post(
                    "/gradio_api/upload",
                    files={"files": ("same.jpg", content)},
                    headers={TOKEN_HEADER: token},
                )
                found = ask(client, "classify", token=token, path=answer.json()[0], name="same.jpg")
                said.append("answered" if "prediction" in found else found["error"])
            return said

    assert attacks.in_parallel([one] * 8) == [["answered"] * 3] * 8


def test_a_stranger_with_new_visits_leaves_jobs_to_other_addresses(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding 14: one stranger with a new visit for each request took all 60 jobs."""
    gate = threading.Event()
    monkeypatch.setattr(Job, "begin", lambda job: gate.wait(60))  # no job ends before the requests below

    def request(client: httpx.Client) -> str:
        token = ask(client, "ping")["token"]
        return str(ask(client, "start_export", token=token, kind="report").get("error", ""))

    stranger = httpx.HTTPTransport(local_address="127.0.1.9")
    try:
        with httpx.Client(base_url=page.url, timeout=120, transport=stranger) as client:
            refusals = [request(client) for _ in range(20)]
        with httpx.Client(base_url=page.url, timeout=120) as client:
            assert request(client) == ""
    finally:
        gate.set()
    assert refusals[:8] == [""] * 8
    assert all(refusals[8:])
