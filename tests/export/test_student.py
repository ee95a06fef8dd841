"""Exported students: one file that gives the project's probabilities."""

import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.predictor import load_predictor
from inficond.core.onnx_student.export import export_student, word_embeddings
from inficond.core.onnx_student.graph import student_graph
from inficond.export.encoder import export_encoder
from inficond.export.teacher import export_teacher

WORDS = ["dog", "cat", "grass", "water", "sky", "wheel", "fur", "wood"]


@pytest.fixture(scope="module")
def project(tiny_encoder, tiny_classifier, tmp_path_factory):
    """A project of 60 pictures, built with a tiny CLIP and a tiny ViT."""
    from PIL import Image

    root = tmp_path_factory.mktemp("student")
    (encoder,) = export_encoder(str(tiny_encoder("clip")), root / "encoder")
    teacher = export_teacher(str(tiny_classifier("vit")), root / "teacher")
    rng = np.random.default_rng(1)
    (root / "images").mkdir()
    for i in range(60):
        coarse = rng.integers(0, 256, (rng.integers(2, 9), rng.integers(2, 9), 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((60, 44), Image.Resampling.BICUBIC).save(
            root / "images" / f"{i:02}.png"
        )
    (root / "concepts.txt").write_text("\n".join(WORDS))
    classes = {"first": ["label 0", "label 1"], "second": ["label 2"]}
    return Project.create(
        root / "images",
        root / "project",
        teacher=str(teacher),
        encoder=str(encoder),
        concepts=root / "concepts.txt",
        classes=classes,
        lam=1e-3,
    )


@pytest.fixture(scope="module")
def exported(project, tmp_path_factory):
    out = tmp_path_factory.mktemp("file") / "student.onnx"
    return out, export_student(project, out)


def test_probabilities_equal_those_of_the_project(project, exported):
    out, said = exported
    predictor = load_predictor(out)
    paths = [project.image_path(i) for i in range(len(project))]
    got = np.stack([p.probabilities for p in predictor.predict_files(paths, batch=7)])
    want = project.students.predict(project.X)
    assert abs(got - want).max() <= 1e-3
    assert got.std() > 1e-3, "the probabilities do not depend on the picture"
    assert said["max_error"] <= 1e-3
    assert said["images"] == 32


def test_the_file_holds_only_concepts_with_a_weight(project, exported):
    out, said = exported
    students = project.students
    active = [c for c, w in zip(students.concepts, students.weights.T) if (w != 0).any()]
    predictor = load_predictor(out)
    assert predictor.concepts == active
    assert said["concepts"] == len(active)
    encoder = project.context.encoder
    assert out.stat().st_size < (encoder.manifest.folder / "image.onnx").stat().st_size + 20_000
    onnx = pytest.importorskip("onnx")
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert [o.name for o in model.graph.output] == ["probabilities", "concepts"]
    assert "visual_projection" not in str(sorted(i.name for i in model.graph.input))


def test_concept_values_equal_the_projects_concept_vectors(project, exported):
    predictor = load_predictor(exported[0])
    from inficond.core.images import open_picture

    columns = [project.concepts.index(c) for c in predictor.concepts]
    for row in (0, 17):
        picture = open_picture(project.image_path(row)).image
        values = predictor.concept_values(predictor.preprocess(picture)[None])[0]
        assert abs(values - project.X[row, columns]).max() < 1e-3


def test_the_metadata_name_the_project_and_the_encoder(project, exported):
    facts = check_graph(exported[0].read_bytes())
    assert json.loads(facts.metadata["classes"]) == ["first", "second"]
    assert json.loads(facts.metadata["provenance"])["project_checksum"] == project.config["checksum"]
    assert json.loads(facts.metadata["encoder"])["licence"] == "mit"
    assert len(facts.metadata["students_sha256"]) == 64


def test_equal_students_give_equal_bytes(project, exported, tmp_path):
    again = export_student(project, tmp_path / "again.onnx")
    assert again["sha256"] == exported[1]["sha256"]


def test_a_tuned_session_exports_its_own_node(project, exported, tmp_path):
    from inficond.core.tuning.actions import Action

    session = project.session()
    concept = session.students.concepts[0]
    session.apply("first", [Action("set", concept, 2.0)])
    export_student(session, tmp_path / "tuned.onnx")
    tuned = load_predictor(tmp_path / "tuned.onnx")
    assert tuned.provenance["node"] == session.node
    assert tuned.students_sha256 != load_predictor(exported[0]).students_sha256
    paths = [project.image_path(i) for i in range(12)]
    got = np.stack([p.probabilities for p in tuned.predict_files(paths)])
    assert abs(got - session.students.predict(session.X[:12])).max() <= 1e-3


def test_a_softmax_student_sums_to_one(project, noise):
    from dataclasses import replace

    session = project.session()
    students = replace(session.students, link="softmax")
    data = student_graph(project.context.encoder, students, word_embeddings(session), {})
    from inficond.export.graph import run_cpu

    got = run_cpu(data, {"pixels": noise(5, 32)})["probabilities"]
    np.testing.assert_allclose(got.sum(1), 1, atol=1e-6)


def test_students_without_a_weight_are_not_exported(project):
    from dataclasses import replace

    session = project.session()
    none = replace(session.students, weights=np.zeros_like(session.students.weights))
    with pytest.raises(InputError, match="no concept has a weight"):
        student_graph(project.context.encoder, none, word_embeddings(session), {})


def test_predict_prints_the_probabilities_and_skipped_files(project, exported, tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 this is no picture")
    argv = ["predict", str(exported[0]), str(project.image_path(3)), str(broken), "--json"]
    assert main(argv) == 0
    said = json.loads(capsys.readouterr().out)
    want = project.students.predict(project.X[3:4])[0]
    got = said["images"][0]["probabilities"]
    assert [got["first"], got["second"]] == pytest.approx(want.tolist(), abs=1e-3)
    assert said["skipped"][0]["image"] == str(broken)


def test_predict_reads_every_source_of_images(project, exported, tmp_path, capsys):
    pictures = {f"{n}.jpg": project.image_path(n).read_bytes() for n in range(3)}
    (tmp_path / "tars").mkdir()
    with tarfile.open(tmp_path / "tars" / "a.tar", "w") as archive:
        for name, data in pictures.items():
            put(tmp_path / name, data)
            archive.add(tmp_path / name, name)
    put(tmp_path / "l.tsv", "\n".join(["image", *pictures]).encode())
    cells = [{"bytes": data, "path": name} for name, data in pictures.items()]
    pq.write_table(pa.table({"image": cells}), tmp_path / "t.parquet")
    answers = []
    for source in ("tars", "tars/a.tar", "l.tsv", "t.parquet"):
        assert main(["predict", str(exported[0]), str(tmp_path / source), "--json"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert [one["image"] for one in said["images"]] == list(pictures)
        answers.append([one["probabilities"] for one in said["images"]])
    assert all(one == answers[0] for one in answers)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: t / "none.onnx", "cannot read"),
        (lambda t: t, "is a folder"),
        (lambda t: put(t / "x.onnx", b"hello"), "not an ONNX file"),
        (lambda t: put(t / "x.onnx", b""), "is empty"),
        (lambda t: put(t / "x.safetensors", b"x"), "no encoder"),
    ],
)
def test_predict_refuses_other_files(tmp_path, exported, capsys, make, message):
    assert main(["predict", str(make(tmp_path)), str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_an_encoder_graph_is_not_a_student(project, capsys):
    graph = project.context.encoder.manifest.folder / "image.onnx"
    assert main(["predict", str(graph), str(graph.parent)]) == 2
    assert "not an exported student" in capsys.readouterr().err


def test_predict_with_no_readable_image_is_bad_input(exported, tmp_path, capsys):
    put(tmp_path / "a.jpg", b"no")
    assert main(["predict", str(exported[0]), str(tmp_path / "a.jpg")]) == 2
    assert "none of the 1 images" in capsys.readouterr().err
    assert main(["predict", str(exported[0]), str(tmp_path / "absent.jpg")]) == 2
    assert "is not there" in capsys.readouterr().err


def test_nothing_is_overwritten_or_left_incomplete(project, exported, tmp_path, monkeypatch):
    taken = put(tmp_path / "mine.onnx", b"mine")
    with pytest.raises(InputError, match="--overwrite"):
        export_student(project, taken)
    with pytest.raises(InputError, match="is a folder"):
        export_student(project, tmp_path)

    from inficond.core.onnx_student import export as onnx_export

    monkeypatch.setattr(onnx_export, "compare_with_project", lambda *a: (0.5, 3))
    with pytest.raises(InputError, match="differs from the project"):
        export_student(project, taken, overwrite=True)
    assert taken.read_bytes() == b"mine"
    assert [p.name for p in tmp_path.iterdir()] == ["mine.onnx"]


def test_another_version_of_the_encoder_is_refused(project, tmp_path):
    other = Project.open(project.path)
    other.config["encoder"]["digest"] = "0" * 64
    with pytest.raises(InputError, match="another version of the encoder"):
        export_student(other, tmp_path / "x.onnx")


def put(path, data):
    path.write_bytes(data)
    return path


@pytest.mark.slow
@pytest.mark.data
def test_on_real_photographs_with_the_embedded_encoder(shared_data, tmp_path):
    """The file is at most 12 MB and gives the project's probabilities."""
    photographs = sorted((shared_data / "scenes" / "images").iterdir())[:48]
    (tmp_path / "photos.txt").write_text("\n".join(map(str, photographs)))
    project = Project.create(tmp_path / "photos.txt", tmp_path / "project")
    out = tmp_path / "student.onnx"
    export_student(project, out)
    assert out.stat().st_size <= 12_000_000
    paths = [project.image_path(i) for i in range(len(project))]
    got = np.stack([p.probabilities for p in load_predictor(out).predict_files(paths)])
    assert abs(got - project.students.predict(project.X)).max() <= 1e-3
