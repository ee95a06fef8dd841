"""Interface between the export of an encoder and the libraries that models come from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from inficond.export.preprocessing import Preprocessing
from inficond.export.text import TokenizerFile
from inficond.export.towers import Dense


class DenseTower(Protocol):
    """Image tower: uint8 pixels (B, H, W, 3) to the dense and the image embedding, both of unit length."""

    grid: tuple[int, int]

    def __call__(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return float32 (B, h, w, D) and (B, D)."""
        ...


@dataclass(kw_only=True)
class EncoderModel(ABC):
    """An image-text model, ready to be exported.

    Attributes
    ----------
    name : str
    licence : str or None
        Licence of the weights, where it is stated.
    preprocessing : Preprocessing
        At the model's own input size.
    templates : tuple of str
        Prompts of the architecture.
    notes : list of str
    """

    name: str
    licence: str | None
    preprocessing: Preprocessing
    templates: tuple[str, ...]
    notes: list[str] = field(default_factory=list)

    library: ClassVar[str] = "transformers"

    @abstractmethod
    def origin(self) -> dict[str, Any]:
        """Return the manifest's entries about the model's origin."""

    @abstractmethod
    def tokens(self, templates: Sequence[str]) -> TokenizerFile:
        """Return the tokenizer as it will be written."""

    @abstractmethod
    def text_tower(self) -> Any:
        """Return the text tower: a module with `inputs`, the names of the graph's inputs."""

    @abstractmethod
    def image_tower(self, preprocessing: Preprocessing, dense: Dense) -> Any:
        """Return a module that is a `DenseTower`, for the size of `preprocessing`."""

    @abstractmethod
    def reference(self, tower: Any, x: Tensor) -> Tensor:
        """Return the model's own image embedding of normalised pixels (B, 3, H, W), unit length."""

    @abstractmethod
    def dense_facts(self, tower: Any, dense: Dense) -> dict[str, Any]:
        """Return the manifest's entry about the dense recipe."""
