"""Dynamic batching of single-image requests from many clients.

Requests wait in a bounded queue. One worker thread takes them, waits a few milliseconds for more, and runs a
batch. If a batch fails, its halves are run, down to the single request that causes the failure. If the queue
stays full, `Busy` is raised. A cancelled request is dropped before it is run. Health is measured on the
worker, so it is not ok while requests stay unanswered.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.batching import is_out_of_memory, rows_of
from inficond.core.models.hardware import available_cores

RECENT = 2048
"""Number of latencies kept for the quantiles."""


class Busy(InputError):
    """The queue stayed full; the caller should retry."""


class Closed(InputError):
    """The scheduler was closed, or its worker has ended."""


@dataclass(frozen=True)
class Health:
    """State of a scheduler.

    Parameters
    ----------
    ok : bool
        The worker runs, and no request has waited longer than the stall limit.
    reason : str
        Why it is not ok; empty if it is.
    waiting, running : int
        Requests in the queue and in the current batch.
    answered, failed, cancelled, refused : int
        Numbers of requests since the start.
    batches : int
        Batches since the start, including those of a bisection.
    batch_size : int
        Current limit of images in a batch; reduced when memory runs out.
    oldest : float
        Age of the oldest unanswered request, in seconds.
    p50, p95 : float
        Quantiles of the latency over the last `RECENT` answers, in seconds; 0 without answers.
    last_error : str
        Message of the last failure.
    """

    ok: bool
    reason: str
    waiting: int
    running: int
    answered: int
    failed: int
    cancelled: int
    refused: int
    batches: int
    batch_size: int
    oldest: float
    p50: float
    p95: float
    last_error: str


@dataclass(eq=False)
class _Request:
    pixels: np.ndarray
    future: "Future[Any]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)


class Scheduler:
    """Batches single-image requests for a model.

    Parameters
    ----------
    run : callable
        Maps (B, H, W, 3) uint8 to an array, or a (named) tuple of arrays, with B rows; for instance
        `Encoder.encode`.
    prepare : callable, optional
        Maps the argument of `ask` (a decoded picture, a path) to (H, W, 3) uint8. Runs in the caller's
        thread, for at most `preparing` callers at a time.
    batch_size : int
        Largest number of images in a batch.
    latency : float
        Seconds that a batch waits for further requests.
    queue : int
        Largest number of waiting requests.
    patience : float
        Seconds to wait for a place in a full queue before `Busy` is raised.
    stall : float
        Seconds without an answer after which health is not ok while requests wait.
    preparing : int, optional
        The number of cores by default.
    """

    def __init__(
        self,
        run: Callable[[np.ndarray], Any],
        prepare: Callable[[Any], np.ndarray] | None = None,
        batch_size: int = 8,
        latency: float = 0.005,
        queue: int = 128,
        patience: float = 10.0,
        stall: float = 30.0,
        preparing: int | None = None,
    ) -> None:
        if batch_size < 1 or queue < 1:
            raise ValueError("a scheduler needs a batch size and a queue of at least 1")
        self._run, self._prepare = run, prepare
        self._batch_size, self._latency, self._places = batch_size, latency, queue
        self._patience, self._stall = patience, stall
        self._preparing = threading.BoundedSemaphore(preparing or available_cores())
        self._changed = threading.Condition()
        self._queue: deque[_Request] = deque()
        self._running: list[_Request] = []
        self._latencies: deque[float] = deque(maxlen=RECENT)
        self._answered = self._failed = self._cancelled = self._refused = self._batches = 0
        self._last_error = ""
        self._last_answer = time.monotonic()
        self._closing = False
        self._worker = threading.Thread(target=self._work, name="scheduler", daemon=True)
        self._worker.start()

    def __enter__(self) -> "Scheduler":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def ask(self, picture: Any, timeout: float | None = None) -> Any:
        """Prepare a picture, run it in a batch, and wait for its result.

        Parameters
        ----------
        picture : object
            Argument of `prepare`; pixels if there is no `prepare`.
        timeout : float, optional
            Seconds to wait for the result.

        Returns
        -------
        object
            One row of the result of `run`.

        Raises
        ------
        Busy
            The queue stayed full.
        TimeoutError
            No result in time; the request is cancelled.
        Exception
            Raised by `prepare` or `run` for this picture.
        """
        with self._preparing:
            pixels = picture if self._prepare is None else self._prepare(picture)
        future = self.submit(pixels)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    def submit(self, pixels: np.ndarray, patience: float | None = None) -> "Future[Any]":
        """Queue an image.

        Parameters
        ----------
        pixels : (H, W, 3) uint8
        patience : float, optional
            Seconds to wait for a place; by default that of the scheduler.

        Returns
        -------
        Future
            One row of the result of `run`. Cancelling it frees its place unless its batch is running.

        Raises
        ------
        Busy
            The queue stayed full.
        Closed
            The scheduler was closed.
        """
        request = _Request(pixels)
        until = request.since + (self._patience if patience is None else patience)
        with self._changed:
            while len(self._queue) >= self._places and not self._closing:
                self._drop_cancelled()
                if len(self._queue) < self._places:
                    break
                left = until - time.monotonic()
                if left <= 0:
                    self._refused += 1
                    raise Busy(
                        f"the model is busy ({len(self._queue)} images are waiting): try again in a moment"
                    )
                self._changed.wait(min(left, 0.25))
            if self._closing or not self._worker.is_alive():
                raise Closed("the model was closed: start it again")
            self._queue.append(request)
            self._changed.notify_all()
        return request.future

    def health(self) -> Health:
        """Return the current state."""
        with self._changed:
            now = time.monotonic()
            oldest = min((r.since for r in (*self._running, *self._queue)), default=now)
            due = bool(self._running or self._queue)
            silent = now - max(self._last_answer, oldest)
            reason = ""
            if not self._worker.is_alive():
                reason = "the worker has ended"
            elif self._closing:
                reason = "closing"
            elif due and silent > self._stall:
                reason = f"no answer for {silent:.0f} s while requests wait"
            times = np.array(self._latencies) if self._latencies else np.zeros(1)
            return Health(
                ok=not reason,
                reason=reason,
                waiting=len(self._queue),
                running=len(self._running),
                answered=self._answered,
                failed=self._failed,
                cancelled=self._cancelled,
                refused=self._refused,
                batches=self._batches,
                batch_size=self._batch_size,
                oldest=now - oldest,
                p50=float(np.quantile(times, 0.5)),
                p95=float(np.quantile(times, 0.95)),
                last_error=self._last_error,
            )

    def close(self, timeout: float = 10.0) -> None:
        """Finish the current batch, cancel waiting requests, and end the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._worker is not threading.current_thread():
            self._worker.join(timeout)

    def _drop_cancelled(self) -> None:
        kept = [r for r in self._queue if not r.future.cancelled()]
        if len(kept) < len(self._queue):
            self._cancelled += len(self._queue) - len(kept)
            self._queue = deque(kept)
            self._changed.notify_all()

    def _work(self) -> None:
        try:
            while True:
                batch = self._take()
                if batch is None:
                    return
                self._run_batch(batch)
                with self._changed:
                    self._running = []
                    self._changed.notify_all()
        finally:
            # No caller may wait for a worker that has ended, for whatever reason.
            with self._changed:
                self._closing = True
                left = [*self._running, *self._queue]
                self._running, self._queue = [], deque()
                self._changed.notify_all()
            for request in left:
                if not request.future.cancel() and not request.future.done():
                    request.future.set_exception(Closed("the model was closed: start it again"))

    def _take(self) -> list[_Request] | None:
        """Wait for the next batch; None when the scheduler is closing."""
        with self._changed:
            while True:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return None
                until = time.monotonic() + self._latency
                while len(self._queue) < self._batch_size and not self._closing:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
                batch: list[_Request] = []
                while self._queue and len(batch) < self._batch_size:
                    request = self._queue.popleft()
                    if request.future.set_running_or_notify_cancel():
                        batch.append(request)
                    else:
                        self._cancelled += 1
                self._changed.notify_all()
                if batch:
                    self._running = list(batch)
                    return batch

    def _run_batch(self, batch: list[_Request]) -> None:
        """Run a batch; if it fails, run its halves, down to single requests."""
        try:
            # Stacked here, so that pixels of another shape fail only their own request.
            rows = rows_of(self._run(np.stack([r.pixels for r in batch])), len(batch))
        except Exception as error:
            with self._changed:
                self._batches += 1
                if len(batch) > 1 and is_out_of_memory(error):
                    self._batch_size = max(1, min(self._batch_size, len(batch) // 2))
            if len(batch) == 1:
                self._finish(batch[0], error=error)
                return
            middle = len(batch) // 2
            self._run_batch(batch[:middle])
            self._run_batch(batch[middle:])
            return
        with self._changed:
            self._batches += 1
        for request, row in zip(batch, rows):
            self._finish(request, row)

    def _finish(self, request: _Request, row: Any = None, error: Exception | None = None) -> None:
        with self._changed:
            now = time.monotonic()
            self._last_answer = now
            if request in self._running:
                self._running.remove(request)
            if error is None:
                self._answered += 1
                self._latencies.append(now - request.since)
            else:
                self._failed += 1
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                self._last_error = first[:300]
        if error is None:
            request.future.set_result(row)
        else:
            request.future.set_exception(error)
