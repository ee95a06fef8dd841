"""Concept embeddings of words: prompt templates, tokenizer, text graph."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.class_lookup import ClassLookup, read_lookup
from inficond.core.models.manifest import Manifest, TextInput
from inficond.core.models.sessions import GraphSession, open_session

BATCH = 64
LONGEST = 200
"""Characters of a word or phrase."""


class WordEmbedder:
    """The text tower of an encoder folder.

    Parameters
    ----------
    text : TextInput
    tokenizer : tokenizers.Tokenizer
    session : GraphSession
    dim : int
        D, the dimension of the embeddings.
    lookup : ClassLookup, optional
        Class vectors that are mixed into the embeddings of words; used if no templates are given.
    """

    def __init__(
        self,
        text: TextInput,
        tokenizer: object,
        session: GraphSession,
        dim: int,
        lookup: ClassLookup | None = None,
    ) -> None:
        self._text, self._tokenizer, self._session, self._dim = text, tokenizer, session, dim
        self.lookup = lookup

    def embed(self, words: Sequence[str], templates: Sequence[str] | None = None) -> np.ndarray:
        """Embed words; see `Encoder.embed_words`."""
        clean = [" ".join(str(word).split()) for word in words]
        for word, given in zip(clean, words):
            if not word or len(word) > LONGEST:
                raise InputError(
                    f"{given!r:.60} cannot be used as a concept: write one word or a short phrase"
                )
        lookup = None if templates else self.lookup
        templates = list(templates) if templates else list(self._text.templates)
        texts = [template.replace("{}", word) for word in clean for template in templates]
        if not texts:
            return np.zeros((0, self._dim), np.float32)
        each = self._run(texts).reshape(len(clean), len(templates), self._dim)
        mean = each.mean(axis=1)
        vectors = (mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)).astype(np.float32)
        if lookup is not None:
            vectors = np.stack([lookup.mix(word, vector) for word, vector in zip(clean, vectors)])
        return vectors

    def _run(self, texts: list[str]) -> np.ndarray:
        rows = []
        for start in range(0, len(texts), BATCH):
            with one_line_errors(f"the tokenizer of {self._session.path.parent} failed"):
                encoded = self._tokenizer.encode_batch(texts[start : start + BATCH])  # type: ignore[attr-defined]
            feeds = {"input_ids": np.array([e.ids for e in encoded], np.int64)}
            if "attention_mask" in self._session.inputs:
                feeds["attention_mask"] = np.array([e.attention_mask for e in encoded], np.int64)
            rows.append(self._session.run(feeds)[0])
        vectors = np.concatenate(rows)
        if vectors.shape != (len(texts), self._dim) or not np.isfinite(vectors).all():
            raise InputError(
                f"{self._session.path} returns NaN or vectors of shape {vectors.shape[1:]}, not {self._dim}"
            )
        return vectors


@contextmanager
def one_line_errors(what: str) -> Iterator[None]:
    """Convert the errors of the tokenizers library to `InputError`.

    Its errors are plain `Exception`, and a panic of its Rust code is a `BaseException`.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise InputError(f"{what}: {error}; export the encoder again") from error


def word_embedder(manifest: Manifest) -> WordEmbedder:
    """Open the text tower of an encoder folder.

    Raises
    ------
    InputError
        The folder has none, or its files are invalid.
    """
    if manifest.text is None:
        raise InputError(
            f"the encoder {manifest.name!r} has no text tower: only words of its own corpus can be used"
        )
    from tokenizers import Tokenizer

    path = manifest.path_of(manifest.text.tokenizer)
    with one_line_errors(f"{path} is not a valid tokenizer"):
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
        tokenizer.enable_truncation(manifest.text.max_length)
        if tokenizer.padding is None:
            tokenizer.enable_padding(length=manifest.text.max_length)
    session = open_session(manifest.graph(manifest.text.file), "cpu")
    return WordEmbedder(manifest.text, tokenizer, session, manifest.dim, read_lookup(manifest))
