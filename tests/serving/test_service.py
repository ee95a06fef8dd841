"""An exported student over HTTP says what the command says, and survives what is thrown at it."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.models.predictor import load_predictor
from inficond.core.onnx_student.export import export_student
from inficond.core.serving.service import MAX_BYTES, build_service


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("service") / "student.onnx"
    export_student(Project.open(demo_project()), file)
    return file


@pytest.fixture(scope="module")
def client(student: Path) -> Iterator[TestClient]:
    with TestClient(build_service(load_predictor(student, "cpu"))) as client:
        yield client


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    demo = Project.open(demo_project())
    return [Path(demo.image_path(row)) for row in range(0, 1200, 100)]


def test_it_answers_as_the_command_does(client: TestClient, student: Path, pictures: list[Path]) -> None:
    expected = list(load_predictor(student, "cpu").predict_files(pictures))
    for picture, wanted in zip(pictures, expected, strict=True):
        answer = client.post("/predict", content=picture.read_bytes()).json()
        assert wanted.probabilities is not None
        np.testing.assert_allclose(list(answer["probabilities"].values()), wanted.probabilities, atol=1e-5)
        assert answer["yes"] == [c for c, p in answer["probabilities"].items() if p >= 0.5]


def test_what_is_no_picture_fails_alone(client: TestClient, pictures: list[Path]) -> None:
    good = pictures[0].read_bytes()
    bodies = [good, b"hello", good, good[: len(good) // 2], b"\x89PNG\r\n\x1a\n" + bytes(99), good] * 4
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda body: client.post("/predict", content=body).status_code, bodies))
    assert codes == [200, 400, 200, 400, 400, 200] * 4
    assert client.get("/health").json()["ok"] is True


def test_a_bomb_is_refused_in_one_line(client: TestClient) -> None:
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    answer = client.post("/predict", content=bomb.getvalue())
    assert answer.status_code == 400
    assert "\n" not in answer.json()["detail"]


def test_too_much_and_nothing_are_refused(client: TestClient) -> None:
    assert client.post("/predict", content=b"").status_code == 400
    assert client.post("/predict", content=bytes(MAX_BYTES + 1)).status_code == 413


def test_it_says_what_it_is(client: TestClient) -> None:
    about = client.get("/").json()
    assert about["classes"] == Project.open(demo_project()).classes
    assert about["provider"] == "CPUExecutionProvider" or "cpu" in about["provider"].lower()
