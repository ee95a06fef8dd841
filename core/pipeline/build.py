"""Building a project: images → concept vectors → teacher responses → students; resumable."""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from inficond.core.atomic_io import write_errors
from inficond.core.concepts.corpus import Concept, Corpus, load_corpus
from inficond.core.concepts.kept_words import kept_texts
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.errors import InputError
from inficond.core.evaluation.parts import MIN_IMAGES as LEAST_FOR_EXAM
from inficond.core.evaluation.parts import Parts, divide
from inficond.core.images import ImageRecord, ImageSet, open_source
from inficond.core.images.walk import inside, is_utf8
from inficond.core.models.class_sets import ClassSet, read_classes
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.manifest import Manifest
from inficond.core.models.resolve import EMBEDDED
from inficond.core.models.tables import Table, read_labels
from inficond.core.pipeline.assembly import (
    RANDOM_VECTORS,
    add_concept_vectors,
    assemble,
    collect_responses,
)
from inficond.core.pipeline.cached_words import CachedWords
from inficond.core.pipeline.controls import measure_controls
from inficond.core.pipeline.encode import Encoding, encode_shards
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels, unmatched
from inficond.core.pipeline.label_teachers import label_matrix
from inficond.core.pipeline.notes import LISTED, BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.row_fits import RowFits, refusal
from inficond.core.pipeline.shards import ShardStore, ShardSummary, SourceFile, read_versions, shards_of
from inficond.core.pipeline.targets import normalised
from inficond.core.pipeline.teacher_stage import TeacherStage
from inficond.core.pipeline.text2concept import Unremarked, make_encoder
from inficond.core.pipeline.user_teachers import digest_of
from inficond.core.pipeline.word_stage import WordStage, candidate_corpus, own_words
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ProjectContents, ProjectWriter
from inficond.core.solver.problem import FLOOR
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students.distil import RowFit, with_fitting_thresholds
from inficond.core.students.name_prior import ClassNames, helped_words
from inficond.core.students.relaxed import RELAX
from inficond.core.students.sparsity import choose_sparsity
from inficond.core.students.student import Students
from inficond.core.teachers.probe import Probe
from inficond.core.teachers.text2concept import TEXT2CONCEPT
from inficond.core.tuning.word_selection import WordSelection

__all__ = ["BuildOptions", "build"]

MIN_IMAGES = 4
EXCLUSIVE = 1e-3
"""Classes exclude each other if the responses of each image sum to 1 within this tolerance."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The models and images of a build, opened and checked.

    Parameters
    ----------
    encoding : Encoding
    records : list of ImageRecord
        In the order of the project.
    run : _Build
        Everything that was opened, which `build` continues with.
    sources : list of SourceFile, optional
        The images with their checksums, if these are known.
    """

    encoding: Encoding
    records: list[ImageRecord]
    run: "_Build"
    sources: list[SourceFile] | None = None

    @cached_property
    def by_id(self) -> dict[str, ImageRecord]:
        """The images by their ids."""
        return {record.id: record for record in self.records}


def prepare(options: BuildOptions, progress: Progress) -> Prepared:
    """Open and check everything that a build needs, without encoding an image or writing to the project.

    Parameters
    ----------
    options : BuildOptions
    progress : Progress

    Returns
    -------
    Prepared

    Raises
    ------
    InputError
        Bad input, as for `build`.
    """
    out = Path(options.out)
    _check_folder(out)
    if str(options.encoder) == TEXT2CONCEPT:
        raise InputError(
            f"{TEXT2CONCEPT} fits its map on this machine alone: build without a plan and without --engine"
        )
    run = _Build(options, out, progress=progress, **_inputs(options))
    records = run.records()
    run.teachers.check_names([record.id for record in records])
    return Prepared(run.encoding, records, run)


def _inputs(options: BuildOptions) -> dict[str, Any]:
    """Open the inputs of a build except images and teacher, without writing."""
    classes = read_classes(options.classes)
    labels = options.labels
    if isinstance(labels, str | Path):
        labels = read_labels(Path(labels), options.tables)
    encoder = load_encoder(options.encoder, options.provider, threads=1)
    cache = EncodingCache() if options.cache else None
    if cache is not None:
        encoder.word_cache = CachedWords(cache)
    corpus = candidate_corpus(options, encoder)
    return {"encoder": encoder, "corpus": corpus, "classes": classes, "labels": labels, "cache": cache}


def build(
    options: BuildOptions,
    progress: Progress | None = None,
    shards: Path | str | None = None,
    prepared: Prepared | None = None,
    row_fits: RowFits | None = None,
) -> Path:
    """Build a project, or resume an interrupted build; a finished project is left as it is.

    Finished shards are reused, so that a build that was interrupted ends with the same arrays, bit for bit.

    Parameters
    ----------
    options : BuildOptions
    progress : Progress, optional
    shards : Path or str, optional
        A folder or URL of finished shards, which must hold all of them; by default missing shards are made in
        the project's build folder.
    prepared : Prepared, optional
        From `prepare` with the same options: its models and images are used, and nothing is opened again.
    row_fits : RowFits, optional
        Where training rows that exceed its limit are fitted; by default on this machine.

    Returns
    -------
    Path
        The project folder.

    Raises
    ------
    InputError
        Bad input; finished shards stay.
    Cancelled
        Through `progress`; finished shards stay.
    """
    progress = progress or Silent()
    out = Path(options.out)
    _check_folder(out)
    own = str(options.encoder) == TEXT2CONCEPT
    inputs = {} if prepared is not None or own else _inputs(options)
    lock = FileLock(out / files.BUILD / "lock", timeout=0)
    with write_errors(out):
        (out / files.BUILD).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"another process is building {out}: wait for it, or stop it") from None
    try:
        if own:
            return _build_text2concept(options, out, progress)
        run = _Build(options, out, progress=progress, **inputs) if prepared is None else prepared.run
        run.row_fits = row_fits
        return run.run(shards, None if prepared is None else prepared.sources)
    finally:
        lock.release()


def _build_text2concept(options: BuildOptions, out: Path, progress: Progress) -> Path:
    """Fit the map of a `text2concept` encoder on the fit part, then build with that encoder."""
    base = replace(options, encoder=EMBEDDED)
    first = _Build(base, out, progress=Unremarked(progress), **_inputs(base))
    folder = out / files.BUILD / files.OWN_ENCODER
    note = make_encoder(first.encoder, first.teachers.feature_teacher(), first.fit_part(), folder, progress)
    made = replace(options, encoder=folder)
    run = _Build(made, out, progress=progress, **_inputs(made))
    run.own_encoder = folder
    run.report(note)
    return run.run()


def _check_complete(store: ShardStore, sources: Sequence[SourceFile]) -> None:
    """Check that a store holds every shard."""
    finished = [store.finished(shard, retry=False) is not None for shard in shards_of(sources)]
    missing = finished.count(False)
    if missing:
        first = finished.index(False) + 1
        raise InputError(
            f"{missing:,} of {len(finished):,} shards are not in {store.place}: run every part that has not "
            f"ended, or `inficond encode PLAN --part {first}/{len(finished)}` for the first of them"
        )


def _check_folder(out: Path) -> None:
    if not is_utf8(str(out)):
        raise InputError(f"the path {out} is not UTF-8; choose another folder for the project")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: choose a folder for the project")
    if out.is_dir() and not (out / files.BUILD).exists() and not (out / files.PROJECT).exists():
        other = next(iter(out.iterdir()), None)
        if other is not None:
            raise InputError(f"{out} holds other files ({other.name}, …): choose a new or an empty folder")


class _Build:
    """One run of the pipeline; a method per stage."""

    def __init__(
        self,
        options: BuildOptions,
        out: Path,
        encoder: Encoder,
        corpus: Corpus,
        classes: Mapping[str, list[str]] | str | None,
        labels: Table | None,
        cache: EncodingCache | None,
        progress: Progress,
    ) -> None:
        self.options, self.out, self.encoder, self.cache = options, out, encoder, cache
        self.scratch = out / files.BUILD
        self.label_table, self.progress = labels, progress
        self.notes = BuildNotes(progress)
        self.corpus = corpus if options.concepts is None else own_words(corpus, self.notes)
        self.choices: list[str] = []
        self.words = WordStage(options, encoder, self.corpus, self.notes, self._choose)
        self.controls: dict[str, Any] = {}
        self.row_fits: RowFits | None = None
        self.started = time.monotonic()
        self.own_encoder: Path | None = None
        self.teachers = TeacherStage(
            options, classes, labels, encoder, cache, self.notes, self._choose, progress
        )
        self.images = self._open_images()
        self.teachers.open_for(self.images)
        self.encoding = Encoding(encoder, self.teachers.teacher, cache=self.cache)

    def run(self, shards: Path | str | None = None, known: list[SourceFile] | None = None) -> Path:
        """Take all stages; return the project folder. The checksums of `known` images are not read again."""
        for note in self.teachers.teacher.notes if self.teachers.teacher else ():
            self.notes.remark(note)
        images = self.images
        sources = known or read_versions(self.records(), self.progress)
        request = self._request(sources)
        if (self.out / files.PROJECT).exists():
            return self._already_built(request)
        self.teachers.check_names([source.file.id for source in sources])
        store = ShardStore(shards or self.scratch / "shards", self.encoding.basis)
        if shards is not None:
            _check_complete(store, sources)
        summaries, reused = encode_shards(self.encoding, store, sources, self.progress, self.options.workers)
        self._remark_cache(len(sources) - reused)
        encoded_at = time.monotonic()
        rows = self._image_rows(images, sources, summaries)
        ids, groups = [row.id for row in rows], [row.group for row in rows]
        shards_read = (sources, summaries, store, self.encoding)
        answers = collect_responses(len(rows), *shards_read, self.scratch)
        chosen, T, link, probe, parts = self._responses_and_parts(sources, ids, groups, answers)
        order = np.argsort(parts.is_exam, kind="stable")  # exam images last
        rows, T, validation = [rows[i] for i in order.tolist()], T[order], parts.is_tune[order]
        ids, groups = [row.id for row in rows], [row.group for row in rows]
        n_exam = int(parts.is_exam.sum())
        seen = slice(0, len(rows) - n_exam)
        with ProjectWriter(self.out, len(rows), self.encoder.grid) as writer:
            training = ~validation[seen]
            share = self.encoder.preprocess.crop_share
            sample = self.words.sample(T[seen], training, link, share, self.cache)
            regions = assemble(writer, *shards_read, parts.is_exam, self.progress, sample)
            labels = self._labels(images, ids, chosen)
            # The products of these steps are small: threads of BLAS would mostly wait for each other.
            with single_threaded_blas():
                words, names = self.words.select(
                    regions[seen], training, T[seen], link, chosen, sample, self.progress
                )
            directions = self._directions(len(words.corpus))
            X, X_random = add_concept_vectors(
                writer, regions, words.vectors, directions, self.scratch, self.progress
            )
            X_seen, X_random = X[seen], None if X_random is None else X_random[seen]
            with single_threaded_blas():
                students, baseline = self._fit(
                    X_seen, X_random, T[seen], training, chosen, words, names, directions, link, groups[seen]
                )
                self._measure_controls(
                    regions[seen], X_seen, X_random, T[seen], validation[seen], students, baseline
                )
            own_teacher = self.teachers.write_own(probe, chosen)
            if self.own_encoder is not None:
                shutil.copytree(self.own_encoder, self.out / files.OWN_ENCODER, dirs_exist_ok=True)
            seconds = {
                "encoding": round(encoded_at - self.started, 2),
                "all": round(time.monotonic() - self.started, 2),
            }
            self.progress.start("writing the project", 1)
            writer.finish(
                ProjectContents(
                    images=rows,
                    T=T,
                    concepts=words.corpus.names,
                    concept_groups=words.corpus.groups,
                    concept_prompts=[list(c.prompts) for c in words.corpus.concepts],
                    concept_embeddings=words.vectors,
                    classes=chosen.names,
                    is_validation=validation,
                    n_exam=n_exam,
                    students=students,
                    baseline=baseline,
                    labels=labels,
                    name=self.options.name,
                    config=self._config(
                        request, chosen, students, words, own_teacher, len(sources), reused, seconds
                    ),
                )
            )
        self._keep_texts(words)
        self.progress.advance(1)
        shutil.rmtree(self.scratch, ignore_errors=True)
        return self.out

    def _keep_texts(self, words: WordSelection) -> None:
        """Keep the text vectors of the words, which the grounding of each typed word needs."""
        if self.cache is None or not words.grounding:
            return
        concepts = [Concept(c.name, c.group, c.prompts) for c in words.corpus.concepts]
        with suppress(InputError):  # an encoder without a text tower has no typed words either
            kept_texts(concepts, self.encoder.manifest.digest, lambda: self.encoder)
        self.cache.close()

    def report(self, choice: str) -> None:
        """Record a choice that was made before this run."""
        self._choose(choice)

    def fit_part(self) -> list[ImageRecord]:
        """Return the images that students are fitted on, as `run` will divide them."""
        sources = read_versions(self.records(), self.progress)
        self.teachers.check_names([source.file.id for source in sources])
        store = ShardStore(self.scratch / "first", self.encoding.basis)
        summaries, _ = encode_shards(self.encoding, store, sources, self.progress, self.options.workers)
        rows = self._image_rows(self.images, sources, summaries)
        ids, groups = [row.id for row in rows], [row.group for row in rows]
        answers = collect_responses(len(rows), sources, summaries, store, self.encoding, self.scratch)
        parts = self._responses_and_parts(sources, ids, groups, answers)[-1]
        by_id = {source.file.id: source.file for source in sources}
        return [by_id[ids[i]] for i in np.flatnonzero(~(parts.is_tune | parts.is_exam)).tolist()]

    def _remark_cache(self, n_images: int) -> None:
        """Report how many images were found in the cache of encodings, and why it is not used."""
        if self.cache is None or not n_images:
            return
        self.cache.close()
        if self.cache.problem and self.cache.limit > 0:
            self.notes.remark(f"encodings are not cached: {self.cache.path}: {self.cache.problem}")
        elif self.encoding.computed < n_images:
            self.progress.note(
                f"encodings: {n_images - self.encoding.computed:,} of {n_images:,} images are in the cache "
                "already (`inficond cache`)"
            )

    def _open_images(self) -> ImageSet:
        self.progress.start("looking for images", 1)
        downloads = self.scratch / "downloads"
        images = open_source(self.options.images, self.notes.skip, self.options.tables, downloads)
        for note in images.notes:
            self.notes.remark(note)
        self.progress.advance(1)
        return images

    def records(self) -> list[ImageRecord]:
        """Return the images in order of their ids, without the project's own and those without response."""
        images = self.images
        own = inside(self.out)
        found = [f for f in images.records if f.path is None or not own(f.path)]
        table, kind = self.teachers.table, self.teachers.kind
        if kind == "python" and table is not None:
            answered = set(table.images)  # the others are reported as skipped already
            found = [f for f in found if f.id in answered]
        if table is not None:
            found = self._with_response(found, table)
        if kind == "labels":
            labels = label_matrix(images, self.label_table, [f.id for f in found])
            known = [bool(row.all()) for row in np.isfinite(labels)]
            for f in (f for f, ok in zip(found, known) if not ok):
                self.notes.skip(f.id, "it has no label")
            found = [f for f, ok in zip(found, known) if ok]
        return found

    def _with_response(self, found: list[ImageRecord], table: Table) -> list[ImageRecord]:
        ids = [f.id for f in found]
        matching = table.match(ids)
        rows = matching.rows
        for note in table.notes:
            self.notes.remark(note)
        if not (rows >= 0).any():
            raise unmatched(table, ids)
        self.notes.remark(f"{table.path.name}: {matching.spelled}")
        for f, row in zip(found, rows):
            if row < 0:
                self.notes.skip(f.id, f"no response in {table.path.name}")
        used = {int(row) for row in rows if row >= 0}
        absent = [name for row, name in enumerate(table.images) if row not in used]
        if absent:
            self.notes.remark(
                f"{table.path.name}: responses for {len(absent):,} missing image(s) ignored, "
                f"first {absent[0]!r:.80}"
            )
        return [f for f, row in zip(found, rows) if row >= 0]

    def _request(self, sources: Sequence[SourceFile]) -> str:
        """Return a hash of everything that decides the project: models, images, tables, options."""
        o, table = self.options, self.teachers.table
        request = {
            "basis": self.encoding.basis,
            "files": [(s.file.id, s.file.group, s.file.split, s.size, s.content) for s in sources],
            "responses": None if table is None else digest_of(table),
            "labels": None if self.label_table is None else digest_of(self.label_table),
            "classes": self.teachers.given_classes,
            "corpus": [list(self.corpus.names), hashlib.sha256(self.corpus.embeddings.tobytes()).hexdigest()],
            "fit": [
                o.lam,
                o.nec,
                o.link,
                o.seed,
                o.baseline,
                o.validity,
                o.grounding,
                self.teachers.kind,
                o.name_prior,
                o.words,
                *([] if o.exam else ["two parts"]),
            ],
        }
        return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()

    def _already_built(self, request: str) -> Path:
        if files.read_project(self.out).get("request") != request:
            raise InputError(
                f"{self.out} already holds a project, made from other images, models or options: "
                "choose another --out"
            )
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.progress.note(f"{self.out} is finished already; nothing to do")
        return self.out

    def _image_rows(
        self, images: ImageSet, sources: Sequence[SourceFile], summaries: Sequence[ShardSummary]
    ) -> list[ImageRow]:
        """Report what was skipped and changed; return the rows of the images that could be read."""
        for summary in summaries:
            for id, reason in summary.skipped:
                self.notes.skip(id, reason)
        self.notes.remark_kinds([remark for summary in summaries for remark in summary.remarks])
        makers = sorted({summary.maker for summary in summaries})
        if len(makers) > 1:
            self.notes.remark(f"shards were made by {len(makers)} kinds of workers: {'; '.join(makers):.300}")
        n = sum(len(summary.ids) for summary in summaries)
        if n == 0:
            id, reason = self.notes.skipped[0]
            raise InputError(
                f"none of the {len(sources):,} images in {images.name} can be used; the first is "
                f"{id}: {reason}"
            )
        if n < MIN_IMAGES:
            raise InputError(
                f"{n} usable image{'s' * (n != 1)} in {images.name}: students need at "
                f"least {MIN_IMAGES}, and some hundreds for a useful result"
            )
        out, by_id = self.out.resolve(), {source.file.id: source.file for source in sources}
        rows = []
        for summary in summaries:
            for id, (width, height) in zip(summary.ids, summary.sizes.tolist()):
                f = by_id[id]
                where = f.where
                if f.path is not None:
                    path = f.path.absolute()
                    where = path.relative_to(out).as_posix() if path.is_relative_to(out) else str(path)
                rows.append(ImageRow(id=id, path=where, group=f.group, width=width, height=height))
        return rows

    def _directions(self, count: int) -> np.ndarray | None:
        """Return random directions, as many as there are words."""
        from inficond.core.students.baseline import random_directions

        if not self.options.baseline:
            return None
        return random_directions(count, self.encoder.dim, self.options.seed)

    def _choose(self, reason: str) -> None:
        """Record a choice that the person left open, with its reason."""
        self.choices.append(reason)
        self.progress.note(reason)

    def _link(self, T: np.ndarray) -> tuple[str, np.ndarray]:
        """Return the link of the students, and responses that fit to it."""
        if self.options.link is not None:
            link = self.options.link
        elif T.shape[1] > 1 and bool((np.abs(T.sum(axis=1) - 1) <= EXCLUSIVE).all()):
            link = "softmax"
            self._choose("link: softmax, because the classes exclude each other")
        else:
            return "sigmoid", T
        return link, normalised(T, self.notes.remark) if link == "softmax" else T

    def _labels(self, images: ImageSet, ids: Sequence[str], chosen: ClassSet) -> np.ndarray | None:
        if self.label_table is not None:
            labels, notes = aligned_labels(self.label_table, ids, chosen.names)
        else:
            labels, notes = source_labels(images, ids, chosen.names)
        for note in notes:
            self.notes.remark(note)
        return labels

    def _responses_and_parts(
        self,
        sources: Sequence[SourceFile],
        ids: Sequence[str],
        groups: Sequence[str | None],
        answers: np.ndarray,
    ) -> tuple[ClassSet, np.ndarray, str, Probe | None, Parts]:
        """Return the classes, the targets (N, C), the link, the probe and the parts of the images.

        A probe is fitted without the labels of the exam images.
        """
        if self.teachers.kind != "probe" or not self.options.exam or len(ids) < LEAST_FOR_EXAM:
            chosen, T, probe = self.teachers.responses(ids, groups, answers)
            link, T = self._link(T)
            return chosen, T, link, probe, self._parts(T, chosen, sources, ids)
        classes = self.teachers.label_classes()
        truth = classes.responses(label_matrix(self.images, self.label_table, ids))
        parts = self._parts(truth, classes, sources, ids)
        chosen, T, probe = self.teachers.responses(ids, groups, answers, parts.is_exam)
        link, T = self._link(T)
        return chosen, T, link, probe, parts

    def _parts(
        self, T: np.ndarray, classes: ClassSet, sources: Sequence[SourceFile], ids: Sequence[str]
    ) -> Parts:
        """Return the parts of the images; test images of the source are the exam part."""
        by_id = {source.file.id: source.file for source in sources}
        records = [by_id[id] for id in ids]
        parts = divide(
            T,
            groups=[f.group for f in records],
            given=[f.split for f in records],
            seed=self.options.seed,
            exam=self.options.exam,
        )
        self._choose(f"parts: {parts.reason}")
        tested = sum(f.split == "test" for f in records)
        if tested:
            use = "the exam" if parts.is_exam.any() else "validation"
            self.notes.remark(f"{tested:,} test images of the source are used for {use}")
        if parts.absent:
            names = ", ".join(classes.names[c] for c in parts.absent[:12])
            self.notes.remark(
                f"no exam image shows {names}: an exam leaves out the figures of "
                + ("this class" if len(parts.absent) == 1 else "these classes")
            )
        return parts

    def _fit(
        self,
        X: np.ndarray,
        X_random: np.ndarray | None,
        T: np.ndarray,
        training: np.ndarray,
        chosen: ClassSet,
        words: WordSelection,
        names: ClassNames | None,
        directions: np.ndarray | None,
        link: str,
        groups: Sequence[str | None],
    ) -> tuple[Students, Students | None]:
        from inficond.core.students.baseline import fit_directions
        from inficond.core.students.distil import distil

        o = self.options
        self.progress.start("fitting students", 1 if directions is None else 2)
        lam, relax = o.lam, 1.0 if o.lam is not None else RELAX
        rows = np.flatnonzero(training)
        sample = rows if self._fits_here(len(rows), X.shape[1]) else rows[self._sample(len(rows), X.shape[1])]
        X_fit, T_fit = X[sample], T[sample]
        seen = [groups[i] for i in sample.tolist()]
        prior = self.words.prior(names, words, X_fit, T_fit, link, seen).but_for(words.unseen)
        if lam is None and o.nec is None:
            choice = choose_sparsity(X_fit, T_fit, link, penalty=prior.penalty, groups=seen, seed=o.seed)
            lam = choice.lam
            self._choose(f"sparsity: {choice.reason}")
        # Results of fits refer to arrays as large as the training rows: they are not kept.
        with self._elsewhere(self.out / files.CONCEPT_VECTORS, T, rows, sample, link) as elsewhere:
            students, fitted = distil(
                X_fit, T_fit, chosen.names, words.corpus.names, lam=0.0 if lam is None else lam,
                nec=o.nec, relax=relax, link=link, encoder=self.encoder.name, embeddings=words.vectors,
                penalty=prior.penalty, outside=prior.outside, elsewhere=elsewhere,
            )  # fmt: skip
            if elsewhere is not None:
                gap = float((fitted.gap / np.maximum(fitted.objective, FLOOR)).max())
                self._choose(f"fit: the workers' rows were passed {fitted.n_iter.max()} times; gap {gap:.1e}")
            del fitted
        helped: dict[str, list[str]] = {}
        if prior.penalty is not None:
            without = distil(
                X_fit, T_fit, chosen.names, words.corpus.names, lam=0.0 if o.lam is None else o.lam,
                nec=None if o.lam is not None else max(float(students.nec().mean()), 0.5), relax=relax,
                link=link,
            )[0]  # fmt: skip
            helped = helped_words(students, without, prior.penalty)
        self.words.report_prior(prior, helped)
        if o.lam is None:
            students, reason = with_fitting_thresholds(students, X_fit, T_fit)
            if reason:
                self._choose(f"thresholds: {reason}")
        self.progress.advance(1)
        if directions is None or X_random is None:
            return students, None
        X_fit = X_random[sample]
        with self._elsewhere(self.scratch / RANDOM_VECTORS, T, rows, sample, link) as elsewhere:
            baseline = fit_directions(
                X_fit, T_fit, chosen.names, directions, lam=students.lam, relax=relax,
                nec=None if relax == 1.0 else max(float(students.nec().mean()), 0.5), link=link,
                elsewhere=elsewhere,
            )  # fmt: skip
        if o.lam is None:
            baseline = with_fitting_thresholds(baseline, X_fit, T_fit)[0]
        self.progress.advance(1)
        return students, baseline

    def _fits_here(self, n: int, K: int) -> bool:
        """Return whether the fits of `n` training rows run on this machine; record the choice otherwise."""
        fits = self.row_fits
        if fits is None or not fits.needed(n, K):
            return True
        size = f"{n:,} training images × {K:,} words are {_size(4.0 * n * K)}"
        reason = refusal(K, self.options.lam)
        if reason:
            self._choose(f"fit: {size}, more than --fit-memory, but {reason}: fitted on this machine")
            return True
        self._choose(
            f"fit: {size}, more than {_size(fits.limit)} (--fit-memory): the workers hold them; λ, name "
            f"prior and thresholds are chosen from {len(self._sample(n, K)):,} of the images"
        )
        return False

    def _sample(self, n: int, K: int) -> np.ndarray:
        assert self.row_fits is not None
        return self.row_fits.sample(n, K)

    def _elsewhere(
        self, X: Path, T: np.ndarray, rows: np.ndarray, sample: np.ndarray, link: str
    ) -> AbstractContextManager[RowFit | None]:
        """Return a fit of training rows that workers hold, or None if `sample` has all of them."""
        if sample is rows or self.row_fits is None:
            return nullcontext()
        return self.row_fits.open(X, T[rows], rows, link, self.scratch)

    def _measure_controls(
        self,
        regions: np.ndarray,
        X: np.ndarray,
        X_random: np.ndarray | None,
        T: np.ndarray,
        validation: np.ndarray,
        students: Students,
        baseline: Students | None,
    ) -> None:
        o = self.options
        if baseline is None or X_random is None or not validation.any():
            return
        vocabulary: Corpus | None = self.corpus
        if o.concepts is not None:  # random words come from the built-in corpus, whose vectors are shipped
            vocabulary = load_corpus(None, self.encoder) if str(o.encoder) == "embedded" else None
        self.progress.start("fitting controls", 1)
        self.controls = measure_controls(
            regions, X, T, validation, students, (baseline, X_random), vocabulary,
            neutral_regions(str(o.encoder), regions), relax=1.0 if o.lam is not None else RELAX,
            grounded=o.grounding, seed=o.seed,
        )  # fmt: skip
        self.progress.advance(1)

    def _config(
        self,
        request: str,
        chosen: ClassSet,
        students: Students,
        words: WordSelection,
        own_teacher: Manifest | None,
        n_files: int,
        reused: int,
        seconds: Mapping[str, float],
    ) -> dict[str, Any]:
        manifest = self.encoder.manifest
        teacher, labels = self.teachers.description(own_teacher, chosen)
        return {
            "request": request,
            "source": {
                "images": self.images.name, "files": n_files, "reused": reused,
                "encoded": self.encoding.computed,
                "skipped": len(self.notes.skipped),
                "skipped_files": [list(s) for s in self.notes.skipped[:LISTED]],
                "notes": self.notes.remarks[:LISTED],
            },
            "encoder": {
                "spec": files.OWN_ENCODER if self.own_encoder else str(self.options.encoder),
                "name": self.encoder.name, "digest": manifest.digest,
                "provider": self.encoder.provider, "dim": self.encoder.dim, "regions": self.encoder.n_regions,
                "crop_share": self.encoder.preprocess.crop_share,
            },
            "teacher": teacher,
            "class_labels": labels,
            "class_origin": chosen.origin,
            "corpus": {"file": _corpus_file(self.options.concepts)},
            "split": {"seed": self.options.seed},
            "fit": {"lam": students.lam, "nec": self.options.nec, "link": students.link},
            "choices": self.choices,
            "words": {
                "needed": words.needed, "left_out": [list(pair) for pair in words.left_out],
                "unclear": [list(pair) for pair in words.unclear],
                "not_proposed": list(words.not_proposed), "by_class": words.by_class,
            },
            "name_prior": {"strength": self.words.strength, "helped": self.words.helped},
            **({"grounding": words.grounding} if words.grounding else {}),
            **({"controls": self.controls} if self.controls else {}),
            "seconds": dict(seconds),
        }  # fmt: skip


def _size(n: float) -> str:
    """Return a number of bytes in megabytes or gigabytes."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"


def _corpus_file(words: Any) -> str | None:
    """Return where the words come from; None for the built-in ones."""
    return str(words) if isinstance(words, str | Path) else None if words is None else "given words"
