"""What a fit returns: the students, their certificate, and what makes the next fit cheap."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.solver.design import Design, inward
from inficond.core.solver.targets import Targets

Array = NDArray[np.floating]


@dataclass
class Model:
    """The quadratic model that a fit has learnt about its loss, in solver's units.

    Arrays are over blocks: a class each for sigmoids, one of all classes for softmax (see `links`).

    Attributes
    ----------
    design : the rows, with the Gram matrix that all classes share
    targets : the targets and sample weights it was learnt on
    weights : (B, n) where the gradient was taken
    gradient, loss : (B, n) and (B,) there
    curvature : (B, width, width) multipliers of the Gram matrix
    ray : (B, 3) second derivatives along the weights themselves (see `links.Pass`)
    S, Y : (B, memory, n) changes of weights and gradients: the quasi-Newton corrections
    GS : (B, memory, n) the Gram matrix times S
    pairs, newest : (B,) how many there are, and where the newest lies
    """

    design: Design
    targets: Targets
    weights: Array
    gradient: Array
    loss: Array
    curvature: Array
    ray: Array
    S: Array
    Y: Array
    GS: Array
    pairs: NDArray[np.int64]
    newest: NDArray[np.int64]

    @classmethod
    def fresh(cls, design: Design, targets: Targets, weights: Array, width: int, memory: int) -> "Model":
        """A model that has learnt nothing yet, about `weights` (B, n)."""
        B, n = weights.shape
        none = np.zeros((B, memory, n), design.X.dtype)
        return cls(
            design, targets, weights.copy(), np.full((B, n), np.nan), np.full(B, np.nan),
            np.tile(np.eye(width) / 4, (B, 1, 1)),
            np.zeros((B, 3 if width == 1 else 4 * width**2)), none, none.copy(), none.copy(),
            np.zeros(B, np.int64), np.full(B, -1, np.int64),
        )  # fmt: skip

    def copy(self) -> "Model":
        """A model to go on with, leaving this one as it is."""
        return self._take(slice(None))

    @property
    def nbytes(self) -> int:
        """Memory of what is this model's own: not the design's, and not the targets'."""
        return sum(a.nbytes for a in self._arrays)

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        return (
            self.weights, self.gradient, self.loss, self.curvature, self.ray, self.S, self.Y, self.GS,
            self.pairs, self.newest,
        )  # fmt: skip

    def _take(self, blocks: Any) -> "Model":
        return Model(self.design, self.targets, *(a[blocks].copy() for a in self._arrays))

    def select(self, classes: NDArray[np.int64]) -> "Model":
        """The model of some classes (sigmoids)."""
        return replace(self._take(classes), targets=self.targets.select(classes))


@dataclass
class FitResult:
    """Students and their certificate.

    Attributes
    ----------
    weights : (C, K) float64, in standardised units where `standardize` was true
    bias : (C,) float64
    objective : (C,) mean loss + lam * l1 norm; (1,) for softmax
    gap : like `objective`: an upper bound on objective - optimum, from a dual feasible point
    n_iter : like `objective`: passes over the data
    converged : like `objective`: gap <= tol * max(objective, 0.001)
    mean, scale : (K,) z = (x - mean) / scale are the standardised concept vectors
    lam, link : as given to `fit`
    model : what the next fit, a preview and sensitivities start from; None when made from weights alone
    """

    weights: Array
    bias: Array
    objective: Array
    gap: Array
    n_iter: NDArray[np.int64]
    converged: NDArray[np.bool_]
    mean: Array
    scale: Array
    lam: float
    link: str
    model: Model | None = field(default=None, repr=False, compare=False)

    @classmethod
    def from_weights(
        cls,
        weights: ArrayLike,
        bias: ArrayLike,
        mean: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        lam: float = 0.0,
        link: str = "sigmoid",
    ) -> "FitResult":
        """A result to start from, made of saved weights: no data needed, no certificate held.

        Parameters
        ----------
        weights : (C, K)
        bias : (C,)
        mean, scale : (K,) of the units of `weights`; 0 and 1 when left out
        lam, link : of the fit that made them

        Returns
        -------
        FitResult
            With an infinite gap and no model; `fit(..., init=it)` gives it both.
        """
        w = np.array(weights, np.float64, ndmin=2)
        C, K = w.shape
        b = np.array(bias, np.float64).reshape(-1)
        m = np.zeros(K) if mean is None else np.array(mean, np.float64).reshape(-1)
        s = np.ones(K) if scale is None else np.array(scale, np.float64).reshape(-1)
        for name, value, size in (("bias", b, C), ("mean", m, K), ("scale", s, K)):
            if value.shape != (size,):
                raise ValueError(
                    f"{name} must have {size} entries, as weights {w.shape} have: it has {value.size}"
                )
        for name, value in (("weights", w), ("bias", b), ("mean", m), ("scale", s)):
            if not np.all(np.isfinite(value)):
                place = np.unravel_index(int(np.argmin(np.isfinite(value))), value.shape)
                raise ValueError(
                    f"{name} must be finite: {name}[{', '.join(map(str, place))}] is {value[place]}"
                )
        if not np.all(s > 0):
            raise ValueError(f"scale must be positive: scale[{int(np.argmin(s))}] is {s.min()}")
        n = 1 if link == "softmax" else C
        unknown = np.full(n, np.inf)
        return cls(w, b, unknown, unknown.copy(), np.zeros(n, np.int64), np.zeros(n, bool), m, s, lam, link)

    def about(self, weights: ArrayLike, bias: ArrayLike) -> "FitResult":
        """What this fit has learnt about the curvature, to start from other weights.

        Parameters
        ----------
        weights : (C, K) in the same units
        bias : (C,)

        Returns
        -------
        FitResult
            Without a certificate; the next fit begins with a pass for the gradient there.
        """
        moved = FitResult.from_weights(weights, bias, self.mean, self.scale, self.lam, self.link)
        if self.model is not None:
            moved.model = self.model.copy()
            moved.model.weights = inward(self.model.design, moved.weights, moved.bias).reshape(
                self.model.weights.shape
            )
            moved.model.gradient[:], moved.model.loss[:] = np.nan, np.nan
        return moved

    @property
    def nec(self) -> NDArray[np.int64]:
        """(C,) number of effective concepts: non-zero weights."""
        return np.count_nonzero(self.weights, axis=1)

    def select(self, classes: Sequence[int] | NDArray[np.int64]) -> "FitResult":
        """The result for some classes, to refit those alone.

        Raises
        ------
        ValueError
            For the softmax link, whose classes cannot be refitted apart.
        """
        if self.link == "softmax":
            raise ValueError("a softmax fit has one objective for all classes: it cannot be taken apart")
        c = np.atleast_1d(np.asarray(classes, np.int64))
        parts = {
            n: getattr(self, n)[c].copy()
            for n in ("weights", "bias", "objective", "gap", "n_iter", "converged")
        }
        return replace(self, **parts, model=None if self.model is None else self.model.select(c))
