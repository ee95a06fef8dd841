"""``GET /health``: whether the model answers, the queue moves and the disk takes what is written. 200 or 503.

Nothing is believed that was not just tried: the project's own encoder, teacher and student answer on a small
picture (the answer may be `FRESH` seconds old), a request goes through the threads that answer visitors, a
file is written and read back. The answer holds no path, no name and nothing of any visitor, and asking costs
no more than one such trial in `FRESH` seconds, however often it is asked.
"""

import asyncio
import contextlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from inficond.core import Project
    from inficond.gradio_app.app import Page

LOG = logging.getLogger("inficond.page")
FRESH = 10.0
"""Seconds that a trial's result is passed on before it is tried again."""
PATIENCE = 15.0
"""Seconds in which a trial must end; visitors at work may make it wait."""
STALL = 60.0
"""Seconds for which requests may wait behind others that do not end."""
SPARE = 64 * 2**20
"""Bytes of disk that must be free."""
GREY = 127


@dataclass(frozen=True)
class CheckResult:
    """One thing that must work.

    Parameters
    ----------
    ok : bool
    said : str
        Why not; empty where it works. Never a path.
    age : float
        Seconds since it was tried.
    """

    ok: bool
    said: str = ""
    age: float = 0.0


class CachedCheck:
    """Something that is tried when asked for, at most once in `FRESH` seconds, in a thread of its own.

    Parameters
    ----------
    work : callable
        Returns nothing where all is well, else why not; or raises.
    fault : str
        What is said where it raises or does not end.
    fresh, patience : float
        Seconds that a result counts, and that one is waited for.
    """

    def __init__(
        self, work: Callable[[], str | None], fault: str, fresh: float = FRESH, patience: float = PATIENCE
    ) -> None:
        self._work, self._fault, self._fresh, self._patience = work, fault, fresh, patience
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, "inficond-health")
        self._running: Any = None
        self._last: tuple[float, CheckResult] | None = None

    async def ask(self) -> CheckResult:
        """The result, tried anew where the last one is too old."""
        with self._lock:
            now = time.monotonic()
            if self._last is not None and now - self._last[0] < self._fresh:
                return CheckResult(self._last[1].ok, self._last[1].said, round(now - self._last[0], 1))
            if self._running is None or self._running.done():
                self._running = self._pool.submit(self._try)
            running = self._running
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(running)), self._patience)
        except TimeoutError:
            return CheckResult(False, f"{self._fault}: no answer for {self._patience:g} s")

    def _try(self) -> CheckResult:
        try:
            said = self._work()
            part = CheckResult(not said, said or "")
        except Exception:
            LOG.warning("health: %s", self._fault, exc_info=True)
            part = CheckResult(False, self._fault)
        with self._lock:
            self._last = (time.monotonic(), part)
        return part

    def close(self) -> None:
        """Start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class PageHealth:
    """The health of a running page.

    Parameters
    ----------
    page : Page
    fresh, patience, stall : float
        See `FRESH`, `PATIENCE`, `STALL`.
    """

    def __init__(
        self, page: "Page", fresh: float = FRESH, patience: float = PATIENCE, stall: float = STALL
    ) -> None:
        self._page, self._patience, self._stall = page, patience, stall
        home = page.visitors.projects[page.visitors.home]
        self._model = CachedCheck(ModelCheck(home), "the model does not answer", fresh, patience)
        folders = [page.files.folder, page.files.uploads]
        if _takes(home.path) is None:  # a project that was read-only from the start is meant to be
            folders.append(home.path)
        self._disk = CachedCheck(lambda: _disk(folders), "the disk cannot be written", fresh, patience)

    def route(self) -> Route:
        """To be mounted before the page's own."""
        return Route("/health", self.answer, methods=["GET", "HEAD"])

    async def answer(self, request: Request) -> JSONResponse:
        """The answer to a request."""
        model, disk, queue = await asyncio.gather(self._model.ask(), self._disk.ask(), self._queue())
        parts = {"model": model, "queue": queue, "disk": disk}
        ok = all(part.ok for part in parts.values())
        said = {"ok": ok, **{name: asdict(part) for name, part in parts.items()}}
        return JSONResponse(said, 200 if ok else 503, headers={"Cache-Control": "no-store"})

    async def _queue(self) -> CheckResult:
        """A request through the visitors' own threads, and a look at Gradio's queue."""
        try:
            await asyncio.wait_for(self._page.rpc.queue.run("health", lambda _: "", {}), self._patience)
        except TimeoutError:
            return CheckResult(False, f"no request was answered for {self._patience:g} s")
        except RuntimeError:
            return CheckResult(False, "the page is closing")
        return self._gradio()

    def _gradio(self) -> CheckResult:
        queue = getattr(self._page.blocks, "_queue", None)
        if queue is None or getattr(queue, "stopped", False):
            return CheckResult(False, "the queue has stopped")
        now = time.time()
        for one in list(queue.event_queue_per_concurrency_id.values()):
            started = [t for times in list(one.start_times_per_fn.values()) for t in list(times)]
            if one.queue and started and now - max(started) > self._stall:
                return CheckResult(
                    False, f"requests have waited for {now - max(started):.0f} s behind others"
                )
        return CheckResult(True)

    def close(self) -> None:
        """Start nothing more."""
        self._model.close()
        self._disk.close()


class ModelCheck:
    """The models that a project's visitors use, on a grey picture: loaded once, shared with the visitors.

    Parameters
    ----------
    project : Project
    """

    def __init__(self, project: "Project") -> None:
        self._project = project
        self._first: list[np.ndarray] | None = None

    def __call__(self) -> str | None:
        """What is wrong, if anything: an answer that is missing, no number, or another than at first."""
        project = self._project
        student = project.students.predict(np.asarray(project.X[:1]))
        answers: list[np.ndarray | None] = [student]
        if (project.config.get("encoder") or {}).get("spec"):
            encoder = project.context.encoder
            pixels = np.full((1, *encoder.size, 3), GREY, np.uint8)
            encoded = encoder.encode(pixels)
            lengths = np.linalg.norm(np.asarray(encoded.regions, np.float64), axis=-1)
            if not np.allclose(lengths, 1, atol=1e-2):
                return "the encoder's answers are no unit vectors"
            answers.append(np.asarray(encoded.regions))
            answers.append(project.context.respond(np.full((64, 64, 3), GREY, np.uint8)))
        given = [a for a in answers if a is not None]
        if not all(np.isfinite(a).all() for a in given):
            return "the model's answers are no numbers"
        if self._first is None:
            self._first = given
        if any(not np.allclose(a, b, atol=1e-4) for a, b in zip(given, self._first)):
            return "the model answers otherwise than when it was started"
        return None


def _disk(folders: list[Path]) -> str | None:
    for folder in folders:
        said = _takes(folder)
        if said is not None:
            return said
    return None


def _takes(folder: Path) -> str | None:
    """Why a folder does not take a file, or nothing: one is written, read back and removed."""
    probe = folder / f".health-{os.getpid()}"
    try:
        if shutil.disk_usage(folder).free < SPARE:
            return f"less than {SPARE >> 20} MB of disk are free"
        try:
            with open(probe, "wb") as file:
                file.write(b"health" * 700)
                file.flush()
                os.fsync(file.fileno())
            if probe.read_bytes() != b"health" * 700:
                return "the disk gives back other bytes than were written"
        finally:
            with contextlib.suppress(OSError):
                probe.unlink(missing_ok=True)
    except OSError as error:
        return f"the disk cannot be written: {(error.strerror or 'unknown reason').lower()}"
    return None
