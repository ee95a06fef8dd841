"""The encoder: pictures to region embeddings, words to concept embeddings, one space for both."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest, read_manifest
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.resolve import locate
from inficond.core.models.sessions import Session, open_session

if TYPE_CHECKING:
    from inficond.core.models.class_lookup import ClassLookup
    from inficond.core.models.text_embedder import WordEmbedder


class Encoded(NamedTuple):
    """What the encoder says of a batch of B images.

    Parameters
    ----------
    regions : (B, R, D) float32, unit length
    assignment : (B, h*w) uint8
        The region of each cell, row by row.
    image : (B, D) float32, unit length
    """

    regions: np.ndarray
    assignment: np.ndarray
    image: np.ndarray


class Encoder:
    """An encoder folder, open. Safe to call from several threads.

    Parameters
    ----------
    manifest : Manifest
    session : Session
        The image graph.

    Attributes
    ----------
    name : str
    dim : int
        D.
    grid : (h, w)
        Cells of the dense map.
    n_regions : int
        R.
    size : (H, W)
        Pixels the graph takes.
    preprocess : Preprocess
        Picture -> (S, S, 3) uint8.
    provider : str
        What it really runs on.
    """

    def __init__(self, manifest: Manifest, session: Session) -> None:
        self.manifest, self.session = manifest, session
        self.name = manifest.name
        self.dim, self.grid, self.n_regions = manifest.dim, manifest.grid, manifest.regions
        self.size = manifest.image.size
        self.preprocess = Preprocess(manifest.image)
        self.provider = session.provider
        self._words: WordEmbedder | None = None
        missing = {"regions", "assignment", "image"} - set(session.outputs)
        if missing or "pixels" not in session.inputs:
            lacks = ", ".join(sorted(missing)) or "the input pixels"
            raise InputError(f"{session.path} is no encoder graph: it lacks {lacks}")

    def encode(self, pixels: np.ndarray) -> Encoded:
        """Encode a batch.

        Parameters
        ----------
        pixels : (B, S, S, 3) uint8
            As `preprocess` gives them.

        Raises
        ------
        InputError
            The graph failed, or gave numbers that are not finite or of another shape than its manifest says.
        """
        feeds = {"pixels": self.preprocess.graph_input(pixels)}
        encoded = Encoded(*self.session.run(feeds, ("regions", "assignment", "image")))
        cells = self.grid[0] * self.grid[1]
        shapes = (len(pixels), self.n_regions, self.dim), (len(pixels), cells), (len(pixels), self.dim)
        if tuple(a.shape for a in encoded) != shapes:
            raise InputError(
                f"{self.session.path} gives other shapes than its manifest says: export it again"
            )
        if not (np.isfinite(encoded.regions).all() and np.isfinite(encoded.image).all()):
            raise InputError(f"the encoder {self.name!r} gave numbers that are not finite on {self.provider}")
        return encoded

    def embed_words(self, words: Sequence[str], templates: Sequence[str] | None = None) -> np.ndarray:
        """Concept embeddings of words.

        Parameters
        ----------
        words : n words or short phrases
        templates : sequence of str, optional
            Texts with ``{}`` for the word; by default the manifest's. A word's vector is the normalised mean.

        Returns
        -------
        (n, D) float32, unit length

        Raises
        ------
        InputError
            The encoder has no text tower, or a word is empty.
        """
        return self._embedder().embed(words, templates)

    @property
    def lookup(self) -> "ClassLookup | None":
        """Classes that speak for words; `embed_words` uses them unless templates are given."""
        return self._embedder().lookup

    def _embedder(self) -> "WordEmbedder":
        if self._words is None:
            from inficond.core.models.text_embedder import word_embedder

            self._words = word_embedder(self.manifest)
        return self._words


def load_encoder(
    spec: str | Path = "embedded",
    provider: str = "auto",
    threads: int | None = None,
    download: bool = True,
) -> Encoder:
    """Open an encoder.

    Parameters
    ----------
    spec : str
        ``embedded``, a model folder, or a Hugging Face id (needs the `export` extra at first use).
    provider : str
        See `open_session`.
    threads : int, optional
        CPU threads inside one call; every available core by default.
    download : bool
        See `locate`.

    Returns
    -------
    Encoder
        Ready to be asked.

    Raises
    ------
    InputError
        No such encoder, a damaged folder, or a provider that does not run here.
    """
    manifest = read_manifest(locate(spec, "encoder", download), "encoder")
    return Encoder(manifest, open_session(manifest.graph(manifest.image.file), provider, threads))
