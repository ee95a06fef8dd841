"""Concepts by example whose regions are of a picture outside the project."""

import base64
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_models import write_words_project

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.history.store import MAIN
from inficond.core.onnx_student.export import word_embeddings
from inficond.core.sessions.session import Session
from inficond.core.sessions.shown_concepts import (
    MOST_OWN,
    OWN_IMAGE,
    SUFFIX,
    WHOLE,
    Example,
    check_examples,
    decode_region,
    encode_region,
    example_vector,
)

NAME = "sky" + SUFFIX


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_words_project(tmp_path_factory.mktemp("own"), "red green yellow")


@pytest.fixture
def session(made: Path) -> Session:
    return Project.open(made).session()


@pytest.fixture
def own(session: Session) -> list[Example]:
    """The regions of a blue picture that is not in the project."""
    rgb = np.full((60, 80, 3), (30, 60, 210), np.uint8)
    return [(OWN_IMAGE, encode_region(region)) for region in session.classify(rgb).regions]


def packed(data: bytes) -> str:
    return base64.b64encode(data + zlib.crc32(data).to_bytes(4, "little")).decode()


def test_the_vector_is_that_of_the_same_regions_in_the_project(session: Session) -> None:
    project = session.project
    inside: list[Example] = [(project.image_ids[0], 0), (project.image_ids[1], 1)]
    other: list[Example] = [(project.image_ids[-1], 2)]
    outside = [
        [(OWN_IMAGE, encode_region(project.regions(session.row_of(image))[region])) for image, region in some]
        for some in (inside, other)
    ]
    np.testing.assert_array_equal(
        example_vector(project, outside[0], outside[1]), example_vector(project, inside, other)
    )


def test_the_concept_finds_images_like_the_own_one(session: Session, own: list[Example]) -> None:
    node = session.add_example("sky", own)
    values = session.workspace.word(NAME)
    blue = np.array([id.startswith("blue/") for id in session.image_ids])
    assert values[blue].min() > values[~blue].max()
    assert node.detail["shown"] == [list(pair) for pair in own]
    np.testing.assert_array_equal(word_embeddings(session)[-1], session.context.words.embedding(NAME))


def test_regions_of_own_and_of_project_images_go_together(session: Session, own: list[Example]) -> None:
    red = next(id for id in session.image_ids if id.startswith("red/"))
    session.add_example("sky", [own[0], (session.image_ids[0], WHOLE)], [(red, 0)])
    assert session.concepts[-1] == NAME
    with pytest.raises(InputError, match="contradict each other"):
        session.add_example("mist", own[:1], own[:1])


def test_it_survives_undo_replay_and_restart(made: Path, tmp_path: Path, own: list[Example]) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    session = Project.open(copy).session(MAIN)
    red = next(id for id in session.image_ids if id.startswith("red/"))
    session.add_example("sky", own, [(red, 0)])
    weights = session.students.weights
    session.undo()
    assert NAME not in session.concepts
    session.redo()
    again = Project.open(copy).session(MAIN)
    assert again.concepts[-1] == NAME
    np.testing.assert_array_equal(again.students.weights, weights)
    visit = Project.open(made).session()
    assert not visit.replay(json.loads(json.dumps(again.recipe().to_json()))).skipped
    np.testing.assert_array_equal(visit.students.weights, weights)
    token = visit.save()
    np.testing.assert_array_equal(Project.open(made).session(token).students.weights, weights)


def test_the_text_of_a_region_is_exact_and_short(session: Session) -> None:
    vector = np.asarray(session.project.regions(0)[0], np.float16)
    text = encode_region(vector)
    np.testing.assert_array_equal(decode_region(text, len(vector)), vector.astype(np.float64))
    assert len(text) <= 4 * (2 * len(vector) + 6) / 3
    assert check_examples([[OWN_IMAGE, text]]) == [(OWN_IMAGE, text)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: "", "damaged"),
        (lambda raw: "not base64 ö", "damaged"),
        (lambda raw: packed(raw)[:-4] + "AAAA", "damaged"),
        (lambda raw: packed(raw[:-2]), "of another encoder"),
        (lambda raw: packed(raw + raw), "of another encoder"),
        (lambda raw: packed(bytes(len(raw))), "unit length"),
        (lambda raw: packed(b"\x00\x7e" * (len(raw) // 2)), "unit length"),  # NaN
        (lambda raw: packed(b"\x00\x7c" * (len(raw) // 2)), "unit length"),  # infinite
    ],
)
def test_a_damaged_recipe_is_skipped_in_one_line(
    session: Session, own: list[Example], change: object, message: str
) -> None:
    raw = base64.b64decode(str(own[0][1]))[:-4]
    detail = {"concept": NAME, "shown": [[OWN_IMAGE, change(raw)]]}  # type: ignore[operator]
    recipe = {"format": "inficond-recipe", "version": 1, "steps": [{"kind": "add", "detail": detail}]}
    skipped = session.replay(recipe).skipped
    assert len(skipped) == 1
    assert message in str(skipped[0])
    assert "\n" not in str(skipped[0])
    assert session.node == session.context.root.id


@pytest.mark.parametrize(
    "pair", [["a.jpg", "AAAA"], [OWN_IMAGE, "A" * 40_000], [OWN_IMAGE, 1.5], [OWN_IMAGE, True], [OWN_IMAGE]]
)
def test_other_pairs_are_not_examples(pair: list[object]) -> None:
    with pytest.raises(InputError, match="pair of an image and a region"):
        check_examples([pair])


def test_regions_of_own_images_are_few(session: Session, own: list[Example]) -> None:
    with pytest.raises(InputError, match=f"at most {MOST_OWN} regions of own images"):
        session.add_example("sky", [own[0]] * (MOST_OWN + 1))
