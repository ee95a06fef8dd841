"""Figures of the report: metrics of the current students on validation images."""

import json

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS, average_precision, class_metrics
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.report import render_html, report
from inficond.core.report.wording import grade, reading, summary
from inficond.core.students import Students, keep_largest, random_concept_baseline


@pytest.fixture(scope="module")
def data(project) -> dict:
    return report(project)


def test_it_is_plain_json_and_the_same_every_time(project, data) -> None:
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert report(project) == data


def test_figures_are_those_of_the_validation_images(project, data) -> None:
    held = project.is_validation
    S = project.students.predict(project.X[held])
    for c, entry in enumerate(data["classes"]):
        expected = class_metrics(project.T[held, c], S[:, c], labels=project.labels[held, c]).to_dict()
        for name in ("n", "positives", "agreement", "balanced_agreement", "ap", "f1", "counts"):
            assert entry["metrics"][name] == pytest.approx(expected[name], abs=1e-6, nan_ok=True)
        for who in ("teacher", "student"):
            assert entry["metrics"][f"{who}_accuracy"] == pytest.approx(expected[f"{who}_accuracy"])
        assert entry["metrics"]["nec"] == project.students.nec()[c]
        at = entry["intervals"]["ap"]
        if at["value"] is not None:
            assert at["value"] == pytest.approx(entry["metrics"]["ap"])
            assert at["low"] <= at["value"] <= at["high"]


def test_every_picture_is_of_a_validation_image_in_its_subset(project, data) -> None:
    held = set(np.flatnonzero(project.is_validation).tolist())
    for entry in data["classes"]:
        assert {n: s["size"] for n, s in entry["subsets"].items()} == entry["metrics"]["counts"]
        for name in SUBSETS:
            for one in entry["subsets"][name]["images"]:
                yes, said = one["teacher"] >= 0.5, one["student"] >= 0.5
                assert (yes, said) == {
                    "agree-pos": (True, True), "agree-neg": (False, False), "missed": (True, False),
                    "extra": (False, True),
                }[name]  # fmt: skip
        rows = [i["row"] for s in entry["subsets"].values() for i in s["images"]]
        rows += [e["row"] for k in entry["concepts"] for e in k["evidence"]]
        assert set(rows) <= held
        for row, image in ((i["row"], i["image"]) for s in entry["subsets"].values() for i in s["images"]):
            assert project.image_ids[row] == image


def test_concepts_are_the_largest_weights_with_the_images_where_they_are_strongest(project, data) -> None:
    for c, entry in enumerate(data["classes"]):
        top = project.students.top(c, 8)
        assert [k["name"] for k in entry["concepts"]] == [project.concepts[k] for k in top]
        for k, found in zip(top, entry["concepts"]):
            values = [e["value"] for e in found["evidence"]]
            assert values == sorted(values, reverse=True)
            for e in found["evidence"]:
                assert e["value"] == pytest.approx(float(project.X[e["row"], k]))


def test_the_random_concept_baseline_is_reported(project, data) -> None:
    random = random_concept_baseline(
        project.region_embeddings, project.T, ~project.is_validation, project.classes, len(project.concepts)
    )
    held = project.is_validation
    S = random.students.predict(random.X[held])
    entry = data["classes"][0]
    expected = class_metrics(project.T[held, 0], S[:, 0])
    assert entry["baseline"]["metrics"]["ap"] == pytest.approx(expected.ap)
    change = entry["baseline"]["words_against_random"]["ap"]
    assert change["after"] == pytest.approx(entry["metrics"]["ap"])
    assert change["before"] == pytest.approx(expected.ap)
    assert data["overall"]["baseline"]["ap"] is not None
    few = keep_largest(random.students, random.X[~held], project.T[~held], 5).predict(random.X[held])
    alone = average_precision(project.T[held, 0] >= 0.5, few[:, 0])
    assert entry["baseline"]["metrics"]["anec5"] == pytest.approx(alone, abs=1e-6)


def test_means_leave_out_undefined_metrics(data) -> None:
    defined = [e["metrics"]["ap"] for e in data["classes"] if e["metrics"]["ap"] is not None]
    assert data["overall"]["fidelity"]["ap"] == pytest.approx(np.mean(defined))
    assert data["overall"]["undefined"] == ["never"]
    assert any("never" in line for line in data["summary"])
    assert "never says yes" in data["classes"][2]["reading"][0]


def test_missing_regions_and_labels_are_reported(bare) -> None:
    data = report(bare)
    assert data["overall"]["baseline"] is None
    assert data["overall"]["accuracy"] is None
    assert any("no random-concept baseline" in line for line in data["summary"])
    assert 0 <= data["overall"]["fidelity"]["same_top_class"] <= 1
    assert data["overall"]["fidelity"]["kl"] >= 0
    json.dumps(data, allow_nan=False)


def test_the_current_node_is_reported(project) -> None:
    session = project.session()
    concept = project.concepts[int(project.students.top(0, 1)[0])]
    session.apply("boat", [{"kind": "mute", "concept": concept}])
    tuned = report(session, classes=["boat"])
    assert [c["name"] for c in tuned["classes"]] == ["boat"]
    assert concept not in [k["name"] for k in tuned["classes"][0]["concepts"]]
    assert tuned["project"]["node"] == session.node
    assert concept in [k["name"] for k in report(project, classes=["boat"])["classes"][0]["concepts"]]


def test_a_constant_teacher_does_not_give_a_perfect_student(tmp_path) -> None:
    rng = np.random.default_rng(0)
    students = Students(["all", "none"], ["x", "y"], np.zeros((2, 2)), [0, 0], [0, 0], [1, 1])
    for held in (np.zeros(6, bool), np.arange(6) == 2, np.ones(6, bool)):
        folder = tmp_path / str(held.sum())
        write_project(
            folder, ProjectContents(images=[f"{i}.jpg" for i in range(6)],
            T=np.array([[0.9, 0.1]] * 6, np.float32), concepts=["x", "y"], classes=["all", "none"],
            is_validation=held, students=students), [ImageBlock(X=rng.random((6, 2), np.float32))],
        )  # fmt: skip
        data = report(Project.open(folder))
        assert len(data["summary"]) == 2
        assert data["overall"]["fidelity"]["ap"] is None
        assert data["overall"]["undefined"] == ["all", "none"]
        render_html(data)


def test_an_unknown_class_is_refused(project) -> None:
    with pytest.raises(InputError, match="boat"):
        report(project, classes=["boot"])


def test_sentences_depend_on_the_figures(data) -> None:
    assert [grade(x) for x in (None, 0.95, 0.8, 0.6, 0.4, 0.1)] == [
        "cannot be judged", "very closely", "closely", "roughly", "loosely", "hardly",
    ]  # fmt: skip
    entry = data["classes"][0]
    for verdict, says in (
        ("better", "are informative"),
        ("worse", "do not explain"),
        ("no clear change", "with caution"),
    ):
        changed = {**entry["baseline"]["words_against_random"]["ap"], "verdict": verdict}
        baseline = {**entry["baseline"], "words_against_random": {"ap": changed}}
        assert any(says in line for line in reading({**entry, "baseline": baseline}))
    nothing = {**data, "project": {**data["project"], "validation": 0}}
    assert summary(nothing) == ["No images are held out for validation, so the students cannot be evaluated."]
