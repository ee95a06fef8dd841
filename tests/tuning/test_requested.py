"""Requested weights of actions."""

import numpy as np
import pytest

from inficond.core.tuning.actions import Action
from inficond.core.tuning.bounds import bound_for
from inficond.core.tuning.requested import (
    STRENGTHS,
    requested_by_concept,
    requested_by_strength,
    requested_weight,
)

TAU = 0.5


@pytest.mark.parametrize(
    ("action", "weight", "wanted"),
    [
        (Action("up", "a", 2.0), 0.8, 1.6),
        (Action("up", "a", 2.0), 0.1, 0.6),
        (Action("down", "a", 3.0), 0.8, -0.8),
        (Action("down", "a", 1.5), 0.0, -0.25),
        (Action("mute", "a"), 0.8, 0.0),
        (Action("lock", "a"), -0.3, -0.3),
        (Action("set", "a", 0.25), 0.8, 0.25),
        (Action("free", "a"), 0.8, 0.8),
    ],
)
def test_requested_weight_follows_the_definition_of_the_action(
    action: Action, weight: float, wanted: float
) -> None:
    assert requested_weight(action, weight, TAU) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("weight", [-1.25, 0.0, 0.75])
def test_each_strength_requests_the_end_of_its_bound(weight: float) -> None:
    found = requested_by_strength(weight, TAU)
    assert [x for x, _ in found["up"]] == list(STRENGTHS)
    for x, requested in found["up"]:
        assert requested == bound_for(Action("up", "a", x), weight, TAU).lower
    for x, requested in found["down"]:
        assert requested == bound_for(Action("down", "a", x), weight, TAU).upper


def test_an_action_on_a_group_requests_a_weight_of_each_member() -> None:
    weights = np.array([0.4, 0.0, -1.0, 2.0], np.float32)
    found = requested_by_concept(
        Action("up", "group:water", 2.0), weights, ["sea", "lake", "river", "road"], ["water"] * 3 + ["land"]
    )
    assert list(found) == ["sea", "lake", "river"]
    assert found["sea"] == pytest.approx(1.4)  # the typical weight of the class is 1
    assert found["lake"] == pytest.approx(1.0)
    assert found["river"] == pytest.approx(0.0)
