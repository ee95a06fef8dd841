"""Random-direction baseline: the same fit on random directions of the embedding space."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students.distil import LAM, RowFit, distil
from inficond.core.students.student import Students

_CHUNK = 2048


class Regions(Protocol):
    """Region embeddings (N, R, D), float16, unit length; usually a memory map."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, rows: slice, /) -> NDArray[np.float16]: ...


@dataclass(frozen=True, eq=False)
class RandomBaseline:
    """Students fitted on random directions, and the concept vectors of all images.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.students import random_concept_baseline
    >>> regions = np.ones((20, 1, 4), np.float16) / 2
    >>> T = np.linspace(0, 1, 20)[:, None]
    >>> baseline = random_concept_baseline(regions, T, np.arange(20) < 10, ["boat"], n_concepts=3)
    >>> baseline.students.predict(baseline.X).shape
    (20, 1)
    """

    students: Students
    """Fitted on the training images; `embeddings` are the directions."""
    X: NDArray[np.float32]
    """(N, K) values of the directions."""


def random_directions(K: int, D: int, seed: int = 0) -> NDArray[np.float32]:
    """Draw K unit vectors, uniformly on the sphere.

    Parameters
    ----------
    K, D : int
        Number and length of the vectors.
    seed : int
        Seed of the generator.

    Returns
    -------
    array (K, D), float32
        Unit rows.
    """
    rows = np.random.default_rng(seed).standard_normal((K, D))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def random_concept_vectors(regions: Regions, directions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute concept vectors for any directions, in chunks of images.

    Parameters
    ----------
    regions : array (N, R, D), float16
        Stored region embeddings.
    directions : array (K, D)
        Unit vectors.

    Returns
    -------
    array (N, K), float32
        ``max(0, max_r r·t_k)``.
    """
    from inficond.core.concepts import concept_vectors

    N, words = regions.shape[0], np.array(directions, np.float32)  # may be read-only
    out = np.empty((N, len(directions)), np.float32)
    for start in range(0, N, _CHUNK):
        out[start : start + _CHUNK] = concept_vectors(np.asarray(regions[start : start + _CHUNK]), words)
    return out


def random_concept_baseline(
    regions: Regions,
    T: ArrayLike,
    train: ArrayLike,
    classes: Sequence[str],
    n_concepts: int,
    *,
    lam: float = LAM,
    nec: float | None = None,
    relax: float = 1.0,
    link: str = "sigmoid",
    thresholds: str = "half",
    seed: int = 0,
) -> RandomBaseline:
    """Fit students on random directions with otherwise equal settings.

    Parameters
    ----------
    regions : array (N, R, D), float16
        Stored region embeddings of all images.
    T : array (N, C)
        Responses of the teacher.
    train : array (N,), bool
        Training images.
    classes : sequence of str
        C names.
    n_concepts : int
        Number of directions, K.
    lam, nec, relax, link, thresholds
        As for `distil`. With the `nec` of the words' students both have the same number of concepts.
    seed : int
        Seed of the directions.

    Returns
    -------
    RandomBaseline
        Students with concepts named "random direction 1", "random direction 2", …

    Raises
    ------
    InputError
        There are no region embeddings.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.students import random_concept_baseline
    >>> generator = np.random.default_rng(0)
    >>> regions = generator.normal(size=(100, 2, 8))
    >>> regions = (regions / np.linalg.norm(regions, axis=2, keepdims=True)).astype(np.float16)
    >>> train = np.arange(100) < 60
    >>> baseline = random_concept_baseline(regions, generator.random((100, 1)), train, ["boat"], n_concepts=5)
    >>> baseline.students.concepts[0], baseline.X.shape
    ('random direction 1', (100, 5))
    """
    if len(regions.shape) != 3:
        raise InputError("the random-direction baseline needs region embeddings (N, R, D) of the project")
    directions = random_directions(n_concepts, regions.shape[2], seed)
    X = random_concept_vectors(regions, directions)
    rows = np.asarray(train, bool)
    students = fit_directions(
        X[rows], np.asarray(T)[rows], classes, directions, lam=lam, nec=nec, relax=relax, link=link,
        thresholds=thresholds,
    )  # fmt: skip
    return RandomBaseline(students, X)


def fit_directions(
    X: ArrayLike,
    T: ArrayLike,
    classes: Sequence[str],
    directions: NDArray[np.float32],
    *,
    lam: float = LAM,
    nec: float | None = None,
    relax: float = 1.0,
    link: str = "sigmoid",
    thresholds: str = "half",
    elsewhere: RowFit | None = None,
) -> Students:
    """Fit students on the concept vectors of random directions.

    Parameters
    ----------
    X : array (n, K), float32
        Concept vectors of the training images.
    T : array (n, C)
        The teacher's responses to them.
    classes : sequence of str
        C names.
    directions : array (K, D)
        The directions that `X` was computed with.
    lam, nec, relax, link, thresholds, elsewhere
        As for `distil`.

    Returns
    -------
    Students
        Whose concepts are named "random direction 1" and so on.
    """
    names = [f"random direction {k + 1}" for k in range(len(directions))]
    return distil(
        X, T, classes, names, lam=lam, nec=nec, relax=relax, link=link, thresholds=thresholds,
        embeddings=directions, elsewhere=elsewhere,
    )[0]  # fmt: skip
