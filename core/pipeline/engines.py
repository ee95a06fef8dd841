"""Engines: what makes the shards of a build, for example a cluster, and the interface they share.

An engine gets shards to make and a store. It starts workers, each of which opens a `ShardWorker` and encodes
whole shards. Results travel through the store alone, so an interrupted run resumes from it and no worker
needs to answer twice.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from inficond.core.errors import InputError, one_line, unknown
from inficond.core.extensions import ENGINES, extensions, load
from inficond.core.images import ImageRecord
from inficond.core.models.encoder import load_encoder
from inficond.core.models.teacher import load_teacher
from inficond.core.pipeline.build import Prepared, build
from inficond.core.pipeline.encode import Encoding, encode_shard
from inficond.core.pipeline.encoding_cache import EncodingCache
from inficond.core.pipeline.label_teachers import KINDS as LABEL_KINDS
from inficond.core.pipeline.options import BuildOptions
from inficond.core.pipeline.plan import Plan, open_worker, prepared_plan
from inficond.core.pipeline.row_fits import RowEngine, RowFits, fit_limit
from inficond.core.pipeline.shards import ShardStore, SourceFile, shards_of
from inficond.core.pipeline.user_teachers import teacher_kind
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.version import __version__

LOCAL = "local"
"""Name of the engine that encodes in the process of the build itself."""
MOST_LOSSES = 3
"""Workers that may be lost with one shard before the build stops."""


@dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """What a worker needs besides its shards; it can be pickled.

    Parameters
    ----------
    options : BuildOptions
        With absolute paths.
    basis : str
        Checksums of the models that the worker must have.
    store : str
        Folder or URL of the shards.
    threads : int
        That decode and encode.
    """

    options: BuildOptions
    basis: str
    store: str
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class EncodingJob:
    """Shards that an engine makes.

    Parameters
    ----------
    settings : WorkerSettings
    shards : sequence of sequence of SourceFile
        The images of each missing shard. Images without a path are opened by the worker.
    store : ShardStore
        The store as the process of the build sees it.
    version : str
        Of this product, which every worker must have.
    """

    settings: WorkerSettings
    shards: Sequence[Sequence[SourceFile]]
    store: ShardStore
    version: str = __version__


class Engine(Protocol):
    """Makes shards on many workers."""

    def encode(self, job: EncodingJob, progress: Progress) -> None:
        """Make every shard of a job.

        Parameters
        ----------
        job : EncodingJob
        progress : Progress
            Already started; advanced by the images of each finished shard.

        Raises
        ------
        InputError
            No worker can do the job, or a shard cannot be made. Finished shards stay in the store.
        Cancelled
            Through `progress`.
        """
        ...


class ShardWorker:
    """The models of a build in one process of an engine.

    Parameters
    ----------
    settings : WorkerSettings

    Raises
    ------
    InputError
        A model is missing here or differs from that of the build.
    """

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self.encoding = open_encoding(settings.options)
        if self.encoding.basis != settings.basis:
            raise InputError("the encoder or the teacher here is not the one of the build")
        self._store = ShardStore(settings.store, settings.basis)
        self._opened: Prepared | None = None

    def encode(self, sources: Sequence[SourceFile]) -> int:
        """Make one shard and write it to the store; return the number of its images.

        Raises
        ------
        InputError
            See `encode_shard`.
        """
        known = [
            source if source.file.path is not None else replace(source, file=self._record(source.file.id))
            for source in sources
        ]
        encode_shard(self.encoding, self._store, known, self._settings.threads)
        return len(known)

    def _record(self, id: str) -> ImageRecord:
        """Return an image inside another file; the source is opened once."""
        if self._opened is None:
            plan = Plan(options=self._settings.options, basis=self._settings.basis, images=())
            self._opened = open_worker(plan)
        found = self._opened.by_id.get(id)
        if found is None:
            raise InputError(f"image {id!r:.200} is not there: the images differ from those of the build")
        return found


class ShardQueue:
    """Shards that are waiting, and those that are finished; each counts once.

    Parameters
    ----------
    job : EncodingJob
    progress : Progress

    Examples
    --------
    >>> from inficond.core.images import ImageRecord
    >>> from inficond.core.pipeline.engines import EncodingJob, ShardQueue
    >>> from inficond.core.pipeline.shards import SourceFile
    >>> from inficond.core.progress import Silent
    >>> shards = [[SourceFile(ImageRecord("a.jpg"), 1, "")], [SourceFile(ImageRecord("b.jpg"), 1, "")]]
    >>> queue = ShardQueue(EncodingJob(settings=None, shards=shards, store=None), Silent())
    >>> queue.take(), queue.take(), queue.take()
    (0, 1, None)
    >>> queue.finish(0), queue.finish(0)  # a worker answers twice
    (True, False)
    >>> queue.lose(1, "its worker has ended")
    >>> queue.take(), queue.done
    (1, False)
    """

    def __init__(self, job: EncodingJob, progress: Progress) -> None:
        self._shards, self._progress = job.shards, progress
        self._waiting = deque(range(len(job.shards)))
        self._finished: set[int] = set()
        self._losses: dict[int, int] = {}

    @property
    def done(self) -> bool:
        """Whether every shard is finished."""
        return len(self._finished) == len(self._shards)

    def take(self) -> int | None:
        """Return the number of the next shard to make; None if none is waiting."""
        while self._waiting:
            number = self._waiting.popleft()
            if number not in self._finished:
                return number
        return None

    def finish(self, number: int) -> bool:
        """Count a finished shard; return False if it was counted before."""
        if number in self._finished:
            return False
        self._finished.add(number)
        self._progress.advance(len(self._shards[number]))
        return True

    def lose(self, number: int, reason: str) -> None:
        """Put a shard whose worker failed back to the front.

        Raises
        ------
        InputError
            It has failed on too many workers.
        """
        if number in self._finished:
            return
        self._losses[number] = self._losses.get(number, 0) + 1
        if self._losses[number] >= MOST_LOSSES:
            shard = self._shards[number]
            raise InputError(
                f"{MOST_LOSSES} workers failed on the images {shard[0].file.id!r:.100} to "
                f"{shard[-1].file.id!r:.100}, the last: {one_line(reason, 300)}; finished shards are kept"
            )
        self._waiting.appendleft(number)

    def put_back(self, number: int) -> None:
        """Put a shard that no worker has begun back to the front."""
        if number not in self._finished:
            self._waiting.appendleft(number)


def open_encoding(options: BuildOptions) -> Encoding:
    """Open encoder and teacher of a build without its images.

    Raises
    ------
    InputError
        A model is missing or damaged.
    """
    kind = teacher_kind(options.teacher)
    teacher = None
    if kind not in ("table", "labels"):
        embedded = kind == "auto" or kind in LABEL_KINDS
        teacher = load_teacher("embedded" if embedded else options.teacher, options.provider, threads=1)
    encoder = load_encoder(options.encoder, options.provider, threads=1)
    return Encoding(encoder, teacher, cache=EncodingCache() if options.cache else None)


def open_engine(name: str, address: str | None = None) -> Engine:
    """Return an engine that an installed package offers.

    Parameters
    ----------
    name : str
        Of an entry point in `ENGINES`: a callable that takes the address.
    address : str, optional
        Of a running cluster; by default the engine starts workers on this machine.

    Raises
    ------
    InputError
        There is no such engine, or a package that it needs is not installed.
    """
    found = extensions(ENGINES)
    if name not in found:
        raise unknown("engine", name, [LOCAL, *found])
    make: Callable[[str | None], Engine] = load(found[name])
    return make(address)


def build_on(
    engine: Engine,
    options: BuildOptions,
    store: Path | str | None = None,
    progress: Progress | None = None,
    fit_memory: float | None = None,
) -> Path:
    """Build a project whose shards an engine makes; the arrays are those of `build`, bit for bit.

    Parameters
    ----------
    engine : Engine
    options : BuildOptions
        As for `plan_encoding`: images and teacher must be paths or names that workers can open.
        `workers` is the number of threads of each worker.
    store : Path or str, optional
        Folder or URL that all workers can write and this process can read; by default in the project folder.
    progress : Progress, optional
    fit_memory : float, optional
        Gigabytes of training rows (N·K·4 bytes) above which workers of the engine hold them during the fit,
        if it is a `RowEngine`; by default half of the free memory of this machine.

    Returns
    -------
    Path
        The project folder.

    Raises
    ------
    InputError
        Bad input, as for `build`. Finished shards stay in the store, and the same call resumes.
    Cancelled
        Through `progress`.
    """
    progress, limit = progress or Silent(), fit_limit(fit_memory)
    if (Path(options.out) / files.PROJECT).exists():
        return build(options, progress)
    plan, prepared = prepared_plan(options, progress)
    sources = prepared.sources or []
    place = str(store or plan.store)
    if "://" not in place:
        place = str(Path(place).absolute())
    shards = list(shards_of(sources))
    known = ShardStore(place, plan.basis)
    missing = [shard for shard, held in zip(shards, known.finished_all(shards)) if held is None]
    reused = len(sources) - sum(map(len, missing))
    if missing:
        progress.start("reading and encoding images", len(sources), reused)
        settings = WorkerSettings(
            options=plan.options, basis=plan.basis, store=place, threads=options.workers or 0
        )
        engine.encode(EncodingJob(settings=settings, shards=missing, store=known), progress)
    fits = RowFits(engine=engine, limit=limit) if isinstance(engine, RowEngine) else None
    return build(options, progress, place, prepared, fits)


def without_readers(sources: Sequence[SourceFile]) -> list[SourceFile]:
    """Return the images of a shard as they can be sent to a worker: id, path and content alone."""
    return [replace(s, file=ImageRecord(s.file.id, s.file.path and s.file.path.absolute())) for s in sources]
