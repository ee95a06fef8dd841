"""View 4: the bounds in force, what may be tuned, and what is worth trying."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.tuning.actions import Action
from inficond.core.tuning.bounds import typical_weight
from inficond.gradio_app.presenters import missing_more, now_of, suggestion_of
from inficond.gradio_app.serialization import plain
from inficond.gradio_app.views import Part, View

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MOST_ROWS = 40
MOST_IDEAS = 3
MOST_MISSING = 2


def _state(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session = visitor.session
    found = visitor.memo(("influence", selection.cls), lambda: session.influence(selection.cls))
    weights, index = found.weights, visitor.concept_index
    active = np.flatnonzero(weights)
    active = active[np.argsort(-np.abs(weights[active]), kind="stable")][:MOST_ROWS]
    picked = [index[c] for c in reversed(selection.concepts) if c in index]
    upper = list(dict.fromkeys([*picked, *active.tolist()]))
    held = [index[c] for c in found.bounds if c in index and index[c] not in upper]
    shown = [k for k in [*upper, *held] if found.concepts[k] not in found.dropped]
    rows = []
    for k in shown:
        name = found.concepts[k]
        bound = found.bounds.get(name)
        rows.append(
            {
                "name": name,
                "weight": float(weights[k]),
                "heading": "words without weight that a bound holds" if held and k == held[0] else None,
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
    metrics = session.metrics(selection.cls)
    counts = metrics.counts
    offered: list[tuple[str, str, int, Any]] = [
        (name, name, counts[name], name) for name in ("missed", "extra") if counts[name]
    ]
    chosen = visitor.slice(selection.cls, selection.slice) if selection.slice else None
    if chosen is not None:
        offered.append(("slice", chosen.name, chosen.size, chosen.to_dict()))
    focuses = []
    for key, name, size, focus in offered:
        usable = session.focus_size(selection.cls, focus) > 0
        more = "" if usable else ", none for training"
        focuses.append(
            {"id": key, "label": f"focus: {name} ({size}{more})", "focus": focus, "usable": usable}
        )
    return plain(
        {
            "cls": selection.cls,
            "rows": rows,
            "tau": typical_weight(weights),
            "focuses": focuses,
            "now": now_of(metrics),
        }
    )


def _words(visitor: "Visitor", selection: "Selection") -> dict[str, list[str]]:
    """Every concept that may be tuned with its group: for the box that finds one, and for actions on
    groups."""
    session = visitor.session
    kept = [k for k, c in enumerate(session.concepts) if c not in session.state.dropped]
    return {"names": [session.concepts[k] for k in kept], "groups": [session.concept_groups[k] for k in kept]}


def _suggestions(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session = visitor.session
    subset = selection.subset if selection.subset in ("missed", "extra") else None
    found = visitor.memo(
        ("suggest", selection.cls, subset), lambda: list(session.suggest(selection.cls, subset, MOST_IDEAS))
    )
    return plain({"suggestions": [suggestion_of(s) for s in found]})


def _missing(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    def make() -> list[Any]:
        try:
            return list(visitor.session.missing_concepts(selection.cls, count=MOST_MISSING))
        except InputError:
            return []  # no regions or no encoder here: nothing can be proposed, and nothing is wrong

    found = visitor.memo(("missing", selection.cls), make)
    return plain({"words": [{"word": m.word, "more": missing_more(m)} for m in found]})


VIEW = View(
    "tuning",
    4,
    "Concept tuning",
    "Raise or lower a word: the effect is shown while you drag, and nothing changes before Apply.",
    (
        Part("tuning.state", ("cls", "slice", "concepts", "node"), _state),
        Part("tuning.words", ("node",), _words, slow=2),
        Part("tuning.suggestions", ("cls", "subset", "node"), _suggestions, slow=3),
        Part("tuning.missing", ("cls", "node"), _missing, slow=4),
    ),
)
