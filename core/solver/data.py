"""Validated rows, targets and sample weights of a fit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.solver import validation
from inficond.core.solver.design import Design
from inficond.core.solver.result import FitResult
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Data:
    """Rows X (N, K), targets T (N, C) and sample weights, before rows without weight are removed.

    Attributes
    ----------
    source : the argument X, to recognize it in the next fit
    X, T : validated arrays
    sample_weight : (N,) or (N, C); None for equal weights
    kept : (N,) bool, rows with weight for some class; None for all
    """

    source: Any
    X: Array
    T: NDArray[Any]
    sample_weight: NDArray[Any] | None
    kept: NDArray[np.bool_] | None

    @classmethod
    def from_arguments(cls, X: Any, T: Any, sample_weight: Any, joint: bool) -> "Data":
        """Validate and convert the arguments of `fit`; `joint` is that of the link."""
        validation.same_row_order(X=X, T=T, sample_weight=sample_weight)
        rows = validation.rows(X)
        weights = validation.sample_weights(sample_weight, len(rows))
        targets = validation.targets(T, len(rows), weights, joint)
        validation.sample_weight_classes(weights, targets.shape[1])
        kept = None
        if weights is not None and not np.all(weights > 0):
            kept = np.asarray((weights > 0).reshape(len(rows), -1).any(1))
        return cls(X, rows, targets, weights, None if kept is None or kept.all() else kept)

    def design(self, standardize: bool, init: FitResult | None, workers: int) -> Design:
        """Return the design of `init` if it has the same rows, else a new one in the same units.

        Rows without weight are removed, so that they affect neither standardization nor anything else.
        """
        mean = scale = None
        if init is not None:
            mean, scale = init.mean, init.scale
            if init.model is not None and init.model.design.matches(self.source, self.X, self.kept):
                return init.model.design
        X = self.X if self.kept is None else self.X[self.kept]
        row_weight = None
        if self.sample_weight is not None:
            weights = np.asarray(self.sample_weight, np.float64)
            row_weight = weights if self.kept is None else weights[self.kept]
            row_weight = row_weight / row_weight.max(axis=0)
            if row_weight.ndim == 2:
                row_weight = (row_weight / row_weight.sum(0)).mean(1)
            if np.all(row_weight == row_weight[0]):
                row_weight = None
        return Design.build(self.source, X, standardize, mean, scale, workers, row_weight, self.kept)

    def targets(self, design: Design, joint: bool, workers: int) -> Targets:
        """Return targets and weights of the rows of a design."""
        T, weights = self.T, self.sample_weight
        if design.kept is not None:
            T = T[design.kept]
            weights = None if weights is None else weights[design.kept]
        return Targets.build(T, weights, design.X.dtype, joint, workers)
