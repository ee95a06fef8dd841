"""Projects from a labelled folder: teacher, link, words and sparsity are chosen automatically."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import COLOURS, embedding, write_class_folders, write_encoder

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.images import decode
from inficond.core.onnx_student.export import export_student
from inficond.core.sessions import word_grounding


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("labelled")
    (root / "words.txt").write_text("red\ngreen\nblue\nyellow\n")
    return {
        "images": write_class_folders(root / "photos"),
        "encoder": str(write_encoder(root / "encoder")),
        "concepts": root / "words.txt",
        "root": root,
    }


def create(made: dict[str, Any], out: Path, **options: Any) -> Project:
    given = {name: made[name] for name in ("images", "encoder", "concepts")}
    return Project.create(**{**given, "out": out, **options})


@pytest.fixture(scope="module")
def project(made: dict[str, Any]) -> Project:
    return create(made, made["root"] / "project")


def test_the_teacher_is_a_cross_fitted_probe(project: Project) -> None:
    assert project.classes == ["blue", "green", "red"]
    assert project.config["teacher"]["name"].startswith("probe on")
    assert np.allclose(project.T.sum(axis=1), 1, atol=1e-5)
    truth = [project.classes.index(name.split("/")[0]) for name in project.image_ids]
    assert (project.T.argmax(axis=1) == truth).mean() > 0.8
    assert project.T.max() < 1, "labels were not copied"
    assert np.array_equal(np.nanargmax(project.labels, axis=1), truth)


def test_the_choices_are_recorded_with_their_reasons(project: Project) -> None:
    kinds = {choice.split(":")[0] for choice in project.config["choices"]}
    assert kinds == {"teacher", "parts", "link", "words", "sparsity", "name prior", "thresholds"}
    assert project.students.link == "softmax"
    assert project.students.penalty is not None


def test_the_controls_are_fitted_like_the_words(project: Project) -> None:
    controls = project.config["controls"]
    assert {"words", "random directions", "random regions", "absent"} <= set(controls)
    assert controls["words"]["ap"] > controls["random directions"]["ap"]
    assert controls["random regions"]["nec"] <= controls["words"]["nec"] + 0.5


def test_the_teacher_answers_for_images_after_the_project_was_moved(
    project: Project, made: dict[str, Any], tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    project.path.rename(moved)
    try:
        reopened = Project.open(moved)
        answers = [reopened.context.respond(decode(made["images"] / id)) for id in reopened.image_ids]
        truth = [reopened.classes.index(id.split("/")[0]) for id in reopened.image_ids]
        assert (np.argmax(answers, axis=1) == truth).mean() > 0.9
    finally:
        moved.rename(project.path)


def test_words_are_moved_and_stay_near_their_text(project: Project) -> None:
    stored = np.asarray(project.concept_embeddings[project.concepts.index("red")])
    assert 0.5 < float(stored @ embedding((1, 0, 0))) < 0.9999


def test_a_typed_word_is_grounded_on_the_spot(project: Project) -> None:
    session = project.session()
    session.add_concept("white")
    students = session.students
    assert students.concepts[-1] == "white"
    vector = np.asarray(students.embeddings)[-1]
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-5)
    column = np.maximum((np.asarray(project.region_embeddings, np.float32) @ vector).max(axis=1), 0)
    assert np.allclose(project.context.column("white"), column, atol=1e-3)


def test_the_exported_student_uses_the_grounded_words(project: Project, tmp_path: Path) -> None:
    assert export_student(project, tmp_path / "student.onnx")["max_error"] < 1e-4


def test_a_typed_word_is_grounded_on_a_sample_of_many_training_images(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like the words of the project; all training regions were compared with all words before."""
    monkeypatch.setattr(word_grounding, "SEEN_IMAGES", 12)
    seen: set[int] = set()
    usual = project.region_embeddings

    class Watched:
        shape, dtype = usual.shape, usual.dtype

        def __len__(self) -> int:
            return len(usual)

        def __getitem__(self, rows: Any) -> Any:
            seen.update(np.atleast_1d(rows).tolist())
            return usual[rows]

    monkeypatch.setitem(project.__dict__, "region_embeddings", Watched())
    texts = project.context.words.project_texts
    text = np.asarray(embedding((1, 1, 1)), np.float32)
    vector = word_grounding.WordGrounding(project, texts).ground(text)
    assert np.isclose(np.linalg.norm(vector), 1, atol=1e-5)
    chosen = np.linspace(0, len(project.training_rows) - 1, 12).round().astype(int)
    assert seen == set(project.training_rows[chosen].tolist())


def test_without_grounding_the_text_vectors_are_used(made: dict[str, Any], tmp_path: Path) -> None:
    plain = create(made, tmp_path / "plain", grounding=False, teacher="labels")
    stored = np.asarray(plain.concept_embeddings[plain.concepts.index("red")])
    assert np.allclose(stored, embedding((1, 0, 0)), atol=1e-5)
    assert "grounding" not in plain.config


def test_labels_as_teacher_are_the_ground_truth(made: dict[str, Any], tmp_path: Path) -> None:
    project = create(made, tmp_path / "labels", teacher="labels")
    assert np.array_equal(project.T, project.labels)
    assert project.context.respond(np.zeros((8, 8, 3), np.uint8)) is None


def test_a_class_with_one_image_is_left_out_with_a_line(made: dict[str, Any], tmp_path: Path) -> None:
    photos = write_class_folders(tmp_path / "photos")
    (photos / "rare").mkdir()
    Image.new("RGB", (40, 40), (250, 240, 20)).save(photos / "rare" / "only.png")
    project = create(made, tmp_path / "out", images=photos)
    assert project.classes == ["blue", "green", "red"]
    assert any("'rare' left out" in choice for choice in project.config["choices"])


def test_images_without_labels_need_another_teacher(made: dict[str, Any], tmp_path: Path) -> None:
    flat = made["images"] / "red"
    with pytest.raises(InputError, match="one folder per class"):
        create(made, tmp_path / "out", images=flat, teacher="probe")


def test_an_explicit_penalty_is_used_as_it_is(made: dict[str, Any], tmp_path: Path) -> None:
    project = create(made, tmp_path / "lam", lam=0.02, teacher="labels")
    assert project.students.lam == 0.02
    assert project.students.penalty is None
    assert (project.students.thresholds == 0.5).all()


def test_own_words_that_mean_the_same_are_merged_with_a_note(made: dict[str, Any], tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("red\nreds\ngreen\nblue\nblues\n")
    project = create(made, tmp_path / "merged", concepts=words, teacher="labels")
    assert project.concepts == ["red", "green", "blue"]
    notes = [note for note in project.config["source"]["notes"] if "merged" in note]
    assert len(notes) == 2
    assert notes[0].startswith("'reds' means nearly the same as 'red'")


@pytest.mark.nightly
def test_an_own_word_counts_only_for_classes_whose_images_show_it(
    made: dict[str, Any], tmp_path: Path
) -> None:
    words = tmp_path / "words.txt"
    others = "giraffe,violin,keyboard,cheese,library,aquarium,tractor,helmet,zebra,piano,castle,spoon"
    words.write_text("\n".join(["red", "green", "blue", *others.split(",")]))
    project = create(made, tmp_path / "seen", encoder="embedded", concepts=words, teacher="labels")
    line = next(choice for choice in project.config["choices"] if choice.startswith("own words:"))
    for c, name in enumerate(project.classes):
        shown = re.search(rf"{name} (\d+)", line)
        assert shown is not None
        assert (project.students.weights[c] > 0).sum() <= int(shown[1]) < 15


def test_classes_with_numbers_for_names_get_no_name_prior(made: dict[str, Any], tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    write_class_folders(photos)
    for number, name in enumerate(COLOURS):
        (photos / name).rename(photos / f"class {number}")
    project = create(made, tmp_path / "numbers", images=photos, teacher="labels")
    line = next(choice for choice in project.config["choices"] if choice.startswith("name prior:"))
    assert line == "name prior: off, because the class names say nothing about these images"
    assert project.config["name_prior"] == {"strength": 0.0, "helped": {}}
