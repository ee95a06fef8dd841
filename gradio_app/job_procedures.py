"""Remote procedures of the page that start jobs or read them.

Each takes a visitor, a JSON request and the caller, and returns the JSON response, like those of `rpc.py`.
"""

from collections.abc import Callable
from typing import Any

from inficond.gradio_app import exports, new_project
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.image_map import compute_map, map_payload
from inficond.gradio_app.jobs import Job, JobRunner
from inficond.gradio_app.limits import Caller
from inficond.gradio_app.request_fields import Payload, Request, text_field
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.visitor_registry import VisitorRegistry
from inficond.gradio_app.word_choice import crops_payload, discovery_payload, words_payload, words_with_crops
from inficond.gradio_app.zero_gpu import build_project

STRANGER_SECONDS = 900.0
"""Longest duration of a job that the owner of the machine did not start."""
PROJECT_COST = 60.0
"""Expected seconds of building a project, for scheduling."""
MAP_COST = 5.0
"""Expected seconds of computing a map, for scheduling."""


class JobProcedures:
    """The remote procedures of long work, which runs as a job.

    Parameters
    ----------
    visitors : VisitorRegistry
    owner_key : OwnerKey
        Required for projects from a path of this machine.
    jobs : JobRunner
    """

    def __init__(self, visitors: VisitorRegistry, owner_key: OwnerKey, jobs: JobRunner) -> None:
        self._visitors, self._owner_key, self._jobs = visitors, owner_key, jobs

    def map(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the map of the images; start a job that computes it if there is none yet."""
        found = map_payload(visitor)
        if found is not None:
            return {"map": to_plain(found)}
        return self._start(visitor, lambda job: to_plain(compute_map(visitor, job)), caller, MAP_COST)

    def job(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the state of a job."""
        return {"job": self._jobs.get(visitor.token, request.get("job")).to_json()}

    def cancel_job(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Cancel a job."""
        self._jobs.get(visitor.token, request.get("job")).cancel()
        return {}

    def _start(
        self,
        visitor: Visitor,
        work: Callable[[Job], Any],
        caller: Caller,
        cost: float,
        seconds: float = STRANGER_SECONDS,
    ) -> Payload:
        job = self._jobs.start(visitor.token, work, caller, cost, visitor.has_steps, seconds)
        return {"job": job.id}

    def start_report(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Start measuring the students."""

        def work(job: Job) -> Any:
            return visitor.cached(("summary",), lambda: to_plain(exports.summary_payload(visitor, job)))

        return self._start(visitor, work, caller, exports.EXPORT_COSTS["report"])

    def start_words(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Start looking for words of the classes, or for crops of some words."""
        pairs = words_with_crops(request)

        def work(job: Job) -> Any:
            return to_plain(crops_payload(visitor, pairs, job) if pairs else words_payload(visitor, job))

        return self._start(visitor, work, caller, exports.EXPORT_COSTS["page"])

    def start_discovery(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Start looking for concepts without words, of one class or of all."""
        cls = request.get("cls")
        if cls is not None:
            visitor.session.class_index(text_field(request, "cls"))

        def work(job: Job) -> Any:
            return to_plain(discovery_payload(visitor, cls, job))

        return self._start(visitor, work, caller, exports.EXPORT_COSTS["report"])

    def start_export(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Start an export."""
        kind = text_field(request, "kind")

        def work(job: Job) -> Any:
            return exports.export_payload(exports.export_file(visitor, kind, job), visitor, kind)

        return self._start(visitor, work, caller, exports.EXPORT_COSTS.get(kind, 1.0))

    def start_project(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Start building a project from uploads, or with the owner key from a folder."""
        is_owner = self._owner_key.matches(request.get("owner_key"))
        if not is_owner:
            self._visitors.check_project_limit(visitor.token)
        source = str((visitor.project.config.get("source") or {}).get("images") or "")
        options, temporary = new_project.project_options(
            request, visitor.token, self._visitors.files, self._owner_key, source
        )

        def work(job: Job) -> Any:
            from inficond.core import Project

            project = Project.open(build_project(options, job))
            key = self._visitors.add(project, visitor.token if temporary else None, temporary)
            line = (
                f"{len(project):,} images, {len(project.classes)} classes, {len(project.concepts)} concepts."
            )
            if temporary:
                line += " The project is deleted when your visit ends."
            return {"project": key, "line": line}

        seconds = float("inf") if is_owner else STRANGER_SECONDS
        return self._start(visitor, work, caller, PROJECT_COST, seconds)
