"""Health checks: each component fails, is reported, and is reported as healthy again after repair."""

import asyncio
import io
import json
import os
import shutil
import socket
import sqlite3
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.faults import sample

from inficond.core import Project
from inficond.core.cli.commands import doctor
from inficond.core.errors import InputError
from inficond.core.models.predictor import load_predictor
from inficond.core.serving.service import build_service
from inficond.core.sessions.session import Session
from inficond.gradio_app import health as health_module
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.health import PageHealth
from inficond.gradio_app.limits import NOBODY, Caller
from inficond.gradio_app.page_files import PageFiles


@pytest.fixture
def page(made: sample.Sample, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    """A page on loopback, on a project of its own, whose health checks are not cached."""
    shutil.copytree(made.project, tmp_path / "project")
    monkeypatch.setattr(
        "inficond.gradio_app.app.PageHealth",
        lambda visitors, queue: PageHealth(visitors, queue, cache_seconds=0.0, timeout=3.0, job_timeout=1.0),
    )
    page = build_page(Project.open(tmp_path / "project"))
    page.start()
    page.files.decoder.decode(page.files.folder / "health.png")  # the process starts now, not in a check
    yield page
    page.close()


def ask(page: Page) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(page.url + "health", timeout=60)
    return answer.status_code, answer.json()


def failed(response: dict[str, Any]) -> set[str]:
    return {name for name, part in response.items() if name != "ok" and not part["ok"]}


def test_a_healthy_page_reports_no_details(page: Page) -> None:
    code, response = ask(page)
    assert (code, failed(response)) == (200, set())
    assert set(response) == {"ok", "model", "queue", "jobs", "disk", "saving"}
    text = json.dumps(response)
    assert "/" not in text
    assert page.visitors.default_project.name not in text
    assert httpx.get(page.url + "health").headers["cache-control"] == "no-store"
    assert doctor.page_state(page.url)["ok"]


def test_a_model_that_fails_is_reported(page: Page) -> None:
    encoder = page.visitors.default_project.context.encoder
    assert ask(page)[0] == 200

    class Dead:
        def run(self, *given: object) -> None:
            raise RuntimeError("CUDA error 700 at /opt/secret/path: device lost")

    alive = encoder.session.runner
    encoder.session.runner = Dead()  # type: ignore[assignment]
    try:
        code, response = ask(page)
        assert (code, failed(response)) == (503, {"model"})
        assert "secret" not in json.dumps(response)
        lines = doctor.report_lines({**doctor_base(), "page": doctor.page_state(page.url)})
        assert any("THE MODEL DOES NOT RESPOND" in line for line in lines)
        assert any("the queue advances" in line for line in lines)
    finally:
        encoder.session.runner = alive
    assert ask(page)[0] == 200


def doctor_base() -> dict[str, Any]:
    return {
        "inficond": "", "python": "", "system": "", "cores": 1, "memory_available": None, "models": {},
        "providers": {}, "export_extra": False, "cache": {"path": "", "writable": True}, "packages": {},
    }  # fmt: skip


def test_a_model_whose_file_is_damaged_is_reported(made: sample.Sample) -> None:
    file = made.encoder / "image.onnx"
    good = file.read_bytes()
    files = PageFiles()
    model = health_module.ModelCheck(Project.open(made.project), files)
    check = health_module.CachedCheck(
        lambda: asyncio.to_thread(model), "the model does not answer", cache_seconds=0.0
    )
    file.write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    try:
        assert asyncio.run(check.result()).reason == "the model does not answer"
    finally:
        file.write_bytes(good)
    assert asyncio.run(check.result()).ok
    files.close()


def test_images_that_cannot_be_decoded_are_reported(page: Page) -> None:
    """The probe image is read from the disk and decoded like a visitor's image."""
    (page.files.folder / "health.png").write_bytes(b"")
    code, response = ask(page)
    assert (code, failed(response)) == (503, {"model"})
    assert response["model"]["reason"] == "images cannot be decoded"


@pytest.mark.parametrize("visit", ["visits", "no visit"])
def test_threads_that_do_not_respond_are_reported(page: Page, visit: str) -> None:
    gate, queue = threading.Event(), page.rpc.queue
    stuck = [
        queue.submit(
            "quick", Caller("127.0.0.1", str(i)), f"visit {i}" if visit == "visits" else None,
            lambda: gate.wait(60),
        )
        for i in range(64)
    ]  # fmt: skip
    try:
        code, response = ask(page)
        assert code == 503
        assert "queue" in failed(response)
    finally:
        gate.set()
        for one in stuck:
            one.result(60)
    assert ask(page)[0] == 200


def test_jobs_that_get_no_turn_are_reported(page: Page) -> None:
    gate, queue = threading.Event(), page.rpc.queue
    stuck = [queue.submit("job", NOBODY, f"visit {i}", lambda: gate.wait(60)) for i in range(8)]
    try:
        ask(page)
        code, response = ask(page)
        assert (code, failed(response)) == (503, {"jobs"})
    finally:
        gate.set()
        for one in stuck:
            one.result(60)
    assert ask(page)[0] == 200


def test_api_calls_that_do_not_end_are_reported(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    metrics = Session.metrics
    monkeypatch.setattr(Session, "metrics", lambda self, cls: gate.wait(60) and metrics(self, cls))
    events = []
    for _ in range(8):
        answer = httpx.post(page.url + "gradio_api/call/classes", json={"data": [""]}, timeout=30)
        events.append(answer.json()["event_id"])
    try:
        code, response = ask(page)
        assert (code, failed(response)) == (503, {"queue"})
    finally:
        gate.set()
    for event in events:
        assert "complete" in httpx.get(page.url + f"gradio_api/call/classes/{event}", timeout=60).text
    assert ask(page)[0] == 200


def test_a_locked_history_is_reported_and_delays_no_reader(page: Page) -> None:
    visitor, _ = page.visitors.get()
    cls = visitor.project.classes[0]
    action = {"kind": "mute", "concept": visitor.session.concepts[0]}
    page.rpc.answer("apply", {"token": visitor.token, "cls": cls, "actions": [action]})
    store = visitor.project.context.history_store
    lock = sqlite3.connect(store.path, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    try:
        code, response = ask(page)
        assert code == 503
        assert "saving" in failed(response)
        began = time.monotonic()
        assert "error" not in json.loads(page.rpc.answer("hello", {}))
        redo = {"token": visitor.token, "cls": cls, "actions": [{**action, "kind": "lock"}]}
        stepped = json.loads(page.rpc.answer("apply", redo))
        assert "not saved yet" in stepped["note"]
        assert time.monotonic() - began < 20, "a lock lasts for 30 s"
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    page.visitors.sweep()
    assert not visitor.session.changed, "what could not be saved is saved later"
    assert ask(page)[0] == 200


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Make folders read-only during the block, also for root."""
    modes = {f: stat.S_IMODE(f.stat().st_mode) for f in folders}
    for folder in folders:
        folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        yield
    finally:
        if root:
            os.seteuid(0)
        for folder, mode in modes.items():
            folder.chmod(mode)


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of POSIX")
@pytest.mark.parametrize("which", ["files", "uploads"])
def test_a_disk_that_cannot_be_written_is_reported(page: Page, which: str) -> None:
    folder = page.files.folder if which == "files" else page.files.uploads
    with read_only(folder):
        code, response = ask(page)
    assert (code, "disk" in failed(response)) == (503, True)
    assert "/" not in json.dumps(response)
    assert ask(page)[0] == 200


@pytest.mark.parametrize("reason", ["disk", "quota"])
def test_uploads_that_would_be_refused_are_reported(
    reason: str, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inficond.gradio_app import uploads

    if reason == "disk":
        monkeypatch.setattr(uploads, "MIN_FREE_DISK", 1 << 60)
    else:
        monkeypatch.setattr(uploads, "UPLOAD_FILES", replace(uploads.UPLOAD_FILES, total=0))
    assert failed(ask(page)[1]) == {"disk"}
    refused = httpx.post(f"{page.url}gradio_api/upload", files={"files": ("a.png", b"x")})
    assert refused.status_code == (507 if reason == "disk" else 429)
    monkeypatch.undo()


def test_a_missing_folder_is_reported(page: Page) -> None:
    shutil.rmtree(page.files.uploads)
    assert failed(ask(page)[1]) == {"disk"}
    page.files.uploads.mkdir()
    assert ask(page)[0] == 200


def test_a_page_on_a_damaged_history_does_not_open(made: sample.Sample, tmp_path: Path) -> None:
    shutil.copytree(made.project, tmp_path / "project")
    file = tmp_path / "project" / "history.sqlite"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"with a remark", b"with a remarj"))
    with pytest.raises(InputError, match=r"history\.sqlite is damaged"):
        build_page(Project.open(tmp_path / "project"))
    found = doctor.project_state(tmp_path / "project")
    assert any("history.sqlite" in fault for fault in found["faults"])


def test_frequent_requests_run_a_check_once() -> None:
    runs = []

    async def check() -> None:
        runs.append(1)

    cached = health_module.CachedCheck(check, "it", cache_seconds=60.0)

    async def often() -> list[Any]:
        return await asyncio.gather(*(cached.result() for _ in range(50)))

    assert all(part.ok for part in asyncio.run(often()))
    assert len(runs) == 1


def test_doctor_reports_a_page_that_does_not_respond() -> None:
    with socket.socket() as silent:  # a port that is in use but not listening
        silent.bind(("127.0.0.1", 0))
        found = doctor.page_state(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert not found["ok"]
    assert "is it running?" in found["error"]
    with pytest.raises(InputError, match="give an address"):
        doctor.page_state("file:///etc/passwd")


def test_a_served_student_is_healthy_while_its_model_responds(
    made: sample.Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load_predictor(made.onnx, "cpu", 1)
    monkeypatch.setattr("inficond.core.serving.health.FRESH", 0.0)

    class Dead:
        def run(self, *given: object) -> None:
            raise RuntimeError("student.onnx in /opt/secret failed on cuda")

    with TestClient(build_service(predictor), base_url="http://127.0.0.1") as client:
        assert client.get("/health").json()["ok"] is True
        alive = predictor.session.runner
        predictor.session.runner = Dead()  # type: ignore[assignment]
        answer = client.get("/health")
        assert answer.status_code == 503
        assert "secret" not in answer.text
        predictor.session.runner = alive
        assert client.get("/health").status_code == 200
        picture = io.BytesIO()
        Image.new("RGB", (40, 40)).save(picture, "PNG")
        assert client.post("/predict", content=picture.getvalue()).status_code == 200
