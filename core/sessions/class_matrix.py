"""The class × concept matrix: weights of all classes, and orders in which similar ones are near."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length
from inficond.core.sessions.session import Session


@dataclass(frozen=True, eq=False)
class ClassMatrix:
    """The weights of all students that are not 0.

    Parameters
    ----------
    classes : tuple of C str
    concepts, groups : tuple of M str
        The concepts that at least one class uses, in the order of the session's columns.
    n_concepts : int
        Number K of all concepts.
    rows, columns : (W,) int32
        Class and concept of each weight, sorted by row, then by column.
    weights : (W,) float32
        In standardised units.
    class_order : (C,) int32
        Classes so that those with similar weights are near each other.
    concept_order : (M,) int32
        Concepts so that those that the same classes use are near each other.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.sessions.class_matrix import class_matrix
    >>> matrix = class_matrix(Project.open(demo_project()).session())
    >>> len(matrix.classes), len(matrix.rows) == len(matrix.weights)
    (10, True)
    """

    classes: tuple[str, ...]
    concepts: tuple[str, ...]
    groups: tuple[str, ...]
    n_concepts: int
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    weights: NDArray[np.float32]
    class_order: NDArray[np.int32]
    concept_order: NDArray[np.int32]


def class_matrix(session: Session) -> ClassMatrix:
    """Return the weights of all classes at the session's current node."""
    W = session.state.weights()
    used = np.flatnonzero(W.any(axis=0))
    W = np.ascontiguousarray(W[:, used], np.float32)
    rows, columns = np.nonzero(W)
    concepts, groups = session.concepts, session.concept_groups
    return ClassMatrix(
        tuple(session.classes),
        tuple(concepts[k] for k in used),
        tuple(groups[k] for k in used),
        len(concepts),
        rows.astype(np.int32),
        columns.astype(np.int32),
        W[rows, columns],
        similar_order(W),
        similar_order(W.T),
    )


def similar_order(vectors: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return an order in which similar vectors are near each other.

    Clusters are merged by the mean cosine of their members (average linkage, by chains of nearest
    neighbours); each merge is turned so that the most similar ends of both clusters meet.

    Parameters
    ----------
    vectors : (n, d)

    Returns
    -------
    (n,) int32
        A permutation, the same on every run.

    Examples
    --------
    >>> import numpy as np
    >>> similar_order(np.array([[1.0, 0], [0, 1.0], [1.0, 0.1], [0.1, 1.0]])).tolist()
    [0, 2, 3, 1]
    """
    n = len(vectors)
    if n < 3:
        return np.arange(n, dtype=np.int32)
    unit = unit_length(np.asarray(vectors, np.float64))
    like = unit @ unit.T
    between = like.copy()
    np.fill_diagonal(between, -np.inf)
    members: list[list[int]] = [[i] for i in range(n)]
    active = np.ones(n, bool)
    chain: list[int] = []
    for _ in range(n - 1):
        if not chain:
            chain = [int(np.argmax(active))]
        while True:
            last = chain[-1]
            nearest = int(np.argmax(np.where(active, between[last], -np.inf)))
            if len(chain) > 1 and between[last, nearest] <= between[last, chain[-2]]:
                break
            chain.append(nearest)
        b, a = sorted((chain.pop(), chain.pop()), reverse=True)
        _merge(a, b, members, between, like)
        active[b] = False
    return np.array(members[int(np.argmax(active))], np.int32)


def _merge(
    a: int, b: int, members: list[list[int]], between: NDArray[np.float64], like: NDArray[np.float64]
) -> None:
    """Merge the cluster b into the cluster a."""
    sizes = len(members[a]), len(members[b])
    mean = (sizes[0] * between[a] + sizes[1] * between[b]) / sum(sizes)
    mean[a] = -np.inf
    between[a], between[:, a] = mean, mean
    between[b], between[:, b] = -np.inf, -np.inf
    first, second = members[a], members[b]
    turned = [(first, second), (first, second[::-1]), (first[::-1], second), (first[::-1], second[::-1])]
    left, right = max(turned, key=lambda pair: like[pair[0][-1], pair[1][0]])
    members[a], members[b] = left + right, []
