"""Exams: figures on the locked images, their intervals, their place in the history."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.evaluation import average_precision
from inficond.core.evaluation.exam import exam_level
from inficond.core.report import report
from inficond.core.report.exam_lines import exam_summary, short_line
from inficond.core.sessions.exam_records import exam_record, short_record
from inficond.core.sessions.session_registry import SessionRegistry
from inficond.core.tuning.actions import Action

N, EXAM = 300, 90


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Project:
    return make_project(n=N, exam=EXAM)


def test_an_exam_measures_both_students_on_the_locked_images(project: Project) -> None:
    branch = project.session()
    branch.apply("boat", [Action("mute", "c1"), Action("up", "c2", 3.0)])
    weights = branch.students.weights
    node = branch.take_exam("before the release")
    exam = project.exam
    assert exam is not None
    assert node.kind == "exam"
    assert np.array_equal(branch.students.weights, weights)
    assert node.note == "before the release"
    assert node.detail["images"] == EXAM
    found = node.detail["classes"]["boat"]["fidelity"]["ap"]
    for key, students in (("fitted", project.students), ("now", branch.students)):
        expected = average_precision(exam.T[:, 0] >= 0.5, students.predict(np.asarray(exam.X))[:, 0])
        assert found[key]["value"] == pytest.approx(expected, abs=1e-6)
        assert found[key]["low"] < expected < found[key]["high"]
    assert found["gain"]["value"] == pytest.approx(found["now"]["value"] - found["fitted"]["value"])
    promised = branch.compare(project.session().node, node.id).classes["boat"].fidelity["ap"].delta.value
    assert found["promised"]["value"] == pytest.approx(promised)
    assert found["optimism"] == pytest.approx(promised - found["gain"]["value"])
    untouched = node.detail["classes"]["bird"]["accuracy"]["f1"]["gain"]
    assert (untouched["value"], untouched["low"], untouched["high"]) == (0, 0, 0)


def test_each_further_exam_counts_those_before_and_has_wider_intervals(project: Project) -> None:
    branch = project.session("main")
    first = branch.take_exam()
    assert branch.take_exam().id == first.id, "the same student has the same exam"
    other = project.session()
    other.apply("boat", [Action("mute", "c1")])
    second = other.take_exam()
    branch.apply("bird", [Action("mute", "c1")])
    third = branch.take_exam()
    assert [n.detail["number"] for n in (first, second, third)] == [1, 2, 2], "the second was not saved"
    levels = [n.detail["level"] for n in (first, third)]
    assert levels == [exam_level(1), exam_level(2)] == pytest.approx([0.9696, 0.9924], abs=1e-4)

    def width(node: Any) -> float:
        value = node.detail["classes"]["barn"]["fidelity"]["ap"]["now"]
        return value["high"] - value["low"]

    assert width(third) > width(first)
    lines = " ".join(exam_summary(exam_record(branch.last_exam()), True))
    assert "Second exam of the project" in lines
    assert "1 exam of this project was taken before" in lines
    assert sum(1 - exam_level(k) for k in range(1, 10_000)) < 0.05


def test_exams_of_saved_visits_count(project: Project) -> None:
    visitor = project.session(None)
    visitor.take_exam()
    visitor.save()
    assert project.session("main").take_exam().detail["number"] == 2


def test_exams_in_a_visit_count_in_this_visit_only(project: Project) -> None:
    """A visitor of a public page must not widen the intervals of the owner or of other visitors."""
    visits = SessionRegistry(project.context, autosave=True)
    visit = visits.open()
    for k in range(3):
        visit.apply("boat", [Action("mute", f"c{k}")])
        assert visit.take_exam().detail["number"] == k + 1
    other = visits.open()
    other.apply("boat", [Action("mute", "c5")])
    assert other.take_exam().detail["number"] == 1
    assert project.session("main").take_exam().detail["number"] == 1
    assert Project.open(project.path).session().history.exams_taken() == 1
    assert visit.history.exams_taken() == 4, "the owner's exams count for visitors"


def test_the_exam_of_an_earlier_student_says_how_many_steps_ago_it_was(project: Project) -> None:
    branch = project.session()
    assert branch.last_exam() is None
    node = branch.take_exam()
    branch.apply("boat", [Action("mute", "c1")])
    branch.apply("boat", [Action("mute", "c2")])
    found = branch.last_exam()
    assert found is not None
    assert (found.node.id, found.steps_since) == (node.id, 2)
    assert "The exam was taken 2 steps before" in " ".join(exam_summary(exam_record(found), True))
    branch.checkout(node.parent)
    found = branch.last_exam()
    assert found is not None
    assert found.steps_since == 0


def test_an_exam_survives_a_restart_and_is_left_out_of_recipes(project: Project) -> None:
    branch = project.session("main")
    branch.apply("boat", [Action("mute", "c1")])
    node = branch.take_exam()
    again = Project.open(project.path).session("main")
    assert again.current.detail == node.detail
    assert again.context.history_store.check() == 2
    assert [step.kind for step in again.recipe().steps] == ["tune"]
    assert again.undo().kind == "tune"
    with pytest.raises(InputError, match="unknown kind 'exam'"):
        again.replay({**again.recipe().to_json(), "steps": [{"kind": "exam"}]})


def test_an_added_word_is_measured_on_the_locked_images(project: Project) -> None:
    branch = project.session()
    branch.context.words.define("seen (by example)", [(project.image_ids[0], 1)], [])
    branch.add_concept("seen (by example)")
    figures = branch.take_exam().detail["classes"]["boat"]["fidelity"]["ap"]
    assert figures["now"]["value"] is not None


def test_the_command_prints_and_records_the_exam(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(project.path)
    assert main(["exam", folder, "--show"]) == 0
    assert "No exam was taken" in capsys.readouterr().out
    assert main(["exam", folder, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)["exam"]
    assert record["number"] == 1
    assert main(["exam", folder]) == 0
    text = capsys.readouterr().out
    assert "First exam of the project, on 90 locked images" in text
    assert "average precision, compared with the labels" in text
    assert main(["history", folder, "--check"]) == 0
    assert "exam 1 on 90 locked images" in capsys.readouterr().out


def test_a_project_of_two_parts_says_how_to_get_an_exam(
    make_project: Callable[..., Project], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["exam", str(make_project().path)]) == 2
    message = capsys.readouterr().err
    assert "has no exam images, because it was made with two parts" in message
    assert "build it again with `inficond distill`" in message
    assert len(message.strip().splitlines()) == 1


def test_a_class_that_no_exam_image_shows_is_named_and_left_out(make_project: Callable[..., Project]) -> None:
    project = make_project(n=N, exam=EXAM)
    exam = project.exam
    assert exam is not None
    T = np.array(exam.T)
    T[:, 1] = 0.1
    project.exam = replace(exam, T=T)
    branch = project.session()
    node = branch.take_exam()
    assert node.detail["left_out"] == {"bird": "no exam image shows it"}
    assert set(node.detail["classes"]) == {"boat", "barn"}
    lines = exam_summary(exam_record(branch.last_exam()), True)
    assert "Left out: bird, because no exam image shows it." in lines
    project.exam = replace(exam, T=np.zeros_like(T))
    branch.apply("boat", [Action("mute", "c1")])
    with pytest.raises(InputError, match="show none of its classes"):
        branch.take_exam()


def test_exam_images_of_one_source_have_no_intervals(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(n=N, exam=EXAM)
    exam = project.exam
    assert exam is not None
    project.exam = replace(exam, image_groups=["film"] * EXAM)
    branch = project.session()
    node = branch.take_exam()
    value = node.detail["classes"]["boat"]["fidelity"]["ap"]["now"]
    assert value["value"] is not None
    assert value["low"] is None
    assert any("come from one source" in line for line in exam_summary(exam_record(branch.last_exam()), True))


def test_a_report_carries_the_exam_or_says_that_none_was_taken(project: Project) -> None:
    branch = project.session()
    before = report(branch)
    assert before["exam"] is None
    assert before["summary"][-1].startswith("No exam was taken")
    node = branch.take_exam()
    after = report(branch)
    assert after["exam"]["node"] == node.id
    assert after["exam"]["classes"] == node.detail["classes"]
    assert any(line.startswith("First exam of the project") for line in after["summary"])
    assert {k: v for k, v in before.items() if k not in ("exam", "summary", "project")} == {
        k: v for k, v in after.items() if k not in ("exam", "summary", "project")
    }


def test_the_metadata_of_a_file_hold_the_exam_in_short(project: Project) -> None:
    branch = project.session()
    assert short_record(branch.last_exam()) is None
    assert short_line(None) == "No exam was taken."
    node = branch.take_exam()
    branch.apply("boat", [Action("mute", "c1")])
    record = json.loads(json.dumps(short_record(branch.last_exam())))
    assert record["steps_since"] == 1
    found = node.detail["classes"]["boat"]["fidelity"]["ap"]
    assert record["classes"]["boat"]["fidelity"]["gain"] == found["gain"]
    assert short_line(record).startswith("Exam on 90 locked images, 1 step earlier: mean average precision")
