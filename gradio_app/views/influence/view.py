"""View 3: the weights of one class as words, and how each word spreads over agreeing
and misaligned images."""

from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.gradio_app.queries import codes_of, columns_of, rows_of, spread
from inficond.gradio_app.serialization import ints, octets, plain, quantised
from inficond.gradio_app.views import Part, View

if TYPE_CHECKING:
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

MOST_DOTS = 110


def _rows(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session = visitor.session
    found = visitor.memo(("influence", selection.cls), lambda: session.influence(selection.cls))
    weights, gap = found.weights, found.gap
    shown = columns_of(visitor, selection)
    added = session.concepts[len(visitor.project.concepts) :]
    rows = [
        {
            "name": found.concepts[k],
            "group": found.groups[k],
            "weight": float(weights[k]),
            "gap": float(gap[k]),
            "added": found.concepts[k] in added,
        }
        for k in shown
    ]
    return plain(
        {
            "cls": selection.cls,
            "part": _part(selection),
            "rows": rows,
            "n_active": int(np.count_nonzero(weights)),
            "n_concepts": len(found.concepts),
        }
    ) | {"points": _points(visitor, selection, shown, [found.concepts[k] for k in shown])}


def _part(selection: "Selection") -> str:
    if selection.slice:
        return selection.slice
    return {"missed": "missed", "extra": "extra", "agree-pos": "both yes", "agree-neg": "both no"}.get(
        selection.subset or "", ""
    )


def _points(
    visitor: "Visitor", selection: "Selection", columns: list[int], names: list[str]
) -> dict[str, Any]:
    """The dots: agreeing images above the line, misaligned ones below it (only the selected, where some
    are)."""
    codes = codes_of(visitor, selection.cls)
    validation = visitor.project.validation_rows
    agree = validation[codes[validation] < 2]
    wrong = validation[codes[validation] >= 2]
    if selection.slice or selection.subset:
        chosen = rows_of(visitor, selection)
        if len(chosen):
            mine = codes[chosen] >= 2
            agree = chosen[~mine] if (~mine).any() else agree
            wrong = chosen[mine] if mine.any() else wrong
    rows = np.concatenate([spread(agree, MOST_DOTS), spread(wrong, MOST_DOTS)])
    sides = np.select([codes[rows] == 2, codes[rows] == 3], [1, 2], 0)
    values = np.asarray(visitor.session.X[rows][:, columns], np.float32).T
    return {"rows": ints(rows), "sides": octets(sides), "concepts": names, "values": quantised(values)}


VIEW = View(
    "influence",
    3,
    "Concept influence",
    "The student itself: words that speak for and against the class. Hover a word to see its images.",
    (Part("influence.rows", ("cls", "subset", "slice", "concepts", "node"), _rows),),
)
