"""Health that tells the truth: what it speaks of is broken for real, seen, and seen to be well again."""

import asyncio
import io
import json
import os
import shutil
import socket
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from tests.faults import subject

from inficond.core import Project
from inficond.core.cli.commands import doctor
from inficond.core.errors import InputError
from inficond.core.models.predictor import load_predictor
from inficond.core.serving.service import build_service
from inficond.core.sessions.session import Session
from inficond.gradio_app import health as health_module
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.health import PageHealth


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> subject.Made:
    return subject.make(tmp_path_factory.mktemp("health") / "all")


@pytest.fixture
def page(made: subject.Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Page, str]]:
    """A page on loopback, on a project of its own, whose health is tried at every asking."""
    shutil.copytree(made.project, tmp_path / "project")
    monkeypatch.setattr(
        "inficond.gradio_app.app.PageHealth",
        lambda page: PageHealth(page, fresh=0.0, patience=3.0, stall=1.0),
    )
    page = build_page(Project.open(tmp_path / "project"))
    _, url, _ = page.launch(prevent_thread_lock=True)
    yield page, url
    page.close()


def ask(url: str) -> tuple[int, dict[str, Any]]:
    answer = httpx.get(url + "health", timeout=60)
    return answer.status_code, answer.json()


def bad(said: dict[str, Any]) -> set[str]:
    return {name for name in ("model", "queue", "disk") if not said[name]["ok"]}


def test_a_page_that_is_well_says_so_and_nothing_else(page: tuple[Page, str]) -> None:
    code, said = ask(page[1])
    assert (code, bad(said)) == (200, set())
    assert set(said) == {"ok", "model", "queue", "disk"}
    text = json.dumps(said)
    assert "/" not in text
    assert page[0].visitors.projects["p0"].name not in text
    assert httpx.get(page[1] + "health").headers["cache-control"] == "no-store"
    found = doctor._page(page[1])
    assert found["ok"]


def test_a_model_that_dies_at_work_is_seen(page: tuple[Page, str]) -> None:
    encoder = page[0].visitors.projects["p0"].context.encoder
    assert ask(page[1])[0] == 200

    class Dead:
        def run(self, *given: object) -> None:
            raise RuntimeError("CUDA error 700 at /opt/secret/path: device lost")

    alive = encoder.session.runner
    encoder.session.runner = Dead()  # type: ignore[assignment]
    try:
        code, said = ask(page[1])
        assert (code, bad(said)) == (503, {"model"})
        assert "secret" not in json.dumps(said)
        lines = doctor._lines({**doctor_base(), "page": doctor._page(page[1])})
        assert any("THE MODEL DOES NOT ANSWER" in line for line in lines)
        assert any("the queue moves" in line for line in lines)
    finally:
        encoder.session.runner = alive
    assert ask(page[1])[0] == 200


def doctor_base() -> dict[str, Any]:
    return {
        "inficond": "", "python": "", "system": "", "cores": 1, "memory_available": None, "models": {},
        "providers": {}, "export_extra": False, "cache": {"path": "", "writable": True}, "packages": {},
    }  # fmt: skip


def test_a_model_whose_file_is_damaged_is_seen(made: subject.Made) -> None:
    file = made.encoder / "image.onnx"
    good = file.read_bytes()
    trial = health_module.ModelCheck(Project.open(made.project))
    asked = health_module.CachedCheck(trial, "the model does not answer", fresh=0.0)
    file.write_bytes(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    try:
        assert asyncio.run(asked.ask()).said == "the model does not answer"
    finally:
        file.write_bytes(good)
    assert asyncio.run(asked.ask()).ok
    asked.close()


def test_threads_that_answer_nobody_are_seen(page: tuple[Page, str]) -> None:
    gate = threading.Event()
    lanes = page[0].rpc.queue

    async def stuck() -> None:
        await asyncio.gather(*(lanes.run("read", lambda _: str(gate.wait(60)), {}) for _ in range(64)))

    filler = threading.Thread(target=lambda: asyncio.run(stuck()))
    filler.start()
    try:
        code, said = ask(page[1])
        assert (code, bad(said)) == (503, {"queue"})
    finally:
        gate.set()
        filler.join(60)
    assert ask(page[1])[0] == 200


def test_a_queue_that_does_not_move_is_seen(page: tuple[Page, str], monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    metrics = Session.metrics
    monkeypatch.setattr(Session, "metrics", lambda self, cls: gate.wait(60) and metrics(self, cls))
    events = []
    for _ in range(8):  # four at once may run
        answer = httpx.post(page[1] + "gradio_api/call/classes", json={"data": [""]}, timeout=30)
        events.append(answer.json()["event_id"])
    time.sleep(1.5)
    try:
        code, said = ask(page[1])
        assert (code, bad(said)) == (503, {"queue"})
    finally:
        gate.set()
    for event in events:
        assert "complete" in httpx.get(page[1] + f"gradio_api/call/classes/{event}", timeout=60).text
    assert ask(page[1])[0] == 200


@contextmanager
def read_only(*folders: Path) -> Iterator[None]:
    """Folders that this process may not write, even where it is root's."""
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
@pytest.mark.parametrize("which", ["pictures", "uploads"])
def test_a_disk_that_cannot_be_written_is_seen(page: tuple[Page, str], which: str) -> None:
    pictures = page[0].files
    folder = pictures.folder if which == "pictures" else pictures.uploads
    with read_only(folder):
        code, said = ask(page[1])
    assert (code, "disk" in bad(said)) == (503, True)
    assert "/" not in json.dumps(said)
    assert ask(page[1])[0] == 200


def test_a_folder_that_is_gone_is_seen(page: tuple[Page, str]) -> None:
    shutil.rmtree(page[0].files.uploads)
    assert bad(ask(page[1])[1]) == {"disk"}
    page[0].files.uploads.mkdir()
    assert ask(page[1])[0] == 200


def test_a_page_on_a_damaged_history_does_not_open(made: subject.Made, tmp_path: Path) -> None:
    shutil.copytree(made.project, tmp_path / "project")
    file = tmp_path / "project" / "history.sqlite"
    data = file.read_bytes()
    file.write_bytes(data.replace(b"with a remark", b"with a remarj"))
    with pytest.raises(InputError, match=r"history\.sqlite is damaged"):
        build_page(Project.open(tmp_path / "project"))
    found = doctor._project(tmp_path / "project")
    assert any("history.sqlite" in fault for fault in found["faults"])


def test_asking_often_costs_one_trial(page: tuple[Page, str], monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    trial = health_module.CachedCheck(lambda: runs.append(1), "it", fresh=60.0)

    async def often() -> list[Any]:
        return await asyncio.gather(*(trial.ask() for _ in range(50)))

    assert all(part.ok for part in asyncio.run(often()))
    assert len(runs) == 1
    trial.close()


def test_doctor_says_that_nobody_answers() -> None:
    with socket.socket() as silent:  # holds a port, and listens to nobody
        silent.bind(("127.0.0.1", 0))
        found = doctor._page(f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert not found["ok"]
    assert "is it running?" in found["error"]
    with pytest.raises(InputError, match="give an address"):
        doctor._page("file:///etc/passwd")


def test_a_served_student_is_healthy_only_while_it_answers(
    made: subject.Made, monkeypatch: pytest.MonkeyPatch
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
