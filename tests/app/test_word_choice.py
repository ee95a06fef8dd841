"""The dialog "Which words?" on the server's side."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_models import write_words_project

from inficond.core import Project
from inficond.core.progress import Silent
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.limits import NOBODY
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import RequestQueue
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.visitor_registry import VisitorRegistry
from inficond.gradio_app.word_choice import crops_payload, discovery_payload, words_payload

COLOURS = {"green": (50, 180, 70), "red": (200, 50, 40)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_project(
        tmp_path_factory.mktemp("choice"), "red green blue", 12, colours=COLOURS, shift=0, size=(40, 40)
    )


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
    concepts = [(one["word"], one["cls"]) for one in words if one["concept"]]
    crops = crops_payload(visitor, concepts[:8], Silent())["crops"]
    assert all(found[0].startswith("data:image/webp") for found in crops)


@pytest.mark.parametrize("pairs", ["red", [["red"]], [["red", 1]], [["red", "a"]] * 9])
def test_crops_of_something_else_are_refused(page: RpcServer, pairs: Any) -> None:
    token = call(page, "hello")["token"]
    assert (
        "a list of at most 8 pairs of a word and a class"
        in call(page, "start_words", token=token, crops_of=pairs)["error"]
    )


def test_discovered_concepts_have_crops_and_regions(page: RpcServer) -> None:
    visitor, _ = page.visitors.get(None, NOBODY.address)
    for one in discovery_payload(visitor, None, Silent())["found"]:
        assert one["crops"][0].startswith("data:image/webp")
        assert one["shown"]
        assert one["cls"] in visitor.session.classes


def test_a_new_project_offers_its_words_until_a_step_is_taken(page: RpcServer) -> None:
    first = call(page, "hello")
    assert first["info"]["fresh"]
    stepped = call(page, "choose_words", token=first["token"], accept=["gold leaf"], reject=["blue"])
    assert "error" not in stepped
    assert "blue: rejected; gold leaf: accepted" in stepped["said"]
    again = call(page, "hello", token=first["token"])
    assert not again["info"]["fresh"]


def test_clicked_regions_become_a_concept(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    images = page.visitors.get(token, NOBODY.address)[0].session.image_ids[:3]
    picked = [call(page, "region_at", token=token, image=i, x=0.5, y=0.5)["picked"] for i in images]
    assert all(one["cells"].count("1") for one in picked)
    shown = [[one["image"], one["region"]] for one in picked]
    example = {"name": "gleam", "shown": shown[:2], "not_shown": []}
    stepped = call(page, "choose_words", token=token, examples=[example])
    assert re.fullmatch(r"gleam #\w{6} \(by example\): added from 2 regions\.", stepped["said"])
    again = call(page, "choose_words", token=token, examples=[example])
    assert "choose another name" in again["error"]


def test_visitors_give_one_name_to_different_regions(page: RpcServer) -> None:
    """A visitor must neither occupy a name nor change what it means for another one."""
    tokens = [call(page, "hello")["token"] for _ in range(2)]
    visits = [page.visitors.get(token, NOBODY.address)[0] for token in tokens]
    images = visits[0].session.image_ids
    for token, image in zip(tokens, images):
        example = {"name": "gleam", "shown": [[image, 0]], "not_shown": []}
        assert "error" not in call(page, "choose_words", token=token, examples=[example])
    names = [visit.session.concepts[-1] for visit in visits]
    assert names[0] != names[1]
    owner = visits[0].project.session()
    owner.add_example("gleam", [(images[2], 0)])
    assert owner.concepts[-1] == "gleam (by example)"


def test_a_word_is_renamed_and_shown_under_its_new_name(page: RpcServer) -> None:
    token = call(page, "hello")["token"]
    stepped = call(page, "choose_words", token=token, rename=[["green", "leaf  green"]])
    assert stepped["said"] == "green: renamed; it is called 'leaf green (was green)' now."
    assert stepped["title"] == "rename green to leaf green"
    words = words_payload(page.visitors.get(token, NOBODY.address)[0], Silent())["words"]
    found = next(one for one in words if one["word"] == "leaf green (was green)")
    assert found["label"] == "leaf green"
    assert found["concept"]


def test_visitors_rename_different_words_to_one_name(page: RpcServer) -> None:
    tokens = [call(page, "hello")["token"] for _ in range(2)]
    for token, word in zip(tokens, ["red", "green"]):
        assert "error" not in call(page, "choose_words", token=token, rename=[[word, "thing"]])
    sessions = [page.visitors.get(token, NOBODY.address)[0].session for token in tokens]
    columns = [session.workspace.word(session.concepts[-1]) for session in sessions]
    assert (columns[0] != columns[1]).any()


@pytest.mark.parametrize("request_", [{"image": "x"}, {"x": 2.0, "y": 0.5}, {"x": "a", "y": None}])
def test_a_place_that_does_not_exist_is_one_clear_line(page: RpcServer, request_: dict[str, Any]) -> None:
    token = call(page, "hello")["token"]
    image = page.visitors.get(token, NOBODY.address)[0].session.image_ids[0]
    good = {"image": image, "x": 0.5, "y": 0.5}
    assert len(call(page, "region_at", token=token, **{**good, **request_})["error"].splitlines()) == 1


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"examples": {}}, "list of objects"),
        ({"examples": [{"name": "", "shown": []}]}, "1 to 100"),
        ({"examples": [{"name": "a", "shown": []}]}, "at least one region"),
        ({"examples": [{"name": "a", "shown": [["gone.png", 0]]}]}, "gone.png"),
        ({"accept": ["gold"], "examples": [{"name": "a", "shown": [["green/0.png", 99]]}]}, "no region 99"),
        ({"examples": [{"name": "a", "shown": [["green/0.png", 0]]}] * 13}, "at most 12"),
        ({"examples": [{"name": "a", "shown": [["green/0.png", 0]]}] * 2}, "choose another name"),
        (
            {"examples": [{"name": "a", "shown": [["green/0.png", 0]], "not_shown": [["green/0.png", 0]]}]},
            "contradict",
        ),
        ({"accept": "red"}, "list of words"),
        ({}, "choose a word"),
        ({"rename": {}}, "a list 'rename' of pairs"),
        ({"rename": [["red"]]}, "a list 'rename' of pairs"),
        ({"rename": [["red", 3]]}, "a list 'rename' of pairs"),
        ({"rename": [["red", f"w{i}"] for i in range(61)]}, "at most 60"),
        ({"rename": [["red", "  "]]}, "1 to 100"),
        ({"rename": [["red", "word " * 60]]}, "1 to 100"),
        ({"rename": [["red", "a\u202eb"]]}, "1 to 100"),
        ({"rename": [["red", "x" * 95]]}, "too long"),
        ({"rename": [["red", "red"]]}, "has this name already"),
        ({"rename": [["red", "Blue"]]}, "is the name of another concept"),
        ({"rename": [["red", "gold"]], "accept": ["gold"]}, "is the name of another concept"),
        ({"rename": [["red", "gold"], ["blue", "gold"]]}, "is the name of another concept"),
        ({"rename": [["red", "gold"], ["red", "sun"]]}, "chosen in another way too"),
        ({"rename": [["red", "gold"]], "reject": ["red"]}, "chosen in another way too"),
        ({"rename": [["red", "gold (was blue)"]]}, "leave out the ending"),
        ({"rename": [["red", "gold (by example)"]]}, "leave out the ending"),
        ({"rename": [["no such word", "gold"]]}, "neither a concept nor a proposed word"),
        ({"rename": [["red", "gold"], ["blue", ""]], "reject": ["green"]}, "1 to 100"),
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
