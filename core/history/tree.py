"""A branch's view of the tree in memory: nodes, where one stands, what can be redone, states."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from inficond.core.errors import InputError, unknown
from inficond.core.history.node import Node
from inficond.core.tuning.state import BranchState


@dataclass(frozen=True)
class Remark:
    """What a person calls a node, and what they wrote about it."""

    name: str = ""
    note: str = ""


class Tree:
    """Nodes by id, the current one and the redo list.

    Parameters
    ----------
    root : Node
        Of kind ``root``.
    state : BranchState
        At the root.
    """

    def __init__(self, root: Node, state: BranchState) -> None:
        self.root = root
        self.current = root.id
        self.redo: list[str] = []
        self.remarks: dict[str, Remark] = {}
        self._nodes: dict[str, Node] = {root.id: root}
        self._states: dict[str, BranchState] = {root.id: state}

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> Iterator[Node]:
        """All nodes, parents before children."""
        return iter(list(self._nodes.values()))

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def __getitem__(self, node: str) -> Node:
        """A node by id, by the beginning of its id where that is unique, or by the name it was given.

        Raises
        ------
        InputError
            No such node, or several.
        """
        if node in self._nodes:
            return self._nodes[node]
        named = [i for i, remark in self.remarks.items() if remark.name == node and i in self._nodes]
        begins = [i for i in self._nodes if len(node) >= 4 and i.startswith(node)]
        found = named or begins
        if len(found) == 1:
            return self._nodes[found[0]]
        if found:
            raise InputError(
                f"{node!r} could be any of the nodes {', '.join(found[:6])}: give more of the id"
            )
        raise unknown("node", node, [*self._nodes, *(r.name for r in self.remarks.values() if r.name)])

    def add(self, nodes: Iterable[Node]) -> None:
        """Take nodes in; each parent must be there or among those before.

        Raises
        ------
        InputError
            A parent is missing: the history was cut.
        """
        for node in nodes:
            if node.parent not in self._nodes:
                raise InputError(
                    f"node {node.id} of the history has lost its parent {node.parent}: restore a copy"
                )
            self._nodes[node.id] = node

    def state(self, node: str) -> BranchState:
        """The state at a node, built from its ancestors'."""
        missing: list[Node] = []
        at = self._nodes[node]
        while at.id not in self._states:
            missing.append(at)
            assert at.parent is not None
            at = self._nodes[at.parent]
        state = self._states[at.id]
        for step in reversed(missing):
            state = replace(
                state.with_classes(step.changed),
                added=step.added,
                dropped=step.dropped,
                lam=step.lam,
                thresholds=step.thresholds or state.thresholds,
            )
            self._states[step.id] = state
        return state

    def path(self, node: str) -> list[Node]:
        """From the root's first child down to the node; empty for the root."""
        steps = []
        at = self._nodes[node]
        while at.parent is not None:
            steps.append(at)
            at = self._nodes[at.parent]
        return steps[::-1]

    def children(self, node: str) -> list[Node]:
        """In the order in which they were made."""
        return [n for n in self._nodes.values() if n.parent == node]
