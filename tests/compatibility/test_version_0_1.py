"""Files written by version 0.1.0 open, predict and replay in the current version.

`tests/tools/make_compat_fixtures.py` wrote the fixtures with that version.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.models.predictor import load_predictor
from inficond.core.students import Students

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "v0_1"
ONE_STEP = 2**-22
"""Rounding of one float32 operation near 1."""


@pytest.fixture(params=["sigmoid", "softmax"])
def fixture(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / request.param


@pytest.fixture
def expected(fixture: Path) -> dict[str, Any]:
    return json.loads((fixture / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture
def project(fixture: Path, tmp_path: Path) -> Path:
    """The project of the archive, unpacked."""
    assert main(["unpack", str(fixture / "project.inficond"), "--out", str(tmp_path / "unpacked")]) == 0
    return tmp_path / "unpacked" / "project"


def test_an_archive_unpacks_to_an_undamaged_project(project: Path, expected: dict[str, Any]) -> None:
    opened = Project.open(project)
    assert opened.verify() == []
    assert np.array_equal(opened.X, np.asarray(expected["X"], np.float32))
    assert np.array_equal(opened.T, np.asarray(expected["T"], np.float32))


def test_its_history_and_current_student_are_unchanged(
    project: Path, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["history", str(project), "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    kept = expected["history"][0].keys()
    assert [{name: node[name] for name in kept} for node in nodes] == expected["history"]
    students = Project.open(project).student()
    assert np.array_equal(students.weights, np.asarray(expected["weights"], np.float32))
    assert np.array_equal(students.bias, np.asarray(expected["bias"], np.float32))


def test_its_recipe_replays_to_the_same_weights(
    fixture: Path, project: Path, expected: dict[str, Any]
) -> None:
    root = expected["history"][0]["id"]
    assert main(["checkout", str(project), root]) == 0
    assert main(["replay", str(project), str(fixture / "recipe.json")]) == 0
    students = Project.open(project).student()
    assert np.allclose(students.weights, expected["weights"], atol=5e-3)
    assert np.array_equal(np.asarray(expected["weights"]) == 0, students.weights == 0)


def test_a_further_step_is_kept_beside_the_old_ones(
    project: Path, expected: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", str(project), "--class", "warm", "--mute", "yellow"]) == 0
    capsys.readouterr()
    assert main(["history", str(project), "--json"]) == 0
    nodes = json.loads(capsys.readouterr().out)["nodes"]
    assert len(nodes) == len(expected["history"]) + 1
    assert {node["id"] for node in expected["history"]} < {node["id"] for node in nodes}


def test_an_exported_student_predicts_as_before(fixture: Path, expected: dict[str, Any]) -> None:
    predictor = load_predictor(fixture / "student.onnx")
    for name, probabilities in expected["predict"].items():
        (predicted,) = predictor.predict_files([fixture / name])
        found = dict(zip(predictor.classes, predicted.probabilities.tolist()))
        assert found == pytest.approx(probabilities, abs=4 * ONE_STEP)


def test_a_students_file_loads(fixture: Path, expected: dict[str, Any], tmp_path: Path) -> None:
    students = Students.load(shutil.copy(fixture / "students.safetensors", tmp_path))
    assert np.array_equal(students.weights, np.asarray(expected["weights"], np.float32))
