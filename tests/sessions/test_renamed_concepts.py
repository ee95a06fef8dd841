"""Renaming a concept changes what it is called, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.tiny_models import write_class_folders, write_encoder

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.history.store import MAIN
from inficond.core.onnx_student.export import word_embeddings
from inficond.core.sessions.renamed_concepts import label_of, new_name, original_word
from inficond.core.sessions.session import Session
from inficond.core.sessions.shown_concepts import SUFFIX
from inficond.core.sessions.word_proposals import ProjectWords, choose_words
from inficond.core.tuning.actions import Action

FULL = "sky (was blue)"


@pytest.fixture(scope="module", params=["softmax", "sigmoid"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 48 images in three colours, whose student has each of the two links."""
    root = tmp_path_factory.mktemp("renamed")
    write_class_folders(root / "photos")
    (root / "words.txt").write_text("red\ngreen\nblue\nyellow\n")
    Project.create(
        images=root / "photos", out=root / "project", encoder=str(write_encoder(root / "encoder")),
        concepts=root / "words.txt", teacher="labels", link=request.param, name_prior=0.0,
    )  # fmt: skip
    return root / "project"


@pytest.fixture
def session(made: Path) -> Session:
    return Project.open(made).session()


def weights_of(session: Session, name: str) -> np.ndarray:
    return session.students.weights[:, session.concepts.index(name)]


def test_a_renamed_word_keeps_vector_values_weights_and_answers(session: Session) -> None:
    words, before, scores = session.context.words, weights_of(session, "blue"), session.scores()
    assert np.abs(before).max() > 0
    node = session.rename_concept("blue", "  sky ")
    assert node.title == "rename blue to sky"
    assert session.concepts[-1] == FULL
    assert session.dropped == {"blue"}
    np.testing.assert_array_equal(words.embedding(FULL), words.embedding("blue"))
    np.testing.assert_array_equal(words.text(FULL), words.text("blue"))
    X = np.asarray(session.project.X[:, session.project.concepts.index("blue")])
    np.testing.assert_array_equal(session.workspace.word(FULL), X)
    np.testing.assert_allclose(weights_of(session, FULL), before, atol=5e-3)
    np.testing.assert_allclose(session.scores(), scores, atol=5e-3)
    assert not weights_of(session, "blue").any()
    np.testing.assert_array_equal(word_embeddings(session)[-1], words.embedding("blue"))


def test_one_undo_takes_a_renaming_back(session: Session) -> None:
    before = session.students.weights.copy()
    choose_words(session, rename=[("blue", "sky")])
    session.undo()
    assert FULL not in session.concepts
    assert not session.dropped
    np.testing.assert_array_equal(session.students.weights, before)
    session.redo()
    assert session.concepts[-1] == FULL


def test_bounds_move_with_the_name(session: Session) -> None:
    cls = session.classes[0]
    session.apply(cls, Action("set", "blue", 0.25))
    session.rename_concept("blue", "sky")
    assert session.state.classes[cls].bounds.keys() == {FULL}
    assert weights_of(session, FULL)[0] == pytest.approx(0.25)


def test_a_name_can_be_changed_again_and_back(session: Session) -> None:
    before = weights_of(session, "blue").copy()
    session.rename_concept("blue", "sky")
    session.rename_concept(FULL, "sea")
    assert session.concepts[-1] == "sea (was blue)"
    session.rename_concept("sea (was blue)", "sky")
    assert {"blue", "sea (was blue)"} == session.dropped
    session.rename_concept(FULL, "blue")
    assert "blue" not in session.dropped
    np.testing.assert_allclose(weights_of(session, "blue"), before, atol=5e-3)


def test_a_renamed_word_is_not_proposed_under_its_old_name(session: Session) -> None:
    choose_words(session, rename=[("blue", "sky")])
    proposed = [one.word for one in ProjectWords(session).proposals()]
    assert FULL in proposed
    assert "blue" not in proposed


def test_a_proposed_word_is_accepted_under_another_name(session: Session) -> None:
    words = ProjectWords(session).corpus.names
    word = next(word for word in words if word not in session.concepts)
    full = f"thing I know (was {word})"
    assert choose_words(session, rename=[(word, "thing I know")]) == [f"{word}: accepted as {full!r}"]
    assert session.concepts[-1] == full
    np.testing.assert_array_equal(
        session.context.words.embedding(full), session.context.words.embedding(word)
    )


def test_a_renamed_concept_by_example_keeps_its_examples(session: Session) -> None:
    shown, other = [(id, 0) for id in session.image_ids[:3]], [(session.image_ids[-1], 1)]
    session.add_example("corner", shown, other)
    vector = session.context.words.embedding("corner" + SUFFIX)
    node = session.rename_concept("corner" + SUFFIX, "edge")
    assert node.title == f"rename corner{SUFFIX} to edge"
    name = session.concepts[-1]
    assert label_of(name) == "edge"
    assert name.endswith(SUFFIX)
    np.testing.assert_array_equal(session.context.words.embedding(name), vector)


@pytest.mark.parametrize("by_example", [False, True])
def test_a_renaming_is_replayed(session: Session, by_example: bool) -> None:
    old = "blue"
    if by_example:
        session.add_example("corner", [(id, 0) for id in session.image_ids[:3]])
        old = "corner" + SUFFIX
    session.rename_concept(old, "sky")
    recipe = json.loads(json.dumps(session.recipe().to_json()))
    again = Project.open(session.project.path).session()
    assert not again.replay(recipe).skipped
    assert again.concepts == session.concepts
    np.testing.assert_array_equal(again.students.weights, session.students.weights)
    for damaged in (
        {"label": ""},
        {"label": "red"},
        {"renamed": ["blue"]},
        {"renamed": "gone"},
        {"label": 3},
    ):
        steps = [*recipe["steps"][:-1], {**recipe["steps"][-1]}]
        steps[-1]["detail"] = {**steps[-1]["detail"], **damaged}
        fresh = Project.open(session.project.path).session()
        assert len(fresh.replay({**recipe, "steps": steps}).skipped) <= 1


def test_a_renaming_is_found_again_after_a_restart(made: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(made, tmp_path / "copy")
    session = Project.open(copy).session(MAIN)
    session.rename_concept("blue", "sky")
    visit = Project.open(copy).session()
    visit.rename_concept("red", "fire")
    token = visit.save()
    again = Project.open(copy)
    assert again.session(MAIN).concepts[-1] == FULL
    np.testing.assert_array_equal(again.session(MAIN).students.weights, session.students.weights)
    assert "fire (was red)" in again.session(token).concepts


def test_the_command_renames_words(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = str(shutil.copytree(made, tmp_path / "copy"))
    assert main(["words", copy, "--rename", "blue=sky", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"] == [f"blue: renamed; it is called {FULL!r} now"]
    assert main(["words", copy, "--rename", "red=fire", "--by-example"]) == 0
    session = Project.open(copy).session(MAIN)
    assert session.concepts[-2:] == [FULL, "fire" + SUFFIX]
    for wrong in (["--rename", "gone=x"], ["--rename", "sky"], ["--rename", "blue=x"], ["--by-example"]):
        capsys.readouterr()
        assert main(["words", copy, *wrong]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("rename", "message"),
    [
        ([("blue", " ")], "1 to 100 printable"),
        ([("blue", "word " * 60)], "1 to 100 printable"),
        ([("blue", "a\x1b[31m")], "1 to 100 printable"),
        ([("blue", "x" * 95)], "with the ending ' \\(was blue\\)' the name has 106 characters"),
        ([("blue", "blue")], "has this name already"),
        ([("blue", "RED")], "is the name of another concept"),
        ([("blue", "red"), ("red", "rose")], "is the name of another concept"),
        ([("blue", "sky"), ("green", "Sky")], "is the name of another concept"),
        ([("blue", "sky"), ("blue", "sea")], "chosen in another way too"),
        ([("blue", "sky (was sea)")], "leave out the ending"),
        ([("blue", "sky" + SUFFIX)], "leave out the ending"),
        ([("gone", "sky")], "neither a concept nor a proposed word"),
    ],
)
def test_a_bad_name_is_refused_in_one_line_and_nothing_changes(
    session: Session, rename: list[tuple[str, str]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as error:
        choose_words(session, accept=["gold leaf"], reject=["yellow"], rename=rename)
    assert "\n" not in str(error.value)
    assert session.node == session.context.root.id


def test_the_name_of_a_rejected_word_can_be_given_to_another(session: Session) -> None:
    choose_words(session, reject=["yellow"], rename=[("green", "yellow")])
    assert session.dropped == {"yellow", "green"}
    assert session.concepts[-1] == "yellow (was green)"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda s: s.rename_concept("gone", "x"), "unknown concept"),
        (lambda s: (s.drop_concept("blue"), s.rename_concept("blue", "x")), "is dropped"),
    ],
)
def test_a_concept_that_is_not_there_cannot_be_renamed(
    session: Session, call: Callable[[Session], object], error: str
) -> None:
    with pytest.raises(InputError, match=error):
        call(session)


def test_names_are_taken_apart_from_the_end() -> None:
    assert original_word("a (was b) (was c)") == "c"
    assert original_word(" (was c)") is None
    assert original_word("was c") is None
    assert new_name("a (was c)", "c", ["a (was c)"]) == "c"
    assert new_name("x" + SUFFIX, "y", [], by_example=True) == "y" + SUFFIX
