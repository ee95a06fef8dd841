"""View 6: the tree of steps, newest above, each with the change it made."""

from typing import TYPE_CHECKING, Any

from inficond.gradio_app.presenters import change_of, step_title
from inficond.gradio_app.serialization import plain
from inficond.gradio_app.views import Part, View

if TYPE_CHECKING:
    from inficond.core.sessions.session_history import TreeNode
    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor


def _tree(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    session = visitor.session
    nodes = session.tree()
    lanes, edges = _lanes(nodes)
    rows = []
    for entry in reversed(nodes):
        node = entry.node
        rows.append(
            {
                "id": node.id,
                "name": entry.name,
                "text": step_title(node),
                "more": _more(node),
                "when": node.when if node.parent else "",
                "on_branch": entry.on_path,
                "lane": lanes[node.id],
                "edges": edges[node.id],
                **_gain(node),
            }
        )
    return plain(
        {
            "nodes": rows,
            "current": session.node,
            "can_undo": session.can_undo,
            "can_redo": session.can_redo,
            "lanes": max(lanes.values()) + 1,
        }
    )


def _more(node: Any) -> str:
    if node.kind == "root":
        return "where every branch begins"
    said = [", ".join(node.classes)] if node.classes else ["all classes"]
    if node.focus:
        said.append(f"focus on {node.focus['label']}")
    return " · ".join(said)


def _gain(node: Any) -> dict[str, Any]:
    """The change of average precision of the step's class, as the node recorded it."""
    if node.kind == "threshold":  # a ranking does not move with it
        return {"gain": "", "gain_more": ""}
    for cls in node.classes or tuple(node.after):
        before, after = node.before.get(cls, {}).get("ap"), node.after.get(cls, {}).get("ap")
        if before is None or after is None:
            continue
        delta = after - before
        text = f"{'+' if delta >= 0 else '−'}{abs(delta):.2f}" if abs(delta) >= 0.005 else "±0"
        return {"gain": f"AP {text}", "gain_more": f"{cls}: average precision {before:.3f} → {after:.3f}"}
    return {"gain": "", "gain_more": ""}


def _changes(visitor: "Visitor", selection: "Selection") -> dict[str, Any]:
    """Which of the changes are clear: each step against the one before it, by the paired bootstrap."""
    found = {}
    for entry in visitor.session.tree():
        node = entry.node
        if node.parent is not None and _gain(node)["gain"]:
            found[node.id] = visitor.memo_of_node(node.id, lambda: _change(visitor, node))  # noqa: B023
    return {"changes": found}


def _change(visitor: "Visitor", node: Any) -> dict[str, Any]:
    moved = visitor.session.compare(node.parent, node.id).classes
    cls = next((c for c in node.classes or tuple(node.after) if c in moved), None)
    if cls is None:
        return {"clear": False, "better": False, "more": ""}
    chip = change_of(f"{cls}: average precision", moved[cls].fidelity["ap"])
    return {"clear": chip["clear"], "better": chip["better"], "more": chip["more"]}


def _lanes(nodes: "list[TreeNode]") -> tuple[dict[str, int], dict[str, list[list[Any]]]]:
    """A place for every node, newest above: the first child goes on in its parent's lane, others open a lane.

    Returns
    -------
    lanes : dict
        Node id -> lane, from 0 at the left.
    edges : dict
        Node id -> strokes of its row: ``[lane, lane, "up" | "down" | "through" | "join", lit]``;
        lit ones lead to where the visitor stands.
    """
    order = [n.node.id for n in reversed(nodes)]
    parent = {n.node.id: n.node.parent for n in nodes}
    children: dict[str, list[str]] = {i: [] for i in order}
    for n in nodes:
        if n.node.parent is not None:
            children[n.node.parent].append(n.node.id)
    lanes: dict[str, int] = {}
    free = 0
    for n in nodes:  # parents before children
        above = n.node.parent
        if above is None:
            lanes[n.node.id] = 0
            free = 1
        elif children[above][0] == n.node.id:
            lanes[n.node.id] = lanes[above]
        else:
            lanes[n.node.id] = free
            free += 1
    on_path = {n.node.id: n.on_path for n in nodes}
    place = {i: k for k, i in enumerate(order)}
    edges: dict[str, list[list[Any]]] = {i: [] for i in order}
    for child, above in parent.items():
        if above is None:
            continue
        a, b = lanes[child], lanes[above]
        lit = on_path[child]
        edges[child].append([a, a, "down", lit])
        for i in order[place[child] + 1 : place[above]]:
            edges[i].append([a, a, "through", lit])
        edges[above].append([a, b, "up" if a == b else "join", lit])
    return lanes, edges


VIEW = View(
    "provenance",
    6,
    "Provenance",
    "Every step you took. Click one to go there.",
    (
        Part("provenance.tree", ("node",), _tree),
        Part("provenance.changes", ("node",), _changes, slow=2),
    ),
)
