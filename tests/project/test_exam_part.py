"""The locked part of a project."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.project import files
from inficond.core.report.measure import report
from inficond.core.tuning.actions import Action

N, EXAM = 300, 60


def figures(project: Project) -> dict[str, Any]:
    """Return everything that a person sees while correcting students."""
    branch = project.session()
    seen: dict[str, Any] = {
        "metrics": {cls: branch.metrics(cls).to_dict() for cls in project.classes},
        "preview": branch.preview("boat", [Action("mute", "c1")], focus="missed").to_json(),
        "suggestions": [s.to_json() for s in branch.suggest("boat")],
        "slices": [str(one) for cls in project.classes for one in branch.slices(cls)],
        "influence": branch.influence("boat").gap.tolist(),
        "similar": branch.similar(0).tolist(),
        "table": branch.table().to_pydict(),
        "boxes": project.boxes.tolist(),
    }
    node = branch.apply("boat", [Action("up", "c2", 2.0)], focus="extra")
    branch.set_thresholds("matched")
    return {
        **seen,
        "node": dict(node.after),
        "thresholds": branch.students.thresholds.tolist(),
        "weights": branch.students.weights.tolist(),
        "report": json.loads(json.dumps(report(branch)["classes"])),
    }


def test_nothing_but_the_exam_part_depends_on_the_exam_images(make_project: Callable[..., Project]) -> None:
    clean, spoiled = make_project(n=N, exam=EXAM), make_project(n=N, exam=EXAM, spoiled=True)
    assert clean.exam is not None
    assert spoiled.exam is not None
    for name in ("X", "T", "labels"):
        assert not np.array_equal(getattr(clean.exam, name), getattr(spoiled.exam, name))
    assert not np.array_equal(clean.exam.read_regions(), spoiled.exam.read_regions())
    assert figures(clean) == figures(spoiled)


def test_exam_images_are_in_no_other_attribute(make_project: Callable[..., Project]) -> None:
    project = make_project(n=N, exam=EXAM)
    exam = project.exam
    assert exam is not None
    assert len(exam) == EXAM
    assert len(project) == N - EXAM
    assert exam.image_ids[0] == "photos/0240.jpg"
    assert set(exam.image_ids).isdisjoint(project.image_ids)
    arrays = (project.X, project.T, project.labels, project.is_validation, project.region_embeddings)
    assert {len(a) for a in (*arrays, project.boxes) if a is not None} == {N - EXAM}
    assert len(project.training_rows) + len(project.validation_rows) == N - EXAM
    for read in (
        project.regions,
        project.assignment,
        project.thumbnail_bytes,
        project.image_path,
        project.crop,
    ):
        with pytest.raises(InputError, match="image 240 does not exist: the project has 240 images"):
            read(N - EXAM)
    assert project.verify() == []


def test_a_project_without_an_exam_part_says_nothing_of_it(make_project: Callable[..., Project]) -> None:
    two, three = make_project(n=N), make_project(n=N, exam=EXAM)
    assert two.exam is None
    assert "exam" not in two.config["counts"]
    assert three.config["format"] == files.FORMAT
    assert three.config["counts"]["exam"] == EXAM
    assert asdict(two.session().metrics("boat"))["n"] == len(two.validation_rows)
