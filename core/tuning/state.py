"""Immutable states of a branch: weights, bounds, focus and overrides of each class.

States share their parts: a step on one class creates one new `ClassState`, so a visitor's branch takes
kilobytes.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import StorageError
from inficond.core.tuning.bounds import Bound


def _nothing() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Focus:
    """Images whose weight in the loss is multiplied, as resolved at the time of the action.

    Parameters
    ----------
    label : str
        Description, such as ``missed`` or ``12 images``.
    factor : float
        φ, the multiplier.
    size : int
        Number of training images in focus.
    packed : bytes
        One bit per image of the project (validation bits are 0), compressed.
    """

    label: str
    factor: float
    size: int
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, label: str, mask: NDArray[np.bool_], factor: float) -> "Focus":
        """Create a focus from a mask of shape (N,) over the project's images."""
        return cls(label, float(factor), int(mask.sum()), zlib.compress(np.packbits(mask).tobytes(), 6))

    def mask(self, n_images: int) -> NDArray[np.bool_]:
        """Return the mask (N,) of the images in focus."""
        wanted = -(-n_images // 8)
        try:
            bits = zlib.decompressobj().decompress(self.packed, wanted + 1)
        except zlib.error:
            bits = b""
        if len(bits) != wanted:
            raise StorageError(f"the focus on {self.label} is damaged in the history: restore a copy of it")
        return np.unpackbits(np.frombuffer(bits, np.uint8), count=n_images).astype(bool)


@dataclass(frozen=True, eq=False)
class ClassState:
    """One class of a branch.

    Parameters
    ----------
    weights : ndarray of shape (K,), float32, read-only
        In standardised units; K includes the concepts added so far.
    bias : float
        The intercept.
    bounds : mapping from concept to Bound
        Bounds on weights of this class.
    focus : Focus or None
        Focus of the last action on this class.
    overrides : mapping from image id to target
        Targets that replace the teacher's responses.
    """

    weights: NDArray[np.float32]
    bias: float
    bounds: Mapping[str, Bound] = field(default_factory=_nothing)
    focus: Focus | None = None
    overrides: Mapping[str, float] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        weights = self.weights
        if weights.dtype != np.float32 or weights.flags.writeable or weights.base is not None:
            weights = np.array(weights, np.float32)  # a copy that no one else can write to
            weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", float(self.bias))

    def is_plain(self) -> bool:
        """Return whether the class has no bounds, focus and overrides: its optimum is the unbounded one."""
        return not self.bounds and self.focus is None and not self.overrides

    def same_as(self, other: "ClassState") -> bool:
        """Return whether all values are equal to the last bit."""
        return (
            self.weights.tobytes() == other.weights.tobytes()
            and np.float64(self.bias).tobytes() == np.float64(other.bias).tobytes()
            and dict(self.bounds) == dict(other.bounds)
            and self.focus == other.focus
            and dict(self.overrides) == dict(other.overrides)
        )


@dataclass(frozen=True, eq=False)
class BranchState:
    """All classes of a branch at one node.

    Parameters
    ----------
    classes : mapping from class name to ClassState
        In the project's order.
    added : tuple of str
        Words added as concepts, in the order of their columns after the project's own.
    dropped : frozenset of str
        Concepts whose weight is 0 in every class.
    lam : float
        λ of the fits.
    thresholds : tuple of C floats, or None
        Decision threshold of each class; None for those of the project.
    """

    classes: Mapping[str, ClassState]
    added: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()
    lam: float = 2.5e-3
    thresholds: tuple[float, ...] | None = None

    def with_classes(self, changed: Mapping[str, ClassState]) -> "BranchState":
        """Return the state with some classes replaced."""
        return replace(self, classes=MappingProxyType({**self.classes, **changed}))

    def weights(self) -> NDArray[np.float32]:
        """Return the weights of all classes, (C, K)."""
        return np.stack([c.weights for c in self.classes.values()])

    def bias(self) -> NDArray[np.float64]:
        """Return the intercepts, (C,)."""
        return np.array([c.bias for c in self.classes.values()])
