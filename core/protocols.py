"""Protocols of the extension points: source, teacher, encoder, command, benchmark, view and store.

Another package may satisfy them without importing them. `docs/extending.md` says how each is named, and has a
package with four of them.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from inficond.core.cli.command import Command
from inficond.core.images.sources.record import ImageSource
from inficond.core.models.encoder import Encoded
from inficond.core.pipeline.shards import Shard, ShardSummary, SourceFile

__all__ = [
    "Benchmark",
    "Command",
    "ImageSource",
    "PictureTeacher",
    "RegionEncoder",
    "Store",
    "ViewDefinition",
    "ViewPartDefinition",
]


@runtime_checkable
class PictureTeacher(Protocol):
    """A teacher: a function from pictures to probabilities.

    It is named by ``--teacher package.module:object`` or passed as `teacher` in Python. It is called with at
    most 16 pictures, in one thread. The same picture must give the same answer, since answers are cached.
    Names of the C classes come from an attribute ``labels`` or ``classes_`` of the object, or from the labels
    of the images. An exception is reported with the pictures of the batch, which are skipped.
    """

    def __call__(self, pictures: list[Image.Image], /) -> ArrayLike:
        """Classify pictures.

        Parameters
        ----------
        pictures : list of n Pillow images
            Upright, in RGB, in their full size.

        Returns
        -------
        array (n, C)
            Probabilities in [0, 1], or logits; which of them is recognised and printed.
        """
        ...


@runtime_checkable
class RegionEncoder(Protocol):
    """An open encoder: regions of pictures and words as unit vectors of one space.

    An encoder is a folder of ONNX graphs (``--encoder FOLDER``), so that an exported student computes the
    same numbers as the project; `inficond.core.models.Encoder` opens the folder and satisfies this protocol.
    All methods may be called by several threads.
    """

    name: str
    """Recorded in projects and exported students."""
    dim: int
    """D, the length of the vectors."""
    grid: tuple[int, int]
    """Height and width of the map of cells, (h, w)."""
    n_regions: int
    """R, the number of regions of each picture."""

    def encode(self, pixels: np.ndarray) -> Encoded:
        """Encode a batch.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8

        Returns
        -------
        Encoded
            `regions` (B, R, D) and `image` (B, D) float32 of unit length, `assignment` (B, h·w) uint8. A
            picture gives the same numbers in any batch.
        """
        ...

    def embed_words(self, words: Sequence[str], templates: Sequence[str] | None = None) -> np.ndarray:
        """Return the embeddings of words, (n, D) float32 of unit length."""
        ...


@runtime_checkable
class Benchmark(Command, Protocol):
    """A module that is a subcommand of ``inficond bench``: a `Command` that measures.

    It measures what it compares within one run, prints processor time beside wall time, and gives with
    ``--json`` an object that holds every figure that it prints.
    """


class ViewPartDefinition(Protocol):
    """A piece of data that a view draws; `inficond.gradio_app.views.ViewPart` satisfies this protocol."""

    @property
    def name(self) -> str:
        """Unique among all views; begins with the name of the view."""
        ...

    @property
    def depends(self) -> tuple[str, ...]:
        """Fields of the selection that it depends on; the page requests it again when one changes."""
        ...

    @property
    def read(self) -> Callable[[Any, Any], Any]:
        """``(visitor, selection) -> JSON``. It reads from the visitor's session and computes nothing."""
        ...

    @property
    def slow(self) -> int:
        """Above 0, it is requested after the others are drawn; lower numbers come first."""
        ...


class ViewDefinition(Protocol):
    """A view of the page: the constant ``VIEW`` of a module that lies beside ``view.js`` and ``view.css``.

    `inficond.gradio_app.views.View` satisfies this protocol. The script exports ``setup(view)``, draws data
    as text nodes and attributes only, and computes nothing.
    """

    @property
    def name(self) -> str:
        """The HTML element of the view has the id ``view-NAME``."""
        ...

    @property
    def number(self) -> int:
        """Position in the reading order, from 1."""
        ...

    @property
    def title(self) -> str:
        """Heading."""
        ...

    @property
    def about(self) -> str:
        """One line that explains the view to a newcomer."""
        ...

    @property
    def parts(self) -> Sequence[ViewPartDefinition]:
        """What the view draws."""
        ...


@runtime_checkable
class Store(Protocol):
    """Finished shards of a build; `inficond.core.pipeline.shards.ShardStore` satisfies this protocol.

    The name of a shard follows from its images and from the models alone. Any number of processes may write
    to one store without a lock: a shard appears as a whole or not at all, and of two equal shards the later
    one replaces the earlier. A damaged shard counts as missing.
    """

    def finished(self, sources: Sequence[SourceFile], /) -> ShardSummary | None:
        """Return the summary of a finished shard; None if it has to be made."""
        ...

    def save(self, sources: Sequence[SourceFile], shard: Shard, /) -> None:
        """Write a shard.

        Raises
        ------
        InputError
            The store is full, read-only or out of reach.
        """
        ...

    def load(self, sources: Sequence[SourceFile], /) -> Shard:
        """Read a shard and compare its arrays with their checksums.

        Raises
        ------
        Exception
            It is missing or damaged.
        """
        ...

    def load_responses(self, sources: Sequence[SourceFile], /) -> np.ndarray:
        """Read the teacher's responses of a shard, (n, L) float32."""
        ...
