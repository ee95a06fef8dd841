"""Long work behind the page: each job in a thread of its own, watched and cancelled by the one who asked
for it."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any

from inficond.core.errors import Cancelled, InputError
from inficond.core.progress import Silent

LOG = logging.getLogger("inficond.page")
AT_ONCE = 2
"""Jobs that run at the same time on the whole page; more wait for their turn."""
MOST_WAITING = 60
"""Jobs of all visitors together, running or waiting; each holds a thread."""
KEEP_SECONDS = 600.0
MOST_NOTES = 30


class Job(Silent):
    """A running job, its progress, and what came of it."""

    def __init__(self, owner: str) -> None:
        super().__init__()
        self.id = secrets.token_urlsafe(12)
        self.owner = owner
        self.state = "running"
        self.line = ""
        self.result: Any = None
        self.stage = "waiting for its turn"
        self.ended: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As the page shows it."""
        left = self.remaining.seconds
        return {
            "state": self.state,
            "stage": self.stage,
            "total": self.remaining.total,
            "done": self.remaining.done,
            "left": None if left is None else round(left, 1),
            "notes": self.notes[-MOST_NOTES:],
            "line": self.line,
            "result": self.result,
        }


class Jobs:
    """All jobs of a page."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._turn = threading.Semaphore(AT_ONCE)
        self._lock = threading.Lock()

    def start(self, owner: str, work: Callable[[Job], Any]) -> Job:
        """Run `work(job)` in a thread; its answer becomes the job's result.

        Raises
        ------
        InputError
            The owner has jobs that still run, or too many others wait.
        """
        with self._lock:
            now = time.monotonic()
            for old in [
                j for j in self._jobs.values() if j.ended is not None and now - j.ended > KEEP_SECONDS
            ]:
                del self._jobs[old.id]
            running = [j for j in self._jobs.values() if j.state == "running"]
            if sum(j.owner == owner for j in running) >= AT_ONCE:
                raise InputError("your earlier request still runs: wait for it, or cancel it")
            if len(running) >= MOST_WAITING:
                raise InputError("too many visitors wait for reports and exports: try again in some minutes")
            job = Job(owner)
            self._jobs[job.id] = job
        threading.Thread(target=self._run, args=(job, work), name="inficond-job", daemon=True).start()
        return job

    def _run(self, job: Job, work: Callable[[Job], Any]) -> None:
        with self._turn:
            try:
                job.advance(0)
                job.result = work(job)
                job.state = "done"
            except Cancelled:
                job.state, job.line = "cancelled", "Stopped. What was finished is kept."
            except InputError as error:
                job.state, job.line = "failed", str(error)
            except MemoryError:
                job.state, job.line = "failed", "There is not enough memory for this now: try again later."
            except Exception:
                LOG.exception("a job failed")
                job.state, job.line = "failed", "Something went wrong on our side; it was logged."
            job.ended = time.monotonic()

    def get(self, owner: str, name: Any) -> Job:
        """A job of this owner.

        Raises
        ------
        InputError
            There is none under that name; nobody sees another's jobs.
        """
        job = self._jobs.get(name) if isinstance(name, str) else None
        if job is None or job.owner != owner:
            raise InputError("that request is no longer known: ask again")
        return job
