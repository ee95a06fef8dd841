"""The pipeline: images → concept vectors → teacher responses → students, resumable at any moment."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.checksum import sha256_of
from inficond.core.concepts.corpus import Corpus, load_corpus
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.errors import InputError
from inficond.core.images import ImageRecord, ImageSet, open_source
from inficond.core.images.walk import is_utf8
from inficond.core.models.class_sets import ClassSet, class_set, most_frequent, read_classes
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.tables import TABLE_SUFFIXES, Table, read_labels, read_responses
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.pipeline.encode import Encoding, encode_pieces
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels, unmatched
from inficond.core.pipeline.label_teachers import KINDS as LABEL_KINDS
from inficond.core.pipeline.label_teachers import label_matrix, label_names, teach_from_labels
from inficond.core.pipeline.lock import locked
from inficond.core.pipeline.shard_reader import Whole
from inficond.core.pipeline.shards import PieceStore, SourceFile
from inficond.core.pipeline.word_selection import SEEN_IMAGES, WordSelection, candidate_words, select_words
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.students.distil import with_fitting_thresholds
from inficond.core.students.sparsity import RELAX, choose_sparsity
from inficond.core.students.student import Students
from inficond.core.tables import TableOptions
from inficond.core.teachers.probe import Probe
from inficond.core.teachers.probe_folder import write_probe

EXCLUSIVE = 1e-3
"""Classes exclude each other if the responses of each image sum to 1 within this tolerance."""
SHOWN = 1000
"""Skipped files that `project.json` lists by name; the rest are counted."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What a project is made from.

    Parameters
    ----------
    images : Path, str or iterable
        Any source that `open_source` opens.
    out : Path
        The project folder.
    teacher : str
        ``labels``, ``probe``, ``embedded``, a model folder, a hub id, or a file of responses (CSV or
        Parquet).
        ``auto``: ``probe`` if the images have labels and no class set is given, else ``embedded``.
    encoder : str
        ``embedded``, a model folder or a hub id.
    concepts : Path, optional
        A file of words; the built-in corpus by default.
    classes : Path or mapping, optional
        See `read_classes`; the teacher's most frequent groups or labels by default, 20 at most.
    labels : Path, optional
        Ground truth, see `read_labels`.
    lam : float, optional
        λ on standardised columns. By default it is chosen by cross-validated fidelity, under a limit of
        concepts.
    nec : float, optional
        Wanted mean number of effective concepts per class, from which λ follows.
    link : {"sigmoid", "softmax"}
        Of the students; softmax by default if the classes exclude each other, else sigmoid.
    validity : bool
        Whether built-in words that name nothing in the images are left out.
    grounding : bool
        Whether the vectors of words are moved half-way towards the regions that they name.
    seed : int
        Of the split and of the random directions.
    provider : str
        What models run on, see `open_session`.
    baseline : bool
        Whether to fit the random-concept baseline.
    name : str, optional
        Of the project; the folder's by default.
    workers : int, optional
        Threads that decode and encode; every available core by default.
    tables : TableOptions
        How tables of images, responses and labels are read.
    """

    images: Path | str | Iterable[Any]
    out: Path
    teacher: str | Path = "auto"
    encoder: str | Path = "embedded"
    concepts: Path | str | None = None
    classes: Path | str | Mapping[str, Any] | None = None
    labels: Path | str | None = None
    lam: float | None = None
    nec: float | None = None
    link: str | None = None
    validity: bool = True
    grounding: bool = True
    seed: int = 0
    provider: str = "auto"
    baseline: bool = True
    name: str | None = None
    workers: int | None = None
    tables: TableOptions = field(default_factory=TableOptions)

    def __post_init__(self) -> None:
        if self.lam is not None and not (np.isfinite(self.lam) and self.lam >= 0):
            raise InputError(f"λ must be a finite number of at least 0, not {self.lam!r}")
        if self.nec is not None and not (np.isfinite(self.nec) and self.nec > 0):
            raise InputError(f"the wanted number of concepts must be above 0, not {self.nec!r}")
        if self.link not in (None, "sigmoid", "softmax"):
            raise InputError(f"link must be sigmoid or softmax, not {self.link!r:.40}")


@dataclass
class _Notes:
    """What was skipped or put right: told as it happens, counted at the end."""

    progress: Progress
    skipped: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def skip(self, file: str, reason: str) -> None:
        self.skipped.append((file, reason))
        if len(self.skipped) <= 20:
            self.progress.note(f"skipped {file}: {reason}")
        elif len(self.skipped) == 21:
            self.progress.note("more files are skipped; project.json lists them")

    def remark(self, text: str) -> None:
        self.remarks.append(text)
        self.progress.note(text)


def build(options: BuildOptions, progress: Progress | None = None) -> Path:
    """Make a project, or go on with one that was interrupted, or do nothing where it is finished.

    Finished pieces are reused as they are, so a build that was killed ends with the same arrays, bit for bit.

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
        Bad input; what was finished stays.
    Cancelled
        `progress` was told to stop; what was finished stays.
    """
    progress = progress or Silent()
    out = Path(options.out)
    _check_folder(out)
    classes = read_classes(options.classes)
    labels = None if options.labels is None else read_labels(Path(options.labels), options.tables)
    encoder = load_encoder(options.encoder, options.provider, threads=1)
    corpus = _corpus(options, encoder)
    with locked(out / files.BUILD / "lock"):
        return _Build(options, out, encoder, corpus, classes, labels, progress).run()


def _check_folder(out: Path) -> None:
    if not is_utf8(str(out)):
        raise InputError(f"the path {out} is not UTF-8; choose another folder for the project")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file: choose a folder for the project")
    if out.is_dir() and not (out / files.BUILD).exists() and not (out / files.PROJECT).exists():
        other = next(iter(out.iterdir()), None)
        if other is not None:
            raise InputError(f"{out} holds other files ({other.name}, …): choose a new or an empty folder")


def _corpus(options: BuildOptions, encoder: Encoder) -> Corpus:
    """Return the person's own words, or the built-in candidates."""
    corpus = load_corpus(options.concepts, encoder)
    if options.concepts is None and options.validity:
        return candidate_words(corpus, encoder)
    return corpus


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
        progress: Progress,
    ) -> None:
        self.options, self.out, self.encoder, self.corpus = options, out, encoder, corpus
        self.given_classes, self.label_table, self.progress = classes, labels, progress
        self.notes = _Notes(progress)
        self.choices: list[str] = []
        self.started = time.monotonic()
        self.images = self._open_images()
        self.kind = self._teacher_kind()
        self.table, self.teacher = self._open_teacher()
        self.encoding = Encoding(encoder, self.teacher)

    def run(self) -> Path:
        for note in self.teacher.notes if self.teacher else ():
            self.notes.remark(note)
        sources = self._sources(self.images)
        request = self._request(sources)
        if (self.out / files.PROJECT).exists():
            return self._already_there(request)
        store = PieceStore(self.out / files.BUILD / "pieces", self.encoding.basis)
        reused = encode_pieces(self.encoding, store, sources, self.progress, self.options.workers)
        encoded_at = time.monotonic()
        whole = Whole(store, sources)
        for id, reason in whole.skipped:
            self.notes.skip(id, reason)
        self._tell_remarks(whole.remarks)
        self._enough_images(whole, sources)
        by_id = {source.file.id: source.file for source in sources}
        image_files = [by_id[id] for id in whole.ids]
        class_set, T, probe = self._responses(whole, image_files)
        link, T = self._link(T)
        if self.label_table is not None:
            labels, label_notes = aligned_labels(self.label_table, whole.ids, class_set.names)
        else:
            labels, label_notes = source_labels(self.images, whole.ids, class_set.names)
        for note in label_notes:
            self.notes.remark(note)
        validation = self._split(T, image_files)
        words = self._words(whole, ~validation)
        X = self._concept_vectors(whole, words.vectors)
        students, baseline = self._fit(X, T, ~validation, class_set, whole, words, link, image_files)
        own_teacher = self._write_teacher(probe, class_set)
        seconds = {
            "encoding": round(encoded_at - self.started, 2),
            "all": round(time.monotonic() - self.started, 2),
        }
        self.progress.start("writing the project", 1)
        files.write_project(
            self.out,
            images=self._rows(image_files, whole.sizes),
            X=X,
            T=T,
            concepts=words.corpus.names,
            concept_groups=words.corpus.groups,
            concept_prompts=[list(c.prompts) for c in words.corpus.concepts],
            concept_embeddings=words.vectors,
            classes=class_set.names,
            is_validation=validation,
            students=students,
            baseline=baseline,
            regions=whole.chunks("regions"),
            assignment=whole.chunks("assignment"),
            grid=self.encoder.grid,
            thumbnails=whole.thumbnails(),
            labels=labels,
            name=self.options.name,
            config=self._config(
                request, class_set, students, words, own_teacher, len(sources), reused, seconds
            ),
        )
        self.progress.advance(1)
        shutil.rmtree(self.out / files.BUILD, ignore_errors=True)
        return self.out

    def _teacher_kind(self) -> str:
        """Return ``labels``, ``probe``, ``table`` or ``model``."""
        spec = str(self.options.teacher)
        if spec == "auto":
            labelled = len(label_names(self.images, self.label_table)) > 1
            return "probe" if labelled and self.given_classes is None else "model"
        if spec in LABEL_KINDS:
            return spec
        return "table" if Path(spec).suffix.lower() in TABLE_SUFFIXES else "model"

    def _open_teacher(self) -> tuple[Table | None, Teacher | None]:
        options = self.options
        if self.kind == "table":
            return read_responses(Path(options.teacher), options.tables), None
        if self.kind == "labels":
            label_matrix(self.images, self.label_table, [r.id for r in self.images.records])
            return None, None
        if self.kind == "probe":
            label_matrix(self.images, self.label_table, [r.id for r in self.images.records])
        spec = "embedded" if str(options.teacher) in ("auto", "probe") else options.teacher
        return None, load_teacher(spec, options.provider, threads=1)

    def _open_images(self) -> ImageSet:
        self.progress.start("looking for images", 1)
        downloads = self.out / files.BUILD / "downloads"
        images = open_source(self.options.images, self.notes.skip, self.options.tables, downloads)
        for note in images.notes:
            self.notes.remark(note)
        self.progress.advance(1)
        return images

    def _sources(self, images: ImageSet) -> list[SourceFile]:
        """The image files in order of their ids, without the project's own and those without response."""
        out = self.out.resolve()
        found = [f for f in images.records if f.path is None or not f.path.resolve().is_relative_to(out)]
        if self.table is not None:
            found = self._with_response(found, self.table)
        if self.kind == "labels":
            labels = label_matrix(images, self.label_table, [f.id for f in found])
            known = [bool(row.all()) for row in np.isfinite(labels)]
            for f in (f for f, ok in zip(found, known) if not ok):
                self.notes.skip(f.id, "it has no label")
            found = [f for f, ok in zip(found, known) if ok]
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
        """What was asked for, as a checksum: the same request on a finished project is nothing to do."""
        o = self.options
        said = {
            "basis": self.encoding.basis,
            "files": [(s.file.id, s.file.group, s.file.split, s.size, s.changed) for s in sources],
            "responses": None if self.table is None else sha256_of(self.table.path),
            "labels": None if self.label_table is None else sha256_of(self.label_table.path),
            "classes": self.given_classes,
            "corpus": [list(self.corpus.names), hashlib.sha256(self.corpus.embeddings.tobytes()).hexdigest()],
            "fit": [o.lam, o.nec, o.link, o.seed, o.baseline, o.validity, o.grounding, self.kind],
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    def _already_there(self, request: str) -> Path:
        known = files.read_project(self.out).get("request")
        if known != request:
            raise InputError(
                f"{self.out} already holds a project, made from other images, models or options: "
                "choose another --out"
            )
        shutil.rmtree(self.out / files.BUILD, ignore_errors=True)
        self.progress.note(f"{self.out} is finished already; nothing to do")
        return self.out

    def _tell_remarks(self, remarks: Sequence[tuple[str, str]]) -> None:
        """One line for each kind of change, naming the first file."""
        kinds: dict[str, list[str]] = {}
        for id, remark in remarks:
            kind = "the first frame is used" if remark.startswith("the first of") else remark
            kinds.setdefault(kind, []).append(id)
        for kind, ids in kinds.items():
            more = f" and {len(ids) - 1:,} more" if len(ids) > 1 else ""
            self.notes.remark(f"{ids[0]}{more}: {kind}")

    def _enough_images(self, whole: Whole, sources: Sequence[SourceFile]) -> None:
        if whole.n == 0:
            first = self.notes.skipped[0]
            raise InputError(
                f"none of the {len(sources):,} images in {self.images.name} can be used; the first is "
                f"{first[0]}: {first[1]}"
            )
        if whole.n < 4:
            raise InputError(
                f"{whole.n} usable image{'s' * (whole.n != 1)} in {self.images.name}: students need at "
                "least 4, and some hundreds to be worth reading"
            )

    def _responses(
        self, whole: Whole, image_files: Sequence[ImageRecord]
    ) -> tuple[ClassSet, np.ndarray, Probe | None]:
        if self.kind in LABEL_KINDS:
            return self._responses_from_labels(whole, image_files)
        if self.table is not None:
            labels: Sequence[str] = self.table.classes
            probabilities = self.table.values[self.table.rows_for(whole.ids)]
            groups = None

            def pieces() -> Iterator[np.ndarray]:
                yield probabilities
        else:
            assert self.teacher is not None
            labels, groups = self.teacher.labels, self.teacher.groups

            def pieces() -> Iterator[np.ndarray]:
                return whole.pieces("responses")

        chosen = class_set(self.given_classes, labels, groups)
        if not isinstance(self.given_classes, Mapping):
            chosen = most_frequent(chosen, pieces()) if self.table is None or len(labels) > 20 else chosen
        elif len(chosen.names) > whole.n:
            raise InputError(
                f"{whole.n} images for {len(chosen.names)} classes: give more images, or fewer classes with "
                "--classes"
            )
        T = np.concatenate([chosen.responses(piece) for piece in pieces()])
        chosen, T = self._without_constant(chosen, T)
        if len(chosen.names) > whole.n:
            chosen, T = chosen.keep(range(whole.n)), T[:, : whole.n]
            self.notes.remark(f"only {whole.n} images: the {whole.n} most frequent classes are kept")
        return chosen, T, None

    def _responses_from_labels(
        self, whole: Whole, image_files: Sequence[ImageRecord]
    ) -> tuple[ClassSet, np.ndarray, Probe | None]:
        labels = label_matrix(self.images, self.label_table, whole.ids)
        names = label_names(self.images, self.label_table)
        if self.given_classes == "groups":
            raise InputError("labels have no groups; give a class file, or leave --classes out")
        chosen = class_set(self.given_classes or "labels", names, None)
        base = None
        if self.teacher is not None:
            self.progress.start("fitting a probe", 1)
            base = np.concatenate(list(whole.pieces("responses")))
        taught = teach_from_labels(
            self.kind,
            chosen,
            labels,
            base,
            base_name=self.teacher.name if self.teacher else "",
            groups=[f.group for f in image_files],
            seed=self.options.seed,
        )
        for note in taught.notes:
            self._choose(note)
        return taught.classes, taught.responses, taught.probe

    def _choose(self, reason: str) -> None:
        """Record a choice that was made for the person, with its reason."""
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
        return link, self._normalised(T) if link == "softmax" else T

    def _words(self, whole: Whole, training: np.ndarray) -> WordSelection:
        o = self.options
        rows = np.flatnonzero(training)
        if len(rows) > SEEN_IMAGES:
            rows = rows[np.linspace(0, len(rows) - 1, SEEN_IMAGES).round().astype(int)]
            self.notes.remark(f"words are tested and grounded on {SEEN_IMAGES:,} of the training images")
        regions = whole.gather("regions", rows)
        selection = select_words(
            self.corpus,
            regions,
            neutral_regions(str(o.encoder), regions),
            tested=o.validity and o.concepts is None,
            grounded=o.grounding,
        )
        self._choose(f"words: {selection.reason}")
        return selection

    def _write_teacher(self, probe: Probe | None, chosen: ClassSet) -> Teacher | None:
        """Keep a probe as a teacher that answers for new images."""
        if probe is None or self.teacher is None:
            return None
        folder = write_probe(self.out / files.OWN_TEACHER, self.teacher, probe.classifier, chosen.names)
        return load_teacher(folder, self.options.provider, threads=1)

    def _without_constant(self, chosen: ClassSet, T: np.ndarray) -> tuple[ClassSet, np.ndarray]:
        spread = T.max(axis=0) - T.min(axis=0)
        keep = [c for c in range(len(chosen.names)) if spread[c] > 1e-6]
        for c in sorted(set(range(len(chosen.names))) - set(keep)):
            self.notes.remark(
                f"class {chosen.names[c]!r} left out: the teacher says {T[0, c]:.3g} for every image, "
                "so there is nothing to learn"
            )
        if not keep:
            raise InputError(
                "the teacher says the same for every image, in every class: there is nothing to learn"
            )
        return chosen.keep(keep), np.ascontiguousarray(T[:, keep])

    def _normalised(self, T: np.ndarray) -> np.ndarray:
        """Responses as one distribution over the classes, which the softmax link needs."""
        total = T.sum(axis=1, keepdims=True)
        off = int((np.abs(total - 1) > 1e-3).sum())
        if off:
            self.notes.remark(
                f"softmax: the responses of {off:,} images do not sum to 1 over the classes; rescaled"
            )
        return np.where(total > 1e-6, T / np.maximum(total, 1e-6), np.float32(1 / T.shape[1])).astype(
            np.float32
        )

    def _split(self, T: np.ndarray, image_files: Sequence[ImageRecord]) -> np.ndarray:
        from inficond.core.evaluation.split import stratified_split

        given = self._given_split(image_files)
        return stratified_split(
            T,
            groups=[f.group for f in image_files],
            given=given if any(given) else None,
            seed=self.options.seed,
        )

    def _given_split(self, image_files: Sequence[ImageRecord]) -> list[str | None]:
        """The split that the source decides; its test images are validation images."""
        given: list[str | None] = ["val" if f.split == "test" else f.split for f in image_files]
        tested = sum(f.split == "test" for f in image_files)
        if tested:
            self.notes.remark(f"{tested:,} test images of the source are used for validation")
        return given

    def _concept_vectors(self, whole: Whole, vectors: np.ndarray) -> np.ndarray:
        from inficond.core.concepts.vectors import concept_vectors

        self.progress.start("concept vectors", whole.n)
        X = np.empty((whole.n, len(vectors)), np.float32)
        row = 0
        for regions in whole.pieces("regions"):
            X[row : row + len(regions)] = concept_vectors(regions, vectors)
            row += len(regions)
            self.progress.advance(len(regions))
        return X

    def _fit(
        self,
        X: np.ndarray,
        T: np.ndarray,
        training: np.ndarray,
        chosen: ClassSet,
        whole: Whole,
        words: WordSelection,
        link: str,
        image_files: Sequence[ImageRecord],
    ) -> tuple[Students, Students | None]:
        from inficond.core.students.baseline import random_concept_baseline
        from inficond.core.students.distil import distil

        o = self.options
        self.progress.start("fitting students", 2 if o.baseline else 1)
        lam, relax = o.lam, 1.0
        if lam is None:
            relax = RELAX
        if lam is None and o.nec is None:
            groups = [f.group for f, seen in zip(image_files, training) if seen]
            choice = choose_sparsity(X[training], T[training], link, groups=groups, seed=o.seed)
            lam = choice.lam
            self._choose(f"sparsity: {choice.reason}")
        students, _ = distil(
            X[training], T[training], chosen.names, words.corpus.names, lam=0.0 if lam is None else lam,
            nec=o.nec, relax=relax, link=link, encoder=self.encoder.name, embeddings=words.vectors,
        )  # fmt: skip
        if o.lam is None:
            students, reason = with_fitting_thresholds(students, X[training], T[training])
            if reason:
                self._choose(f"thresholds: {reason}")
        self.progress.advance(1)
        if not o.baseline:
            return students, None
        random = random_concept_baseline(
            whole.rows("regions"),
            T,
            training,
            chosen.names,
            len(words.corpus),
            lam=students.lam,
            nec=None if relax == 1.0 else max(float(students.nec().mean()), 0.5),
            relax=relax,
            link=link,
            seed=o.seed,
        )
        self.progress.advance(1)
        if o.lam is None:
            return students, with_fitting_thresholds(random.students, random.X[training], T[training])[0]
        return students, random.students

    def _rows(self, image_files: Sequence[ImageRecord], sizes: np.ndarray) -> list[files.ImageRow]:
        out = self.out.resolve()
        rows = []
        for f, (width, height) in zip(image_files, sizes.tolist()):
            shown = f.where
            if f.path is not None:
                path = f.path.absolute()
                shown = path.relative_to(out).as_posix() if path.is_relative_to(out) else str(path)
            rows.append(files.ImageRow(id=f.id, path=shown, group=f.group, width=width, height=height))
        return rows

    def _config(
        self,
        request: str,
        chosen: ClassSet,
        students: Students,
        words: WordSelection,
        own_teacher: Teacher | None,
        n_files: int,
        reused: int,
        seconds: Mapping[str, float],
    ) -> dict[str, Any]:
        manifest = self.encoder.manifest
        teacher, labels = self._teacher_config(own_teacher, chosen)
        return {
            "request": request,
            "source": {
                "images": self.images.name, "files": n_files, "reused": reused,
                "skipped": len(self.notes.skipped),
                "skipped_files": [list(s) for s in self.notes.skipped[:SHOWN]],
                "notes": self.notes.remarks[:SHOWN],
            },
            "encoder": {
                "spec": str(self.options.encoder), "name": self.encoder.name, "digest": manifest.digest,
                "provider": self.encoder.provider, "dim": self.encoder.dim, "regions": self.encoder.n_regions,
                "crop_share": self.encoder.preprocess.crop_share,
            },
            "teacher": teacher,
            "class_labels": labels,
            "class_origin": chosen.origin,
            "corpus": {"file": None if self.options.concepts is None else str(self.options.concepts)},
            "split": {"seed": self.options.seed},
            "fit": {"lam": students.lam, "nec": self.options.nec, "link": students.link},
            "choices": self.choices,
            "words": {"needed": words.needed, "left_out": [list(pair) for pair in words.left_out]},
            **({"grounding": words.grounding} if words.grounding else {}),
            "seconds": dict(seconds),
        }  # fmt: skip

    def _teacher_config(
        self, own_teacher: Teacher | None, chosen: ClassSet
    ) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """Return the description of the teacher, and its labels of each class."""
        labels: Sequence[str]
        if own_teacher is not None:
            teacher, spec, labels = own_teacher, files.OWN_TEACHER, own_teacher.labels
            return _model_config(teacher, spec), {name: [name] for name in chosen.names}
        if self.kind == "labels":
            labels = label_names(self.images, self.label_table)
            described = {"spec": "labels", "name": "labels", "link": "responses", "labels": len(labels)}
        elif self.table is not None:
            labels = self.table.classes
            described = {
                "spec": str(self.options.teacher), "name": self.table.path.name, "link": "responses",
                "digest": sha256_of(self.table.path), "labels": len(labels),
            }  # fmt: skip
        else:
            assert self.teacher is not None
            labels = self.teacher.labels
            spec = "embedded" if self.options.teacher == "auto" else str(self.options.teacher)
            described = _model_config(self.teacher, spec)
        named = zip(chosen.names, chosen.members)
        return described, {name: [labels[i] for i in members] for name, members in named}


def _model_config(teacher: Teacher, spec: str) -> dict[str, Any]:
    return {
        "spec": spec, "name": teacher.name, "link": teacher.link, "digest": teacher.manifest.digest,
        "provider": teacher.provider, "labels": len(teacher.labels),
    }  # fmt: skip
