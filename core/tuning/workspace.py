"""Arrays and caches shared by all sessions on a project.

A session holds only weights. Everything that grows with the number of images is held here, once.
"""

import hashlib
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.cache import PINNED, Cache
from inficond.core.errors import InputError
from inficond.core.models.hardware import available_memory
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students import Students
from inficond.core.students.student import probabilities
from inficond.core.tuning.columns import Columns, Float32, standardize
from inficond.core.tuning.overrides import overridden
from inficond.core.tuning.state import BranchState, ClassState

CACHE_SETTING = "INFICOND_CACHE_MB"
"""Environment variable: budget of a project's cache, in megabytes (2**20 bytes)."""
LEAST_RESERVE = 64 * 2**20
"""Bytes of the default budget for values that can be evicted, at least."""
RESERVE_ROWS = 6
"""The same as a multiple of the concept vectors: room for the concepts of several visitors' added words."""
MODEL_ROWS = 3 * 40
"""Vectors over a class's weights in the curvature model of a fit, at most."""


def cache_budget(pinned: int, X_bytes: int) -> int:
    """Return the budget of a project's cache in bytes.

    Parameters
    ----------
    pinned : int
        Bytes that every step needs, see `Workspace.pinned_bytes`.
    X_bytes : int
        Bytes of the concept vectors.

    Returns
    -------
    int
        The value of the environment variable `INFICOND_CACHE_MB`; by default `pinned` and, beside it,
        six times the concept vectors but at most half of the free memory and at least 64 MB.

    Raises
    ------
    InputError
        The environment variable is not a positive whole number.
    """
    given = os.environ.get(CACHE_SETTING, "").strip()
    if given:
        if not given.isdecimal() or not 0 < int(given) < 2**40:
            raise InputError(
                f"{CACHE_SETTING} is {given[:40]!r}: set it to a whole number of megabytes, such as 512"
            )
        return int(given) * 2**20
    free = available_memory()
    reserve = RESERVE_ROWS * X_bytes if free is None else min(RESERVE_ROWS * X_bytes, free // 2)
    return pinned + max(LEAST_RESERVE, reserve)


class Workspace:
    """The part of a project's sessions that they share.

    Parameters
    ----------
    students : Students
        As fitted when the project was made: link, λ, thresholds, standardisation.
    X : ndarray of shape (N, K)
        Raw concept vectors; may be memory-mapped.
    T : ndarray of shape (N, C)
        Teacher responses.
    is_validation : ndarray of shape (N,), bool
        Images that no fit uses.
    image_ids : sequence of N str
        Names of the images.
    concept_groups : sequence of K str
        Group of each concept.
    image_groups : sequence of N str or None
        Images of one group are resampled together; None is a group of its own.
    labels : ndarray of shape (N, C), optional
        Ground truth, NaN where unknown.
    column : callable, optional
        ``column(word) -> (N,) float32``: the raw concept vector entries of a word that is not a concept.
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
        self.cache = Cache(
            cache_budget(self.pinned_bytes, X.nbytes),
            "cache of the project",
            f"previews are slow while it lasts: raise {CACHE_SETTING}",
        )

    @property
    def n_images(self) -> int:
        """Number of images N."""
        return len(self.image_ids)

    @cached_property
    def image_index(self) -> Mapping[str, int]:
        """Row of each image."""
        return {name: i for i, name in enumerate(self.image_ids)}

    @cached_property
    def concept_names(self) -> frozenset[str]:
        """The project's own concepts."""
        return frozenset(self.students.concepts)

    def check_tunable(self) -> None:
        """Check that the project has training images.

        Raises
        ------
        InputError
            It has none.
        """
        if not self.training_rows.size:
            raise InputError(
                "this project has no training images (all are held out for validation): its students can be "
                "inspected but not tuned"
            )

    @cached_property
    def T_training(self) -> Float32:
        """(n, C) teacher responses on training images."""
        return np.ascontiguousarray(self.T[self.training_rows], np.float32)

    @cached_property
    def T_validation(self) -> Float32:
        """(m, C) teacher responses on validation images."""
        return np.ascontiguousarray(self.T[self.validation_rows], np.float32)

    @cached_property
    def labels_validation(self) -> Float32:
        """(m, C) ground truth on validation images, NaN where unknown; all NaN without labels."""
        if self.labels is None:
            return np.full(self.T_validation.shape, np.nan, np.float32)
        return np.ascontiguousarray(self.labels[self.validation_rows], np.float32)

    @cached_property
    def validation_groups(self) -> NDArray[np.int32] | None:
        """(m,) resampling group of each validation image; None where each is a group of its own."""
        if self._image_groups is None:
            return None
        names = [self._image_groups[i] for i in self.validation_rows.tolist()]
        if all(name is None for name in names):
            return None
        seen: dict[object, int] = {}
        keys = [(i,) if name is None else name for i, name in enumerate(names)]
        return np.array([seen.setdefault(key, len(seen)) for key in keys], np.int32)

    @cached_property
    def _source_names(self) -> list[str]:
        """Name of each number in `validation_groups`; an image without group has its own name."""
        names: dict[int, str] = {}
        groups = self.validation_groups
        if groups is not None and self._image_groups is not None:
            for number, row in zip(groups.tolist(), self.validation_rows.tolist()):
                names.setdefault(number, self._image_groups[row] or str(self.image_ids[row]))
        return [names[i] for i in range(len(names))]

    def source_name(self, number: int) -> str:
        """Return the name of a source in `validation_groups`."""
        return self._source_names[number]

    @cached_property
    def root(self) -> BranchState:
        """The state at the root of every branch."""
        s = self.students
        return BranchState(
            {name: ClassState(s.weights[c], float(s.bias[c])) for c, name in enumerate(s.classes)}, lam=s.lam
        )

    def penalty(self, added: int = 0, cls: str | None = None) -> Float32 | None:
        """Return the factors of λ of the project's concepts, followed by those of added words.

        Parameters
        ----------
        added : int
            Number of added words. Their factor is the class's median, but at most 1: a person has selected
            them, so they count like the concepts that the fit has selected.
        cls : str, optional
            Only this class.

        Returns
        -------
        (C, K + added) or (1, K + added) float32, or None
            None where all factors are 1.
        """
        if self.students.penalty is None:
            return None
        own = self.students.penalty
        if cls is not None:
            own = own[[self.students.class_index(cls)]]
        if not added:
            return own
        usual = np.minimum(np.median(own, axis=1, keepdims=True), 1.0).astype(own.dtype)
        return np.hstack([own, np.repeat(usual, added, axis=1)])

    @property
    def pinned_bytes(self) -> int:
        """Bytes that every step needs: standardised rows, transposed rows, Gram matrix, curvature, bins."""
        (K, C), n, m = (self.X.shape[1], self.students.n_classes), *map(len, self._parts)
        needed = 4 * K * (2 * n + m) + m * K + 4 * (K + 1) ** 2 + 4 * C * (MODEL_ROWS * (K + 1) + n)
        return max(needed, 2**22)  # at least: the solver works on small problems in double precision

    @property
    def _parts(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return self.training_rows, self.validation_rows

    def columns(self, added: tuple[str, ...] = ()) -> Columns:
        """Return the project's concepts followed by added words; sessions with the same words share it."""
        return self.cache.get(
            ("columns", added), lambda: self._columns(added), lambda c: c.nbytes, group_of(added)
        )

    def _columns(self, added: tuple[str, ...]) -> Columns:
        if added:
            X = np.stack([self.word(name) for name in added], axis=1)
            return self.columns().append(added, X, *self._parts)
        s = self.students
        return Columns(
            tuple(s.concepts),
            self._concept_groups,
            self.X,
            standardize(self.X, self.training_rows, s.mean, s.scale),
            np.asfortranarray(standardize(self.X, self.validation_rows, s.mean, s.scale)),
            s.mean,
            s.scale,
        )

    def word(self, name: str) -> Float32:
        """Return the raw column (N,) of a word that is not a concept of the project."""
        if self._column is None:
            raise ValueError("this workspace has no function that makes columns of words")
        make = self._column
        return self.cache.get(
            ("word", name), lambda: np.ascontiguousarray(make(name), np.float32), lambda x: x.nbytes
        )

    def norms(self, added: tuple[str, ...]) -> tuple[Float32, Float32]:
        """Return the norms of the standardised concept vectors, (n,) training, (m,) validation; above 0."""
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
        """Return the correlations (len(columns), K) of some columns with all, over at most 8,192 training
        images."""

        def make() -> Float32:
            Z = self.columns(added).training
            Z = Z[:: -(-len(Z) // 8192)]
            spread = np.maximum(Z.std(axis=0), 1e-6)
            centred = Z[:, columns] - Z[:, columns].mean(axis=0)
            return (centred.T @ Z) / len(Z) / np.outer(spread[list(columns)], spread)

        return self.cache.get(("correlations", added, columns), make, lambda x: x.nbytes)

    def histogram_bins(self, added: tuple[str, ...], bins: int) -> tuple[Float32, NDArray[np.uint8]]:
        """Return bin edges (K, bins + 1) in raw units and the bin of each validation value (m, K)."""

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

        return self.cache.get(
            ("bins", added, bins), make, lambda x: x[0].nbytes + x[1].nbytes, group_of(added)
        )

    def histogram(self, added: tuple[str, ...], bins: int) -> NDArray[np.int32]:
        """Return the number of validation images per bin of each concept, (K, bins)."""

        def make() -> NDArray[np.int32]:
            codes = self.histogram_bins(added, bins)[1]
            return np.stack([np.bincount(codes[:, k], minlength=bins) for k in range(codes.shape[1])]).astype(
                np.int32
            )

        return self.cache.get(("histogram", added, bins), make, lambda x: x.nbytes)

    # -- scores

    def logits(self, weights: Float32, bias: float, added: tuple[str, ...], part: str) -> Float32:
        """Return the logits of one class.

        Parameters
        ----------
        weights : ndarray of shape (K,)
            In standardised units.
        bias : float
            The intercept.
        added : tuple of str
            The added words of the branch.
        part : {"training", "validation", "all"}
            Images.

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
            # Idle OpenBLAS threads spin after a product and would slow the solver's threads.
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
        """Return the probabilities (n, C) on ``training``, ``validation`` or ``all`` images."""
        logits = [self.logits(c.weights, c.bias, state.added, part) for c in state.classes.values()]
        return probabilities(np.stack(logits, axis=1), self.students.link)

    def score(self, state: BranchState, cls: str, part: str) -> Float32:
        """Return the probabilities (n,) of one class."""
        if self.students.link == "softmax":
            return self.scores(state, part)[:, self.students.class_index(cls)]
        c = state.classes[cls]
        return probabilities(self.logits(c.weights, c.bias, state.added, part), "sigmoid")

    def thresholds(self, state: BranchState) -> Float32:
        """Return the decision threshold (C,) of each class."""
        if state.thresholds is None:
            return self.students.thresholds
        return np.array(state.thresholds, np.float32)

    def threshold(self, state: BranchState, c: int) -> float:
        """Return the decision threshold of the class in column `c`."""
        return float(self.students.thresholds[c] if state.thresholds is None else state.thresholds[c])

    def targets(self, state: BranchState, part: str, overrides: bool = True) -> Float32:
        """Return the target probabilities (n, C): teacher responses, with overrides if `overrides` is true.

        Read-only: the array is shared where there are no overrides.
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


def group_of(added: tuple[str, ...]) -> Hashable:
    """Return the cache group of what every step on a branch with these added words needs."""
    return ("added", *added) if added else PINNED
