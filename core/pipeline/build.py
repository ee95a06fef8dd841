"""Building a project: images → concept vectors → teacher responses → students; resumable."""

import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from inficond.core.atomic_io import write_errors
from inficond.core.concepts.corpus import Concept
from inficond.core.concepts.kept_words import kept_texts
from inficond.core.errors import InputError
from inficond.core.evaluation.parts import MIN_IMAGES as LEAST_FOR_EXAM
from inficond.core.evaluation.parts import Parts
from inficond.core.images import ImageRecord, ImageSet, open_source
from inficond.core.images.walk import is_utf8
from inficond.core.models.class_sets import ClassSet
from inficond.core.models.manifest import Manifest
from inficond.core.models.resolve import EMBEDDED
from inficond.core.pipeline.assembly import assemble, collect_responses
from inficond.core.pipeline.encode import Encoding, encode_shards
from inficond.core.pipeline.fit_stage import FitData, FitStage
from inficond.core.pipeline.image_selection import image_parts, image_rows, usable_images
from inficond.core.pipeline.inputs import Inputs, open_inputs
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels
from inficond.core.pipeline.label_teachers import label_matrix
from inficond.core.pipeline.notes import LISTED, BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.request_hash import request_hash
from inficond.core.pipeline.row_fits import RowFits
from inficond.core.pipeline.shards import ShardStore, SourceFile, read_versions, shards_of
from inficond.core.pipeline.targets import link_and_targets
from inficond.core.pipeline.teacher_stage import TeacherStage
from inficond.core.pipeline.text2concept import Unremarked, make_encoder
from inficond.core.pipeline.word_stage import WordStage, own_words
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.project.writer import ProjectContents, ProjectWriter
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.students.student import Students
from inficond.core.teachers.probe import Probe
from inficond.core.teachers.text2concept import TEXT2CONCEPT
from inficond.core.tuning.word_selection import WordSelection

__all__ = ["BuildOptions", "build"]


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
    run = _Build(options, out, progress=progress, inputs=open_inputs(options))
    records = run.records()
    run.teachers.check_names([record.id for record in records])
    return Prepared(run.encoding, records, run)


def build(
    options: BuildOptions,
    progress: Progress | None = None,
    shards: Path | str | None = None,
    prepared: Prepared | None = None,
    row_fits: RowFits | None = None,
    inputs: Future[Inputs] | None = None,
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
    inputs : future of Inputs, optional
        From `open_inputs` with the same options, in a thread that began before this module was imported.

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
    if prepared is None and not own:
        opened = open_inputs(options) if inputs is None else inputs.result()
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
        run = _Build(options, out, opened, progress) if prepared is None else prepared.run
        run.fits.row_fits = row_fits
        return run.run(shards, None if prepared is None else prepared.sources)
    finally:
        lock.release()


def _build_text2concept(options: BuildOptions, out: Path, progress: Progress) -> Path:
    """Fit the map of a `text2concept` encoder on the fit part, then build with that encoder."""
    base = replace(options, encoder=EMBEDDED)
    first = _Build(base, out, progress=Unremarked(progress), inputs=open_inputs(base))
    folder = out / files.BUILD / files.OWN_ENCODER
    note = make_encoder(first.encoder, first.teachers.feature_teacher(), first.fit_part(), folder, progress)
    made = replace(options, encoder=folder)
    run = _Build(made, out, progress=progress, inputs=open_inputs(made))
    run.own_encoder = folder
    run.notes.choose(note)
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
        inputs: Inputs,
        progress: Progress,
    ) -> None:
        encoder, corpus, cache = inputs.encoder, inputs.corpus, inputs.cache
        self.options, self.out, self.encoder, self.cache = options, out, encoder, cache
        self.scratch = out / files.BUILD
        self.label_table, self.progress = inputs.labels, progress
        self.notes = BuildNotes(progress)
        self.corpus = corpus if options.concepts is None else own_words(corpus, self.notes)
        self.words = WordStage(options, encoder, self.corpus, self.notes)
        self.fits = FitStage(options, encoder, self.words, self.notes, progress)
        self.started = time.monotonic()
        self.own_encoder: Path | None = None
        self.teachers = TeacherStage(
            options, inputs.classes, inputs.labels, encoder, cache, self.notes, progress
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
        request = request_hash(self.options, self.corpus, self.teachers, self.encoding.basis, sources)
        if (self.out / files.PROJECT).exists():
            return self._already_built(request)
        self.teachers.check_names([source.file.id for source in sources])
        store = ShardStore(shards or self.scratch / "shards", self.encoding.basis)
        if shards is not None:
            _check_complete(store, sources)
        summaries, reused = encode_shards(self.encoding, store, sources, self.progress, self.options.workers)
        self._remark_cache(len(sources) - reused)
        encoded_at = time.monotonic()
        rows = image_rows(images.name, self.out, sources, summaries, self.notes)
        ids, groups = [row.id for row in rows], [row.group for row in rows]
        shards_read = (sources, summaries, store, self.encoding)
        answers = collect_responses(len(rows), *shards_read, self.scratch)
        chosen, T, link, probe, parts = self._responses_and_parts(sources, ids, groups, answers)
        order = np.argsort(parts.is_exam, kind="stable")  # exam images last
        rows, T, validation = [rows[i] for i in order.tolist()], T[order], parts.is_tune[order]
        ids, groups = [row.id for row in rows], [row.group for row in rows]
        n_exam = int(parts.is_exam.sum())
        seen = slice(0, len(rows) - n_exam)
        with (
            ProjectWriter(self.out, len(rows), self.encoder.grid) as writer,
            ThreadPoolExecutor(1, thread_name_prefix="background") as background,
        ):
            training = ~validation[seen]
            share = self.encoder.preprocess.crop_share
            sample = self.words.sample(T[seen], training, link, share, self.cache)
            regions = assemble(writer, *shards_read, parts.is_exam, self.progress, sample)
            labels = self._labels(images, ids, chosen)
            with single_threaded_blas():  # as for the fits, whose products are small too
                words, names = self.words.select(
                    regions[seen], training, T[seen], link, chosen, sample, self.progress, background
                )
            own_teacher = background.submit(self.teachers.write_own, probe, chosen)
            data = FitData(
                T=T[seen], training=training, groups=groups[seen], classes=chosen, link=link,
                words=words, names=names,
            )  # fmt: skip
            students, baseline = self.fits.fit(writer, regions, data)
            self.words.report_unseen()
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
                        request, chosen, students, words, own_teacher.result(), len(sources), reused, seconds
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

    def fit_part(self) -> list[ImageRecord]:
        """Return the images that students are fitted on, as `run` will divide them."""
        sources = read_versions(self.records(), self.progress)
        self.teachers.check_names([source.file.id for source in sources])
        store = ShardStore(self.scratch / "first", self.encoding.basis)
        summaries, _ = encode_shards(self.encoding, store, sources, self.progress, self.options.workers)
        rows = image_rows(self.images.name, self.out, sources, summaries, self.notes)
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
        """Return the images in order of their ids; see `usable_images`."""
        return usable_images(self.images, self.out, self.teachers, self.notes)

    def _already_built(self, request: str) -> Path:
        if files.read_project(self.out).get("request") != request:
            raise InputError(
                f"{self.out} already holds a project, made from other images, models or options: "
                "choose another --out"
            )
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.progress.note(f"{self.out} is finished already; nothing to do")
        return self.out

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
        o, by_id = self.options, {source.file.id: source.file for source in sources}
        records = [by_id[id] for id in ids]
        if self.teachers.kind != "probe" or not o.exam or len(ids) < LEAST_FOR_EXAM:
            chosen, T, probe = self.teachers.responses(ids, groups, answers)
            link, T = link_and_targets(T, o.link, self.notes)
            return chosen, T, link, probe, image_parts(T, chosen, records, o, self.notes)
        classes = self.teachers.label_classes()
        truth = classes.responses(label_matrix(self.images, self.label_table, ids))
        parts = image_parts(truth, classes, records, o, self.notes)
        chosen, T, probe = self.teachers.responses(ids, groups, answers, parts.is_exam)
        link, T = link_and_targets(T, o.link, self.notes)
        return chosen, T, link, probe, parts

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
            "choices": self.notes.choices,
            "words": {
                "needed": words.needed, "left_out": [list(pair) for pair in words.left_out],
                "unclear": [list(pair) for pair in words.unclear],
                "not_proposed": list(words.not_proposed), "by_class": words.by_class,
            },
            "name_prior": {"strength": self.words.strength, "helped": self.words.helped},
            **({"grounding": words.grounding} if words.grounding else {}),
            **({"controls": self.fits.controls} if self.fits.controls else {}),
            "seconds": dict(seconds),
        }  # fmt: skip


def _corpus_file(words: Any) -> str | None:
    """Return where the words come from; None for the built-in ones."""
    return str(words) if isinstance(words, str | Path) else None if words is None else "given words"
