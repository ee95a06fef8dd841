"""Bounds of actions."""

import numpy as np
import pytest

from inficond.core.tuning.actions import Action
from inficond.core.tuning.bounds import Bound, bound_for, bounds_of, box, typical_weight

INF = float("inf")


def test_tau_is_the_median_of_the_weights_in_use() -> None:
    assert typical_weight(np.float32([0, 0.5, -0.25, 0, 1.0])) == 0.5
    assert typical_weight(np.zeros(16, np.float32)) == 0.25  # 1/√K where none is in use


@pytest.mark.parametrize(
    ("action", "weight", "lower", "upper"),
    [
        (Action("up", "k", 1.5), 0.5, 0.75, INF),  # w + 0.5·|w|
        (Action("up", "k", 1.5), -0.5, -0.25, INF),  # up counts more towards the class whatever the sign
        (Action("up", "k", 2.0), 0.0, 0.25, INF),  # a zero weight moves by τ
        (Action("up", "k", 2.0), 0.125, 0.375, INF),  # so does one below τ
        (Action("down", "k", 1.5), 0.5, -INF, 0.25),
        (Action("down", "k", 3.0), -0.5, -INF, -1.5),
        (Action("up", "k", 1.0), 0.5, 0.5, INF),
        (Action("mute", "k"), 0.5, 0.0, 0.0),
        (Action("lock", "k"), 0.5, 0.5, 0.5),
        (Action("set", "k", -0.75), 0.5, -0.75, -0.75),
    ],
)
def test_the_table_of_actions(action: Action, weight: float, lower: float, upper: float) -> None:
    bound = bound_for(action, weight, tau=0.25)
    assert (bound.lower, bound.upper, bound.weight) == (lower, upper, weight)


def test_ends_are_float32_and_rounded_towards_the_requested_side() -> None:
    up, down = bound_for(Action("up", "k", 1.1), 0.1, 0.3), bound_for(Action("down", "k", 1.1), 0.1, 0.3)
    assert up.lower == float(np.float32(up.lower)) >= 0.1 + 0.1 * 0.3
    assert down.upper == float(np.float32(down.upper)) <= 0.1 - 0.1 * 0.3


def test_later_actions_on_a_concept_replace_earlier_ones_and_free_removes_them() -> None:
    w = np.float32([0.5, -0.5, 0.0])
    names = ["a", "b", "c"]
    first = bounds_of([Action("up", "a"), Action("mute", "b")], w, names)
    second = bounds_of([Action("down", "a"), Action("lock", "c")], w, names, first)
    third = bounds_of([Action("free", "b")], w, names, second)
    assert list(first) == ["a", "b"]
    assert second["a"].action.kind == "down"
    assert set(second) == {"a", "b", "c"}
    assert set(third) == {"a", "c"}
    assert first["a"].action.kind == "up", "bounds in force are never changed in place"


def test_all_actions_of_a_step_refer_to_the_weights_before_it() -> None:
    w = np.float32([0.5, 0.25, 0.0])
    bounds = bounds_of([Action("mute", "a"), Action("up", "c", 2.0)], w, ["a", "b", "c"])
    assert bounds["c"].lower == 0.375  # τ = median(0.5, 0.25), not what is left after the mute


def test_the_box_holds_dropped_concepts_at_zero() -> None:
    columns = {"a": 0, "b": 1, "c": 2}
    lower, upper = box({"a": Bound(Action("up", "a"), 0.5, INF, 0.5)}, columns, 3, dropped=["c"])
    assert lower.tolist() == [0.5, -INF, 0.0]
    assert upper.tolist() == [INF, INF, 0.0]


def test_json_and_back() -> None:
    for action in (Action("up", "a"), Action("down", "a"), Action("set", "a", 0.1)):
        bound = bound_for(action, 0.5, 0.25)
        assert Bound.from_json(bound.to_json()) == bound
