"""View 6: the tree of steps, newest first, each with the change it made."""

from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from inficond.gradio_app.presenters import change_chip, step_title
from inficond.gradio_app.views import View, ViewPart

if TYPE_CHECKING:
    from inficond.core.sessions.session_history import TreeNode
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


class NodePayload(TypedDict):
    """A node of the tree; `edges` are the line segments in its row, see `_layout`."""

    id: str
    name: str
    text: str
    more: str
    when: str
    on_branch: bool
    lane: int
    edges: list[list[Any]]
    gain: str
    gain_more: str


class TreePart(TypedDict):
    """The part ``provenance.tree``."""

    nodes: list[NodePayload]
    current: str
    can_undo: bool
    can_redo: bool
    lanes: int


class NodeChange(TypedDict):
    """Whether the change of a node is significant by the paired bootstrap, and in which direction."""

    clear: bool
    better: bool
    more: str


class ChangesPart(TypedDict):
    """The part ``provenance.changes``: node id to change."""

    changes: dict[str, NodeChange]


LANES = 16
"""Lanes of the drawing, at most."""


def _tree(visitor: "Visitor", selection: "Selection") -> TreePart:
    session = visitor.session
    nodes = session.tree()
    lanes, edges = layout_tree(nodes)
    rows: list[NodePayload] = []
    for entry in reversed(nodes):
        node = entry.node
        gain, gain_more = _gain(node)
        rows.append(
            {
                "id": node.id,
                "name": entry.name,
                "text": step_title(node),
                "more": _details(node),
                "when": node.when if node.parent else "",
                "on_branch": entry.on_path,
                "lane": lanes[node.id],
                "edges": edges[node.id],
                "gain": gain,
                "gain_more": gain_more,
            }
        )
    return {
        "nodes": rows,
        "current": session.node,
        "can_undo": session.can_undo,
        "can_redo": session.can_redo,
        "lanes": max(lanes.values()) + 1,
    }


def _details(node: Any) -> str:
    if node.kind == "root":
        return "the root of every branch"
    details = [", ".join(node.classes)] if node.classes else ["all classes"]
    if node.focus:
        details.append(f"focus on {node.focus['label']}")
    return " · ".join(details)


def _gain(node: Any) -> tuple[str, str]:
    """Return the recorded gain of a node, short and in full.

    It is the change of the average precision of the node's class. A threshold does not change the ranking, so
    its gain is the change of F1, averaged over the classes.
    """
    if node.kind == "threshold":
        return _threshold_gain(node)
    if node.kind == "exam":
        ap = node.detail["mean"]["fidelity"]["ap"]
        before, after = ap["fitted"]["value"], ap["now"]["value"]
        return (
            f"AP {after:.2f}",
            f"mean average precision on locked images: as fitted {before:.3f}, now {after:.3f}",
        )
    for cls in node.classes or tuple(node.after):
        before, after = node.before.get(cls, {}).get("ap"), node.after.get(cls, {}).get("ap")
        if before is None or after is None:
            continue
        return f"AP {_difference(before, after)}", f"{cls}: average precision {before:.3f} → {after:.3f}"
    return "", ""


def _threshold_gain(node: Any) -> tuple[str, str]:
    """Return the change of F1, averaged over the classes for which it is defined before and after."""
    pairs = [(node.before.get(cls, {}).get("f1"), metrics.get("f1")) for cls, metrics in node.after.items()]
    defined = [(before, after) for before, after in pairs if before is not None and after is not None]
    if not defined:
        return "", ""
    before, after = (float(np.mean(values)) for values in zip(*defined))
    return (
        f"F1 {_difference(before, after)}",
        f"mean F1 of {len(defined)} classes: {before:.3f} → {after:.3f}",
    )


def _difference(before: float, after: float) -> str:
    delta = after - before
    return f"{'+' if delta >= 0 else '−'}{abs(delta):.2f}" if abs(delta) >= 0.005 else "±0"


def _changes(visitor: "Visitor", selection: "Selection") -> ChangesPart:
    """Return for each node whether its change against its parent is significant."""
    changes = {}
    for entry in visitor.session.tree():
        node = entry.node
        if node.parent is not None and node.kind != "threshold" and _gain(node)[0]:
            changes[node.id] = visitor.cached_for_node(node.id, lambda: _change(visitor, node))  # noqa: B023
    return {"changes": changes}


def _change(visitor: "Visitor", node: Any) -> NodeChange:
    classes = visitor.session.compare(node.parent, node.id).classes
    cls = next((c for c in node.classes or tuple(node.after) if c in classes), None)
    if cls is None:
        return {"clear": False, "better": False, "more": ""}
    chip = change_chip(f"{cls}: average precision", classes[cls].fidelity["ap"])
    return {"clear": chip["clear"], "better": chip["better"], "more": chip["more"]}


def layout_tree(nodes: "list[TreeNode]") -> tuple[dict[str, int], dict[str, list[list[Any]]]]:
    """Assign each node to a lane: the first child continues its parent's lane, the others open a new one.

    Branches beyond `LANES` share the last lane, so that the drawing grows linearly with the number of nodes.

    Parameters
    ----------
    nodes : list of TreeNode
        Parents before children.

    Returns
    -------
    lanes : dict
        Node id to lane, 0 at the left.
    edges : dict
        Node id to the line segments in its row, each
        ``[lane, lane, "up" | "down" | "through" | "join", on_path]``.
        Segments on the path to the current node have `on_path` true.
    """
    children: dict[str, list[TreeNode]] = {n.node.id: [] for n in nodes}
    lanes: dict[str, int] = {}
    next_lane = 0
    for n in nodes:
        parent = n.node.parent
        if parent is not None and not children[parent]:
            lanes[n.node.id] = lanes[parent]
        else:
            lanes[n.node.id] = min(next_lane, LANES - 1)
            next_lane += 1
        if parent is not None:
            children[parent].append(n)
    edges: dict[str, list[list[Any]]] = {}
    passing = [[0, 0] for _ in range(LANES)]  # open lines of each lane, and those on the path
    for n in reversed(nodes):  # the rows from the top: children before parents
        at = lanes[n.node.id]
        joins: dict[int, bool] = {}
        for child in children[n.node.id]:
            lane = lanes[child.node.id]
            passing[lane][0] -= 1
            passing[lane][1] -= child.on_path
            joins[lane] = joins.get(lane, False) or child.on_path
        row = [[lane, at, "up" if lane == at else "join", on_path] for lane, on_path in joins.items()]
        row += [[lane, lane, "through", on > 0] for lane, (lines, on) in enumerate(passing) if lines]
        if n.node.parent is not None:
            row.append([at, at, "down", n.on_path])
            passing[at][0] += 1
            passing[at][1] += n.on_path
        edges[n.node.id] = row
    return lanes, edges


VIEW = View(
    "provenance",
    6,
    "Provenance",
    "Every step you took. Click one to return to it.",
    (
        ViewPart("provenance.tree", ("node",), _tree),
        ViewPart("provenance.changes", ("node",), _changes, slow=2),
    ),
)
