"""Background jobs of the page: exports, reports and new projects, each in its own thread."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypedDict

from inficond.core.errors import Cancelled, InputError
from inficond.core.progress import Silent

LOG = logging.getLogger("inficond.page")
MAX_RUNNING = 2
"""Jobs that run at the same time, for all visitors together and for each of them."""
MAX_JOBS = 60
"""Jobs of all visitors together, running or waiting; each occupies a thread."""
KEEP_SECONDS = 600.0
"""Seconds for which a finished job can be read."""
MAX_NOTES = 30


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
    """

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.id = secrets.token_urlsafe(12)
        self.owner = owner
        self.state = "running"
        self.line = ""
        self.result: Any = None
        self.stage = "waiting"
        self.ended: float | None = None

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
    """The background jobs of a page."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._slots = threading.Semaphore(MAX_RUNNING)
        self._lock = threading.Lock()

    def start(self, owner: str, work: Callable[[Job], Any]) -> Job:
        """Run `work(job)` in a thread; its return value becomes the result of the job.

        Raises
        ------
        InputError
            The owner has `MAX_RUNNING` unfinished jobs, or there are `MAX_JOBS` unfinished jobs.
        """
        with self._lock:
            now = time.monotonic()
            expired = [j.id for j in self._jobs.values() if j.ended and now - j.ended > KEEP_SECONDS]
            for job_id in expired:
                del self._jobs[job_id]
            running = [j for j in self._jobs.values() if j.state == "running"]
            if sum(j.owner == owner for j in running) >= MAX_RUNNING:
                raise InputError("your earlier request is still running: wait for it, or cancel it")
            if len(running) >= MAX_JOBS:
                raise InputError("too many reports and exports are waiting: try again in a few minutes")
            job = Job(owner)
            self._jobs[job.id] = job
        threading.Thread(target=self._run, args=(job, work), name="inficond-job", daemon=True).start()
        return job

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        with self._slots:
            try:
                job.advance(0)
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
