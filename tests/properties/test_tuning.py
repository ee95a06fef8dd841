"""What tuning promises for any actions, not only for those that somebody thought of."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.sessions.session import Session
from inficond.core.tuning.actions import KINDS, Action
from inficond.core.tuning.bounds import bounds_of, box, typical_weight

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
    """Apply a step; a focus that holds nothing is a refusal, not a step."""
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
    """Of the unweighted, unbounded problem at the session's weights, in double precision."""
    one, c = session.state.classes[cls], session.class_index(cls)
    z = session.columns.training.astype(np.float64) @ one.weights + one.bias
    t = session.workspace.T_training[:, c]
    loss = np.logaddexp(0, z) - t * z
    return float(loss.mean() + session.state.lam * np.abs(one.weights).sum(dtype=np.float64))


@LIMITS
@given(sequence=st.lists(steps, min_size=1, max_size=5))
def test_as_many_undos_as_actions_give_the_starting_bytes(
    small_project: Project, sequence: list[tuple[str, Action, str | None]]
) -> None:
    session = small_project.session()
    start = bits(session)
    taken = sum(take(session, step) for step in sequence)
    for _ in range(taken):
        session.undo()
    assert bits(session) == start
    for _ in range(taken):
        session.redo()
    again = small_project.session()
    again.replay(session.recipe())
    assert bits(again) == bits(session)


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
def test_only_the_bounds_in_force_decide_what_is_reached(
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


@LIMITS
@given(
    before=st.lists(steps, max_size=2),
    kind=st.sampled_from(["up", "down"]),
    concept=st.sampled_from(CONCEPTS),
    strength=st.floats(1, 10),
    focus=st.sampled_from([None, "missed"]),
)
def test_up_never_lowers_a_weight_and_down_never_raises_one(
    small_project: Project,
    before: list[tuple[str, Action, str | None]],
    kind: str,
    concept: str,
    strength: float,
    focus: str | None,
) -> None:
    session = small_project.session()
    for step in before:
        take(session, step)
    k = session.concept_index(concept)
    w = session.state.classes["boat"].weights
    tau = typical_weight(w)
    if not take(session, ("boat", Action(kind, concept, strength), focus)):
        return
    moved = float(session.state.classes["boat"].weights[k]) - float(w[k])
    wanted = (strength - 1) * max(abs(float(w[k])), tau)
    if kind == "up":
        assert moved >= wanted * (1 - 1e-6)
    else:
        assert moved <= -wanted * (1 - 1e-6)


@LIMITS
@given(sequence=st.lists(steps, min_size=1, max_size=4))
def test_no_weight_ever_leaves_its_bounds(
    small_project: Project, sequence: list[tuple[str, Action, str | None]]
) -> None:
    session = small_project.session()
    for step in sequence:
        take(session, step)
        for cls, one in session.state.classes.items():
            lower, upper = box(one.bounds, session.columns.index, 24)
            assert (one.weights >= lower).all()
            assert (one.weights <= upper).all()
            assert cls in session.classes


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
def test_a_lock_moves_nothing_at_all(small_project: Project, make_project, link: str) -> None:
    session = (make_project(link=link) if link == "softmax" else small_project).session()
    before = bits(session)
    session.apply(["boat", "barn"], Action("lock", "group:land"))
    assert bits(session) == before
