"""Concepts by discovery: groups of regions that explain what the words leave over."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_models import write_class_folders, write_encoder

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.concepts.clusters import cluster
from inficond.core.errors import InputError
from inficond.core.sessions.discovery import discover_concepts
from inficond.core.sessions.shown_concepts import SUFFIX, example_vector

COLOURS = {"green": (50, 180, 70), "red": (200, 50, 40)}


def colour_of(image: str) -> str:
    """Return the colour in the name of an image."""
    return image.split("/")[-1].removesuffix(".png").rstrip("0123456789")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of red and green images whose only words are blue and yellow."""
    root = tmp_path_factory.mktemp("discovery")
    write_class_folders(root / "photos", 24, colours=COLOURS, shift=20, named=True)
    (root / "words.txt").write_text("blue\nyellow\n")
    Project.create(
        images=root / "photos", out=root / "project", encoder=str(write_encoder(root / "encoder")),
        concepts=root / "words.txt", teacher="labels", lam=0.02,
    )  # fmt: skip
    return root / "project"


def test_a_group_is_of_the_colour_that_no_word_names(made: Path) -> None:
    session = Project.open(made).session()
    found = discover_concepts(session)
    assert found
    for one in found:
        colours = {colour_of(image) for image, _ in one.examples}
        assert len(colours) == 1, one
        assert (one.weight > 0) == (colours == {one.cls}), one
        assert len({image for image, _ in one.examples}) == len(one.examples), "one region of an image"
        training = {session.image_ids[row] for row in session.project.training_rows}
        assert {image for image, _ in one.examples} <= training
    assert [one.cls for one in found] == sorted(one.cls for one in found)


def test_the_search_depends_on_the_state_only(made: Path) -> None:
    one, other = (discover_concepts(Project.open(made).session()) for _ in range(2))
    assert one == other


def test_a_named_group_lowers_the_loss_and_is_replayed(made: Path) -> None:
    project = Project.open(made)
    session = project.session()
    best = discover_concepts(session, most=1)[0]
    before = session.metrics(best.cls).bce
    session.add_example("warm surface", best.examples)
    assert session.concepts[-1] == "warm surface" + SUFFIX
    assert session.metrics(best.cls).bce < before
    other = project.session()
    assert not other.replay(session.recipe()).skipped
    assert other.metrics(best.cls) == session.metrics(best.cls)


def test_a_missing_word_is_found_where_classes_exclude_each_other(made: Path) -> None:
    session = Project.open(made).session()
    assert session.students.link == "softmax"
    found = session.missing_concepts("red", words=["red"])
    assert [one.word for one in found] == ["red"]
    before, loss = session.metrics("red").bce, found[0].fidelity["bce"]
    assert loss.before == pytest.approx(before, abs=1e-4)
    session.add_concept("red")
    real = session.metrics("red").bce
    assert real < before
    assert loss.after < before
    assert session.students.weights[session.class_index("red"), -1] > 0, "added words are not penalised more"


def test_examples_of_a_group_give_its_vector(made: Path) -> None:
    project = Project.open(made)
    session = project.session()
    best = discover_concepts(session, most=1)[0]
    vector = example_vector(project, best.examples)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    values = {cls: [] for cls in COLOURS}
    regions = np.asarray(project.region_embeddings, np.float32) @ vector
    for row, image in enumerate(session.image_ids):
        values[colour_of(image)].append(regions[row].max())
    colour = colour_of(best.examples[0][0])
    rest = next(c for c in COLOURS if c != colour)
    assert min(np.sort(values[colour])[-10:]) > max(values[rest])


def test_wrong_wishes_are_one_clear_line(made: Path) -> None:
    session = Project.open(made).session()
    with pytest.raises(InputError, match="at least 1"):
        discover_concepts(session, most=0)
    with pytest.raises(InputError, match="boat"):
        discover_concepts(session, cls="boat")


def test_the_command_lists_groups_writes_crops_and_names_one(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "found.html"
    assert main(["words", str(made), "--discover", "--sheet", str(sheet), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["discovered"]
    assert found
    assert sheet.read_text().count("<img ") == sum(min(12, len(one["examples"])) for one in found)
    for bad, message in ((f"{len(found) + 1}=x", "counted from 1"), ("x=y", "N=NAME"), ("1=", "N=NAME")):
        assert main(["words", str(made), "--name", bad]) == 2
        assert message in capsys.readouterr().err
    assert main(["words", str(made), "--name", "1=warm surface", "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["lines"]
    assert lines[0].startswith(f"warm surface{SUFFIX}: added from ")
    assert f"warm surface{SUFFIX}" in Project.open(made).session("main").concepts


def test_clusters_are_the_directions_that_vectors_share() -> None:
    rng = np.random.default_rng(0)
    true = np.repeat([0, 1, 2], [30, 20, 10])
    vectors = np.eye(8)[true] + rng.normal(0, 0.05, (60, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    best = min(
        (cluster(vectors, 3, seed) for seed in range(5)),
        key=lambda found: -float(np.einsum("md,md->", vectors, found[0][found[1]])),
    )
    centres, group = best
    assert (group == true).all(), "the largest group is the first"
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-5)


def test_there_are_no_more_clusters_than_vectors() -> None:
    centres, group = cluster(np.eye(3, dtype=np.float32), 10)
    assert len(centres) == 3
    assert sorted(group.tolist()) == [0, 1, 2]
