"""Properties of tuning that compare two sessions; those of one session are in tests/fuzz/machine.py."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.sessions.session import Session
from inficond.core.tuning.actions import KINDS, Action
from inficond.core.tuning.bounds import bounds_of, box

LIMITS = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
CONCEPTS = [f"c{i}" for i in range(24)]


@st.composite
def actions(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> Action:
    kind = draw(st.sampled_from(kinds))
    concept = draw(st.sampled_from([*CONCEPTS, "group:water", "group:land"]))
    value = None
    if kind in ("up", "down"):
        value = draw(st.floats(1, 4))
    elif kind == "set":
        value = draw(st.floats(-1.5, 1.5))
    return Action(kind, concept, value)


steps = st.tuples(
    st.sampled_from(["boat", "bird", "barn"]), actions(), st.sampled_from([None, None, "missed", "extra"])
)


def take(session: Session, step: tuple[str, Action, str | None]) -> bool:
    """Apply a step; return whether it was accepted, since a focus may contain no training image."""
    try:
        session.apply(*step)
    except InputError as error:
        if "contains no training image" not in str(error):
            raise
        return False
    return True


def bits(session: Session) -> list[bytes]:
    return [c.weights.tobytes() + np.float64(c.bias).tobytes() for c in session.state.classes.values()]


def objective(session: Session, cls: str) -> float:
    """Return the unweighted objective at the session's weights, in double precision."""
    one, c = session.state.classes[cls], session.class_index(cls)
    z = session.columns.training.astype(np.float64) @ one.weights + one.bias
    t = session.workspace.T_training[:, c]
    loss = np.logaddexp(0, z) - t * z
    return float(loss.mean() + session.state.lam * np.abs(one.weights).sum(dtype=np.float64))


@LIMITS
@given(step=steps)
def test_free_after_any_action_restores_the_unbounded_optimum(
    small_project: Project, step: tuple[str, Action, str | None]
) -> None:
    session = small_project.session()
    cls, action, _ = step
    before = objective(session, cls)
    if take(session, step):
        session.apply(cls, Action("free", action.concept))
    assert not session.bounds(cls)
    assert abs(objective(session, cls) - before) <= 1e-4 * before + 1e-6


@LIMITS
@given(first=actions(), second=actions())
def test_the_result_depends_on_the_bounds_and_not_on_earlier_steps(
    small_project: Project, first: Action, second: Action
) -> None:
    detour, direct = small_project.session(), small_project.session()
    detour.apply("boat", first)
    detour.apply("boat", [Action("free", name) for name in detour.bounds("boat")] or Action("free", "c0"))
    for session in (detour, direct):
        session.apply("boat", second)
    a, b = objective(detour, "boat"), objective(direct, "boat")
    assert abs(a - b) <= 2e-4 * max(a, b)


@LIMITS
@given(one=steps, two=steps)
def test_actions_on_different_classes_commute(
    small_project: Project, one: tuple[str, Action, str | None], two: tuple[str, Action, str | None]
) -> None:
    if one[0] == two[0]:
        two = ("barn" if one[0] != "barn" else "bird", *two[1:])
    forth, back = small_project.session(), small_project.session()
    for session, order in ((forth, (one, two)), (back, (two, one))):
        for step in order:
            take(session, step)
    assert bits(forth) == bits(back)


@given(
    weights=st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3),
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=8),
    strength=st.floats(1, 1000),
)
def test_every_bound_is_a_box_of_float32(weights: list[float], kinds: list[str], strength: float) -> None:
    w = np.array(weights, np.float32)
    in_force: dict = {}
    for i, kind in enumerate(kinds):
        value = strength if kind in ("up", "down") else 0.1 if kind == "set" else None
        in_force = bounds_of([Action(kind, "abc"[i % 3], value)], w, "abc", in_force)
    lower, upper = box(in_force, {"a": 0, "b": 1, "c": 2}, 3)
    assert (lower <= upper).all()
    assert not np.isnan(lower).any()
    for bound in in_force.values():
        for end in (bound.lower, bound.upper):
            assert np.isinf(end) or float(np.float32(end)) == end


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_a_lock_changes_no_weight(small_project: Project, make_project, link: str) -> None:
    session = (make_project(link=link) if link == "softmax" else small_project).session()
    before = bits(session)
    session.apply(["boat", "barn"], Action("lock", "group:land"))
    assert bits(session) == before
