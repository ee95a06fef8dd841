"""The Python interface: `inficond.distill`, tables, and displays for notebooks."""

import csv
import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import inficond
from inficond.core import InputError, Project
from inficond.core.cli.main import main
from inficond.core.onnx_student.export import export_student
from inficond.core.progress import Silent


@pytest.fixture(scope="module")
def pictures(tiny: Any) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(tiny.photos.rglob("*.*"))[:40]]


@pytest.fixture(scope="module")
def names(pictures: list[Image.Image]) -> list[str]:
    dominant = [int(np.asarray(picture).mean(axis=(0, 1)).argmax()) for picture in pictures]
    return [("<b>red", "green", "blue")[i] for i in dominant]


@pytest.fixture(scope="module")
def project(tiny: Any, pictures: list[Image.Image], names: list[str]) -> Project:
    with redirect_stdout(io.StringIO()) as printed:
        made = inficond.distill(
            pictures, names, "labels", ["red", "green", "blue", "white"], encoder=str(tiny.encoder), lam=0.01
        )
    assert "3 classes of the images" in printed.getvalue()
    return made


def test_pictures_and_labels_in_memory_give_a_project(project: Project, names: list[str]) -> None:
    assert isinstance(project, inficond.Project)
    assert project.classes == ["<b>red", "blue", "green"]
    assert project.concepts == ["red", "green", "blue", "white"]
    assert [project.classes[int(c)] for c in np.argmax(project.labels, axis=1)] == names
    assert project.verify() == []


def test_results_are_arrays_and_tables(project: Project) -> None:
    table = project.table()
    assert table.num_rows == 40
    np.testing.assert_array_equal(table["teacher blue"].to_numpy(), project.T[:, 1])
    np.testing.assert_allclose(
        table["student blue"].to_numpy(), project.students.predict(project.X)[:, 1], atol=1e-6
    )
    frame = table.to_pandas()
    assert list(frame.columns[:2]) == ["image", "validation"]
    assert frame["label green"].isin([0.0, 1.0]).all()


def test_displays_are_tables_with_escaped_names(project: Project) -> None:
    session = project.session()
    preview = session.preview("blue", {"kind": "mute", "concept": "blue"})
    for shown in (project, session, preview, project.student()):
        text = shown._repr_html_()
        assert text.startswith("<table>")
        assert "&lt;b&gt;red" in text or shown is preview
        assert "<b>" not in text
    assert "blue" in preview._repr_html_()


def test_labels_by_id_and_classes_by_name(tiny: Any, tmp_path: Path, pictures: list[Image.Image]) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, picture in enumerate(pictures[:20]):
        picture.save(folder / f"{i}.png")
    labels = {f"{i}.png": "even" if i % 2 == 0 else ["odd", "third"][: 1 + (i % 3 == 0)] for i in range(20)}
    made = inficond.distill(
        folder, labels, "labels", tiny.words, out=tmp_path / "out", classes=["odd", "third"],
        encoder=str(tiny.encoder), lam=0.01, progress=Silent(),
    )  # fmt: skip
    assert made.path == tmp_path / "out"
    assert made.classes == ["odd", "third"]
    rows = [made.image_ids.index(f"{i}.png") for i in (0, 1, 9)]
    np.testing.assert_array_equal(made.T[rows], [[0, 0], [1, 0], [1, 1]])


def test_labels_and_words_that_do_not_fit_are_one_line(tiny: Any, pictures: list[Image.Image]) -> None:
    for given, message in (
        ({"images": pictures, "labels": ["a"]}, "1 labels for 40 images"),
        ({"images": "folder", "labels": ["a"]}, "labels in order need images in order"),
        ({"images": pictures, "words": []}, "list of words is empty"),
        ({"images": pictures, "words": ["red", "Red"]}, "twice"),
        ({"images": pictures, "labels": {}}, "mapping of labels is empty"),
    ):
        with pytest.raises(InputError, match=message):
            inficond.distill(**given, encoder=str(tiny.encoder), progress=Silent())


def test_predictions_as_a_table(
    project: Project, pictures: list[Image.Image], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_student(project, tmp_path / "student.onnx")
    (tmp_path / "new").mkdir()
    for i in range(3):
        pictures[i].save(tmp_path / "new" / f"{i}.png")
    given = ["predict", str(tmp_path / "student.onnx"), str(tmp_path / "new"), "--provider", "cpu", "--json"]
    assert main([*given, "--csv", str(tmp_path / "p.csv")]) == 0
    said = json.loads(capsys.readouterr().out)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", *project.classes, "yes"]
    for row, one in zip(rows, said["images"], strict=True):
        assert row["image"] == one["image"]
        assert row["yes"] == "|".join(one["yes"])
        assert float(row["blue"]) == pytest.approx(one["probabilities"]["blue"], rel=1e-5)
