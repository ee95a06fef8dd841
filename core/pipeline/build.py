"""The pipeline: images → concept vectors → teacher responses → students, resumable at any moment."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.checksum import sha256_of
from inficond.core.errors import InputError
from inficond.core.images import ImageRecord, ImageSet, open_source
from inficond.core.models.class_sets import ClassSet, class_set, most_frequent, read_classes
from inficond.core.models.encoder import Encoder, load_encoder
from inficond.core.models.tables import TABLE_SUFFIXES, Table, read_labels, read_responses
from inficond.core.models.teacher import Teacher, load_teacher
from inficond.core.pipeline.encode import Encoding, encode_pieces
from inficond.core.pipeline.label_alignment import aligned_labels, source_labels, unmatched
from inficond.core.pipeline.lock import locked
from inficond.core.pipeline.shard_reader import Whole
from inficond.core.pipeline.shards import PieceStore, SourceFile
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.tables import TableOptions

if TYPE_CHECKING:
    from inficond.core.concepts.corpus import Corpus

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
        ``embedded``, a model folder, a hub id, or a file of responses (CSV or Parquet).
    encoder : str
        ``embedded``, a model folder or a hub id.
    concepts : Path, optional
        A file of words; the built-in corpus by default.
    classes : Path or mapping, optional
        See `read_classes`; the teacher's most frequent groups or labels by default, 20 at most.
    labels : Path, optional
        Ground truth, see `read_labels`.
    lam : float
        λ on standardised columns.
    nec : float, optional
        Wanted mean number of effective concepts per class; λ is then found instead of given.
    link : {"sigmoid", "softmax"}
        Of the students; sigmoid by default.
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
    teacher: str | Path = "embedded"
    encoder: str | Path = "embedded"
    concepts: Path | str | None = None
    classes: Path | str | Mapping[str, Any] | None = None
    labels: Path | str | None = None
    lam: float = 2.5e-3
    nec: float | None = None
    link: str | None = None
    seed: int = 0
    provider: str = "auto"
    baseline: bool = True
    name: str | None = None
    workers: int | None = None
    tables: TableOptions = field(default_factory=TableOptions)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.lam) and self.lam >= 0):
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
    teacher = _teacher(options)
    corpus = _corpus(options, encoder)
    with locked(out / files.BUILD / "lock"):
        return _Build(options, out, encoder, teacher, corpus, classes, labels, progress).run()


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
        self.table = teacher if isinstance(teacher, Table) else None
        self.teacher = teacher if isinstance(teacher, Teacher) else None
        self.given_classes, self.label_table, self.progress = classes, labels, progress
        self.notes = _Notes(progress)
        self.encoding = Encoding(encoder, self.teacher)
        self.started = time.monotonic()

    def run(self) -> Path:
        for note in self.teacher.notes if self.teacher else ():
            self.notes.remark(note)
        self.images = self._open_images()
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
        class_set, T = self._responses(whole)
        if self.label_table is not None:
            labels, label_notes = aligned_labels(self.label_table, whole.ids, class_set.names)
        else:
            labels, label_notes = source_labels(self.images, whole.ids, class_set.names)
        for note in label_notes:
            self.notes.remark(note)
        by_id = {source.file.id: source.file for source in sources}
        image_files = [by_id[id] for id in whole.ids]
        validation = self._split(T, image_files)
        X = self._concept_vectors(whole)
        students, baseline = self._fit(X, T, ~validation, class_set, whole)
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
            concepts=self.corpus.names,
            concept_groups=self.corpus.groups,
            concept_prompts=[list(c.prompts) for c in self.corpus.concepts],
            concept_embeddings=self.corpus.embeddings,
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
            config=self._config(request, class_set, students.lam, len(sources), reused, seconds),
        )
        self.progress.advance(1)
        shutil.rmtree(self.out / files.BUILD, ignore_errors=True)
        return self.out

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
            "fit": [o.lam, o.nec, o.link, o.seed, o.baseline],
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

    def _responses(self, whole: Whole) -> tuple[ClassSet, np.ndarray]:
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
        if self.options.link == "softmax":
            T = self._normalised(T)
        return chosen, T

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

    def _concept_vectors(self, whole: Whole) -> np.ndarray:
        from inficond.core.concepts.vectors import concept_vectors

        self.progress.start("concept vectors", whole.n)
        X = np.empty((whole.n, len(self.corpus.names)), np.float32)
        row = 0
        for regions in whole.pieces("regions"):
            X[row : row + len(regions)] = concept_vectors(regions, self.corpus.embeddings)
            row += len(regions)
            self.progress.advance(len(regions))
        return X

    def _fit(
        self, X: np.ndarray, T: np.ndarray, training: np.ndarray, chosen: ClassSet, whole: Whole
    ) -> tuple[Any, Any]:
        from inficond.core.students.baseline import random_concept_baseline
        from inficond.core.students.distil import distil

        o = self.options
        link = o.link or "sigmoid"
        self.progress.start("fitting students", 2 if o.baseline else 1)
        students, _ = distil(
            X[training], T[training], chosen.names, self.corpus.names, lam=o.lam, nec=o.nec, link=link,
            encoder=self.encoder.name, embeddings=self.corpus.embeddings,
        )  # fmt: skip
        self.progress.advance(1)
        if not o.baseline:
            return students, None
        random = random_concept_baseline(
            whole.rows("regions"),
            T,
            training,
            chosen.names,
            len(self.corpus.names),
            lam=students.lam,
            link=link,
            seed=o.seed,
        )
        self.progress.advance(1)
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
            "class_labels": {
                name: [labels[i] for i in members] for name, members in zip(chosen.names, chosen.members)
            },
            "class_origin": chosen.origin,
            "corpus": {"file": None if self.options.concepts is None else str(self.options.concepts)},
            "split": {"seed": self.options.seed},
            "fit": {"lam": lam, "nec": self.options.nec, "link": self.options.link or "sigmoid"},
            "seconds": dict(seconds),
        }  # fmt: skip
