"""What a person may ask of a concept's influence, and what may not be asked at once.

An `Action` names a concept, or a whole group as ``group:NAME``; `expand` turns actions into one action per
concept and refuses the contradictory ones, so that the rest of the package only ever sees single concepts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inficond.core.errors import InputError, unknown

KINDS = ("up", "down", "mute", "lock", "set", "free")
DEFAULT_STRENGTH = 1.5
MAX_STRENGTH = 1e3
MAX_WEIGHT = 1e4  # a logit of ten thousand per standard deviation: beyond it only overflow waits
GROUP_PREFIX = "group:"


@dataclass(frozen=True)
class Action:
    """One wish about one concept (or one group of concepts) of a class.

    Parameters
    ----------
    kind : str
        ``up``, ``down``, ``mute``, ``lock``, ``set`` or ``free``.
    concept : str
        A concept's name, or ``group:NAME`` for every concept of a group.
    value : float or None
        Strength ``x >= 1`` for ``up`` and ``down`` (1.5 where None), the weight in standardised units for
        ``set``, None for the others.

    Raises
    ------
    InputError
        Unknown kind, strength below 1 or not finite, a value where none belongs or none where one does.
    """

    kind: str
    concept: str
    value: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("action", self.kind, KINDS)
        if not isinstance(self.concept, str) or not self.concept:
            raise InputError(f"{self.kind} needs the name of a concept, or group:NAME")
        if self.kind in ("up", "down"):
            strength = DEFAULT_STRENGTH if self.value is None else _number(self.value, self)
            if not 1 <= strength <= MAX_STRENGTH:  # false for NaN too
                raise InputError(
                    f"{self.kind} {self.concept!r}: strength {strength:g} must lie in 1 … {MAX_STRENGTH:g}"
                )
            object.__setattr__(self, "value", strength)
        elif self.kind == "set":
            if self.value is None:
                raise InputError(f"set {self.concept!r} needs a weight, as in {self.concept}=0.4")
            weight = _number(self.value, self)
            if not abs(weight) <= MAX_WEIGHT:  # false for NaN too
                raise InputError(
                    f"set {self.concept!r}: the weight {weight:g} must lie within ±{MAX_WEIGHT:g}"
                )
            object.__setattr__(self, "value", weight)
        elif self.value is not None:
            raise InputError(f"{self.kind} {self.concept!r} takes no value (got {self.value!r})")

    def __str__(self) -> str:
        if self.kind == "set":
            return f"set {self.concept} = {self.value:g}"
        if self.value is not None:
            return f"{self.kind} {self.concept} ×{self.value:g}"
        return f"{self.kind} {self.concept}"

    def to_json(self) -> dict[str, Any]:
        """As kept in a history and a recipe."""
        data: dict[str, Any] = {"kind": self.kind, "concept": self.concept}
        if self.value is not None:
            data["value"] = self.value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Action":
        """The inverse of `to_json`; also accepts an `Action`."""
        if isinstance(data, Action):
            return data
        if not isinstance(data, Mapping) or "kind" not in data or "concept" not in data:
            raise InputError(f"an action needs 'kind' and 'concept', not {data!r:.80}")
        return cls(str(data["kind"]), str(data["concept"]), data.get("value"))


def _number(value: Any, action: Action) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{action.kind} {action.concept!r}: {value!r:.80} is no number") from None


def expand(
    actions: Iterable[Action | Mapping[str, Any]],
    concepts: Sequence[str],
    groups: Sequence[str],
    dropped: Iterable[str] = (),
) -> list[Action]:
    """One action per concept, in the order given, groups resolved.

    Parameters
    ----------
    actions : iterable of Action or mapping
        What was asked; mappings as `Action.to_json` writes them.
    concepts, groups : sequence of str
        (K,) the names of the concepts and the group of each.
    dropped : iterable of str
        Concepts that were dropped: naming one is an error, a group passes over them.

    Returns
    -------
    list of Action
        At most one per concept.

    Raises
    ------
    InputError
        Nothing asked, unknown concept or group (the nearest names are told), or two different actions on
        one weight.
    """
    index = {name: i for i, name in enumerate(concepts)}
    gone = set(dropped)
    chosen: dict[str, Action] = {}
    for given in actions:
        action = Action.from_json(given)  # type: ignore[arg-type]
        if action.concept in index:
            names = [action.concept]
            if action.concept in gone:
                raise InputError(f"concept {action.concept!r} was dropped: add it again before tuning it")
        elif action.concept.startswith(GROUP_PREFIX):
            group = action.concept[len(GROUP_PREFIX) :]
            names = [c for c, g in zip(concepts, groups) if g == group and c not in gone]
            if not names:
                raise unknown("concept group", group, dict.fromkeys(groups))
        else:
            raise unknown("concept", action.concept, (c for c in concepts if c not in gone))
        for name in names:
            one = Action(action.kind, name, action.value)
            other = chosen.setdefault(name, one)
            if other != one:
                raise InputError(f"contradictory actions on {name!r}: {other} and {one}; keep one of them")
    if not chosen:
        raise InputError("no action given: say what to do with which concept, e.g. up water")
    return list(chosen.values())


VERBS = {"up": "raise", "down": "lower"}


def spell(actions: Iterable[Action], limit: int = 4, plain: bool = False) -> str:
    """A line for people: ``mute dock, sea, boat; up bird ×1.5``.

    Parameters
    ----------
    actions : iterable of Action
        What was asked.
    limit : int
        Concepts told by name of each kind.
    plain : bool
        In everyday words, not in those of the command line: ``mute everything like water; raise bird ×1.5``.
    """
    parts: dict[tuple[str, float | None], list[str]] = {}
    for a in actions:
        group = a.concept.removeprefix(GROUP_PREFIX)
        name = f"everything like {group}" if plain and group != a.concept else a.concept
        parts.setdefault((a.kind, a.value), []).append(name)
    said = []
    for (kind, value), names in parts.items():
        tail = f" and {len(names) - limit} more" if len(names) > limit else ""
        end = "" if value is None else f" = {value:g}" if kind == "set" else f" ×{value:g}"
        verb = VERBS.get(kind, kind) if plain else kind
        said.append(f"{verb} {', '.join(names[:limit])}{tail}{end.replace('-', '−') if plain else end}")
    return "; ".join(said)
