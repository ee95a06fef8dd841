"""Embeddings of words in a project's encoder space, each computed once."""

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.cache import Cache
from inficond.core.concepts import load_corpus
from inficond.core.concepts.candidates import missing_words
from inficond.core.concepts.corpus import Concept
from inficond.core.concepts.kept_words import kept_texts, read_words, words_file, write_words
from inficond.core.concepts.odd_words import odd_words
from inficond.core.errors import InputError
from inficond.core.models.encoder import Encoder
from inficond.core.progress import Progress
from inficond.core.project.folder import ProjectFolder
from inficond.core.sessions.renamed_concepts import original_word
from inficond.core.sessions.shown_concepts import SUFFIX, Example, example_vector
from inficond.core.sessions.word_grounding import WordGrounding

BATCH = 64
"""Words embedded in one call."""
MOST_TYPED = 4096
"""Typed words whose embeddings stay in memory; those used least recently are computed again."""
MOST_UNUSED = 256
"""Concepts by example that no session uses any more, at most."""


class WordEmbeddings:
    """Embeddings of the project's concepts, of typed words, and of the vocabulary of suggestions.

    Parameters
    ----------
    project : ProjectFolder
    encoder : callable
        Returns the project's encoder; called only when a word is not known yet.

    Attributes
    ----------
    vectors : dict from str to (D,) float32
        Embeddings of the vocabulary of suggestions, by word; unit length.
    """

    def __init__(self, project: ProjectFolder, encoder: Callable[[], Encoder]) -> None:
        self._project, self._encoder = project, encoder
        self.vectors: dict[str, NDArray[np.float32]] = {}
        self._columns = {name: k for k, name in enumerate(project.concepts)}
        self._vocabulary: tuple[tuple[str, ...], NDArray[np.float32]] | None = None
        self._grounding = (
            WordGrounding(project, self.project_texts) if project.config.get("grounding") else None
        )
        self._texts: NDArray[np.float32] | None = None
        self._grounded_vocabulary: NDArray[np.float32] | None = None
        self._typed = Cache(MOST_TYPED)
        self._typed_texts = Cache(MOST_TYPED)
        self._grounded: dict[str, NDArray[np.float32]] = {}
        self._users: dict[str, weakref.WeakSet[Any]] = {}  # of the concepts by example
        self._shown: dict[str, tuple[tuple[Example, ...], tuple[Example, ...]]] = {}
        self._lock = threading.Lock()  # of the concepts by example
        self._texts_lock, self._vocabulary_lock = threading.Lock(), threading.Lock()

    def define(
        self, name: str, shown: Sequence[Example], not_shown: Sequence[Example] = (), user: Any = None
    ) -> None:
        """Define a concept by example; see `example_vector`.

        Parameters
        ----------
        name : str
        shown, not_shown : sequence of (image id, region)
        user : object, optional
            The definition is kept while this object exists; forever by default.

        Raises
        ------
        InputError
            The examples are invalid, or other examples define a concept of this name.
        """
        with self._lock:
            examples = tuple(shown), tuple(not_shown)
            if self._shown.get(name, examples) != examples:
                raise InputError(
                    f"{name!r} is the name of a concept with other examples: choose another name"
                )
            if name not in self._shown:
                self._grounded[name] = example_vector(self._project, *examples)
                self._shown[name] = examples
                if user is not None:
                    self._forget_unused()
                    self._users[name] = weakref.WeakSet()
            if user is None:
                self._users.pop(name, None)
            elif name in self._users:
                self._users[name].add(user)

    def _forget_unused(self) -> None:
        """Delete concepts by example that no session uses any more, once there are many."""
        unused = [name for name, users in self._users.items() if not users]
        if len(unused) > MOST_UNUSED:
            for name in unused:
                del self._users[name], self._shown[name], self._grounded[name]

    def embedding(self, word: str) -> NDArray[np.float32]:
        """Return the embedding of a word, (D,) float32, unit length; grounded if the project's words are.

        Raises
        ------
        InputError
            The word is not a concept of the project and the project's encoder cannot be loaded.
        """
        stored = self._project.concept_embeddings
        if word in self._columns and stored is not None:
            return np.asarray(stored[self._columns[word]], np.float32)
        with self._lock:
            if word in self._shown:
                return self._grounded[word]
        if word.endswith(SUFFIX):
            raise InputError(f"{word!r:.80} needs examples: show regions of images")
        original = original_word(word)
        if original is not None:
            return self.embedding(original)
        found: NDArray[np.float32] = self._typed.get(word, lambda: self._embed(word))
        return found

    def _embed(self, word: str) -> NDArray[np.float32]:
        vector = self._typed_text(word)
        return vector if self._grounding is None else self._grounding.ground(vector)

    def _typed_text(self, word: str) -> NDArray[np.float32]:
        vector = self.vectors.get(word)
        if vector is not None:
            return vector
        return self._typed_texts.get(
            word, lambda: np.asarray(self._encoder().embed_words([word])[0], np.float32)
        )

    def text(self, word: str) -> NDArray[np.float32]:
        """Return the text vector of a word, (D,) float32, unit length; of a concept by example its vector.

        Raises
        ------
        InputError
            See `embedding`.
        """
        grounded = self.embedding(word)
        if self._grounding is None or word in self._shown:
            return grounded
        if word in self._columns:
            return self.project_texts()[self._columns[word]]
        original = original_word(word)
        if original is not None:
            return self.text(original)
        return self._typed_text(word)

    def examples(self, name: str) -> tuple[tuple[Example, ...], tuple[Example, ...]] | None:
        """Return the regions that define a concept by example, shown and not shown; None if none do."""
        with self._lock:
            return self._shown.get(name)

    def project_texts(self) -> NDArray[np.float32]:
        """Return the text vectors of the project's concepts, (K, D), not grounded.

        They are kept in the user's cache, by the encoder's checksum and the words with their prompts. A build
        writes them there.

        Raises
        ------
        InputError
            The project's encoder cannot be loaded or has no text tower.
        """
        if self._texts is not None:  # no lock: an answer to a visitor does not wait for others
            return self._texts
        with self._texts_lock:
            if self._texts is None:
                p = self._project
                parts = zip(p.concepts, p.concept_groups, p.concept_prompts)
                concepts = [Concept(name, group, tuple(prompts)) for name, group, prompts in parts]
                self._texts = kept_texts(concepts, self._digest, self._encoder)
            return self._texts

    def vocabulary(
        self, words: Sequence[str] | None = None, progress: Progress | None = None
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Return words that are not concepts of the project, and their embeddings.

        Parameters
        ----------
        words : sequence of str, optional
            The built-in corpus without odd words and the built-in list of further words by default; their
            embeddings are cached on disk between runs.
        progress : Progress, optional
            Reports the words that have to be embedded.

        Returns
        -------
        words : tuple of V str
        embeddings : (V, D) float32

        Raises
        ------
        InputError
            The project's encoder is needed and cannot be loaded.
        """
        if words is None and self._vocabulary is not None:
            return self._vocabulary
        corpus = load_corpus()
        chosen = tuple(dict.fromkeys((*corpus.names, *missing_words()) if words is None else words))
        left_out = odd_words() if words is None else ()
        chosen = tuple(word for word in chosen if word not in self._columns and word not in left_out)
        cache = words_file(self._digest) if words is None else None
        with self._vocabulary_lock:
            if (self._project.config.get("encoder") or {}).get("spec") == "embedded":
                self._add(dict(zip(corpus.names, corpus.embeddings)))  # embedded in this encoder's space
            if cache is not None:
                self._add(read_words(cache))
            unknown = [word for word in chosen if word not in self.vectors]
            if unknown and progress is not None:
                progress.start("embedding words", len(unknown))
            for start in range(0, len(unknown), BATCH):
                block = unknown[start : start + BATCH]
                self.vectors.update(zip(block, np.asarray(self._encoder().embed_words(block), np.float32)))
                if progress is not None:
                    progress.advance(len(block))
            vectors = [self.vectors[word] for word in chosen]
        if cache is not None and unknown:
            write_words(cache, dict(zip(chosen, vectors)))
        stored = self._project.concept_embeddings
        width = 0 if stored is None else stored.shape[1]
        result = chosen, np.stack(vectors) if vectors else np.zeros((0, width), np.float32)
        if words is None:
            self._vocabulary = result
        return result

    def grounded_vocabulary(
        self, words: Sequence[str] | None = None, progress: Progress | None = None
    ) -> tuple[tuple[str, ...], NDArray[np.float32]]:
        """Return `vocabulary`, its vectors grounded if those of the project's words are."""
        chosen, vectors = self.vocabulary(words, progress)
        if self._grounding is None or not len(chosen):
            return chosen, vectors
        if words is not None:
            return chosen, self._grounding.ground_all(vectors, progress)
        with self._vocabulary_lock:
            if self._grounded_vocabulary is None:
                self._grounded_vocabulary = self._grounding.ground_all(vectors, progress)
            return chosen, self._grounded_vocabulary

    def _add(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        for word, vector in vectors.items():
            self.vectors.setdefault(word, vector)

    @property
    def _digest(self) -> str:
        """Checksum of the project's encoder."""
        return str((self._project.config.get("encoder") or {}).get("digest"))
