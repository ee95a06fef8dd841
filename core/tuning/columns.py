"""Concept vectors under a list of concepts, raw and standardised."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class AppendedColumns:
    """Rows of a matrix followed by further columns, joined when they are read.

    Parameters
    ----------
    base : ndarray of shape (N, K), float32
        May be memory-mapped.
    extra : ndarray of shape (N, A), float32
        The columns that follow.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, base: Float32, extra: Float32) -> None:
        self._base, self._extra = base, extra
        self.shape = (len(base), base.shape[1] + extra.shape[1])

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> Float32:
        """Return rows (n, K + A), or (K + A,) for a single row; not columns."""
        return np.concatenate([np.asarray(self._base[rows], np.float32), self._extra[rows]], axis=-1)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Columns:
    """The concept vectors under one list of concepts: the project's own, followed by added words.

    Parameters
    ----------
    names, groups : tuple of K str
        The concepts and their groups.
    X : ndarray or AppendedColumns of shape (N, K), float32
        All images, raw.
    training, validation : ndarray of shape (n, K), (m, K), float32
        Standardised rows of X. Fits and scores read these, so the weights of every branch have the units of
        the project's students. Training rows are contiguous, because fits read rows; validation columns are
        contiguous, because scoring reads only the columns of non-zero weights.
    mean, scale : ndarray of shape (K,), float32
        Mean and standard deviation of each column over the training images.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    X: Any
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
        """Bytes of the standardised rows."""
        return self.training.nbytes + self.validation.nbytes

    def append(
        self,
        names: tuple[str, ...],
        X: Float32,
        training_rows: NDArray[np.intp],
        validation_rows: NDArray[np.intp],
    ) -> "Columns":
        """Return these columns followed by those of added words.

        Parameters
        ----------
        names : tuple of A str
            The words.
        X : ndarray of shape (N, A), float32
            Their raw columns.
        training_rows, validation_rows : ndarray of int
            Rows of X that `training` and `validation` hold.
        """
        values = X[training_rows].astype(np.float64)
        spread = values.std(axis=0)
        mean = values.mean(axis=0).astype(np.float32)
        scale = np.where(spread > 1e-7, spread, 1.0).astype(np.float32)  # constant columns keep weight 0
        K, width = len(self.names), len(self.names) + len(names)
        training = np.empty((len(training_rows), width), np.float32)
        training[:, :K] = self.training
        training[:, K:] = standardize(X, training_rows, mean, scale)
        validation = np.empty((len(validation_rows), width), np.float32, order="F")
        validation[:, :K] = self.validation
        validation[:, K:] = standardize(X, validation_rows, mean, scale)
        return Columns(
            self.names + names,
            self.groups + ("added",) * len(names),
            AppendedColumns(self.X, X),
            training,
            validation,
            np.concatenate([self.mean, mean]),
            np.concatenate([self.scale, scale]),
        )


def standardize(
    X: NDArray[Any], rows: NDArray[np.intp], mean: Float32, scale: Float32, block: int = 8192
) -> Float32:
    """Return standardised rows of X, computed in blocks.

    Parameters
    ----------
    X : ndarray of shape (N, K)
        Raw values; may be memory-mapped.
    rows : ndarray of shape (n,), int
        Rows of X.
    mean, scale : ndarray of shape (K,)
        Of each column.
    block : int
        Rows per block.

    Returns
    -------
    ndarray of shape (n, K), float32
        C-contiguous.
    """
    out = np.empty((len(rows), X.shape[1]), np.float32)
    for start in range(0, len(rows), block):
        part = out[start : start + block]
        np.subtract(X[rows[start : start + block]], mean, out=part)
        part /= scale
    return out
