"""Refits keep the factors of the penalty that the project was fitted with."""

from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.students.relaxed import RELAX
from inficond.core.tuning.actions import Action


@pytest.fixture(params=["sigmoid", "softmax"])
def project(request: pytest.FixtureRequest, make_project: Callable[..., Project]) -> Project:
    return make_project(link=request.param, relax=RELAX, lam=0.03)


def test_a_bound_that_is_lifted_again_gives_the_first_weights(project: Project) -> None:
    session = project.session()
    before = session.students.weights.copy()
    concept = session.concepts[int(np.argmax(np.abs(before[0])))]
    session.apply("boat", [Action("mute", concept)])
    assert not np.array_equal(session.students.weights, before)
    session.apply("boat", [Action("free", concept)])
    assert np.allclose(session.students.weights, before, atol=2e-2)
    assert np.array_equal(session.students.weights != 0, before != 0)


def test_a_muted_concept_does_not_open_the_door_to_all_others(project: Project) -> None:
    """With one penalty for all concepts the refit at the small λ would be dense."""
    session = project.session()
    before = session.students
    concept = session.concepts[int(np.argmax(np.abs(before.weights[0])))]
    session.apply("boat", [Action("mute", concept)])
    assert session.students.nec()[0] <= before.nec()[0] + 3
    assert np.array_equal(session.students.penalty, before.penalty)


def test_a_refit_is_certified_for_these_factors(project: Project) -> None:
    from inficond.core.solver import fit

    session = project.session()
    concept = session.concepts[int(np.argmax(np.abs(session.students.weights[0])))]
    session.apply("boat", [Action("mute", concept)])
    students, rows = session.students, project.training_rows
    upper = np.full(students.weights.shape, np.inf)
    upper[0, session.concepts.index(concept)] = 0.0
    again = fit(
        np.asarray(project.X)[rows], np.asarray(project.T)[rows], lam=students.lam, link=students.link,
        penalty=students.penalty, lower=-upper, upper=upper, tol=1e-6,
    )  # fmt: skip
    assert np.allclose(again.weights[0], students.weights[0], atol=2e-2)
