"""Actual and predicted classes of a session's images."""

from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.sessions.class_confusion import (
    actual_classes,
    confusion_table,
    predicted_classes,
    references,
    share_without_class,
)

MakeProject = Callable[..., Project]


def test_independent_classes_have_no_confusion_table(small_project: Project) -> None:
    assert references(small_project.session()) == ()


def test_a_softmax_teacher_makes_the_classes_exclusive(make_project: MakeProject) -> None:
    assert references(make_project(link="softmax", labels=False).session()) == ("teacher",)


def test_the_table_counts_held_out_images_by_teacher_and_student(make_project: MakeProject) -> None:
    project = make_project(link="softmax", labels=True)
    session = project.session()
    assert references(session) == ("label", "teacher")
    rows = project.validation_rows
    found = confusion_table(session, "teacher")
    assert found.n == len(rows)
    top = np.asarray(project.T)[rows].argmax(axis=1)
    predicted = session.scores()[rows].argmax(axis=1)
    assert found.counts[1, 2] == ((top == 1) & (predicted == 2)).sum()
    assert found.accuracy == pytest.approx((top == predicted).mean())
    assert predicted_classes(session).shape == (len(project),)


def test_an_image_without_a_label_is_not_counted(make_project: MakeProject) -> None:
    project = make_project(link="softmax", labels=True)  # labelled where one probability exceeds 0.5
    session = project.session()
    known = actual_classes(session, "label") >= 0
    assert 0 < known.sum() < len(project)
    assert confusion_table(session, "label").n == known[project.validation_rows].sum()


def test_an_unknown_reference_is_rejected(small_project: Project) -> None:
    with pytest.raises(InputError, match="teacher"):
        confusion_table(small_project.session(), "teachers")


def test_labels_are_needed_for_the_reference_label(make_project: MakeProject) -> None:
    with pytest.raises(InputError, match="the project has no labels"):
        actual_classes(make_project(labels=False).session(), "label")


def test_the_share_without_a_class_grows_with_the_thresholds(make_project: MakeProject) -> None:
    session = make_project(link="softmax").session()
    scores = session.scores()[session.project.validation_rows]
    assert share_without_class(session) == pytest.approx((scores.max(axis=1) < 0.5).mean())
    before = share_without_class(session)
    node = session.set_thresholds(0.99)
    after = share_without_class(session)
    assert after == pytest.approx((scores.max(axis=1) < 0.99).mean())
    assert node.detail["without_yes"] == pytest.approx([before, after])
    assert node.title.endswith(f"no class says yes: {before:.0%} → {after:.0%}")


def test_the_teachers_rate_leaves_few_images_without_an_exclusive_class(make_project: MakeProject) -> None:
    session = make_project(link="softmax", n=400).session()
    session.set_thresholds("matched")
    training = session.workspace.training_rows
    scores = session.scores()[training]
    thresholds = session.students.thresholds if session.state.thresholds is None else session.state.thresholds
    assert (scores < np.asarray(thresholds, np.float32)).all(axis=1).mean() <= 0.02 + 1 / len(training)
