"""The class × concept matrix, its orders, and the pairs of classes confused for want of a concept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.sessions.class_confusion import confusion_table
from inficond.core.sessions.class_matrix import class_matrix, similar_order
from inficond.core.sessions.confused_pairs import confused_pairs
from inficond.core.students import Students

Make = Callable[..., Project]


def test_the_matrix_holds_every_weight_of_the_students(small_project: Project) -> None:
    session = small_project.session()
    matrix = class_matrix(session)
    W = np.zeros((len(matrix.classes), len(matrix.concepts)), np.float32)
    W[matrix.rows, matrix.columns] = matrix.weights
    students = session.students
    columns = [students.concepts.index(name) for name in matrix.concepts]
    assert np.array_equal(W, students.weights[:, columns])
    assert not np.delete(students.weights, columns, axis=1).any()
    assert sorted(matrix.class_order) == list(range(len(matrix.classes)))
    assert sorted(matrix.concept_order) == list(range(len(matrix.concepts)))
    assert matrix.n_concepts == len(small_project.concepts)


def test_a_step_changes_the_matrix(small_project: Project) -> None:
    session = small_project.session()
    before = class_matrix(session)
    concept = before.concepts[int(before.columns[0])]
    cls = before.classes[int(before.rows[0])]
    session.apply(cls, {"kind": "mute", "concept": concept})
    after = class_matrix(session)
    pairs = {(after.classes[r], after.concepts[c]) for r, c in zip(after.rows, after.columns)}
    assert (cls, concept) not in pairs


@pytest.mark.parametrize("n", [1, 2, 3, 40, 1000])
def test_an_order_is_a_permutation_and_the_same_on_every_run(n: int) -> None:
    vectors = np.random.default_rng(n).normal(size=(n, 30)) * (np.random.default_rng(1).random((n, 30)) < 0.3)
    order = similar_order(vectors)
    assert sorted(order.tolist()) == list(range(n))
    assert np.array_equal(order, similar_order(vectors))


def test_similar_vectors_are_neighbours() -> None:
    rng = np.random.default_rng(0)
    kinds = rng.integers(6, size=90)
    vectors = rng.normal(size=(6, 20))[kinds] + 0.1 * rng.normal(size=(90, 20))
    changes = np.diff(kinds[similar_order(vectors)]) != 0
    assert changes.sum() == 5


def test_vectors_without_weights_are_ordered_too() -> None:
    assert sorted(similar_order(np.zeros((7, 4))).tolist()) == list(range(7))


@pytest.mark.parametrize("reference", ["label", "teacher"])
def test_pairs_are_those_of_the_confusion_table(make_project: Make, reference: str) -> None:
    session = make_project(link="softmax", n=500).session()
    pairs = confused_pairs(session, reference)
    table = confusion_table(session, reference).counts.copy()
    np.fill_diagonal(table, 0)
    names = session.classes
    assert {(names.index(p.actual), names.index(p.predicted)): p.images for p in pairs} == {
        (a, b): n for (a, b), n in np.ndenumerate(table) if n
    }
    assert [p.images for p in pairs] == sorted((p.images for p in pairs), reverse=True)


def test_independent_classes_are_confused_if_one_is_missed_and_one_added(
    small_project: Project,
) -> None:
    session = small_project.session()
    rows = small_project.validation_rows
    teacher = np.asarray(small_project.T)[rows] >= 0.5
    student = session.scores()[rows] >= 0.5
    for pair in confused_pairs(session):
        a, p = (session.classes.index(name) for name in (pair.actual, pair.predicted))
        expected = teacher[:, a] & ~student[:, a] & ~teacher[:, p] & student[:, p]
        assert pair.images == expected.sum()


def planted(
    make_project: Make, tmp_path: Any, gap: float, weights: dict[str, tuple[float, float]]
) -> Project:
    """A project whose classes boat and bird differ in `c5` by `gap`, with students of some weights."""
    base = make_project(link="softmax", n=400)
    rng = np.random.default_rng(0)
    X = rng.normal(size=np.asarray(base.X).shape).astype(np.float32)
    actual = rng.integers(2, size=len(base))
    X[:, 5] += gap * actual
    T = np.zeros_like(np.asarray(base.T))
    T[np.arange(len(base)), actual] = 1
    W = np.zeros_like(base.students.weights)
    for concept, both in weights.items():
        W[:2, base.concepts.index(concept)] = both
    old = base.students
    students = Students(
        old.classes,
        old.concepts,
        W,
        np.array([0.2, 0.0, -9.0], np.float32),
        old.mean,
        old.scale,
        link="softmax",
        lam=old.lam,
        thresholds=old.thresholds,
    )
    folder = tmp_path / "planted"
    contents = ProjectContents(
        images=[ImageRow(id=name, path=name) for name in base.image_ids],
        T=T,
        concepts=base.concepts,
        concept_groups=base.concept_groups,
        classes=base.classes,
        is_validation=base.is_validation,
        students=students,
    )
    write_project(folder, replace(contents), [ImageBlock(X=X)])
    return Project.open(folder)


@pytest.mark.parametrize(
    ("gap", "weights", "kind", "concept"),
    [
        (3.0, {"c1": (0.5, 0.5)}, "unused", "c5"),
        (3.0, {"c5": (0.1, 0.1)}, "alike", "c5"),
        (3.0, {"c5": (-0.001, 0.0)}, "used", "c5"),
        (0.0, {"c1": (0.5, 0.5)}, "missing", None),
    ],
)
def test_the_lacking_concept_is_named(
    make_project: Make,
    tmp_path: Any,
    gap: float,
    weights: dict[str, tuple[float, float]],
    kind: str,
    concept: str | None,
) -> None:
    pairs = confused_pairs(planted(make_project, tmp_path, gap, weights).session())
    assert pairs
    first = pairs[0]
    assert {first.actual, first.predicted} == {"boat", "bird"}
    assert (first.kind, first.concept) == (kind, concept)
    if kind == "unused":
        assert first.shared == ("c1",)
        assert first.effect == pytest.approx(3, abs=0.6)
