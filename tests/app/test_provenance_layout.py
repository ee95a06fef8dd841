"""Lanes and lines of the tree of steps."""

from typing import Any

from inficond.core.history.node import Node
from inficond.core.sessions.session_history import TreeNode
from inficond.gradio_app.views.provenance.view import LANES, layout_tree


def tree(parents: list[int | None], path: tuple[int, ...] = ()) -> list[TreeNode]:
    """Nodes 0, 1, … with the given parents."""
    return [
        TreeNode(
            Node(str(i), None if p is None else str(p), "tune", "", ""), "", "", False, i in path, 0
        )
        for i, p in enumerate(parents)
    ]  # fmt: skip


def kinds(row: list[list[Any]]) -> dict[str, set[tuple[int, int]]]:
    found: dict[str, set[tuple[int, int]]] = {}
    for a, b, kind, _ in row:
        found.setdefault(kind, set()).add((a, b))
    return found


def test_a_line_stays_in_one_lane() -> None:
    lanes, edges = layout_tree(tree([None, 0, 1], path=(0, 1, 2)))
    assert set(lanes.values()) == {0}
    assert edges == {
        "2": [[0, 0, "down", True]],
        "1": [[0, 0, "up", True], [0, 0, "down", True]],
        "0": [[0, 0, "up", True]],
    }


def test_a_branch_opens_a_lane_and_joins_its_parent() -> None:
    #  0 ─ 1 ─ 2      3 is a second child of 0, and the current node
    #   ╰───────── 3
    lanes, edges = layout_tree(tree([None, 0, 1, 0], path=(0, 3)))
    assert lanes == {"0": 0, "1": 0, "2": 0, "3": 1}
    assert kinds(edges["3"]) == {"down": {(1, 1)}}
    assert kinds(edges["2"]) == {"down": {(0, 0)}, "through": {(1, 1)}}
    assert kinds(edges["1"]) == {"up": {(0, 0)}, "down": {(0, 0)}, "through": {(1, 1)}}
    assert kinds(edges["0"]) == {"up": {(0, 0)}, "join": {(1, 0)}}
    on_path = {(i, kind): on for i, row in edges.items() for _, _, kind, on in row}
    assert on_path[("2", "through")]
    assert on_path[("0", "join")]
    assert not on_path[("0", "up")]
    assert not on_path[("2", "down")]


def test_the_drawing_of_many_branches_grows_linearly() -> None:
    """Regression: 5,000 children of the root gave 12 million lines, 1.6 GB."""
    n = 3000
    lanes, edges = layout_tree(tree([None, *[0] * n], path=(0, n)))
    assert max(lanes.values()) == LANES - 1
    assert sum(map(len, edges.values())) <= (LANES + 1) * (n + 1)
    assert kinds(edges["0"])["join"] == {(lane, 0) for lane in range(1, LANES)}
    chains = [None, *[0 if i % 10 == 1 else i - 1 for i in range(1, n)]]
    lanes, edges = layout_tree(tree(chains))
    assert all(lanes[str(i)] == lanes[str(i - 1)] for i in range(2, n) if chains[i] == i - 1)
    assert sum(map(len, edges.values())) <= (LANES + 2) * n
