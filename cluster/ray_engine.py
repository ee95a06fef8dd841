"""Encoding on Ray: one actor for each group of processors or each GPU, which encodes whole shards.

The actors are plain ones and not those of Ray Data. A shard is named by its images, its arrays travel through
the store and an answer holds a few words, so there is no data for Ray Data to stream, spill or estimate. Each
actor has one shard in work and one waiting, which bounds what is under way. An actor that ends gives its
shards back to the queue and is replaced where the cluster has room.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from inficond.cluster.connection import connection
from inficond.cluster.distributed_fit import RayBlocks
from inficond.cluster.encoding_worker import EncodingWorker, Reply
from inficond.core.errors import InputError, first_line
from inficond.core.pipeline.engines import EncodingJob, ShardQueue, WorkerSettings, without_readers
from inficond.core.pipeline.row_fits import ArrayRows
from inficond.core.processors import available_processors
from inficond.core.progress import Progress
from inficond.core.solver.row_blocks import RowBlocks

THREADS = 4
"""Threads of a worker without a GPU by default; they share one session of each model."""
GPU_THREADS = 16
"""Most threads that decode for one GPU by default."""
AHEAD = 2
"""Shards that a worker has at a time: one in work, one waiting."""
POLL_SECONDS = 1.0
HIRE_SECONDS = 10.0
"""Interval between looks for new machines of the cluster."""
PATIENCE_SECONDS = 60.0
"""Waiting time after which the lack of workers is reported, and in which a finished shard must be seen."""
MOST_FAILED_STARTS = 3


@dataclass(eq=False)
class _Worker:
    """An actor, as the process of the build sees it."""

    actor: Any
    ready: bool = False
    shards: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class _Call:
    """A call that an actor has not answered: ``version``, ``open`` or ``encode``."""

    worker: _Worker
    kind: str
    shard: int = -1


class RayEngine:
    """Engine that encodes on a Ray cluster or on processes of this machine.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` or ``auto`` of a running cluster; by default Ray is started on this machine, listens on
        loopback alone, and is stopped at the end.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._threads = 0

    def encode(self, job: EncodingJob, progress: Progress) -> None:
        """Make every shard of a job; see `Engine`."""
        self._threads = job.settings.threads
        with connection(self._address, available_processors()) as ray:
            run = _Run(ray, job, progress)
            try:
                run.all_shards()
            finally:
                run.stop()

    @contextmanager
    def hold(self, rows: ArrayRows, link: str) -> Iterator[RowBlocks]:
        """Divide rows among actors of as many processors as those that encode; see `RowEngine`."""
        with connection(self._address, available_processors()) as ray:
            processors = [
                int(node.get("Resources", {}).get("CPU", 0)) for node in ray.nodes() if node["Alive"]
            ]
            threads = self._threads or max(1, min([THREADS, *filter(None, processors)]))
            count = max(1, sum(number // threads for number in processors))
            blocks = RayBlocks(ray, rows.divided(count), link, threads)
            try:
                yield blocks
            finally:
                blocks.stop()


class _Run:
    """One run of the engine: its actors and its calls."""

    def __init__(self, ray: Any, job: EncodingJob, progress: Progress) -> None:
        self._ray, self._job, self._progress = ray, job, progress
        self._queue = ShardQueue(job, progress)
        self._workers: list[_Worker] = []
        self._calls: dict[Any, _Call] = {}
        self._refused: list[str] = []
        self._seen: set[str] = set()
        self._failed_starts = 0
        self._hired_at = float("-inf")
        self._worked_at = time.monotonic()
        gpus = job.settings.options.provider != "cpu" and any(_gpus(node) for node in self._nodes())
        self._kind, self._threads = "GPU" if gpus else "CPU", self._threads_of(gpus)
        self._options: dict[str, Any] = {
            "num_cpus": self._threads, "num_gpus": int(gpus), "max_restarts": 0, "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
        }  # fmt: skip
        provider = job.settings.options.provider
        if provider == "auto" and not gpus:
            provider = "cpu"
        settings = replace(
            job.settings, threads=self._threads, options=replace(job.settings.options, provider=provider)
        )
        self._settings: WorkerSettings = ray.put(settings)
        self._actor = ray.remote(EncodingWorker)

    def all_shards(self) -> None:
        """Make all shards."""
        while not self._queue.done:
            self._hire()
            self._give()
            if not self._calls:
                time.sleep(POLL_SECONDS)
                continue
            answered, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=POLL_SECONDS)
            self._progress.advance(0)  # raises where the work should stop
            for reference in answered:
                self._answer(reference, self._calls.pop(reference, None))

    def stop(self) -> None:
        """End all actors."""
        for worker in self._workers:
            self._end(worker)
        self._workers.clear()
        self._calls.clear()

    def _nodes(self) -> list[dict[str, Any]]:
        """Return the resources of the machines that are alive."""
        return [node.get("Resources", {}) for node in self._ray.nodes() if node.get("Alive")]

    def _threads_of(self, gpus: bool) -> int:
        """Return the threads, and processors, of a worker."""
        nodes = self._nodes()
        if self._job.settings.threads:
            return self._job.settings.threads
        if gpus:
            return max(1, min(GPU_THREADS, *(int(n.get("CPU", 0) / _gpus(n)) for n in nodes if _gpus(n))))
        return max(1, min([THREADS, *(int(n["CPU"]) for n in nodes if n.get("CPU", 0) >= 1)]))

    def _capacity(self) -> int:
        """Return the number of workers for which the cluster has room."""
        room = 0
        for node in self._nodes():
            by_processors = int(node.get("CPU", 0) / self._threads)
            room += min(by_processors, int(_gpus(node))) if self._kind == "GPU" else by_processors
        return room

    def _hire(self) -> None:
        """Start workers on machines that are new or whose worker has ended."""
        now = time.monotonic()
        if now - self._hired_at < HIRE_SECONDS and self._workers:
            return
        self._hired_at = now
        # A cluster that grows on demand may have no machine yet.
        room = max(1, self._capacity()) - len(self._refused)
        wanted = min(room, len(self._job.shards))
        for _ in range(wanted - len(self._workers)):
            worker = _Worker(self._actor.options(**self._options).remote())
            self._workers.append(worker)
            self._calls[worker.actor.version.remote()] = _Call(worker, "version")
        if any(worker.ready for worker in self._workers):
            self._worked_at = now
        elif not self._workers and self._refused:
            raise InputError(f"no worker can be used; {self._refused[0]}")
        elif now - self._worked_at > PATIENCE_SECONDS:
            self._worked_at = now
            self._progress.note(
                f"waiting for workers of {self._threads} {'processors' if self._threads > 1 else 'processor'}"
                f"{' and a GPU' if self._kind == 'GPU' else ''}: the cluster is busy or too small"
            )

    def _give(self) -> None:
        """Give each worker a shard to make and one to wait."""
        for ahead in range(1, AHEAD + 1):
            for worker in self._workers:
                if worker.ready and len(worker.shards) < ahead:
                    number = self._queue.take()
                    if number is None:
                        return
                    worker.shards.add(number)
                    images = without_readers(self._job.shards[number])
                    self._calls[worker.actor.encode.remote(images)] = _Call(worker, "encode", number)

    def _answer(self, reference: Any, call: _Call | None) -> None:
        """Take the answer to a call, or the end of its worker."""
        if call is None or call.worker not in self._workers:
            return
        try:
            answer = self._ray.get(reference)
        except Exception as error:  # the worker, its machine or its memory
            self._lost(call, first_line(error, 300))
            return
        worker = call.worker
        if call.kind == "version":
            if answer != self._job.version:
                self._refuse(
                    worker,
                    f"a worker runs InFiConD {answer}, this machine {self._job.version}: install one version",
                )
                return
            self._calls[worker.actor.open.remote(self._settings)] = _Call(worker, "open")
        elif call.kind == "open":
            if answer.refused:
                self._refuse(worker, f"worker on {answer.where}: {answer.refused}")
            else:
                worker.ready, self._failed_starts = True, 0
        else:
            worker.shards.discard(call.shard)
            self._encoded(call.shard, answer)

    def _encoded(self, number: int, reply: Reply) -> None:
        """Count a finished shard after a look into the store."""
        if reply.refused:
            raise InputError(f"worker on {reply.where}: {reply.refused}")
        if reply.failed:
            self._queue.lose(number, f"worker on {reply.where}: {reply.failed}")
            return
        machine = reply.where.partition(",")[0]
        deadline = time.monotonic() + (0 if machine in self._seen else PATIENCE_SECONDS)
        while self._job.store.finished(self._job.shards[number], retry=False) is None:
            if machine in self._seen:  # file systems of networks show files late; `merge` looks again
                break
            if time.monotonic() > deadline:
                raise InputError(
                    f"a shard that the worker on {reply.where} wrote is not in {self._job.store.place} here: "
                    "name a --store that all machines share"
                )
            time.sleep(POLL_SECONDS)
        self._seen.add(machine)
        self._queue.finish(number)

    def _lost(self, call: _Call, reason: str) -> None:
        """Give the shards of a worker that has ended back to the queue."""
        worker = call.worker
        self._end(worker)
        self._workers.remove(worker)
        self._calls = {r: c for r, c in self._calls.items() if c.worker is not worker}
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                raise InputError(f"workers end while they start: {reason}")
        for number in sorted(worker.shards, reverse=True):
            if number == call.shard:
                self._queue.lose(number, reason)
            else:
                self._queue.put_back(number)
        self._hired_at = float("-inf")
        if worker.ready:
            self._progress.note(f"a worker has ended and its shards are made again: {reason}")

    def _refuse(self, worker: _Worker, reason: str) -> None:
        """Leave a worker out."""
        self._end(worker)
        self._workers.remove(worker)
        if reason not in self._refused:
            self._progress.note(f"left out: {reason}")
        self._refused.append(reason)
        self._hired_at = float("-inf")

    def _end(self, worker: _Worker) -> None:
        try:
            self._ray.kill(worker.actor)
        except Exception:  # it has ended, or the cluster is gone
            return


def _gpus(resources: dict[str, Any]) -> float:
    return float(resources.get("GPU", 0))
