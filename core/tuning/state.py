"""What a branch consists of at one node: per class its weights, bounds, focus and overrides. All immutable.

States share what they can: a step on one class makes one new `ClassState` and leaves the others as they are,
so a visitor's branch costs kilobytes.
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
    """The images whose weight in the loss is multiplied, as resolved when the action was made.

    Parameters
    ----------
    label : str
        What was asked, for people: ``missed``, ``12 images``.
    factor : float
        φ, the multiplier.
    size : int
        How many training images it holds.
    packed : bytes
        One bit per image of the project (validation bits are 0), compressed.
    """

    label: str
    factor: float
    size: int
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, label: str, mask: NDArray[np.bool_], factor: float) -> "Focus":
        """From a mask of shape (N,) over the project's images."""
        return cls(label, float(factor), int(mask.sum()), zlib.compress(np.packbits(mask).tobytes(), 6))

    def mask(self, n_images: int) -> NDArray[np.bool_]:
        """(N,) true for the images in focus."""
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
        In force for this class.
    focus : Focus or None
        Of the latest action on this class.
    overrides : mapping from image id to target
        Where the person says that the teacher is wrong.
    """

    weights: NDArray[np.float32]
    bias: float
    bounds: Mapping[str, Bound] = field(default_factory=_nothing)
    focus: Focus | None = None
    overrides: Mapping[str, float] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        weights = self.weights
        if weights.dtype != np.float32 or weights.flags.writeable or weights.base is not None:
            weights = np.array(weights, np.float32)  # a copy: nobody else can write into it
            weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "bias", float(self.bias))

    def is_plain(self) -> bool:
        """Whether nothing was asked of this class: its optimum is the unbounded one."""
        return not self.bounds and self.focus is None and not self.overrides

    def same_as(self, other: "ClassState") -> bool:
        """Equal to the last bit."""
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
        From which probability each class's student says yes; None where they are the project's own.
    """

    classes: Mapping[str, ClassState]
    added: tuple[str, ...] = ()
    dropped: frozenset[str] = frozenset()
    lam: float = 2.5e-3
    thresholds: tuple[float, ...] | None = None

    def with_classes(self, changed: Mapping[str, ClassState]) -> "BranchState":
        """The same branch with some classes replaced."""
        return replace(self, classes=MappingProxyType({**self.classes, **changed}))

    def weights(self) -> NDArray[np.float32]:
        """(C,K) the weights of all classes."""
        return np.stack([c.weights for c in self.classes.values()])

    def bias(self) -> NDArray[np.float64]:
        """(C,) the intercepts."""
        return np.array([c.bias for c in self.classes.values()])
