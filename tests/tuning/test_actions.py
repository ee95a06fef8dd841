"""Validation of actions, and their expansion to one action per concept."""

import pytest

from inficond.core.errors import InputError
from inficond.core.tuning.actions import DEFAULT_STRENGTH, Action, expand, spell

CONCEPTS = ["water", "boat", "sail", "tree"]
GROUPS = ["wet", "wet", "wet", "dry"]


def test_strength_defaults_to_one_and_a_half() -> None:
    assert Action("up", "water").value == DEFAULT_STRENGTH == 1.5
    assert Action("down", "water").value == 1.5
    assert Action("mute", "water").value is None


@pytest.mark.parametrize("strength", [0.99, 0.0, -2.0, float("nan"), float("inf"), 1e6, "much"])
def test_a_strength_below_one_or_not_finite_is_refused(strength: float) -> None:
    with pytest.raises(InputError, match="water"):
        Action("up", "water", strength)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        ("set", None, "needs a weight"),
        ("set", float("nan"), "must be within"),
        ("mute", 1.0, "takes no value"),
        ("raise", None, "unknown action"),
    ],
)
def test_a_malformed_action_is_refused(kind: str, value: float | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Action(kind, "water", value)


def test_a_group_stands_for_all_its_concepts() -> None:
    assert expand([Action("mute", "group:wet")], CONCEPTS, GROUPS) == [
        Action("mute", "water"),
        Action("mute", "boat"),
        Action("mute", "sail"),
    ]


def test_a_group_skips_dropped_concepts_and_naming_one_is_an_error() -> None:
    assert [a.concept for a in expand([Action("up", "group:wet")], CONCEPTS, GROUPS, {"boat"})] == [
        "water",
        "sail",
    ]
    with pytest.raises(InputError, match="'boat' was dropped"):
        expand([Action("up", "boat")], CONCEPTS, GROUPS, {"boat"})


def test_two_different_actions_on_one_weight_are_contradictory() -> None:
    with pytest.raises(InputError, match="contradictory actions on 'boat': mute boat and up boat"):
        expand([Action("mute", "boat"), Action("up", "boat")], CONCEPTS, GROUPS)
    with pytest.raises(InputError, match="contradictory"):
        expand([Action("mute", "group:wet"), Action("lock", "sail")], CONCEPTS, GROUPS)


def test_a_repeated_action_counts_once() -> None:
    assert expand([Action("mute", "boat"), Action("mute", "boat")], CONCEPTS, GROUPS) == [
        Action("mute", "boat")
    ]


def test_unknown_names_are_refused_with_similar_names() -> None:
    with pytest.raises(InputError, match="unknown concept 'watre': did you mean 'water'"):
        expand([Action("up", "watre")], CONCEPTS, GROUPS)
    with pytest.raises(InputError, match="unknown concept group 'wett': did you mean 'wet'"):
        expand([Action("up", "group:wett")], CONCEPTS, GROUPS)
    with pytest.raises(InputError, match="no action given"):
        expand([], CONCEPTS, GROUPS)


def test_json_and_back() -> None:
    for action in (Action("up", "water", 2.0), Action("mute", "boat"), Action("set", "sail", -0.25)):
        assert Action.from_json(action.to_json()) == action
    with pytest.raises(InputError, match="needs 'kind' and 'concept'"):
        Action.from_json({"kind": "up"})


def test_actions_as_one_line() -> None:
    said = spell([Action("mute", "dock"), Action("mute", "sea"), Action("up", "bird", 2)])
    assert said == "mute dock, sea; up bird ×2"
