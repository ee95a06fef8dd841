"""A concept from regions of an image that a visitor has open."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import write_words_project

from inficond.core import Project
from inficond.core.sessions.shown_concepts import OWN_IMAGE, encode_region
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.limits import NOBODY
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.visitor_registry import VisitorRegistry


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_project(tmp_path_factory.mktemp("own_regions"), "red green yellow", 12, size=(40, 40))


@pytest.fixture
def page(made: Path, files: PageFiles) -> Iterator[RpcServer]:
    server = RpcServer(VisitorRegistry(Project.open(made), files), RequestQueue(), OwnerKey(False))
    server.visitors.disable_saving()
    yield server
    server.queue.close()
    server.visitors.close()


def call(page: RpcServer, name: str, **request: Any) -> dict[str, Any]:
    return json.loads(page.answer(name, request))


def opened(page: RpcServer, token: str) -> dict[str, Any]:
    """Upload a picture, half blue and half grey, and return what the page shows of it."""
    picture = np.full((80, 80, 3), 128, np.uint8)
    picture[:, :40] = (30, 60, 210)
    path = page.files.new_upload("mine.png")
    Image.fromarray(picture).save(path)
    request = {"token": token, "path": page.files.add_upload(path, token), "name": "mine.png"}
    found: dict[str, Any] = json.loads(page.answer("classify", request))["prediction"]
    return found


def visitor_of(page: RpcServer, token: str) -> Visitor:
    return page.visitors.get(token, NOBODY.address)[0]


def choose(page: RpcServer, token: str, shown: Any, not_shown: Any = ()) -> dict[str, Any]:
    example = {"name": "sky", "shown": shown, "not_shown": list(not_shown)}
    return call(page, "choose_words", token=token, examples=[example])


def test_regions_of_the_opened_image_become_a_concept(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    image = opened(page, token)
    assert len(image["regions"]) == image["grid"][0] * image["grid"][1]
    left, right = image["regions"][0], image["regions"][image["grid"][1] - 1]
    assert left != right
    stepped = choose(page, token, [[image["key"], left]], [[image["key"], right]])
    assert re.fullmatch(r"sky #\w{6} \(by example\): added from 1 region\.", stepped["said"])
    session = visitor_of(page, token).session
    values = session.workspace.word(session.concepts[-1])
    blue = np.array([id.startswith("blue/") for id in session.image_ids])
    assert values[blue].min() > values[~blue].max()


def test_the_concept_stays_when_the_image_is_closed(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    image = opened(page, token)
    assert list(page.files.folder.rglob("own-image.webp"))
    assert "error" not in choose(page, token, [[image["key"], 0]])
    call(page, "discard_image", token=token)
    assert not list(page.files.folder.rglob("own-image.webp"))
    visitor = visitor_of(page, token)
    assert visitor.own_regions is None
    name = visitor.session.concepts[-1]
    call(page, "undo", token=token)
    assert "error" not in call(page, "redo", token=token)
    assert visitor.session.concepts[-1] == name
    detail = visitor.session.recipe().to_json()["steps"][0]["detail"]
    assert detail["shown"][0][0] == OWN_IMAGE, "the node holds the embedding"
    assert "mine.png" not in json.dumps(detail)
    assert "the own image is closed" in choose(page, token, [[image["key"], 0]])["error"]


def test_only_the_visitor_who_opened_the_image_uses_its_regions(page: RpcServer) -> None:
    tokens = [call(page, "hello")["token"] for _ in range(2)]
    image = opened(page, tokens[0])
    assert "the own image is closed" in choose(page, tokens[1], [[image["key"], 0]])["error"]
    second = opened(page, tokens[1])
    assert second["key"] != image["key"]
    assert "the own image is closed" in choose(page, tokens[1], [[image["key"], 0]])["error"]


def test_no_embedding_comes_from_a_browser(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    opened(page, token)
    width = visitor_of(page, token).project.region_embeddings.shape[-1]
    forged = encode_region(np.eye(width)[0])
    for image in (OWN_IMAGE, "x"):
        assert "by its number" in choose(page, token, [[image, forged]])["error"]


@pytest.mark.parametrize("region", [-1, 99, 1.5, True, None, [], "0"])
def test_a_region_that_does_not_exist_is_one_clear_line(page: RpcServer, region: Any) -> None:
    token = call(page, "hello")["token"]
    image = opened(page, token)
    error = choose(page, token, [[image["key"], region]])["error"]
    assert len(error.splitlines()) == 1
    assert "region" in error
    assert call(page, "hello", token=token)["info"]["fresh"]


def test_regions_that_show_and_do_not_show_are_refused(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    pair = [opened(page, token)["key"], 0]
    assert "contradict each other" in choose(page, token, [pair], [pair])["error"]
