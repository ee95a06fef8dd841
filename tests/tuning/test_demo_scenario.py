"""The guided scenario of the built-in demo: find the shortcut, mute it, and compare.

The student of "water bird" learned the water, on which all water birds are in training. Half of the
validation scenes break this pairing. Intervals resample cut-outs, since scenes of one are not independent.
"""

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.demo.plan import scenes
from inficond.core.evaluation import Change, paired_bootstrap
from inficond.core.sessions.session import Session
from inficond.core.tuning.actions import Action

CLASS = "water bird"


@pytest.fixture(scope="module")
def project() -> Project:
    return Project.open(demo_project())


@pytest.fixture(scope="module")
def broken(project: Project) -> np.ndarray:
    """Mask (N,) of the validation scenes that break the pairing."""
    by_id = {scene.id: scene.broken for scene in scenes()}
    return np.array([by_id[i] for i in project.image_ids]) & project.is_validation


@pytest.fixture(scope="module")
def corrected(project: Project) -> Session:
    """A session with the first suggestion applied."""
    session = project.session()
    session.apply(CLASS, session.suggest(CLASS)[0].actions, note="the first suggestion")
    return session


def effect(project: Project, session: Session, among: np.ndarray, cls: str = CLASS) -> dict[str, Change]:
    """Return the change of accuracy on some scenes."""
    c = project.classes.index(cls)
    return paired_bootstrap(
        project.labels[among, c],
        project.session().scores()[among, c],
        session.scores()[among, c],
        groups=np.array(project.image_groups)[among],
    )


def test_the_shortcut_is_among_the_first_three_slices(project: Project, broken: np.ndarray) -> None:
    first = project.session().slices(CLASS)[:3]
    assert first
    # Scenes that break the pairing are half of all, but nearly all of what these slices collect.
    extra = [s for s in first if s.kind == "extra"]
    assert extra, "what is wrongly called a water bird"
    assert broken[extra[0].misaligned].mean() > 0.85
    assert extra[0].gap > 0.2


def test_the_water_is_among_the_first_three_suggestions(project: Project) -> None:
    suggestions = project.session().suggest(CLASS)
    named = [s for s in suggestions[:3] if {"water", "sea"} <= set(s.concepts)]
    assert named, [s.text for s in suggestions]
    assert all(a.kind == "mute" for a in named[0].actions)
    assert named[0].gain.delta.value > 0.1
    assert not named[0].others


def test_the_suggestion_improves_the_student(
    project: Project, corrected: Session, broken: np.ndarray
) -> None:
    everywhere = effect(project, corrected, project.is_validation)
    assert everywhere["ap"].delta.value >= 0.10
    assert everywhere["ap"].delta.low > 0
    where_it_fails = effect(project, corrected, broken)
    assert where_it_fails["balanced_agreement"].delta.value >= 0.10
    assert where_it_fails["balanced_agreement"].delta.low > 0


def test_other_scenes_and_classes_are_unchanged(
    project: Project, corrected: Session, broken: np.ndarray
) -> None:
    normal = effect(project, corrected, project.is_validation & ~broken)
    assert all(change.verdict != "worse" for change in normal.values())
    before = project.session().scores()
    others = [c for c, cls in enumerate(project.classes) if cls != CLASS]
    np.testing.assert_array_equal(corrected.scores()[:, others], before[:, others])


def test_muting_as_many_other_words_gains_nothing(project: Project) -> None:
    session = project.session()
    w = session.state.classes[CLASS].weights
    water = {k for k, group in enumerate(session.concept_groups) if group == "water"}
    in_use = [int(k) for k in np.argsort(-np.abs(w)) if w[k] != 0]
    other = [k for k in in_use if k not in water][: len(water & set(in_use))]
    session.apply(CLASS, [Action("mute", session.concepts[k]) for k in other])
    change = effect(project, session, project.is_validation)["ap"]
    assert change.verdict != "better"
    assert change.delta.value < 0.05


def test_one_undo_restores_the_student(project: Project) -> None:
    session = project.session()
    session.apply(CLASS, Action("mute", "group:water"))
    session.undo()
    assert session.state.classes[CLASS].same_as(session.workspace.root.classes[CLASS])
