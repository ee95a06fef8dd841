"""The stage of a build that computes concept vectors and fits students, baseline and controls to them."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.concepts.corpus import Corpus, load_corpus
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.concepts.vectors import concept_vectors
from inficond.core.models.class_sets import ClassSet
from inficond.core.models.encoder import Encoder
from inficond.core.pipeline.controls import measure_controls
from inficond.core.pipeline.notes import BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.row_fits import RowFits, refusal
from inficond.core.pipeline.word_stage import WordStage
from inficond.core.progress import Progress
from inficond.core.project import files
from inficond.core.project.arrays import ArrayWriter, row_blocks
from inficond.core.project.writer import ProjectWriter
from inficond.core.solver.problem import FLOOR
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students.baseline import fit_directions, random_directions
from inficond.core.students.distil import RowFit, distil, with_fitting_thresholds
from inficond.core.students.name_prior import ClassNames, helped_words
from inficond.core.students.relaxed import RELAX
from inficond.core.students.sparsity import choose_sparsity
from inficond.core.students.student import Students
from inficond.core.tuning.word_selection import WordSelection

RANDOM_VECTORS = "random.npy"
"""Concept vectors of the random directions, in the build folder."""


@dataclass(frozen=True, eq=False, kw_only=True)
class FitData:
    """Words and targets of the n images outside the exam part, to which students are fitted.

    Parameters
    ----------
    T : (n, C)
        Target probabilities.
    training : (n,) bool
        The images of the fit part; the others are for validation.
    groups : sequence of n str or None
        Images of one group stay in one fold.
    classes : ClassSet
    link : {"sigmoid", "softmax"}
    words : WordSelection
    names : ClassNames or None
        None if the name prior is off.
    """

    T: np.ndarray
    training: np.ndarray
    groups: Sequence[str | None]
    classes: ClassSet
    link: str
    words: WordSelection
    names: ClassNames | None


@dataclass(frozen=True, eq=False)
class _Rows:
    """Training rows: all of them, those that this machine fits on, and their targets and groups."""

    all: np.ndarray
    sample: np.ndarray
    T: np.ndarray
    groups: Sequence[str | None]


class FitStage:
    """The stage of a build that computes concept vectors and fits students, baseline and controls to them.

    Parameters
    ----------
    options : BuildOptions
    encoder : Encoder
    words : WordStage
        Gives the name prior.
    notes : BuildNotes
    progress : Progress

    Attributes
    ----------
    row_fits : RowFits or None
        Where training rows that exceed its limit are fitted; by default on this machine.
    controls : dict
        See `measure_controls`; empty if they are not measured.
    """

    def __init__(
        self,
        options: BuildOptions,
        encoder: Encoder,
        words: WordStage,
        notes: BuildNotes,
        progress: Progress,
    ) -> None:
        self.options, self.encoder, self.words = options, encoder, words
        self.notes, self.progress = notes, progress
        self.out = Path(options.out)
        self.scratch = self.out / files.BUILD
        self.relax = 1.0 if options.lam is not None else RELAX
        self.row_fits: RowFits | None = None
        self.controls: dict[str, Any] = {}

    def fit(
        self, writer: ProjectWriter, regions: np.ndarray, data: FitData
    ) -> tuple[Students, Students | None]:
        """Write the concept vectors of all images; return the students and the random-concept baseline.

        Parameters
        ----------
        writer : ProjectWriter
        regions : (N, R, D) float16
            Of all images, those of the exam part last.
        data : FitData
        """
        words, n = data.words, len(data.T)
        directions = None
        if self.options.baseline:
            directions = random_directions(len(words.corpus), self.encoder.dim, self.options.seed)
        X, X_random = self._concept_vectors(writer, regions, words.vectors, directions)
        X = X[:n]
        # The products of these steps are small: threads of BLAS would mostly wait for each other.
        with single_threaded_blas():
            self.progress.start("fitting students", 1 if directions is None else 2)
            rows = self._training_rows(data, X.shape[1])
            students = self._students(X[rows.sample], rows, data)
            self.progress.advance(1)
            if directions is None or X_random is None:
                return students, None
            X_random = X_random[:n]
            baseline = self._baseline(X_random[rows.sample], rows, data, directions, students)
            self.progress.advance(1)
            self._measure_controls(regions[:n], X, data, students, (baseline, X_random))
        return students, baseline

    def _concept_vectors(
        self, writer: ProjectWriter, regions: np.ndarray, words: np.ndarray, directions: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Compute X (N, K) of all images, and the vectors of random directions, in one pass."""
        n = len(regions)
        self.progress.start("concept vectors", n)
        with ExitStack() as stack:
            random: ArrayWriter | None = None
            if directions is not None:
                shape = (n, len(directions))
                random = stack.enter_context(ArrayWriter(self.scratch / RANDOM_VECTORS, shape, "float32"))

            def blocks() -> Iterator[np.ndarray]:
                for block in row_blocks(regions):
                    if random is not None and directions is not None:
                        random.append(concept_vectors(block, directions))
                    yield concept_vectors(block, words)
                    self.progress.advance(len(block))

            X = writer.write_concept_vectors(blocks(), len(words))
        return X, None if random is None else np.load(random.path, mmap_mode="r", allow_pickle=False)

    def _training_rows(self, data: FitData, K: int) -> _Rows:
        """Return the training rows; record the choice where the workers of an engine hold them."""
        rows = np.flatnonzero(data.training)
        fits, n = self.row_fits, len(rows)
        sample = rows
        if fits is not None and fits.needed(n, K):
            size = f"{n:,} training images × {K:,} words are {_size(4.0 * n * K)}"
            reason = refusal(K, self.options.lam)
            if reason:
                self.notes.choose(
                    f"fit: {size}, more than --fit-memory, but {reason}: fitted on this machine"
                )
            else:
                sample = rows[fits.sample(n, K)]
                self.notes.choose(
                    f"fit: {size}, more than {_size(fits.limit)} (--fit-memory): the workers hold them; λ, "
                    f"name prior and thresholds are chosen from {len(sample):,} of the images"
                )
        return _Rows(rows, sample, data.T[sample], [data.groups[i] for i in sample.tolist()])

    def _students(self, X: np.ndarray, rows: _Rows, data: FitData) -> Students:
        """Fit students on the concept vectors (n, K) of the sample of the training rows."""
        o, T, link, words, classes = self.options, rows.T, data.link, data.words, data.classes.names
        prior = self.words.prior(data.names, words, X, T, link, rows.groups).but_for(words.unseen)
        lam = o.lam
        if lam is None and o.nec is None:
            choice = choose_sparsity(X, T, link, penalty=prior.penalty, groups=rows.groups, seed=o.seed)
            lam = choice.lam
            self.notes.choose(f"sparsity: {choice.reason}")
        # Results of fits refer to arrays as large as the training rows: they are not kept.
        with self._elsewhere(self.out / files.CONCEPT_VECTORS, rows, data) as elsewhere:
            students, fitted = distil(
                X, T, classes, words.corpus.names, lam=0.0 if lam is None else lam,
                nec=o.nec, relax=self.relax, link=link, encoder=self.encoder.name, embeddings=words.vectors,
                penalty=prior.penalty, outside=prior.outside, elsewhere=elsewhere,
            )  # fmt: skip
            if elsewhere is not None:
                gap = float((fitted.gap / np.maximum(fitted.objective, FLOOR)).max())
                passes = fitted.n_iter.max()
                self.notes.choose(f"fit: the workers' rows were passed {passes} times; gap {gap:.1e}")
            del fitted
        helped: dict[str, list[str]] = {}
        if prior.penalty is not None:
            without = distil(
                X, T, classes, words.corpus.names, lam=0.0 if o.lam is None else o.lam,
                nec=None if o.lam is not None else max(float(students.nec().mean()), 0.5), relax=self.relax,
                link=link,
            )[0]  # fmt: skip
            helped = helped_words(students, without, prior.penalty)
        self.words.report_prior(prior, helped)
        if o.lam is None:
            students, reason = with_fitting_thresholds(students, X, T)
            if reason:
                self.notes.choose(f"thresholds: {reason}")
        return students

    def _baseline(
        self, X: np.ndarray, rows: _Rows, data: FitData, directions: np.ndarray, students: Students
    ) -> Students:
        """Fit students on the vectors (n, K) of random directions, at the λ and the sparsity of the words."""
        with self._elsewhere(self.scratch / RANDOM_VECTORS, rows, data) as elsewhere:
            baseline = fit_directions(
                X, rows.T, data.classes.names, directions, lam=students.lam, relax=self.relax,
                nec=None if self.relax == 1.0 else max(float(students.nec().mean()), 0.5),
                link=data.link, elsewhere=elsewhere,
            )  # fmt: skip
        return with_fitting_thresholds(baseline, X, rows.T)[0] if self.options.lam is None else baseline

    def _elsewhere(self, X: Path, rows: _Rows, data: FitData) -> AbstractContextManager[RowFit | None]:
        """Return a fit of training rows that workers hold, or None if this machine fits all of them."""
        if rows.sample is rows.all or self.row_fits is None:
            return nullcontext()
        return self.row_fits.open(X, data.T[rows.all], rows.all, data.link, self.scratch)

    def _measure_controls(
        self,
        regions: np.ndarray,
        X: np.ndarray,
        data: FitData,
        students: Students,
        baseline: tuple[Students, np.ndarray],
    ) -> None:
        o, validation = self.options, ~data.training
        if not validation.any():
            return
        vocabulary: Corpus | None = self.words.corpus
        if o.concepts is not None:  # random words come from the built-in corpus, whose vectors are shipped
            vocabulary = load_corpus(None, self.encoder) if str(o.encoder) == "embedded" else None
        self.progress.start("fitting controls", 1)
        self.controls = measure_controls(
            regions, X, data.T, validation, students, baseline, vocabulary,
            neutral_regions(str(o.encoder), regions), relax=self.relax, grounded=o.grounding, seed=o.seed,
        )  # fmt: skip
        self.progress.advance(1)


def _size(n: float) -> str:
    """Return a number of bytes in megabytes or gigabytes."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
