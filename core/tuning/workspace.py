"""What all sessions on one project share: training and validation arrays, added columns, scores, bootstrap
groups.

A session keeps only weights; everything that grows with the number of images lives here, once, in a bounded
cache.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students import Students
from inficond.core.students.student import probabilities
from inficond.core.tuning.overrides import overridden
from inficond.core.tuning.state import BranchState, ClassState

Float32 = NDArray[np.float32]
LEAST_CACHE, MOST_CACHE = 20 * 2**20, 64 * 2**20
"""Bytes for scores, added columns and starts of fits, of all sessions together: four times the concept
vectors, but within these."""


class Cache:
    """Least recently used first out, by bytes; one per workspace, for all threads."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._items: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Let go of everything; it is made again when asked for."""
        with self._lock:
            self._items.clear()
            self._size = 0

    def get(self, key: Hashable, make: Callable[[], Any], size: Callable[[Any], int]) -> Any:
        """The value under `key`, made where it is missing (two threads at once make the same)."""
        with self._lock:
            if key in self._items:
                self._items.move_to_end(key)
                return self._items[key][0]
        value = make()
        with self._lock:
            if key not in self._items:
                self._items[key] = (value, size(value))
                self._size += self._items[key][1]
                while self._size > self._limit and len(self._items) > 1:
                    self._size -= self._items.popitem(last=False)[1][1]
        return value


@dataclass(frozen=True, eq=False)
class Columns:
    """The concept vectors under one list of concepts (the project's own and, after them, added words).

    Parameters
    ----------
    names, groups : tuple of K str
        The concepts and their groups.
    X : ndarray of shape (N, K)
        All images, raw.
    training, validation : ndarray of shape (n, K), (m, K), float32
        Standardised rows of X: fits and scores work on these, so that every weight of a branch, focused or
        not, has the units of the project's students. Training images lie row by row, as fits read them,
        validation images column by column: few weights are not zero, and only their columns are read.
    mean, scale : ndarray of shape (K,), float32
        Of the training images; what standardises a column.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    X: Float32
    training: Float32
    validation: Float32
    mean: Float32
    scale: Float32

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Column of each concept."""
        return {name: k for k, name in enumerate(self.names)}

    @property
    def nbytes(self) -> int:
        """Memory held."""
        return self.X.nbytes + self.training.nbytes + self.validation.nbytes


class Workspace:
    """The shared side of a project's sessions.

    Parameters
    ----------
    students : Students
        As fitted when the project was made: link, λ, thresholds, standardisation.
    X : ndarray of shape (N, K)
        Raw concept vectors, maybe memory-mapped.
    T : ndarray of shape (N, C)
        Teacher responses.
    is_validation : ndarray of shape (N,), bool
        Never seen by a fit.
    image_ids : sequence of N str
        Names of the images.
    concept_groups : sequence of K str
        Group of each concept.
    image_groups : sequence of N str or None
        Images of one group are resampled together; None stands alone.
    labels : ndarray of shape (N, C), optional
        Ground truth, NaN where unknown.
    column : callable, optional
        ``column(word) -> (N,) float32``: the concept vector entries of a word typed by a person.
    """

    def __init__(
        self,
        students: Students,
        X: NDArray[Any],
        T: NDArray[Any],
        is_validation: NDArray[np.bool_],
        *,
        image_ids: Sequence[str],
        concept_groups: Sequence[str],
        image_groups: Sequence[str | None] | None = None,
        labels: NDArray[Any] | None = None,
        column: Callable[[str], Float32] | None = None,
    ) -> None:
        self.students = students
        self.X, self.T, self.labels = X, T, labels
        self.image_ids = image_ids
        self.is_validation = np.asarray(is_validation, bool)
        self.training_rows = np.flatnonzero(~self.is_validation)
        self.validation_rows = np.flatnonzero(self.is_validation)
        self._concept_groups = tuple(concept_groups)
        self._image_groups = image_groups
        self._column = column
        self._lock = threading.RLock()
        self.cache = Cache(min(MOST_CACHE, max(LEAST_CACHE, 4 * X.nbytes)))

    @property
    def n_images(self) -> int:
        """N."""
        return len(self.image_ids)

    @cached_property
    def image_index(self) -> Mapping[str, int]:
        """Row of each image id."""
        return {name: i for i, name in enumerate(self.image_ids)}

    def check_tunable(self) -> None:
        """Something can be fitted.

        Raises
        ------
        InputError
            All images are held out for validation: their students can be looked at, not tuned.
        """
        if not self.training_rows.size:
            raise InputError(
                "all images of this project are held out for validation, so that nothing can be fitted: its "
                "students can be looked at, not tuned"
            )

    @cached_property
    def T_training(self) -> Float32:
        """(n, C) the teacher on training images."""
        return np.ascontiguousarray(self.T[self.training_rows], np.float32)

    @cached_property
    def T_validation(self) -> Float32:
        """(m, C) the teacher on validation images."""
        return np.ascontiguousarray(self.T[self.validation_rows], np.float32)

    @cached_property
    def labels_validation(self) -> Float32:
        """(m, C) ground truth on validation images, NaN where unknown; all NaN without labels."""
        if self.labels is None:
            return np.full(self.T_validation.shape, np.nan, np.float32)
        return np.ascontiguousarray(self.labels[self.validation_rows], np.float32)

    @cached_property
    def validation_groups(self) -> NDArray[np.int32] | None:
        """(m,) the source of each validation image, or None where every image stands alone."""
        if self._image_groups is None:
            return None
        names = [self._image_groups[i] for i in self.validation_rows.tolist()]
        if all(name is None for name in names):
            return None
        seen: dict[object, int] = {}
        keys = [(i,) if name is None else name for i, name in enumerate(names)]
        return np.array([seen.setdefault(key, len(seen)) for key in keys], np.int32)

    @cached_property
    def root(self) -> BranchState:
        """The state in which every branch begins."""
        s = self.students
        return BranchState(
            {name: ClassState(s.weights[c], float(s.bias[c])) for c, name in enumerate(s.classes)}, lam=s.lam
        )

    @cached_property
    def base(self) -> Columns:
        """The project's own concepts."""
        s = self.students
        return Columns(
            tuple(s.concepts),
            self._concept_groups,
            self.X,
            standardised(self.X, self.training_rows, s.mean, s.scale),
            np.asfortranarray(standardised(self.X, self.validation_rows, s.mean, s.scale)),
            s.mean,
            s.scale,
        )

    def columns(self, added: tuple[str, ...] = ()) -> Columns:
        """The project's concepts and some added words; made once for all sessions that added the same."""
        with self._lock:
            base = self.base
            if not added:
                return base
            return self.cache.get(("columns", added), lambda: self._with(base, added), lambda c: c.nbytes)

    def word(self, name: str) -> Float32:
        """(N,) the column of a word that is no concept of the project."""
        if self._column is None:
            raise ValueError("this workspace was made without a way to turn words into columns")
        make = self._column
        return self.cache.get(
            ("word", name), lambda: np.ascontiguousarray(make(name), np.float32), lambda x: x.nbytes
        )

    def _with(self, base: Columns, added: tuple[str, ...]) -> Columns:
        new = np.stack([self.word(name) for name in added], axis=1)
        fresh = new[self.training_rows].astype(np.float64)
        spread = fresh.std(axis=0)
        mean = fresh.mean(axis=0).astype(np.float32)
        # A constant column keeps weight 0 whatever its scale.
        scale = np.where(spread > 1e-7, spread, 1.0).astype(np.float32)
        training, validation = (
            np.concatenate([old, standardised(new, rows, mean, scale)], axis=1)
            for old, rows in ((base.training, self.training_rows), (base.validation, self.validation_rows))
        )
        return Columns(
            base.names + added,
            base.groups + ("added",) * len(added),
            np.concatenate([np.asarray(self.X, np.float32), new], axis=1),
            training,
            np.asfortranarray(validation),
            np.concatenate([base.mean, mean]),
            np.concatenate([base.scale, scale]),
        )

    def norms(self, added: tuple[str, ...]) -> tuple[Float32, Float32]:
        """Length of every standardised concept vector, of training and of validation images; never 0."""
        columns = self.columns(added)
        return self.cache.get(
            ("norms", added),
            lambda: tuple(
                np.maximum(np.sqrt(np.einsum("nk,nk->n", Z, Z)), 1e-12)
                for Z in (columns.training, columns.validation)
            ),
            lambda x: x[0].nbytes + x[1].nbytes,
        )

    def correlations(self, added: tuple[str, ...], columns: tuple[int, ...]) -> Float32:
        """(m, K) correlation of some columns with all, over at most 8,192 training images."""

        def make() -> Float32:
            Z = self.columns(added).training
            Z = Z[:: -(-len(Z) // 8192)]
            spread = np.maximum(Z.std(axis=0), 1e-6)
            centred = Z[:, columns] - Z[:, columns].mean(axis=0)
            return (centred.T @ Z) / len(Z) / np.outer(spread[list(columns)], spread)

        return self.cache.get(("correlations", added, columns), make, lambda x: x.nbytes)

    def histogram_bins(self, added: tuple[str, ...], bins: int) -> tuple[Float32, NDArray[np.uint8]]:
        """Edges (K, bins + 1) in raw units, and the bin of each validation value, (m, K)."""

        def make() -> tuple[Float32, NDArray[np.uint8]]:
            columns = self.columns(added)
            Z = columns.validation
            if not len(Z):
                return np.zeros((Z.shape[1], bins + 1), np.float32), np.zeros(Z.shape, np.uint8)
            low, high = Z.min(axis=0), Z.max(axis=0)
            width = np.where(high > low, high - low, 1.0)
            codes = np.minimum((Z - low) * (bins / width), bins - 1).astype(np.uint8)
            edges = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, bins + 1)
            return (edges * columns.scale[:, None] + columns.mean[:, None]).astype(np.float32), codes

        return self.cache.get(("bins", added, bins), make, lambda x: x[0].nbytes + x[1].nbytes)

    def histogram(self, added: tuple[str, ...], bins: int) -> NDArray[np.int32]:
        """(K, bins) all validation images by value of each concept."""

        def make() -> NDArray[np.int32]:
            codes = self.histogram_bins(added, bins)[1]
            return np.stack([np.bincount(codes[:, k], minlength=bins) for k in range(codes.shape[1])]).astype(
                np.int32
            )

        return self.cache.get(("histogram", added, bins), make, lambda x: x.nbytes)

    # -- scores

    def logits(self, weights: Float32, bias: float, added: tuple[str, ...], part: str) -> Float32:
        """Logits of one class.

        Parameters
        ----------
        weights : ndarray of shape (K,)
            In standardised units.
        bias : float
            The intercept.
        added : tuple of str
            The words added so far.
        part : {"training", "validation", "all"}
            Of which images.

        Returns
        -------
        ndarray of shape (n,), float32
            Read-only; shared between sessions.
        """
        key = (part, added, bias, hashlib.blake2b(weights.tobytes(), digest_size=16).digest())
        return self.cache.get(key, lambda: self._logits(weights, bias, added, part), lambda x: x.nbytes)

    def _logits(self, weights: Float32, bias: float, added: tuple[str, ...], part: str) -> Float32:
        columns = self.columns(added)
        if part == "all":
            out = np.empty(self.n_images, np.float32)
            out[self.training_rows] = self.logits(weights, bias, added, "training")
            out[self.validation_rows] = self.logits(weights, bias, added, "validation")
        else:
            # OpenBLAS's threads wait busily for a while after a product, in the way of the solver's own.
            with single_threaded_blas():
                if part == "training":
                    out = columns.training @ weights
                else:
                    used = np.flatnonzero(weights)
                    out = weights[used] @ columns.validation.T[used]
            out += np.float32(bias)
        out.flags.writeable = False
        return out

    def scores(self, state: BranchState, part: str) -> Float32:
        """(n, C) probabilities of all classes on ``training``, ``validation`` or ``all`` images."""
        logits = [self.logits(c.weights, c.bias, state.added, part) for c in state.classes.values()]
        return probabilities(np.stack(logits, axis=1), self.students.link)

    def score(self, state: BranchState, cls: str, part: str) -> Float32:
        """(n,) probabilities of one class."""
        if self.students.link == "softmax":
            return self.scores(state, part)[:, self.students.class_index(cls)]
        c = state.classes[cls]
        return probabilities(self.logits(c.weights, c.bias, state.added, part), "sigmoid")

    def thresholds(self, state: BranchState) -> Float32:
        """(C,) the probability from which each class's student says yes."""
        if state.thresholds is None:
            return self.students.thresholds
        return np.array(state.thresholds, np.float32)

    def threshold(self, state: BranchState, c: int) -> float:
        """The same of the class in column `c`."""
        return float(self.students.thresholds[c] if state.thresholds is None else state.thresholds[c])

    def targets(self, state: BranchState, part: str, overrides: bool = True) -> Float32:
        """(n, C) what the classes are fitted to or held against: the teacher, with overrides unless told
        otherwise.

        The result is shared where there are no overrides: do not write into it.
        """
        rows = self.training_rows if part == "training" else self.validation_rows
        T = self.T_training if part == "training" else self.T_validation
        if not overrides:
            return T
        asked: dict[int, dict[int, float]] = {}
        for c, one in enumerate(state.classes.values()):
            for image, value in one.overrides.items():
                row = self.image_index[image]
                i = int(np.searchsorted(rows, row))
                if i < len(rows) and rows[i] == row:
                    asked.setdefault(c, {})[i] = value
        return overridden(T, self.students.link, asked)


def standardised(
    X: NDArray[Any], rows: NDArray[np.intp], mean: Float32, scale: Float32, block: int = 8192
) -> Float32:
    """Rows of X in standard units, a block at a time.

    Parameters
    ----------
    X : ndarray of shape (N, K)
        Raw, maybe memory-mapped.
    rows : ndarray of int
        Which rows.
    mean, scale : ndarray of shape (K,)
        Per column.
    block : int
        Rows handled at once.

    Returns
    -------
    ndarray of shape (len(rows), K), float32
        Contiguous.
    """
    out = np.empty((len(rows), X.shape[1]), np.float32)
    for start in range(0, len(rows), block):
        part = out[start : start + block]
        np.subtract(X[rows[start : start + block]], mean, out=part)
        part /= scale
    return out
