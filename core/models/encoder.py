"""Encoders: region embeddings of pictures and concept embeddings of words, in one space."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.manifest import Manifest, read_manifest
from inficond.core.models.preprocess import Preprocess
from inficond.core.models.resolve import locate
from inficond.core.models.sessions import GraphSession, open_session

if TYPE_CHECKING:
    from inficond.core.models.class_lookup import ClassLookup
    from inficond.core.models.text_embedder import WordEmbedder


class Encoded(NamedTuple):
    """Encodings of a batch of B images.

    Attributes
    ----------
    regions : (B, R, D) float32, unit length
    assignment : (B, h*w) uint8
        Region of each cell, in row-major order.
    image : (B, D) float32, unit length

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.models import load_encoder
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> encoded = encoder.encode(np.zeros((1, *encoder.size, 3), np.uint8))
    >>> encoded.assignment.reshape(encoder.grid).shape
    (14, 14)
    """

    regions: np.ndarray
    assignment: np.ndarray
    image: np.ndarray


class WordVectorCache(Protocol):
    """Vectors of lists of words that an encoder embedded before."""

    def get(self, encoder: str, words: Sequence[str], templates: Sequence[str] | None) -> np.ndarray | None:
        """Return the vectors (n, D) of exactly these words in this order, or None."""

    def put(
        self, encoder: str, words: Sequence[str], templates: Sequence[str] | None, vectors: np.ndarray
    ) -> None:
        """Keep the vectors (n, D) of words."""


class Encoder:
    """An open encoder. Thread-safe.

    Parameters
    ----------
    manifest : Manifest
    session : GraphSession
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
        Input size in pixels.
    preprocess : Preprocess
        Picture -> (H, W, 3) uint8.
    provider : str
        The execution provider in use.
    word_cache : WordVectorCache or None
        Looked up by `embed_words`; None by default.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.models import load_encoder
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> pixels = encoder.preprocess(np.zeros((480, 640, 3), np.uint8))
    >>> encoded = encoder.encode(pixels[None])
    >>> encoded.regions.shape == (1, encoder.n_regions, encoder.dim)
    True
    """

    def __init__(self, manifest: Manifest, session: GraphSession) -> None:
        self.manifest, self.session = manifest, session
        self.name = manifest.name
        self.dim, self.grid, self.n_regions = manifest.dim, manifest.grid, manifest.regions
        self.size = manifest.image.size
        self.preprocess = Preprocess(manifest.image)
        self.provider = session.provider
        self.word_cache: WordVectorCache | None = None
        self._words: WordEmbedder | None = None
        if session.shipped:  # is opened on first use
            return
        missing = {"regions", "assignment", "image"} - set(session.outputs)
        if missing or "pixels" not in session.inputs:
            lacks = ", ".join(sorted(missing)) or "the input pixels"
            raise InputError(f"{session.path} is not the graph of an encoder: it lacks {lacks}")

    def encode(self, pixels: np.ndarray) -> Encoded:
        """Encode a batch.

        Parameters
        ----------
        pixels : (B, H, W, 3) uint8
            As returned by `preprocess`.

        Raises
        ------
        InputError
            The graph failed, or returned NaN or another shape than its manifest states.

        Examples
        --------
        >>> encoder.encode(np.stack([pixels, pixels])).image.shape == (2, encoder.dim)
        True
        """
        feeds = {"pixels": self.preprocess.graph_input(pixels)}
        encoded = Encoded(*self.session.run(feeds, ("regions", "assignment", "image")))
        cells = self.grid[0] * self.grid[1]
        shapes = (len(pixels), self.n_regions, self.dim), (len(pixels), cells), (len(pixels), self.dim)
        if tuple(a.shape for a in encoded) != shapes:
            raise InputError(
                f"{self.session.path} returns other shapes than its manifest states: export it again"
            )
        if not (np.isfinite(encoded.regions).all() and np.isfinite(encoded.image).all()):
            raise InputError(f"the encoder {self.name!r} returned NaN or infinite values on {self.provider}")
        return encoded

    def embed_words(self, words: Sequence[str], templates: Sequence[str] | None = None) -> np.ndarray:
        """Compute the concept embeddings of words.

        Parameters
        ----------
        words : n words or short phrases
        templates : sequence of str, optional
            Texts with ``{}`` in place of the word; those of the manifest by default. The embedding of a word
            is the normalised mean over the templates.

        Returns
        -------
        (n, D) float32, unit length

        Raises
        ------
        InputError
            The encoder has no text tower, or a word is empty.

        Examples
        --------
        >>> encoder.embed_words(["sea", "mast"]).shape == (2, encoder.dim)
        True
        """
        if self.word_cache is None:
            return self._embedder().embed(words, templates)
        digest = self.manifest.digest
        vectors = self.word_cache.get(digest, words, templates)
        if vectors is None or vectors.shape != (len(words), self.dim):
            vectors = self._embedder().embed(words, templates)
            self.word_cache.put(digest, words, templates, vectors)
        return vectors

    @property
    def lookup(self) -> "ClassLookup | None":
        """Class vectors that `embed_words` mixes in unless templates are given."""
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

    Raises
    ------
    InputError
        The encoder does not exist, its folder is damaged, or the provider does not work here.

    Examples
    --------
    >>> from inficond.core.models import load_encoder
    >>> encoder = load_encoder("embedded", provider="cpu")
    >>> encoder.grid, encoder.n_regions, encoder.embed_words(["sea", "mast"]).shape
    ((14, 14), 9, (2, 192))
    """
    manifest = read_manifest(locate(spec, "encoder", download), "encoder")
    return Encoder(manifest, open_session(manifest.graph(manifest.image.file), provider, threads))
