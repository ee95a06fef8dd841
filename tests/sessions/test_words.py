"""Proposals of words, words chosen by a person, concepts by example, and the word-order test."""

import gc
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny_models import write_class_folders, write_encoder, write_words_project

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.demo import demo_project
from inficond.core.errors import Cancelled, InputError
from inficond.core.models.encoder import Encoder
from inficond.core.onnx_student.export import word_embeddings
from inficond.core.pipeline.cached_cells import CachedCells
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.progress import Silent
from inficond.core.sessions.examples import example_images
from inficond.core.sessions.shown_concepts import SUFFIX, WHOLE, example_vector, parse_example
from inficond.core.sessions.word_audit import audit_words
from inficond.core.sessions.word_proposals import ProjectWords, choose_words


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 48 images in three colours; its words are red, green, blue and yellow."""
    return write_words_project(tmp_path_factory.mktemp("words"), "red green blue yellow")


@pytest.fixture(scope="module")
def project(made: Path) -> Project:
    """The project; tests work on sessions in memory."""
    return Project.open(made)


def test_concepts_that_no_session_uses_are_forgotten(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Visitors can define concepts without end."""
    monkeypatch.setattr("inficond.core.sessions.word_embeddings.MOST_UNUSED", 2)
    image, other = project.image_ids[:2]
    kept = project.session()
    kept.add_example("kept", [(image, 0)])
    for k in range(4):
        project.session().add_example(f"left {k}", [(image, 0)])
        gc.collect()
    again = project.session()
    again.add_example("left 0", [(other, 0)])
    with pytest.raises(InputError, match="other examples"):
        again.add_example("kept", [(other, 0)])
    assert kept.metrics(project.classes[0]).counts


def test_proposals_name_a_class_a_validity_and_a_weight(project: Project) -> None:
    session = project.session()
    found = ProjectWords(session).proposals(most=6)
    assert 0 < len(found) <= 6
    assert {one.cls for one in found} <= set(project.classes)
    for one in found:
        assert one.is_concept == (one.word in project.concepts)
        assert one.is_valid or one.is_concept
        expected = session.students.weights[project.classes.index(one.cls)] if one.is_concept else [0.0]
        assert one.weight in [float(w) for w in expected]
        assert one.text.startswith(f"{one.word}: found in {one.found} of {one.images} images")


def test_a_rejected_word_is_not_proposed_again(project: Project) -> None:
    session = project.session()
    assert choose_words(session, reject=["red"]) == ["red: rejected"]
    assert "red" in session.dropped
    assert "red" not in [one.word for one in ProjectWords(session).proposals()]
    assert choose_words(session, accept=["red"]) == ["red: accepted"]
    assert "red" not in session.dropped


def test_an_unknown_word_cannot_be_rejected_and_nothing_changes(project: Project) -> None:
    session = project.session()
    with pytest.raises(InputError, match="'sofa' is not a concept"):
        choose_words(session, reject=["red", "sofa"])
    assert session.node == session.context.root.id


def test_a_duplicate_is_merged_with_a_note(project: Project) -> None:
    session = project.session()
    lines = choose_words(session, accept=["blue", "Reds"])
    assert lines == [
        "blue: a concept already",
        "Reds: means nearly the same as the concept 'red' and is merged with it",
    ]
    assert session.node == session.context.root.id


def test_two_spellings_of_one_typed_word_are_merged(project: Project) -> None:
    session = project.session()
    lines = choose_words(session, accept=["gold leaf", "gold leafs"])
    assert lines[0] == "gold leaf: accepted"
    assert lines[1] == "gold leafs: means nearly the same as the concept 'gold leaf' and is merged with it"
    assert session.concepts.count("gold leaf") == 1
    assert "gold leafs" not in session.concepts


def test_a_word_that_is_in_no_image_is_accepted_with_a_remark(project: Project) -> None:
    session = project.session()
    lines = choose_words(session, accept=["justice", "Löwe"])
    assert lines[:2] == ["justice: accepted", "Löwe: accepted"]
    assert any("letters that are not English" in line for line in lines)
    assert "justice" in session.concepts


def test_a_phrase_of_sixty_words_is_refused_in_one_line(project: Project) -> None:
    session = project.session()
    with pytest.raises(InputError) as error:
        choose_words(session, accept=[" ".join(["word"] * 60)])
    assert "\n" not in str(error.value)
    assert session.node == session.context.root.id


def test_the_strongest_images_of_a_colour_have_that_colour(project: Project) -> None:
    session = project.session()
    rows = example_images(session, "green", 12)
    assert len(rows) == 12
    assert all(project.image_ids[row].startswith("green/") for row in rows)


def test_a_concept_by_example_has_large_values_where_it_is_shown(project: Project) -> None:
    session = project.session()
    shown = [(id, WHOLE) for id in project.image_ids if id.startswith("blue/")][:4]
    node = session.add_example("sky", shown)
    name = "sky" + SUFFIX
    values = session.workspace.word(name)
    blue = np.array([id.startswith("blue/") for id in project.image_ids])
    assert values[blue].min() > values[~blue].max()
    assert node.title == f"add concept {name}"
    assert np.allclose(word_embeddings(session)[-1], example_vector(project, shown))


def test_a_concept_by_example_is_replayed(project: Project) -> None:
    session = project.session()
    shown = [(id, 0) for id in project.image_ids[:3]]
    other = [(project.image_ids[-1], 1)]
    session.add_example("corner", shown, other)
    recipe = json.loads(json.dumps(session.recipe().to_json()))
    again = Project.open(project.path).session()
    replayed = again.replay(recipe)
    assert not replayed.skipped
    assert np.array_equal(again.students.weights, session.students.weights)
    recipe["steps"][0]["detail"]["shown"] = [["gone.png", 0]]
    assert "unknown image 'gone.png'" in str(Project.open(project.path).session().replay(recipe).skipped[0])


def test_contradictory_and_missing_examples_are_refused(project: Project) -> None:
    session, one = project.session(), (project.image_ids[0], 0)
    for shown, other, message in (
        ([], [], "at least one region"),
        ([one], [one], "both shown and not shown"),
        ([(one[0], 7)], [], "has no region 7"),
        ([("gone.png", 0)], [], "unknown image 'gone.png'"),
    ):
        with pytest.raises(InputError, match=message):
            session.add_example("x", shown, other)
    assert session.node == session.context.root.id


def test_other_examples_need_another_name(project: Project) -> None:
    session = project.session()
    session.add_example("thing", [(project.image_ids[0], 0)])
    with pytest.raises(InputError, match="other examples"):
        session.add_example("thing", [(project.image_ids[1], 0)])


def test_a_place_in_an_image_names_its_region(project: Project) -> None:
    image = project.image_ids[0]
    h, w = project.assignment(0).shape
    assert parse_example(project, image) == (image, WHOLE)
    assert parse_example(project, f"{image}@0.99,0.99") == (image, int(project.assignment(0)[h - 1, w - 1]))
    with pytest.raises(InputError, match="numbers between 0 and 1"):
        parse_example(project, f"{image}@2,0")


def test_a_concept_renamed_by_example_keeps_what_it_showed(project: Project) -> None:
    session = project.session()
    session.rename_concept("blue", "water", by_example=True)
    assert "blue" in session.dropped
    values = session.workspace.word("water" + SUFFIX)
    assert np.corrcoef(values, np.asarray(project.X[:, project.concepts.index("blue")]))[0, 1] > 0.9


def test_the_word_order_test_gives_each_class_the_name_of_its_neighbour(project: Project) -> None:
    found = audit_words(project.session(), 0.8)
    assert found.given == {"blue": "green", "green": "red", "red": "blue"}
    assert found.own.ap is not None
    assert found.own.ap >= (found.neighbours.ap or 0) - 0.05
    with pytest.raises(InputError, match="strength must be above 0"):
        audit_words(project.session(), 9.0)


def test_suggested_words_are_grounded_like_typed_words(project: Project) -> None:
    words = project.session().context.words
    names, vectors = words.grounded_vocabulary(["sea", "justice", "red"])
    assert names == ("sea", "justice")  # red is a concept already
    assert np.allclose(vectors, [words.embedding(name) for name in names], atol=1e-5)


def test_the_command_prints_proposals_and_writes_a_sheet(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "sheet.html"
    assert main(["words", str(made), "--sheet", str(sheet), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    text = sheet.read_text()
    assert told["sheet"] == str(sheet)
    assert all(f"<strong>{one['word']}</strong>" in text for one in told["proposals"])
    assert text.count("<img ") > 12
    assert main(["words", str(made), "--reject", "sofa"]) == 2
    assert main(["words", str(made), *(x for i in range(201) for x in ("--add", f"w{i}"))]) == 2
    assert "at most 200" in capsys.readouterr().err


def test_a_text_vector_is_the_word_before_grounding_and_the_example_itself(project: Project) -> None:
    session = project.session()
    words, encoder = session.context.words, session.context.encoder
    for name in ("red", "white"):  # a concept of the project, and a typed word
        np.testing.assert_allclose(words.text(name), encoder.embed_words([name])[0], atol=1e-5)
    assert words.text("red") @ words.embedding("red") < 0.9999, "the word is grounded in the images"
    shown = session.add_example("mine", [(project.image_ids[0], 0)])
    name = next(n for n in session.students.concepts if n.endswith(SUFFIX))
    np.testing.assert_array_equal(words.text(name), words.embedding(name))
    assert shown is not None


def test_the_texts_of_a_project_are_embedded_once_for_all_processes(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the first typed word of each process embedded all words of the project again."""
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    asked: list[tuple[str, ...]] = []

    def words(project: Project) -> tuple[np.ndarray, np.ndarray]:
        encoder = project.context.encoder
        usual = encoder.embed_words

        def counted(words: list[str], *more: Any) -> np.ndarray:
            asked.append(tuple(words))
            return usual(words, *more)

        monkeypatch.setattr(encoder, "embed_words", counted)
        embeddings = project.context.words
        return embeddings.embedding("violet"), embeddings.project_texts()

    first = words(Project.open(made))
    assert any("red" in block for block in asked)
    asked.clear()
    second = words(Project.open(made))
    assert asked == [("violet",)]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    for file in (tmp_path / "cache").rglob("*.npz"):
        file.write_bytes(b"damaged")
    third = words(Project.open(made))
    np.testing.assert_array_equal(third[1], first[1])


def test_words_are_answered_while_the_vocabulary_of_suggestions_is_embedded(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: uploaded images waited for the searches of other visitors, which took minutes."""
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path))
    words = Project.open(made).context.words
    begun, answered = threading.Event(), threading.Event()

    class Search(Silent):
        """A search that is cancelled once the words are answered."""

        def advance(self, n: int = 1) -> None:
            begun.set()
            assert answered.wait(60)
            raise Cancelled

    with ThreadPoolExecutor(2) as threads:
        search = threads.submit(words.grounded_vocabulary, None, Search())
        assert begun.wait(60)
        try:
            found = threads.submit(lambda: (words.text("red"), words.text("violet"))).result(30)
        finally:
            answered.set()
        with pytest.raises(Cancelled):
            search.result(60)
    assert all(np.isclose(np.linalg.norm(vector), 1, atol=1e-5) for vector in found)


@pytest.mark.parametrize("merged", [False, True])
def test_a_build_keeps_the_texts_that_a_typed_word_needs(
    merged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Regression: the first typed word of a new project embedded all words of the project."""
    write_class_folders(tmp_path / "photos")
    (tmp_path / "words.txt").write_text("red\ngreen\nblue\nyellow\n" + "reds\n" * merged)
    encoder, asked = write_encoder(tmp_path / "encoder"), list[tuple[str, ...]]()

    def added(cache: str, kept: bool) -> np.ndarray:
        monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / cache))
        out = Project.create(
            images=tmp_path / "photos", out=tmp_path / cache / "project", encoder=str(encoder),
            concepts=tmp_path / "words.txt", teacher="labels", cache=kept,
        )  # fmt: skip
        project = Project.open(out.path)
        usual = project.context.encoder.embed_words

        def counted(words: list[str], *more: Any) -> np.ndarray:
            asked.append(tuple(words))
            return usual(words, *more)

        monkeypatch.setattr(project.context.encoder, "embed_words", counted)
        return project.context.words.embedding("violet")

    first = added("kept", kept=True)
    assert asked == [("violet",)]
    np.testing.assert_array_equal(added("not kept", kept=False), first)
    assert asked[1:] == [("violet",), ("red", "green", "blue", "yellow")]


def test_an_encoder_other_than_the_embedded_one_has_no_cells(project: Project) -> None:
    context = project.session().context
    assert context.cells(0) is None
    assert context.cells_of(np.zeros((32, 32, 3), np.uint8)) is None


def test_cells_in_the_store_are_not_encoded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stored(encoder: Encoder) -> CachedCells:
        return CachedCells(EncodingCache(tmp_path), encoder)

    first, second = Project.open(demo_project()).context, Project.open(demo_project()).context
    first.open_cell_store = second.open_cell_store = stored
    encoded = first.cells(0)
    assert encoded is not None

    def refuse(*pixels: Any) -> Any:
        raise InputError("the graph of cells ran again")

    monkeypatch.setattr(second.cell_encoder, "encode", refuse)
    found = second.cells(0)
    assert found is not None
    assert second.cells(1) is None
    np.testing.assert_array_equal(found.vectors, encoded.vectors)
    assert found.colours is not None
    assert encoded.colours is not None
    np.testing.assert_array_equal(found.colours, encoded.colours)
