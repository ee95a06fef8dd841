"""Proposals of words for a project, class by class, with their validity and their evidence."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.concepts.corpus import Concept, Corpus
from inficond.core.concepts.domains import widened
from inficond.core.concepts.duplicates import same_word
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.concepts.validity import Validity, word_validity
from inficond.core.concepts.vocabulary import load_vocabulary, shipped_vectors
from inficond.core.errors import InputError
from inficond.core.progress import Progress
from inficond.core.sessions.renamed_concepts import new_name, original_word
from inficond.core.sessions.shown_concepts import SUFFIX
from inficond.core.students.name_prior import PROPOSED_STRENGTH, class_names
from inficond.core.students.proposals import most_words, propose_words
from inficond.core.tuning.concepts import check_name

if TYPE_CHECKING:
    from inficond.core.sessions.session import Session

SEEN_IMAGES = 4000
"""Most training images on which words are tested."""
CROPS = 12
"""Crops of a word on a contact sheet."""


@dataclass(frozen=True)
class WordProposal:
    """A word proposed for a class.

    Parameters
    ----------
    word, cls : str
        The word, and the class for which it is proposed.
    found, needed : int
        Training images in which the word names something, and the number that makes it valid.
    images : int
        Training images that were tested.
    is_concept : bool
        Whether the word is a concept of the students already.
    weight : float
        Its weight in the class, in standardised units; 0 if it is not a concept.
    """

    word: str
    cls: str
    found: int
    needed: int
    images: int
    is_concept: bool
    weight: float

    @property
    def is_valid(self) -> bool:
        """Whether the word names something in enough images."""
        return self.found >= self.needed

    @property
    def text(self) -> str:
        """One line of text."""
        state = f"in use, weight {self.weight:+.2f}" if self.weight else "a concept, weight 0"
        valid = "" if self.is_valid else f", fewer than the {self.needed} that make a word valid"
        return (
            f"{self.word}: found in {self.found} of {self.images} images{valid}; "
            f"{state if self.is_concept else 'proposed'}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "word": self.word,
            "class": self.cls,
            "found": self.found,
            "needed": self.needed,
            "images": self.images,
            "concept": self.is_concept,
            "weight": self.weight,
            "text": self.text,
        }


class ProjectWords:
    """Words of a project and of the vocabulary, tested on its training images.

    Parameters
    ----------
    session : Session
    progress : Progress, optional
        Reports the words that have to be embedded.
    wide : bool
        Whether the familiar words of the large vocabulary are candidates too; see
        `inficond.core.concepts.vocabulary`.

    Raises
    ------
    InputError
        The project stores no regions, or its encoder cannot be loaded or has no text tower.
    """

    def __init__(self, session: "Session", progress: Progress | None = None, wide: bool = False) -> None:
        self._session, project = session, session.project
        self._wide = wide
        rows = project.training_rows
        if len(rows) > SEEN_IMAGES:
            rows = rows[np.linspace(0, len(rows) - 1, SEEN_IMAGES).round().astype(int)]
        self._rows = rows
        self.regions = np.asarray(project.region_embeddings[rows])
        spec = (project.config.get("encoder") or {}).get("spec")
        self._neutral = neutral_regions(spec, self.regions)
        self.corpus = self._corpus(progress)
        self._rivals = len(self.corpus)
        if wide:
            self.corpus = self._widened(progress)

    def _corpus(self, progress: Progress | None) -> Corpus:
        """Return the concepts in force with their text vectors, then the words of the vocabulary."""
        session, project, words = self._session, self._session.project, self._session.context.words
        kept = [k for k, name in enumerate(project.concepts) if name not in session.dropped]
        own = [Concept(project.concepts[k], project.concept_groups[k]) for k in kept]
        texts = words.project_texts()[kept]
        typed = [Concept(w) for w in session.state.added if w not in session.dropped]
        vectors = [texts, *(words.embedding(c.name)[None] for c in typed)]
        known = {original_word(c.name) or c.name for c in (*own, *typed)} | session.dropped
        further, more = words.vocabulary(progress=progress)
        new = [i for i, word in enumerate(further) if word not in known]
        concepts = (*own, *typed, *(Concept(further[i]) for i in new))
        return Corpus(concepts, np.concatenate([*vectors, more[new]]).astype(np.float32))

    def _widened(self, progress: Progress | None) -> Corpus:
        """Return the corpus with the familiar words of the large vocabulary."""
        vocabulary, encoder = load_vocabulary(), self._session.context.encoder
        words = vocabulary.familiar
        shipped = shipped_vectors(encoder.manifest.digest)
        vectors = (
            self._session.context.words.vocabulary(words, progress)
            if shipped is None
            else (words, shipped[: len(words)])
        )
        taken = (*self.corpus.names, *self._session.dropped)
        known = {(original_word(name) or name).casefold() for name in taken}
        kept = [i for i, word in enumerate(vectors[0]) if word.casefold() not in known]
        concepts = (*self.corpus.concepts, *(Concept(vectors[0][i]) for i in kept))
        return Corpus(concepts, np.concatenate([self.corpus.embeddings, vectors[1][kept]]).astype(np.float32))

    def validity(self, corpus: Corpus) -> Validity:
        """Count the training images in which each word names something, among the words of the corpus."""
        vectors = corpus.embeddings
        return word_validity(self.regions, vectors, self._neutral.hubness(vectors), rivals=self._rivals)

    def proposals(self, most: int | None = None) -> list[WordProposal]:
        """Return proposed words, class by class, best first.

        Parameters
        ----------
        most : int, optional
            Largest number of words; by default 34, or four per class if that is more.
        """
        session = self._session
        T = session.context.workspace.targets(session.state, "training")
        T = T[np.searchsorted(session.project.training_rows, self._rows)]
        mean = self.corpus.embeddings.mean(axis=0)
        names = class_names(session.classes, session.context.encoder, self.regions, T, mean)
        corpus = self.corpus if names.domains is None else widened(self.corpus, names.domains)
        validity = self.validity(corpus)
        concepts = set(session.concepts) - session.dropped
        kept = validity.valid
        if names.domains is not None and names.domains.complete and not self._wide:
            kept = kept & names.domains.listed(corpus.names)
        kept = kept | np.array([name in concepts for name in corpus.names])
        kept &= np.array([name not in session.dropped for name in corpus.names])
        candidates = np.flatnonzero(kept)
        texts = corpus.embeddings[candidates]
        penalty = names.penalties(texts, PROPOSED_STRENGTH, [corpus.names[k] for k in candidates.tolist()])
        wanted = most_words(len(session.classes)) if most is None else most
        turns = propose_words(self.regions, texts, T, session.students.link, penalty, wanted)[1]
        index = {name: k for k, name in enumerate(session.concepts)}
        weights = session.students.weights
        out = []
        for c, turn in enumerate(turns):
            for k in candidates[turn].tolist():
                word = corpus.names[k]
                weight = float(weights[c, index[word]]) if word in concepts else 0.0
                out.append(
                    WordProposal(
                        word, session.classes[c], int(validity.found[k]), validity.needed, len(self.regions),
                        word in concepts, weight,
                    )
                )  # fmt: skip
        return out

    def remarks(self, words: Sequence[str]) -> list[str]:
        """Return what is doubtful about words that a person types: one line each."""
        if not words:
            return []
        vectors = np.asarray(self._session.context.encoder.embed_words(words), np.float32)
        concepts = (*self.corpus.concepts, *(Concept(word) for word in words))
        validity = self.validity(Corpus(concepts, np.vstack([self.corpus.embeddings, vectors])))
        notes = []
        for word, found in zip(words, validity.found[-len(words) :].tolist()):
            if any(c.isalpha() and not c.isascii() for c in word):
                notes.append(
                    f"{word}: has letters that are not English; most encoders know English words only"
                )
            if found < validity.needed:
                notes.append(
                    f"{word}: names something in {found} of {len(self.regions)} training images, fewer than "
                    f"{validity.needed}; it may be nothing that can be seen in them"
                )
        return notes

    def same_concept(self, word: str) -> str:
        """Return the concept in force that means nearly the same as a word; empty if there is none."""
        names = set(self._session.concepts) - self._session.dropped
        rows = [k for k, name in enumerate(self.corpus.names) if name in names]
        known = [self.corpus.names[k] for k in rows]
        added = [n for n in self._session.state.added if n in names - set(known) and not n.endswith(SUFFIX)]
        vector = np.asarray(self._session.context.encoder.embed_words([word])[0], np.float32)
        # Words added since this object was made are compared by spelling only: they have no text vector here.
        others = np.concatenate(
            [self.corpus.embeddings[rows], np.zeros((len(added), len(vector)), np.float32)]
        )
        return same_word(word, vector, [*known, *added], others)


def choose_words(
    session: "Session",
    accept: Sequence[str] = (),
    reject: Sequence[str] = (),
    note: str = "",
    rename: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Drop rejected words, rename words, then add accepted ones; return a line for each.

    Parameters
    ----------
    session : Session
    accept : sequence of str
        Proposed words, or words of one's own. A word that means nearly the same as a concept is merged
        with it.
    reject : sequence of str
        Concepts.
    note : str
        Stored with the steps.
    rename : sequence of (str, str)
        Concepts or proposed words, each with its new name. A proposed word becomes a concept.

    Raises
    ------
    InputError
        A rejected word is not a concept, an accepted one cannot be a concept, or a new name is not possible.
        Nothing is changed.
    """
    accept = list(dict.fromkeys(" ".join(word.split()) for word in accept))
    for word in accept:
        check_name(word)
    unknown_words = [w for w in reject if w not in session.concepts]
    if unknown_words:
        raise InputError(f"{unknown_words[0]!r} is not a concept of this project, so it cannot be rejected")
    words = ProjectWords(session) if accept or any(not _in_force(session, old) for old, _ in rename) else None
    names = _new_names(session, accept, reject, rename, words)
    lines = []
    for word in dict.fromkeys(reject):
        if word in session.dropped:
            lines.append(f"{word}: rejected before")
            continue
        session.drop_concept(word, note)
        lines.append(f"{word}: rejected")
    for (old, new), full in zip(rename, names):
        if _in_force(session, old):
            full = session.rename_concept(old, new, note).detail["concept"]
            lines.append(f"{old}: renamed; it is called {full!r} now")
        else:
            session.add_concept(full, note)
            lines.append(f"{old}: accepted as {full!r}")
    added: list[str] = []
    for word in accept:
        assert words is not None
        if _in_force(session, word):
            lines.append(f"{word}: a concept already")
            continue
        if word not in session.dropped:
            same = words.same_concept(word)
            if same:
                lines.append(f"{word}: means nearly the same as the concept {same!r} and is merged with it")
                continue
        session.add_concept(word, note)
        lines.append(f"{word}: accepted")
        added.append(word)
    return lines if words is None else lines + words.remarks(added)


def _in_force(session: "Session", word: str) -> bool:
    return word in session.concepts and word not in session.dropped


def _new_names(
    session: "Session",
    accept: Sequence[str],
    reject: Sequence[str],
    rename: Sequence[tuple[str, str]],
    words: ProjectWords | None,
) -> list[str]:
    """Return the full new name of each renamed word; nothing is changed."""
    old_names = [old for old, _ in rename]
    twice = [old for i, old in enumerate(old_names) if old in (*accept, *reject, *old_names[:i])]
    if twice:
        raise InputError(f"{twice[0]!r} is renamed, and chosen in another way too: choose one of them")
    in_force = [name for name in session.concepts if name not in session.dropped | set(reject)]
    names: list[str] = []
    for old, new in rename:
        if not _in_force(session, old) and (words is None or old not in words.corpus.names):
            raise InputError(f"{old!r:.60} is neither a concept nor a proposed word, so it cannot be renamed")
        by_example = session.context.words.examples(old) is not None
        names.append(new_name(old, new, (*in_force, *accept, *names), by_example))
    return names
