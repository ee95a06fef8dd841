"""Result of a fit: weights, certificate and the state that makes the next fit cheap."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.real_arrays import real_array
from inficond.core.solver import validation
from inficond.core.solver.datafits import DATAFITS
from inficond.core.solver.design import to_solver_units
from inficond.core.solver.quadratic_model import QuadraticModel

Array = NDArray[np.floating]


@dataclass
class FitResult:
    """Fitted students and their certificate.

    Attributes
    ----------
    weights : (C, K) float64, in standardized units if `standardize` was true
    bias : (C,) float64
    objective : (C,) mean loss plus penalty; (1,) for softmax
    gap : like `objective`: an upper bound on objective - optimum, from a dual feasible point
    n_iter : like `objective`: passes over the data
    converged : like `objective`: gap <= tol * max(objective, 0.001)
    mean, scale : (K,) units of the weights, z = (x - mean) / scale
    lam, link : arguments of `fit`
    penalty : (C, K) multipliers of lam; None for 1
    model : state from which the next fit starts; None if the result was made from weights alone

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.solver import fit
    >>> X = np.random.default_rng(0).random((200, 6))
    >>> T = X[:, :2]
    >>> result = fit(X, T, lam=0.01)
    >>> result.weights.shape, result.nec.tolist(), result.converged.tolist()
    ((2, 6), [1, 1], [True, True])
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
    penalty: Array | None = field(default=None, repr=False)
    model: QuadraticModel | None = field(default=None, repr=False, compare=False)

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
        """Create a result from saved weights, as the starting point of a fit.

        Parameters
        ----------
        weights : (C, K)
        bias : (C,)
        mean, scale : (K,) units of the weights; 0 and 1 when omitted
        lam, link : of the fit that produced them

        Returns
        -------
        FitResult
            With an infinite gap and no model; ``fit(..., init=result)`` computes both.

        Raises
        ------
        ValueError
            If shapes do not agree, entries are not finite, or a scale is not positive.

        Examples
        --------
        >>> from inficond.core.solver import FitResult
        >>> start = FitResult.from_weights(result.weights, result.bias, result.mean, result.scale, result.lam)
        >>> fit(X, T, lam=0.01, init=start).converged.tolist()
        [True, True]
        """
        w = validation.matrix("weights", weights, "(C, K)").astype(np.float64)
        C, K = w.shape
        validation.choice("link", link, tuple(DATAFITS))
        arrays = {"bias": (bias, C)}
        arrays["mean"] = (np.zeros(K) if mean is None else mean, K)
        arrays["scale"] = (np.ones(K) if scale is None else scale, K)
        b, m, s = (
            real_array(name, value).astype(np.float64).reshape(-1) for name, (value, _) in arrays.items()
        )
        for name, array, size in (("bias", b, C), ("mean", m, K), ("scale", s, K)):
            if array.shape != (size,):
                raise ValueError(
                    f"{name} must have {size} entries, as weights have shape {w.shape}: it has {array.size}"
                )
        for name, array in (("weights", w), ("bias", b), ("mean", m), ("scale", s)):
            validation.finite(name, array)
        if not np.all(s > 0):
            raise ValueError(f"scale must be positive: scale[{int(np.argmin(s))}] is {s.min()}")
        n = 1 if DATAFITS[link].joint else C
        unknown = np.full(n, np.inf)
        return cls(
            w, b, unknown, unknown.copy(), np.zeros(n, np.int64), np.zeros(n, bool), m, s,
            validation.non_negative("lam", lam), link,
        )  # fmt: skip

    def at_weights(self, weights: ArrayLike, bias: ArrayLike) -> "FitResult":
        """Return a start at other weights with the Hessian model of this fit.

        Parameters
        ----------
        weights : (C, K) in the same units
        bias : (C,)

        Returns
        -------
        FitResult
            Without a certificate; the next fit begins with a pass for the gradient.
        """
        moved = FitResult.from_weights(weights, bias, self.mean, self.scale, self.lam, self.link)
        moved.penalty = self.penalty
        if self.model is not None:
            moved.model = self.model.copy()
            coefficients = to_solver_units(self.model.design, moved.weights, moved.bias)
            moved.model.weights = coefficients.reshape(self.model.weights.shape)
            moved.model.gradient[:], moved.model.loss[:] = np.nan, np.nan
        return moved

    @property
    def nec(self) -> NDArray[np.int64]:
        """(C,) number of effective concepts: non-zero weights."""
        return np.count_nonzero(self.weights, axis=1)

    def select(self, classes: Sequence[int] | NDArray[np.int64]) -> "FitResult":
        """Return the result of some classes, to refit those alone.

        Parameters
        ----------
        classes : sequence of int, or (C,) array of bool
            Rows of `weights`.

        Raises
        ------
        ValueError
            For the softmax link, whose classes have one common objective, and for classes that do not exist.

        Examples
        --------
        >>> second = result.select([1])
        >>> fit(X, T[:, [1]], lam=0.02, init=second).weights.shape
        (1, 6)
        """
        if DATAFITS[self.link].joint:
            raise ValueError(
                f"a {self.link} fit has one objective for all classes: classes cannot be selected"
            )
        c = validation.class_rows("classes", classes, len(self.weights))
        names = ("weights", "bias", "objective", "gap", "n_iter", "converged")
        parts = {name: getattr(self, name)[c].copy() for name in names}
        return replace(
            self,
            **parts,
            penalty=None if self.penalty is None else self.penalty[c],
            model=None if self.model is None else self.model.select(c),
        )
