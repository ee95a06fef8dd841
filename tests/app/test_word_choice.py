"""The dialog "Which words?" on the server's side."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import write_encoder

from inficond.core import Project
from inficond.core.progress import Silent
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.limits import NOBODY
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor import VisitorRegistry
from inficond.gradio_app.word_choice import words_payload

COLOURS = {"green": (50, 180, 70), "red": (200, 50, 40)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("choice"), np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.asarray(colour) + rng.normal(0, 25, (40, 40, 3))
            picture = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            picture.save(root / "photos" / name / f"{i}.png")
    (root / "words.txt").write_text("red\ngreen\nblue\n")
    Project.create(
        images=root / "photos", out=root / "project", encoder=str(write_encoder(root / "encoder")),
        concepts=root / "words.txt", teacher="labels",
    )  # fmt: skip
    return root / "project"


@pytest.fixture
def page(made: Path, files: PageFiles) -> Iterator[RpcServer]:
    server = RpcServer(VisitorRegistry(Project.open(made), files), RequestQueue(), OwnerKey(False))
    server.visitors.disable_saving()
    yield server
    server.queue.close()
    server.visitors.close()


def call(page: RpcServer, name: str, **request: Any) -> dict[str, Any]:
    return json.loads(page.answer(name, request))


def test_proposed_words_have_crops(page: RpcServer) -> None:
    visitor, _ = page.visitors.get(None, NOBODY.address)
    words = words_payload(visitor, Silent())["words"]
    assert {"red", "green"} <= {one["word"] for one in words}
    assert all(one["crops"][0].startswith("data:image/webp") for one in words if one["concept"])


def test_a_new_project_offers_its_words_until_a_step_is_taken(page: RpcServer) -> None:
    first = call(page, "hello")
    assert first["info"]["fresh"]
    stepped = call(page, "choose_words", token=first["token"], accept=["gold leaf"], reject=["blue"])
    assert "error" not in stepped
    assert "blue: rejected; gold leaf: accepted" in stepped["said"]
    again = call(page, "hello", token=first["token"])
    assert not again["info"]["fresh"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"accept": "red"}, "list of words"),
        ({}, "choose a word"),
        ({"reject": ["sofa"]}, "is not a concept"),
        ({"accept": ["x" * 101], "reject": ["red"]}, "1 to 100"),
        ({"accept": [f"w{i}" for i in range(61)]}, "at most 60"),
    ],
)
def test_a_bad_choice_is_answered_with_one_line_and_changes_nothing(
    page: RpcServer, request_: dict[str, Any], message: str
) -> None:
    token = call(page, "hello")["token"]
    assert message in call(page, "choose_words", token=token, **request_)["error"]
    assert call(page, "hello", token=token)["info"]["fresh"]
