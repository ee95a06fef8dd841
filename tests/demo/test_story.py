"""The guided scenario on the scores: muting water words corrects the student of water birds."""

import numpy as np
import pytest

from inficond.core.demo.plan import scenes
from inficond.core.evaluation import paired_bootstrap

CLASS = "water bird"


@pytest.fixture(scope="module")
def plan():
    """Return the scene of each row of the project."""
    return scenes()


@pytest.fixture(scope="module")
def water(project):
    return {word for word, group in zip(project.concepts, project.concept_groups) if group == "water"}


def change(project, before, after, rows, cls=CLASS):
    """Return the change of the class on some rows, with intervals resampled by cut-out."""
    c = project.classes.index(cls)
    groups = np.array(project.image_groups)[rows]
    return paired_bootstrap(
        np.asarray(project.T)[rows, c], before[rows, c], after[rows, c], groups=groups, replicates=2000
    )


@pytest.fixture(scope="module")
def corrected(project):
    """Return all scores before and after muting the water words."""
    session = project.session()
    before = np.array(session.scores())
    session.apply(CLASS, {"kind": "mute", "concept": "group:water"})
    return before, np.array(session.scores())


def rows(plan, broken):
    return np.array([i for i, s in enumerate(plan) if s.split == "val" and s.broken == broken])


def test_the_shortcut_is_among_the_first_three_slices(project, plan, water):
    session = project.session()
    for found in session.slices(CLASS)[:3]:
        named = {condition.concept for condition in found.conditions}
        images = session.slice_images(found)
        if named & water and found.kind == "extra":
            # Said of pictures of anything else on water.
            on_water = [plan[i].broken for i in images if plan[i].klass != CLASS]
            assert np.mean(on_water) > 0.7
            return
    pytest.fail("no slice speaks of water")


def test_water_is_among_the_first_three_suggestions(project, water):
    suggestions = project.session().suggest(CLASS)[:3]
    found = [a for s in suggestions for a in s.actions if a.kind in ("mute", "down")]
    assert {a.concept for a in found} & (water | {"group:water"})


def test_muting_water_improves_the_student(project, plan, corrected):
    validation = np.flatnonzero(project.is_validation)
    ap = change(project, *corrected, validation)["ap"]
    assert ap.after - ap.before >= 0.10
    assert ap.delta.low > 0
    broken = change(project, *corrected, rows(plan, broken=True))["balanced_agreement"]
    assert broken.after - broken.before >= 0.10
    assert broken.delta.low > 0


def test_scenes_with_the_usual_pairing_are_not_worse(project, plan, corrected):
    usual = change(project, *corrected, rows(plan, broken=False))
    for name in ("ap", "balanced_agreement"):
        assert usual[name].delta.high >= 0
        assert usual[name].after > usual[name].before - 0.03


def test_other_classes_are_unchanged(project, corrected):
    before, after = corrected
    others = [c for c, cls in enumerate(project.classes) if cls != CLASS]
    assert np.array_equal(before[:, others], after[:, others])


def test_muting_as_many_other_active_words_gains_nothing(project, plan, water, corrected):
    students = project.students
    c = project.classes.index(CLASS)
    active = [project.concepts[k] for k in students.top(c, students.nec()[c])]
    count = sum(word in water for word in active)
    others = [word for word in active if word not in water][:count]
    assert count >= 2
    assert len(others) == min(count, len(active) - count)
    session = project.session()
    session.apply(CLASS, [{"kind": "mute", "concept": word} for word in others])
    validation = np.flatnonzero(project.is_validation)
    control = change(project, corrected[0], np.array(session.scores()), validation)
    assert control["ap"].after <= control["ap"].before + 0.02
    assert control["ap"].delta.low <= 0
