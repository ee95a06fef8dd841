"""Tree of steps in memory: nodes, current node, undone nodes and states."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from inficond.core.errors import InputError, unknown
from inficond.core.history.node import Node
from inficond.core.tuning.state import BranchState


@dataclass(frozen=True)
class Remark:
    """Name of a node and a note about it."""

    name: str = ""
    note: str = ""


class Tree:
    """Nodes by id, the current one and the redo list.

    Parameters
    ----------
    root : Node
        Node of kind ``root``.
    state : BranchState
        State at the root.
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
        """Iterate over all nodes, parents before children."""
        return iter(list(self._nodes.values()))

    def __contains__(self, node: object) -> bool:
        return node in self._nodes

    def __getitem__(self, node: str) -> Node:
        """Return a node by its id, by a unique beginning of its id (4 characters or more), or by its name.

        A description that only one step has, such as ``as fitted``, is accepted too.

        Raises
        ------
        InputError
            There is no such node, or more than one.
        """
        if node in self._nodes:
            return self._nodes[node]
        named = [i for i, remark in self.remarks.items() if remark.name == node and i in self._nodes]
        begins = [i for i in self._nodes if len(node) >= 4 and i.startswith(node)]
        found = named or begins or [i for i, step in self._nodes.items() if step.title == node]
        if len(found) == 1:
            return self._nodes[found[0]]
        if found:
            raise InputError(f"{node!r} matches several nodes ({', '.join(found[:6])}): give more of the id")
        raise unknown("node", node, [*self._nodes, *(r.name for r in self.remarks.values() if r.name)])

    def add(self, nodes: Iterable[Node]) -> None:
        """Add nodes; each parent must be in the tree or precede its child.

        Raises
        ------
        InputError
            A parent is missing.
        """
        for node in nodes:
            if node.parent not in self._nodes:
                raise InputError(
                    f"the parent {node.parent} of node {node.id} is missing: restore a copy of the history"
                )
            self._nodes[node.id] = node

    def state(self, node: str) -> BranchState:
        """Return the state at a node, derived from the states of its ancestors."""
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
        """Return the nodes from the root, exclusive, to a node; empty for the root."""
        steps = []
        at = self._nodes[node]
        while at.parent is not None:
            steps.append(at)
            at = self._nodes[at.parent]
        return steps[::-1]

    def children(self, node: str) -> list[Node]:
        """Return the children of a node in the order of their creation."""
        return [n for n in self._nodes.values() if n.parent == node]
