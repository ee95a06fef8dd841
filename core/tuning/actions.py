"""Actions on the influence of concepts.

An `Action` names a concept, or a group as ``group:NAME``. `expand` converts actions to one action per concept
and refuses contradictory ones; the rest of the package handles single concepts only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inficond.core.errors import InputError, unknown

KINDS = ("up", "down", "mute", "lock", "set", "free")
DEFAULT_STRENGTH = 1.5
MAX_STRENGTH = 1e3
MAX_WEIGHT = 1e4  # logits per standard deviation; larger weights would overflow
GROUP_PREFIX = "group:"


@dataclass(frozen=True)
class Action:
    """Action on one concept, or on one group of concepts, of a class.

    Parameters
    ----------
    kind : str
        ``up``, ``down``, ``mute``, ``lock``, ``set`` or ``free``.
    concept : str
        Name of a concept, or ``group:NAME`` for every concept of a group.
    value : float or None
        Strength ``x >= 1`` of ``up`` and ``down`` (1.5 where None); weight in standardised units of ``set``;
        None for the other kinds.

    Raises
    ------
    InputError
        The kind is unknown, or the value is missing, superfluous or out of range.

    Examples
    --------
    >>> from inficond.core.tuning.actions import Action
    >>> Action("up", "group:water", 2)
    Action(kind='up', concept='group:water', value=2.0)
    >>> Action.from_json({"kind": "mute", "concept": "dock"})
    Action(kind='mute', concept='dock', value=None)
    """

    kind: str
    concept: str
    value: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("action", self.kind, KINDS)
        if not isinstance(self.concept, str) or not self.concept:
            raise InputError(f"{self.kind} needs the name of a concept or group:NAME")
        if self.kind in ("up", "down"):
            strength = DEFAULT_STRENGTH if self.value is None else _number(self.value, self)
            if not 1 <= strength <= MAX_STRENGTH:  # false for NaN too
                raise InputError(
                    f"{self.kind} {self.concept!r}: strength {strength:g} is not between 1 and "
                    f"{MAX_STRENGTH:g}"
                )
            object.__setattr__(self, "value", strength)
        elif self.kind == "set":
            if self.value is None:
                raise InputError(f"set {self.concept!r} needs a weight, as in {self.concept}=0.4")
            weight = _number(self.value, self)
            if not abs(weight) <= MAX_WEIGHT:  # false for NaN too
                raise InputError(
                    f"set {self.concept!r}: the weight {weight:g} must be within ±{MAX_WEIGHT:g}"
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
        """Return plain JSON, as stored in histories and recipes."""
        data: dict[str, Any] = {"kind": self.kind, "concept": self.concept}
        if self.value is not None:
            data["value"] = self.value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Action":
        """Return the action of plain JSON; an `Action` is returned as it is."""
        if isinstance(data, Action):
            return data
        if not isinstance(data, Mapping) or "kind" not in data or "concept" not in data:
            raise InputError(f"an action needs 'kind' and 'concept', not {data!r:.80}")
        return cls(str(data["kind"]), str(data["concept"]), data.get("value"))


def _number(value: Any, action: Action) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{action.kind} {action.concept!r}: {value!r:.80} is not a number") from None


def expand(
    actions: Iterable[Action | Mapping[str, Any]],
    concepts: Sequence[str],
    groups: Sequence[str],
    dropped: Iterable[str] = (),
) -> list[Action]:
    """Return one action per concept, in the given order, with groups replaced by their concepts.

    Parameters
    ----------
    actions : iterable of Action or mapping
        Mappings are those of `Action.to_json`.
    concepts, groups : sequence of str
        Names of the K concepts, and the group of each.
    dropped : iterable of str
        Dropped concepts: naming one is an error, groups leave them out.

    Returns
    -------
    list of Action
        At most one action per concept.

    Raises
    ------
    InputError
        There is no action, a concept or group is unknown (similar names are listed), or two different
        actions concern one weight.

    Examples
    --------
    >>> from inficond.core.tuning.actions import Action, expand
    >>> actions = expand([Action("mute", "group:water")], ["sea", "bird"], ["water", "animal"])
    >>> [action.concept for action in actions]
    ['sea']
    """
    index = {name: i for i, name in enumerate(concepts)}
    gone = set(dropped)
    chosen: dict[str, Action] = {}
    for given in actions:
        action = Action.from_json(given)  # type: ignore[arg-type]
        if action.concept in index:
            names = [action.concept]
            if action.concept in gone:
                raise InputError(f"concept {action.concept!r} was dropped: add it again before you tune it")
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
                raise InputError(f"contradictory actions on {name!r}: {other} and {one}; remove one of them")
    if not chosen:
        raise InputError("no action given: name an action and a concept, for example up water")
    return list(chosen.values())


VERBS = {"up": "raise", "down": "lower"}


def spell(actions: Iterable[Action], limit: int = 4, plain: bool = False) -> str:
    """Return actions as one line: ``mute dock, sea, boat; up bird ×1.5``.

    Parameters
    ----------
    actions : iterable of Action
    limit : int
        Concepts listed per kind of action.
    plain : bool
        Use everyday words in place of those of the command line: ``mute everything like water; raise bird
        ×1.5``.

    Examples
    --------
    >>> from inficond.core.tuning.actions import Action, spell
    >>> spell([Action("mute", "sea"), Action("mute", "dock"), Action("up", "bird")])
    'mute sea, dock; up bird ×1.5'
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
