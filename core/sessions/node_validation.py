"""Validation of stored nodes against the project that they are read for."""

from collections.abc import Iterable
from pathlib import Path

from inficond.core.errors import InputError, StorageError
from inficond.core.history.node import Node
from inficond.core.tuning.workspace import Workspace


def check_thresholds(nodes: Iterable[Node], workspace: Workspace, path: Path) -> None:
    """Check that nodes with thresholds have one for each class.

    Raises
    ------
    InputError
        A node of the history at `path` has another number.
    """
    n_classes = workspace.students.n_classes
    if any(node.thresholds is not None and len(node.thresholds) != n_classes for node in nodes):
        raise InputError(
            f"{path}: a step does not have one threshold for each of the {n_classes} classes: "
            "restore a copy of the history"
        )


def check_node(node: Node, workspace: Workspace, path: Path) -> None:
    """Check that the classes, concepts and images of a node exist in the project.

    Raises
    ------
    StorageError
        One of the history at `path` does not.
    """
    w, words, added = workspace, workspace.concept_names, set(node.added)
    fits = node.dropped - words <= added and all(
        cls in w.root.classes
        and len(one.weights) == len(words) + len(node.added)
        and one.bounds.keys() - words <= added
        and one.overrides.keys() <= w.image_index.keys()
        for cls, one in node.changed.items()
    )
    if not fits:
        raise StorageError(
            f"{path}: node {node.id} does not match this project: restore a copy of the history"
        )
