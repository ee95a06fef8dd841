"""Background jobs of the page: exports, reports and new projects, run by the request queue."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypedDict

from inficond.core.errors import Cancelled, InputError
from inficond.core.progress import Silent
from inficond.gradio_app.limits import JOBS, Caller
from inficond.gradio_app.request_queue import RequestQueue

LOG = logging.getLogger("inficond.page")
KEEP_SECONDS = 600.0
"""Seconds for which a finished job can be read."""
MAX_NOTES = 30
UNPROVEN_WEIGHT = 4.0
"""Factor on the time of jobs and images of visits without a step, so that visits with steps come first."""
TOO_SLOW = "this took longer than {:g} minutes and was stopped: use fewer or smaller images"
TOO_MANY = "too many reports, exports and projects are waiting: try again in a few minutes"


class JobPayload(TypedDict):
    """The state of a job; `left` is the estimated time left in seconds."""

    state: str
    stage: str
    total: int
    done: int
    left: float | None
    notes: list[str]
    line: str
    result: Any


class Job(Silent):
    """A background job with its progress and its result.

    Parameters
    ----------
    owner : str
        Token of the visitor who may read and cancel the job.
    address : str
        Network address from which it was started.
    seconds : float
        Longest duration; the job is cancelled at its next step after it.
    """

    def __init__(self, owner: str, address: str = "", seconds: float = float("inf")) -> None:
        super().__init__()
        self.id = secrets.token_urlsafe(12)
        self.owner = owner
        self.address = address
        self.state = "running"
        self.line = ""
        self.result: Any = None
        self.stage = "waiting"
        self.ended: float | None = None
        self._seconds = seconds
        self._deadline = float("inf")

    def begin(self) -> None:
        """Start the time of the job."""
        self._deadline = time.monotonic() + self._seconds
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        """Count steps; raise `Cancelled` after `cancel` was called, `InputError` after the deadline."""
        super().advance(n)
        if time.monotonic() > self._deadline:
            raise InputError(TOO_SLOW.format(self._seconds / 60))

    def to_json(self) -> JobPayload:
        """Return the state of the job for the page."""
        left = self.remaining.seconds
        return {
            "state": self.state,
            "stage": self.stage,
            "total": self.remaining.total,
            "done": self.remaining.done,
            "left": None if left is None else round(left, 1),
            "notes": self.notes[-MAX_NOTES:],
            "line": self.line,
            "result": self.result,
        }


class JobRunner:
    """The background jobs of a page.

    Parameters
    ----------
    queue : RequestQueue
        Runs the jobs.
    """

    def __init__(self, queue: RequestQueue) -> None:
        self._queue = queue
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def start(
        self,
        owner: str,
        work: Callable[[Job], Any],
        caller: Caller,
        cost: float = 1.0,
        proven: bool = True,
        seconds: float = float("inf"),
    ) -> Job:
        """Run `work(job)` when its turn comes; its return value becomes the result of the job.

        Parameters
        ----------
        owner : str
            Token of the visitor.
        work : callable
        caller : Caller
        cost : float
            Expected duration in seconds.
        proven : bool
            Whether the visit has taken a step.
        seconds : float
            See `Job`.

        Returns
        -------
        Job

        Raises
        ------
        InputError
            The owner, the address or all visitors have too many unfinished jobs.
        """
        with self._lock:
            self._forget_old()
            running = [j for j in self._jobs.values() if j.state == "running"]
            if sum(j.owner == owner for j in running) >= JOBS.per_visit:
                raise InputError("your earlier request is still running: wait for it, or cancel it")
            of_address = sum(j.address == caller.address for j in running)
            limit = JOBS.total if caller.is_local else JOBS.per_address
            if len(running) >= JOBS.total or of_address >= limit:
                raise InputError(TOO_MANY)
            job = Job(owner, caller.address, seconds)
            self._jobs[job.id] = job
        try:
            self._queue.submit(
                "job", caller, owner, lambda: self._run(job, work), cost, 1.0 if proven else UNPROVEN_WEIGHT
            )
        except InputError:
            with self._lock:
                del self._jobs[job.id]
            raise
        return job

    def _forget_old(self) -> None:
        now = time.monotonic()
        for job_id in [j.id for j in self._jobs.values() if j.ended and now - j.ended > KEEP_SECONDS]:
            del self._jobs[job_id]

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        try:
            job.begin()
            job.result = work(job)
            job.state = "done"
        except Cancelled:
            job.state, job.line = "cancelled", "Cancelled. Completed parts are kept."
        except InputError as error:
            job.state, job.line = "failed", str(error)
        except MemoryError:
            job.state, job.line = "failed", "The server is out of memory: try again later."
        except Exception:
            LOG.exception("a job failed")
            job.state, job.line = "failed", "Internal error. It was logged."
        job.ended = time.monotonic()

    def close(self) -> None:
        """Cancel all unfinished jobs; one that runs ends at its next step."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel()

    def get(self, owner: str, job_id: Any) -> Job:
        """Return a job of this owner.

        Raises
        ------
        InputError
            The owner has no job with this id.
        """
        job = self._jobs.get(job_id) if isinstance(job_id, str) else None
        if job is None or job.owner != owner:
            raise InputError("this request is not known any more: start it again")
        return job
