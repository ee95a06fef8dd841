"""A served student returns the results of the command, and refuses bodies that are not pictures."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from tests.large_pictures import blank_png

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.models.predictor import Predictor
from inficond.core.serving.limits import MAX_BODY
from inficond.core.serving.service import build_service


@pytest.fixture(scope="module")
def client(predictor: Predictor) -> Iterator[TestClient]:
    with TestClient(build_service(predictor), base_url="http://127.0.0.1:8080") as client:
        yield client


@pytest.fixture(scope="module")
def pictures() -> list[Path]:
    demo = Project.open(demo_project())
    return [Path(demo.image_path(row)) for row in range(0, 1200, 100)]


def test_responses_equal_the_command(client: TestClient, predictor: Predictor, pictures: list[Path]) -> None:
    expected = list(predictor.predict_files(pictures))
    for picture, wanted in zip(pictures, expected, strict=True):
        answer = client.post("/predict", content=picture.read_bytes()).json()
        assert wanted.probabilities is not None
        np.testing.assert_allclose(list(answer["probabilities"].values()), wanted.probabilities, atol=1e-5)
        assert answer["yes"] == [c for c, p in answer["probabilities"].items() if p >= 0.5]


def test_a_form_with_a_file_equals_a_body_of_bytes(client: TestClient, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    expected = client.post("/predict", content=content).json()
    for field in ("file", "image", "anything"):
        answer = client.post("/predict", files={field: ("photo.jpg", content, "image/jpeg")})
        assert answer.status_code == 200
        assert answer.json() == expected
    fields = client.post("/predict", data={"comment": "mine"}, files={"file": ("ä photo.jpg", content)})
    assert fields.json() == expected


def test_a_form_without_exactly_one_file_is_refused(client: TestClient, pictures: list[Path]) -> None:
    content = pictures[0].read_bytes()
    two = client.post("/predict", files=[("a", ("a.jpg", content)), ("b", ("b.jpg", content))])
    none = client.post("/predict", files={"file": (None, content)})
    for answer, count in ((two, 2), (none, 0)):
        assert answer.status_code == 400
        assert f"the form contains {count} files" in answer.json()["detail"]
        assert "curl -F" in answer.json()["detail"]


def test_a_body_that_is_not_a_picture_fails_alone(client: TestClient, pictures: list[Path]) -> None:
    good = pictures[0].read_bytes()
    bodies = [good, b"hello", good, good[: len(good) // 2], b"\x89PNG\r\n\x1a\n" + bytes(99), good] * 4
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda body: client.post("/predict", content=body).status_code, bodies))
    assert codes == [200, 400, 200, 400, 400, 200] * 4
    assert client.get("/health").json()["ok"] is True


def test_a_picture_with_too_many_pixels_is_refused_in_one_line(client: TestClient) -> None:
    answer = client.post("/predict", content=blank_png(20_000, 20_000))
    assert answer.status_code == 400
    assert "\n" not in answer.json()["detail"]


def test_bodies_that_are_too_large_or_empty_are_refused(client: TestClient) -> None:
    assert client.post("/predict", content=b"").status_code == 400
    assert client.post("/predict", content=bytes(MAX_BODY + 1)).status_code == 413


def test_the_index_describes_the_student(client: TestClient) -> None:
    about = client.get("/").json()
    assert about["classes"] == Project.open(demo_project()).classes
    assert about["provider"] == "cpu"


def test_health_reports_the_figures_of_the_queue(client: TestClient) -> None:
    state = client.get("/health").json()
    assert state["ok"] is True
    assert {"waiting", "running", "answered", "p50", "p95"} <= state.keys()
    assert "last_error" not in state
