"""``GET /health``: whether requests are answered, images decoded and classified, and steps saved. 200 or 503.

Every check takes the same way as a visitor's request: a request through the queue, a picture from the disk
through the decoder and the models, a transaction of the history file, and a file in the page's folder. A
result is reused for `CACHE_SECONDS`, so frequent requests cost no more. The response contains no path, no
name and nothing about any visitor.
"""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from inficond.gradio_app.file_register import PUBLIC
from inficond.gradio_app.limits import Caller
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.request_queue import Kind, RequestQueue
from inficond.gradio_app.uploads import BadUpload, check_space
from inficond.gradio_app.visitor_registry import VisitorRegistry

if TYPE_CHECKING:
    from PIL.Image import Image

    from inficond.core import Project

LOG = logging.getLogger("inficond.page")
CACHE_SECONDS = 10.0
"""Seconds for which a result is reused."""
TIMEOUT_SECONDS = 15.0
"""Seconds in which a check must end; visitors' requests may delay it."""
JOB_TIMEOUT_SECONDS = 120.0
"""Seconds in which a job must get its turn."""
TOLERANCE = 1e-4
"""Difference of the model's answers from those at the start."""
PROBE, VISIT = Caller("127.0.0.1", "health check"), "health check"
SIDE = 96
PATTERN = b"health" * 700


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Parameters
    ----------
    ok : bool
    reason : str
        Why it failed; empty if it did not. Contains no path.
    age : float
        Seconds since the check ran.
    """

    ok: bool
    reason: str = ""
    age: float = 0.0


class CachedCheck:
    """A check that runs when it is requested, at most once in `cache_seconds`.

    Parameters
    ----------
    run : callable
        Coroutine function that returns None, or the reason of the failure; or raises.
    failure : str
        Reason that is reported if `run` raises or does not end.
    cache_seconds, timeout : float
        See `CACHE_SECONDS` and `TIMEOUT_SECONDS`.
    """

    def __init__(
        self,
        run: Callable[[], Awaitable[str | None]],
        failure: str,
        cache_seconds: float = CACHE_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        self._run, self._failure = run, failure
        self._cache_seconds, self._timeout = cache_seconds, timeout
        self._task: asyncio.Task[CheckResult] | None = None
        self._last: tuple[float, CheckResult] | None = None

    async def result(self) -> CheckResult:
        """Return the result, from the cache if it is recent."""
        now = time.monotonic()
        if self._last is not None and now - self._last[0] < self._cache_seconds:
            return CheckResult(self._last[1].ok, self._last[1].reason, round(now - self._last[0], 1))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._check())
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(self._task)
        except TimeoutError:
            return CheckResult(False, f"{self._failure}: no response for {self._timeout:g} s")

    async def _check(self) -> CheckResult:
        try:
            reason = await self._run()
            result = CheckResult(not reason, reason or "")
        except Exception:
            LOG.warning("health check: %s", self._failure, exc_info=True)
            result = CheckResult(False, self._failure)
        self._last = (time.monotonic(), result)
        return result


class PageHealth:
    """The health of a running page.

    Parameters
    ----------
    visitors : VisitorRegistry
    queue : RequestQueue
    cache_seconds, timeout, job_timeout : float
        See `CACHE_SECONDS`, `TIMEOUT_SECONDS` and `JOB_TIMEOUT_SECONDS`.
    """

    def __init__(
        self,
        visitors: VisitorRegistry,
        queue: RequestQueue,
        cache_seconds: float = CACHE_SECONDS,
        timeout: float = TIMEOUT_SECONDS,
        job_timeout: float = JOB_TIMEOUT_SECONDS,
    ) -> None:
        self._queue = queue
        model = ModelCheck(visitors.default_project, visitors.files)

        def check(run: Callable[[], Awaitable[str | None]], failure: str) -> CachedCheck:
            return CachedCheck(run, failure, cache_seconds, timeout)

        self._checks = {
            "queue": check(self._check_queue, "requests are not answered"),
            "model": check(lambda: self._through("image", VISIT, model), "the model does not answer"),
            "jobs": check(self._check_jobs(job_timeout), "jobs do not get their turn"),
            "disk": check(
                lambda: asyncio.to_thread(_check_disk, visitors.files), "the disk cannot be written"
            ),
            "saving": check(lambda: asyncio.to_thread(visitors.check_saving), "steps cannot be saved"),
        }

    def route(self) -> Route:
        """Return the Starlette route."""
        return Route("/health", self.respond, methods=["GET", "HEAD"])

    async def respond(self, request: Request) -> JSONResponse:
        """Answer a request."""
        results = await asyncio.gather(*(check.result() for check in self._checks.values()))
        parts = dict(zip(self._checks, results))
        ok = all(part.ok for part in results)
        payload = {"ok": ok, **{name: asdict(part) for name, part in parts.items()}}
        return JSONResponse(payload, 200 if ok else 503, headers={"Cache-Control": "no-store"})

    async def _through(self, kind: Kind, visit: str | None, work: Callable[[], str | None]) -> str | None:
        return await self._queue.run(kind, PROBE, visit, work)

    async def _check_queue(self) -> str | None:
        """Send a request without a visit and one of a visit through the queue."""
        await asyncio.gather(*(self._through("quick", visit, lambda: None) for visit in (None, VISIT)))
        return None

    def _check_jobs(self, job_timeout: float) -> Callable[[], Awaitable[str | None]]:
        """Return a check that fails once a job has waited for `job_timeout` seconds; long jobs are normal."""
        waiting: list[tuple[float, asyncio.Future[None]]] = []

        async def check() -> str | None:
            if not waiting or waiting[0][1].done():
                future = self._queue.submit("job", PROBE, VISIT, lambda: None)
                waiting[:] = [(time.monotonic(), asyncio.wrap_future(future))]
            began, job = waiting[0]
            await asyncio.wait([job], timeout=1.0)
            if not job.done() and time.monotonic() - began > job_timeout:
                return f"jobs have waited for {time.monotonic() - began:.0f} s"
            return None

        return check


class ModelCheck:
    """A picture through the decoder and the models that the visitors of a project use.

    Parameters
    ----------
    project : Project
    files : PageFiles
        Path of the picture.
    """

    def __init__(self, project: "Project", files: PageFiles) -> None:
        self._project = project
        self._first: list[np.ndarray] | None = None
        self._picture = files.folder / "health.png"
        self._decoder = files.decoder
        ramp = np.linspace(0, 255, SIDE * SIDE * 3).astype(np.uint8).reshape(SIDE, SIDE, 3)
        _image(ramp).save(self._picture)

    def __call__(self) -> str | None:
        """Return what is wrong, or None."""
        from inficond.core.images.decode import UnreadableImage

        try:
            rgb = self._decoder.decode(self._picture)
        except UnreadableImage:
            return "images cannot be decoded"
        project = self._project
        answers: list[np.ndarray | None] = [project.students.predict(np.asarray(project.X[:1]))]
        if (project.config.get("encoder") or {}).get("spec"):
            encoder = project.context.encoder
            regions = np.asarray(encoder.encode(encoder.preprocess(_image(rgb))[None]).regions, np.float64)
            if not np.allclose(np.linalg.norm(regions, axis=-1), 1, atol=1e-2):
                return "the encoder's region embeddings do not have unit length"
            answers += [regions, project.context.respond(rgb)]
        given = [a for a in answers if a is not None]
        if not all(np.isfinite(a).all() for a in given):
            return "the model's answers are not finite"
        if self._first is None:
            self._first = given
        if any(not np.allclose(a, b, atol=TOLERANCE) for a, b in zip(given, self._first)):
            return "the model's answers differ from those at the start"
        return None


def _image(rgb: np.ndarray) -> "Image":
    from PIL import Image as images

    return images.fromarray(rgb)


def _check_disk(files: PageFiles) -> str | None:
    """Return why the folders of the page cannot be written or uploads would be refused, or None."""
    try:
        check_space(files, PROBE, PUBLIC)
    except BadUpload as refusal:
        return f"uploads are refused: {refusal.reason}"
    except OSError:
        return "the folder of uploads is missing"
    for folder in (files.folder, files.uploads):
        reason = _write_probe(folder)
        if reason is not None:
            return reason
    return None


def _write_probe(folder: Path) -> str | None:
    """Write, read and delete a file; return what is wrong, or None."""
    probe = folder / f".health-{os.getpid()}"
    try:
        try:
            with open(probe, "wb") as file:
                file.write(PATTERN)
                file.flush()
                os.fsync(file.fileno())
            if probe.read_bytes() != PATTERN:
                return "the disk returns other bytes than were written"
        finally:
            with suppress(OSError):
                probe.unlink(missing_ok=True)
    except OSError as error:
        return f"the disk cannot be written: {(error.strerror or 'unknown reason').lower()}"
    return None
