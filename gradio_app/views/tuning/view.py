"""View 4: the bounds in force, the weights that can be tuned, and suggestions."""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from inficond.core.errors import InputError
from inficond.core.tuning.actions import Action
from inficond.core.tuning.bounds import typical_weight
from inficond.core.tuning.focus import FACTOR
from inficond.gradio_app.presenters import (
    MetricChip,
    Strengths,
    SuggestionPayload,
    metric_chips,
    missing_word_reason,
    strengths_payload,
    suggestion_payload,
)
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.views import View, ViewPart

if TYPE_CHECKING:
    from inficond.core.sessions.influence import Influence
    from inficond.core.tuning.suggest import Suggestion
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MAX_ROWS = 40
MAX_SUGGESTIONS = 3
SEARCHED = 6
"""Suggestions from which those that harm nobody are taken."""
MAX_MISSING = 2


class FocusOption(TypedDict):
    """A subset or slice that a refit can weight more; unusable without training images.

    `hint` explains the effect of the focus and the next step.
    """

    id: str
    label: str
    hint: str
    focus: Any
    usable: bool


class StatePart(TypedDict):
    """The part ``tuning.state``; `strengths` are those of a concept with weight 0."""

    cls: str
    rows: list[dict[str, Any]]
    strengths: Strengths
    focuses: list[FocusOption]
    now: list[MetricChip]


class WordsPart(TypedDict):
    """The part ``tuning.words``: every concept that can be tuned."""

    names: list[str]


class SuggestionsPart(TypedDict):
    """The part ``tuning.suggestions``; by those of `harmless` no class, slice or group clearly loses."""

    suggestions: list[SuggestionPayload]
    harmless: list[SuggestionPayload]


class MissingWord(TypedDict):
    """A word that would explain errors of the student, and the reason."""

    word: str
    more: str


class MissingPart(TypedDict):
    """The part ``tuning.missing``."""

    words: list[MissingWord]


def _state(visitor: "Visitor", selection: "Selection") -> StatePart:
    session = visitor.session
    influence = visitor.cached(("influence", selection.cls), lambda: session.influence(selection.cls))
    return {
        "cls": selection.cls,
        "rows": to_plain(_rows(visitor, selection, influence)),
        "strengths": to_plain(strengths_payload(0.0, typical_weight(influence.weights))),
        "focuses": to_plain(_focuses(visitor, selection)),
        "now": metric_chips(visitor.measured(selection.cls)[0]),
    }


def _rows(visitor: "Visitor", selection: "Selection", influence: "Influence") -> list[dict[str, Any]]:
    """Return the sliders: selected concepts, largest weights, then bounded concepts with weight 0."""
    weights, index = influence.weights, visitor.concept_index
    active = np.flatnonzero(weights)
    active = active[np.argsort(-np.abs(weights[active]), kind="stable")][:MAX_ROWS]
    selected = [index[c] for c in reversed(selection.concepts) if c in index]
    upper = list(dict.fromkeys([*selected, *active.tolist()]))
    bounded = [index[c] for c in influence.bounds if c in index and index[c] not in upper]
    tau = typical_weight(weights)
    rows = []
    for k in [*upper, *bounded]:
        name = influence.concepts[k]
        if name in influence.dropped:
            continue
        bound = influence.bounds.get(name)
        rows.append(
            {
                "name": name,
                "weight": float(weights[k]),
                "strengths": strengths_payload(float(weights[k]), tau),
                "heading": "concepts with weight 0 and a bound" if bounded and k == bounded[0] else None,
                "bound": None
                if bound is None
                else {
                    "kind": bound.action.kind,
                    "lower": bound.lower,
                    "upper": bound.upper,
                    "text": str(Action(bound.action.kind, name, bound.action.value)),
                },
            }
        )
    return rows


def _focuses(visitor: "Visitor", selection: "Selection") -> list[FocusOption]:
    """Return the non-empty misaligned subsets and the selected slice as possible focuses."""
    session = visitor.session
    counts = visitor.measured(selection.cls)[0].counts
    offered: list[tuple[str, str, int, Any]] = [
        (name, name, counts[name], name) for name in ("missed", "extra") if counts[name]
    ]
    chosen = visitor.slice(selection.cls, selection.slice) if selection.slice else None
    if chosen is not None:
        offered.append(("slice", chosen.name, chosen.size, chosen.to_dict()))
    focuses: list[FocusOption] = []
    for key, name, size, focus in offered:
        usable = session.focus_size(selection.cls, focus) > 0
        note = "" if usable else ", none for training"
        label = f"focus: {name} ({size}{note})"
        hint = (
            f"Focus on {name}, {size} held-out images: the next refit counts its training images "
            f"{FACTOR:g} times. Raise or lower a concept, or click a suggestion; then press Apply."
        )
        focuses.append({"id": key, "label": label, "hint": hint, "focus": focus, "usable": usable})
    return focuses


def _words(visitor: "Visitor", selection: "Selection") -> WordsPart:
    """Return every concept that can be tuned, for the search box."""
    session = visitor.session
    return {"names": [c for c in session.concepts if c not in session.state.dropped]}


def _suggestions(visitor: "Visitor", selection: "Selection") -> SuggestionsPart:
    session = visitor.session
    subset = selection.subset if selection.subset in ("missed", "extra") else None
    found = visitor.cached(
        ("suggest", selection.cls, subset),
        lambda: list(session.suggest(selection.cls, subset, SEARCHED, progress=visitor.progress)),
    )
    lists = (found, [s for s in found if not s.costs])
    every, harmless = (
        to_plain([suggestion_payload(s, session) for s in _few(suggestions)]) for suggestions in lists
    )
    return {"suggestions": every, "harmless": harmless}


def _few(found: "list[Suggestion]") -> "list[Suggestion]":
    """Return the best suggestions, and in place of the last one that of several actions."""
    joint = [s for s in found if s.joint]
    single = [s for s in found if not s.joint]
    return [*single[: MAX_SUGGESTIONS - bool(joint)], *joint[:1]]


def _missing(visitor: "Visitor", selection: "Selection") -> MissingPart:
    def make() -> list[Any]:
        try:
            session, progress = visitor.session, visitor.progress
            return list(session.missing_concepts(selection.cls, count=MAX_MISSING, progress=progress))
        except InputError:
            return []  # without regions or an encoder there are no proposals

    found = visitor.cached(("missing", selection.cls), make)
    return {"words": [{"word": m.word, "more": missing_word_reason(m)} for m in found]}


VIEW = View(
    "tuning",
    4,
    "Concept tuning",
    "Raise or lower a concept. Each change is previewed; nothing changes until you apply it.",
    (
        ViewPart("tuning.state", ("cls", "slice", "concepts", "node"), _state, shared=True),
        ViewPart("tuning.words", ("node",), _words, slow=2),
        ViewPart("tuning.suggestions", ("cls", "subset", "node"), _suggestions, slow=3),
        ViewPart("tuning.missing", ("cls", "node"), _missing, slow=4),
    ),
)
