"""Building a project: images → concept vectors → teacher responses → students; resumable."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout

from inficond.core.atomic_io import write_errors
from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.images import ImageRecord, ImageSet, open_source
from inficond.core.models.class_sets import ClassSet, read_classes
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.tables import TABLE_SUFFIXES, Table, read_labels, read_responses
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.pipeline.assembly import Assembled, assemble
from inficond.core.pipeline.encode import Encoding, encode_shards
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels, unmatched
from inficond.core.pipeline.notes import LISTED, BuildNotes
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.shards import ShardStore, ShardSummary, SourceFile
from inficond.core.pipeline.targets import class_responses
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.project.arrays import row_blocks
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ProjectContents, ProjectWriter

if TYPE_CHECKING:
    from inficond.core.concepts.corpus import Corpus
    from inficond.core.students import Students

__all__ = ["BuildOptions", "build"]

MIN_IMAGES = 4


def build(options: BuildOptions, progress: Progress | None = None) -> Path:
    """Build a project, or resume an interrupted build; a finished project is left as it is.

    Finished shards are reused, so that a build that was interrupted ends with the same arrays, bit for bit.

    Parameters
    ----------
    options : BuildOptions
    progress : Progress, optional

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
    classes = read_classes(options.classes)
    labels = None if options.labels is None else read_labels(Path(options.labels), options.tables)
    encoder = load_encoder(options.encoder, options.provider, threads=1)
    teacher = _teacher(options)
    corpus = _corpus(options, encoder)
    lock = FileLock(out / files.BUILD / "lock", timeout=0)
    with write_errors(out):
        (out / files.BUILD).mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout:
            raise InputError(f"another process is building {out}: wait for it, or stop it") from None
    try:
        return _Build(options, out, encoder, teacher, corpus, classes, labels, progress).run()
    finally:
        lock.release()


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: choose a folder for the project")
    if out.is_dir() and not (out / files.BUILD).exists() and not (out / files.PROJECT).exists():
        other = next(iter(out.iterdir()), None)
        if other is not None:
            raise InputError(f"{out} holds other files ({other.name}, …): choose a new or an empty folder")


def _teacher(options: BuildOptions) -> Teacher | Table:
    path = Path(options.teacher)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return read_responses(path, options.tables)
    return load_teacher(options.teacher, options.provider, threads=1)


def _corpus(options: BuildOptions, encoder: Encoder) -> "Corpus":
    from inficond.core.concepts.corpus import load_corpus

    return load_corpus(options.concepts, encoder)


class _Build:
    """One run of the pipeline; a method per stage."""

    def __init__(
        self,
        options: BuildOptions,
        out: Path,
        encoder: Encoder,
        teacher: Teacher | Table,
        corpus: "Corpus",
        classes: Mapping[str, list[str]] | str | None,
        labels: Table | None,
        progress: Progress,
    ) -> None:
        self.options, self.out, self.encoder, self.corpus = options, out, encoder, corpus
        self.scratch = out / files.BUILD
        self.table = teacher if isinstance(teacher, Table) else None
        self.teacher = teacher if isinstance(teacher, Teacher) else None
        self.given_classes, self.label_table, self.progress = classes, labels, progress
        self.notes = BuildNotes(progress)
        self.encoding = Encoding(encoder, self.teacher)
        self.started = time.monotonic()

    def run(self) -> Path:
        """Take all stages; return the project folder."""
        for note in self.teacher.notes if self.teacher else ():
            self.notes.remark(note)
        images = self._open_images()
        sources = self._sources(images)
        request = self._request(sources)
        if (self.out / files.PROJECT).exists():
            return self._already_built(request)
        store = ShardStore(self.scratch / "shards", self.encoding.basis)
        summaries, reused = encode_shards(self.encoding, store, sources, self.progress, self.options.workers)
        encoded_at = time.monotonic()
        rows = self._image_rows(images, sources, summaries)
        with ProjectWriter(self.out, len(rows), self.encoder.grid) as writer:
            directions = self._directions()
            assembled = assemble(
                writer, sources, summaries, store, self.encoding.shard, self.corpus.embeddings, directions,
                self.scratch, self.progress,
            )  # fmt: skip
            ids = [row.id for row in rows]
            chosen, T = self._responses(ids, assembled.responses)
            labels = self._labels(images, ids, chosen)
            validation = self._split(T, sources, ids)
            students, baseline = self._fit(assembled, T, ~validation, chosen, directions)
            seconds = {
                "encoding": round(encoded_at - self.started, 2),
                "all": round(time.monotonic() - self.started, 2),
            }
            self.progress.start("writing the project", 1)
            writer.finish(
                ProjectContents(
                    images=rows,
                    T=T,
                    concepts=self.corpus.names,
                    concept_groups=self.corpus.groups,
                    concept_prompts=[list(c.prompts) for c in self.corpus.concepts],
                    concept_embeddings=self.corpus.embeddings,
                    classes=chosen.names,
                    is_validation=validation,
                    students=students,
                    baseline=baseline,
                    labels=labels,
                    name=self.options.name,
                    config=self._config(images, request, chosen, students.lam, len(sources), reused, seconds),
                )
            )
        self.progress.advance(1)
        shutil.rmtree(self.scratch, ignore_errors=True)
        return self.out

    def _open_images(self) -> ImageSet:
        self.progress.start("looking for images", 1)
        downloads = self.scratch / "downloads"
        images = open_source(self.options.images, self.notes.skip, self.options.tables, downloads)
        for note in images.notes:
            self.notes.remark(note)
        self.progress.advance(1)
        return images

    def _sources(self, images: ImageSet) -> list[SourceFile]:
        """Return the images in order of their ids, without the project's own and those without response."""
        out = self.out.resolve()
        found = [f for f in images.records if f.path is None or not f.path.resolve().is_relative_to(out)]
        if self.table is not None:
            found = self._with_response(found, self.table)
        return [SourceFile.of(f) for f in found]

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
        o = self.options
        request = {
            "basis": self.encoding.basis,
            "files": [(s.file.id, s.file.group, s.file.split, s.size, s.changed) for s in sources],
            "responses": None if self.table is None else sha256_of(self.table.path),
            "labels": None if self.label_table is None else sha256_of(self.label_table.path),
            "classes": self.given_classes,
            "corpus": [list(self.corpus.names), hashlib.sha256(self.corpus.embeddings.tobytes()).hexdigest()],
            "fit": [o.lam, o.nec, o.link, o.seed, o.baseline],
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

    def _directions(self) -> np.ndarray | None:
        from inficond.core.students.baseline import random_directions

        if not self.options.baseline:
            return None
        return random_directions(len(self.corpus.names), self.encoder.dim, self.options.seed)

    def _responses(self, ids: Sequence[str], responses: np.ndarray) -> tuple[ClassSet, np.ndarray]:
        labels: Sequence[str]
        groups: Any
        if self.table is not None:
            labels, groups = self.table.classes, None
            responses = self.table.values[self.table.rows_for(ids)]
        else:
            assert self.teacher is not None
            labels, groups = self.teacher.labels, self.teacher.groups

        def blocks() -> Iterable[np.ndarray]:
            return row_blocks(responses)

        return class_responses(
            blocks,
            len(ids),
            labels,
            groups,
            self.given_classes,
            choose=self.table is None or len(labels) > 20,
            softmax=self.options.link == "softmax",
            remark=self.notes.remark,
        )

    def _labels(self, images: ImageSet, ids: Sequence[str], chosen: ClassSet) -> np.ndarray | None:
        if self.label_table is not None:
            labels, notes = aligned_labels(self.label_table, ids, chosen.names)
        else:
            labels, notes = source_labels(images, ids, chosen.names)
        for note in notes:
            self.notes.remark(note)
        return labels

    def _split(self, T: np.ndarray, sources: Sequence[SourceFile], ids: Sequence[str]) -> np.ndarray:
        """Return the validation images, (N,) bool; test images of the source are validation images."""
        from inficond.core.evaluation.split import stratified_split

        by_id = {source.file.id: source.file for source in sources}
        records = [by_id[id] for id in ids]
        given: list[str | None] = ["val" if f.split == "test" else f.split for f in records]
        tested = sum(f.split == "test" for f in records)
        if tested:
            self.notes.remark(f"{tested:,} test images of the source are used for validation")
        return stratified_split(
            T,
            groups=[f.group for f in records],
            given=given if any(given) else None,
            seed=self.options.seed,
        )

    def _fit(
        self,
        assembled: Assembled,
        T: np.ndarray,
        training: np.ndarray,
        chosen: ClassSet,
        directions: np.ndarray | None,
    ) -> tuple["Students", "Students | None"]:
        from inficond.core.students.baseline import fit_directions
        from inficond.core.students.distil import distil

        o, link = self.options, self.options.link or "sigmoid"
        self.progress.start("fitting students", 1 if directions is None else 2)
        # The results of both fits hold a copy of the training rows: only the students are kept.
        students = distil(
            assembled.X[training], T[training], chosen.names, self.corpus.names, lam=o.lam, nec=o.nec,
            link=link, encoder=self.encoder.name, embeddings=self.corpus.embeddings,
        )[0]  # fmt: skip
        self.progress.advance(1)
        if directions is None or assembled.X_random is None:
            return students, None
        baseline = fit_directions(
            assembled.X_random[training], T[training], chosen.names, directions, lam=students.lam, link=link
        )
        self.progress.advance(1)
        return students, baseline

    def _config(
        self,
        images: ImageSet,
        request: str,
        chosen: ClassSet,
        lam: float,
        n_files: int,
        reused: int,
        seconds: Mapping[str, float],
    ) -> dict[str, Any]:
        manifest = self.encoder.manifest
        teacher: dict[str, Any]
        if self.teacher is not None:
            teacher = {
                "spec": str(self.options.teacher), "name": self.teacher.name, "link": self.teacher.link,
                "digest": self.teacher.manifest.digest, "provider": self.teacher.provider,
                "labels": len(self.teacher.labels),
            }  # fmt: skip
            labels: Sequence[str] = self.teacher.labels
        else:
            assert self.table is not None
            teacher = {
                "spec": str(self.options.teacher), "name": self.table.path.name, "link": "responses",
                "digest": sha256_of(self.table.path), "labels": len(self.table.classes),
            }  # fmt: skip
            labels = self.table.classes
        return {
            "request": request,
            "source": {
                "images": images.name, "files": n_files, "reused": reused,
                "skipped": len(self.notes.skipped),
                "skipped_files": [list(s) for s in self.notes.skipped[:LISTED]],
                "notes": self.notes.remarks[:LISTED],
            },
            "encoder": {
                "spec": str(self.options.encoder), "name": self.encoder.name, "digest": manifest.digest,
                "provider": self.encoder.provider, "dim": self.encoder.dim, "regions": self.encoder.n_regions,
                "crop_share": self.encoder.preprocess.crop_share,
            },
            "teacher": teacher,
            "class_labels": {
                name: [labels[i] for i in members] for name, members in zip(chosen.names, chosen.members)
            },
            "class_origin": chosen.origin,
            "corpus": {"file": None if self.options.concepts is None else str(self.options.concepts)},
            "split": {"seed": self.options.seed},
            "fit": {"lam": lam, "nec": self.options.nec, "link": self.options.link or "sigmoid"},
            "seconds": dict(seconds),
        }  # fmt: skip
