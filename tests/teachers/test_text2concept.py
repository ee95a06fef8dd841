"""Words in a teacher's own feature space: the map, the features found in a graph, and whole projects."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny_models import write_class_folders, write_teacher

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.models.encoder import load_encoder
from inficond.core.models.predictor import load_predictor
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.onnx_student.export import export_student
from inficond.core.teachers.teacher_features import find_features
from inficond.core.teachers.text2concept import PENALTIES, FeatureReader, LinearMap, fit_map, write_encoder


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return load_teacher("embedded", "cpu", threads=1)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("text2concept") / "photos", n=14)


def create(photos: Path, out: Path, **more: Any) -> Project:
    given = {"encoder": "text2concept", "concepts": ["red", "green", "blue", "sky", "grass", "brick"], **more}
    return Project.create(photos, out, baseline=False, provider="cpu", **given)


@pytest.fixture(scope="module")
def project(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return create(photos, tmp_path_factory.mktemp("text2concept") / "project")


def test_a_planted_map_is_found_and_its_error_is_that_of_leaving_images_out() -> None:
    rng = np.random.default_rng(0)
    F, W = rng.normal(size=(80, 12)), rng.normal(size=(12, 5))
    Y = F @ W + 3 + 0.01 * rng.normal(size=(80, 5))
    found = fit_map(F, Y)
    assert np.abs(found.weights - W).max() < 0.02
    assert np.abs(found.bias - 3).max() < 0.02
    left = np.zeros_like(Y)
    for i in range(80):
        rest = np.arange(80) != i
        f, y = F[rest] - F[rest].mean(0), Y[rest] - Y[rest].mean(0)
        penalty = found.penalty * F.var(axis=0).mean() * 80
        B = np.linalg.solve(f.T @ f + penalty * np.eye(12), f.T @ y)
        left[i] = Y[i] - (F[i] - F[rest].mean(0)) @ B - Y[rest].mean(0)
    means = np.array([Y[np.arange(80) != i].mean(0) for i in range(80)])
    explained = 1 - np.square(left).sum() / np.square(Y - means).sum()
    assert abs(found.explained - explained) < 1e-4


def test_more_features_than_images_and_pure_noise_get_a_large_penalty() -> None:
    rng = np.random.default_rng(1)
    found = fit_map(rng.normal(size=(40, 300)), rng.normal(size=(40, 6)))
    assert found.penalty > PENALTIES[2]
    assert found.explained < 0.05


def test_few_images_and_constant_features_are_refused() -> None:
    with pytest.raises(InputError, match="on 5 images, and needs at least 20"):
        fit_map(np.zeros((5, 3)), np.zeros((5, 2)))
    with pytest.raises(InputError, match="are the same for every image"):
        fit_map(np.ones((30, 3)), np.random.default_rng(0).normal(size=(30, 2)))


def test_the_features_of_the_embedded_teacher_are_the_mean_of_a_map(teacher: Teacher, tmp_path: Path) -> None:
    reader = FeatureReader(teacher, tmp_path)
    assert (reader.dim, reader.grid) == (1280, (9, 9))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 260, 260, 3), dtype=np.uint8)
    pooled, cells = reader.run(pixels)
    assert cells is not None
    means = cells.mean(axis=(2, 3))  # the teacher rounds its features to 8 bits
    assert np.corrcoef(means.ravel(), pooled.ravel())[0, 1] > 0.99


def test_the_graph_maps_each_cell_and_averages_windows(teacher: Teacher, tmp_path: Path) -> None:
    reader, words = FeatureReader(teacher, tmp_path), load_encoder("embedded", "cpu")
    rng = np.random.default_rng(2)
    weights, bias = rng.normal(size=(1280, words.dim)), rng.normal(size=words.dim)
    fitted = LinearMap(weights.astype(np.float32), bias.astype(np.float32), 1.0, 0.5, 30)
    encoder = load_encoder(write_encoder(tmp_path / "made", teacher, reader, words, fitted), "cpu")
    pixels = rng.integers(0, 256, (2, 260, 260, 3), dtype=np.uint8)
    got = encoder.encode(pixels)
    cells = reader.run(pixels)[1]
    assert cells is not None
    mapped = cells.transpose(0, 2, 3, 1) @ weights + bias

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    windows = [mapped[:, i : i + 3, j : j + 3].mean(axis=(1, 2)) for i in (0, 3, 6) for j in (0, 3, 6)]
    np.testing.assert_allclose(got.regions, unit(np.stack(windows, axis=1)), atol=1e-4)
    np.testing.assert_allclose(got.image, unit(mapped.mean(axis=(1, 2))), atol=1e-4)
    rows = np.arange(9) // 3
    assert (got.assignment.reshape(2, 9, 9) == 3 * rows[:, None] + rows).all()
    np.testing.assert_array_equal(encoder.embed_words(["sea"]), words.embed_words(["sea"]))


def test_a_project_carries_its_encoder_and_its_student_answers_new_images(
    project: Project, photos: Path, tmp_path: Path
) -> None:
    said = project.config["encoder"]
    assert (said["spec"], said["name"]) == ("encoder", "text2concept of EfficientNet-Lite2")
    assert any("by a linear map fitted on" in line for line in project.config["choices"])
    encoder = project.context.encoder
    fit = int((~project.is_validation).sum())
    assert encoder.manifest.raw["map"]["images"] == fit, "the map is fitted on other images than the students"
    out = tmp_path / "student.onnx"
    export_student(project, out)
    paths = sorted(photos.rglob("*.png"))[:6]
    got = np.array([p.probabilities for p in load_predictor(out).predict_files(paths)], np.float32)
    assert np.std(got) > 1e-3
    session = project.session()
    assert session.context.words is not None
    assert len(project.concepts) == 6


@pytest.mark.nightly
def test_a_second_build_is_equal_bit_by_bit(project: Project, photos: Path, tmp_path: Path) -> None:
    again = create(photos, tmp_path / "again")
    assert again.config["encoder"]["digest"] == project.config["encoder"]["digest"]
    np.testing.assert_array_equal(again.X, project.X)
    np.testing.assert_array_equal(again.students.weights, project.students.weights)


def test_teachers_without_features_are_refused_in_one_line(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["distill", str(photos), "--encoder", "text2concept"]
    assert main([*argv, "--out", str(tmp_path / "a"), "--teacher", "labels"]) == 2
    assert "this teacher (labels) has none: give a model with --teacher" in capsys.readouterr().err
    tiny = load_teacher(write_teacher(tmp_path / "teacher"), "cpu")  # no layer with weights
    with pytest.raises(InputError, match="shows no features: its graph does not end in a linear layer"):
        find_features(tiny)
