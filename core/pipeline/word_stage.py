"""Words of a build: candidates, selection, name prior, and what a person is told about them."""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from functools import cached_property, partial

import numpy as np

from inficond.core.concepts.cells import ENCODER
from inficond.core.concepts.corpus import Corpus, load_corpus
from inficond.core.concepts.duplicates import merge_duplicates
from inficond.core.concepts.neutral import NeutralRegions, neutral_regions
from inficond.core.concepts.validity import word_validity
from inficond.core.models.class_sets import ClassSet
from inficond.core.models.encoder import Encoder
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.notes import BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.picture_sample import PictureSample
from inficond.core.progress import Progress
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students.name_prior import (
    PROPOSED_STRENGTH,
    ClassNames,
    PriorChoice,
    choose_prior,
    class_names,
)
from inficond.core.students.proposals import most_words
from inficond.core.students.sparsity import MOST_CONCEPTS
from inficond.core.tuning.word_selection import (
    LEAST_WORDS,
    SEEN_IMAGES,
    Clearness,
    Teaching,
    WordSelection,
    select_words,
    with_unseen_words,
)

MANY_WORDS = 500
"""Own words from which a note recommends fewer."""
MERGED_LISTED = 10
"""Merged words that are listed one by one."""
UNSEEN_IMAGES = 1000
"""About so many training images on which own words are tested."""


def own_words(corpus: Corpus, notes: BuildNotes) -> Corpus:
    """Return a person's own words without duplicates; report what is doubtful."""
    merged, found = merge_duplicates(corpus)
    for note in found[:MERGED_LISTED]:
        notes.remark(note)
    if len(found) > MERGED_LISTED:
        notes.remark(f"{len(found) - MERGED_LISTED:,} further own words are merged likewise")
    if len(merged) > MANY_WORDS:
        notes.remark(
            f"{len(merged):,} own words: students are easier to read with 20 to 40 words, and with fewer "
            "words random directions predict worse"
        )
    return merged


class WordStage:
    """The stage of a build that selects words and the name prior.

    Parameters
    ----------
    options : BuildOptions
    encoder : Encoder
    corpus : Corpus
        The person's own words, or the built-in candidates.
    notes : BuildNotes

    Attributes
    ----------
    strength : float
        Of the name prior.
    helped : dict from class to list of str
        Words that are in use because of the name prior.
    """

    def __init__(
        self,
        options: BuildOptions,
        encoder: Encoder,
        corpus: Corpus,
        notes: BuildNotes,
    ) -> None:
        self.options, self.encoder, self.notes = options, encoder, notes
        self.corpus = corpus
        self.strength, self.helped = 0.0, dict[str, list[str]]()
        self._unseen: Future[tuple[list[str], int, int]] | None = None

    def sample(
        self,
        T: np.ndarray,
        training: np.ndarray,
        link: str,
        crop_share: float | None,
        cache: EncodingCache | None,
    ) -> PictureSample | None:
        """Return the training pictures in which the words are looked for; None if they are not."""
        o = self.options
        if str(o.encoder) != ENCODER or not o.validity or o.lam is not None:
            return None
        return PictureSample(T, training, link, crop_share, cache)

    def select(
        self,
        all_regions: np.ndarray,
        training: np.ndarray,
        T: np.ndarray,
        link: str,
        chosen: ClassSet,
        sample: PictureSample | None,
        progress: Progress,
        background: Executor,
    ) -> tuple[WordSelection, ClassNames | None]:
        """Return the words of the project, and the class names unless the name prior is off.

        Own words are looked for in `background`, while the students are fitted; see `report_unseen`.
        """
        o = self.options
        clearness: Clearness | None = None
        if sample is not None:
            clearness = partial(sample.clearness, regions=all_regions, progress=progress)
        rows = np.flatnonzero(training)
        if len(rows) > SEEN_IMAGES:
            rows = rows[np.linspace(0, len(rows) - 1, SEEN_IMAGES).round().astype(int)]
            self.notes.remark(f"words are tested and grounded on {SEEN_IMAGES:,} of the training images")
        regions = np.asarray(all_regions[rows])
        neutral = neutral_regions(str(o.encoder), regions)
        names = teaching = None
        T_seen = np.asarray(T[rows])
        prior_asked = o.name_prior is not None or o.lam is None  # an explicit λ is used as it is
        if prior_asked and o.name_prior != 0:
            names = class_names(chosen.names, self.encoder, regions, T_seen, self._word_mean)
        tested = o.validity and o.concepts is None
        if tested:
            strength = PROPOSED_STRENGTH if o.name_prior is None else o.name_prior
            most = most_words(len(chosen.names)) if o.words is None else o.words
            teaching = Teaching(T_seen, link, names, strength, most)
        selection = select_words(
            self.corpus,
            regions,
            neutral,
            tested=tested,
            grounded=o.grounding,
            teaching=teaching,
            vocabulary_mean=self._word_mean,
            clearness=clearness,
        )
        if o.concepts is not None and o.validity and o.lam is None:
            selection = with_unseen_words(selection, regions, neutral, T_seen, link, clearness)
        self.notes.choose(f"words: {selection.reason}")
        self._report_seen(selection, chosen)
        if o.concepts is not None and str(o.encoder) == ENCODER:
            some = regions[:: max(1, len(regions) // UNSEEN_IMAGES)]
            self._unseen = background.submit(self._unseen_words, some, neutral)
        return selection, names

    @cached_property
    def _word_mean(self) -> np.ndarray:
        """Mean text vector of a large vocabulary in the encoder's space."""
        if self.options.concepts is not None and str(self.options.encoder) == "embedded":
            return load_corpus(None, self.encoder).embeddings.mean(axis=0)
        if len(self.corpus) < LEAST_WORDS:
            return np.zeros(self.encoder.dim, np.float32)  # the mean of a few words is close to each of them
        return self.corpus.embeddings.mean(axis=0)

    def prior(
        self,
        names: ClassNames | None,
        words: WordSelection,
        X: np.ndarray,
        T: np.ndarray,
        link: str,
        groups: Sequence[str | None],
    ) -> PriorChoice:
        """Return the name prior for the training images; see `choose_prior`."""
        o = self.options
        if names is None:
            return PriorChoice(0.0, None, "off")
        return choose_prior(
            names, words.corpus.embeddings, X, T, link, nec=o.nec or MOST_CONCEPTS, asked=o.name_prior,
            groups=groups, seed=o.seed, word_names=words.corpus.names,
        )  # fmt: skip

    def report_prior(self, prior: PriorChoice, helped: dict[str, list[str]]) -> None:
        """Record the name prior and the words that are in use because of it, by class."""
        self.strength, self.helped = prior.strength, helped
        count = sum(map(len, self.helped.values()))
        line = f"name prior: {prior.reason}"
        if count:
            some = [f"{cls}: {', '.join(words[:3])}" for cls, words in self.helped.items()][:3]
            line += f"; {count} weight{'s' * (count != 1)} are in use because of it ({'; '.join(some)})"
        self.notes.choose(line)

    def _report_seen(self, words: WordSelection, classes: ClassSet) -> None:
        """Report how many of the own words the images of each class show."""
        if self.options.concepts is None:
            return
        if words.unclear:
            shown = [word for word, _ in words.unclear]
            self.notes.remark(
                f"{len(shown)} own word{'s' * (len(shown) != 1)} seen in no single place of the images of "
                f"any class: {', '.join(shown[:12])}{', …' if len(shown) > 12 else ''}"
            )
        if words.unseen is None or not words.unseen.any():
            return
        shown = [f"{name} {n}" for name, n in zip(classes.names, (~words.unseen).sum(axis=1).tolist())]
        self.notes.choose(
            "own words: a word counts for a class only if the images of the class show it "
            f"({', '.join(shown[:12])}{', …' if len(shown) > 12 else ''} of {len(words.corpus)} words); "
            "--all-words switches this off"
        )

    def report_unseen(self) -> None:
        """Report own words that name something in few images; they are kept."""
        if self._unseen is None:
            return
        unseen, needed, count = self._unseen.result()
        if unseen:
            self.notes.remark(
                f"{len(unseen)} own word{'s' * (len(unseen) != 1)} may be nothing that can be seen in these "
                f"images, found in fewer than {needed} of {count:,}: {', '.join(unseen[:12])}"
                + (", …" if len(unseen) > 12 else "")
            )

    def _unseen_words(self, regions: np.ndarray, neutral: NeutralRegions) -> tuple[list[str], int, int]:
        """Return own words that are not found in enough of some images, this number, and that of images."""
        built_in, own = load_corpus(None, self.encoder), self.corpus
        vectors = np.vstack([built_in.embeddings, own.embeddings])
        with single_threaded_blas():
            found = word_validity(regions, vectors, neutral.hubness(vectors), rivals=len(built_in))
        unseen = [name for name, ok in zip(own.names, found.valid[len(built_in) :]) if not ok]
        return unseen, found.needed, len(regions)
