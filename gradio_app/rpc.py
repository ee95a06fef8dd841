"""What the page may ask of its server: small functions from plain JSON to plain JSON text, one visitor each.

They are the only way from the browser to a session. Bad input comes back as ``error``, one line for the
person;
a fault of ours is logged and comes back as a line too, and the visitor's session lives on.
"""

import functools
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from inficond.core.errors import Cancelled, InputError
from inficond.gradio_app import actions, glossary
from inficond.gradio_app.jobs import Job, JobRunner
from inficond.gradio_app.presenters import change_chips, preview_payload, step_label, weight_changes
from inficond.gradio_app.request_queue import QueueFull, RequestQueue, RetryLater
from inficond.gradio_app.selection import Selection, resolve_selection
from inficond.gradio_app.serialization import to_json, to_plain
from inficond.gradio_app.views import view_parts
from inficond.gradio_app.visitor import Visitor, VisitorRegistry
from inficond.gradio_app.zero_gpu import build_project

LOG = logging.getLogger("inficond.page")
INTERNAL_ERROR = "Internal error. It was logged. Your work is kept: try again."
OUT_OF_MEMORY = "There is not enough memory for this now. Your work is kept: try again in a moment."
SESSION_EXPIRED = "Your earlier tuning is no longer here (the page was idle for long, or restarted): this is the fitted student."  # noqa: E501
SEARCHES = 3
"""Parts as slow as this or slower take a good part of a second each."""
AGAIN = 5
"""Seconds after which a page asks again for what was put off."""
Request = Mapping[str, Any]


def _rpc_method(
    fn: Callable[["RpcServer", Visitor, Request], dict[str, Any]],
) -> Callable[["RpcServer", Any], str]:
    """Find the visitor, turn errors into lines. Steps of one session are kept in order by the session
    itself."""

    @functools.wraps(fn)
    def answer(self: "RpcServer", request: Any) -> str:
        request = request if isinstance(request, Mapping) else {}
        visitor, lost = self.visitors.get(request.get("token"))
        try:
            said = fn(self, visitor, request)
        except InputError as error:
            said = {"error": str(error)}
        except Cancelled as error:
            said = {"error": str(error)}
        except MemoryError:
            said = {"error": OUT_OF_MEMORY}
        except Exception:
            LOG.exception("the page's request %s failed", fn.__name__)
            said = {"error": INTERNAL_ERROR}
        said.setdefault("token", visitor.token)
        if lost:
            said["note"] = SESSION_EXPIRED
        return to_json(said)

    return answer


class RpcServer:
    """The page's server side.

    Parameters
    ----------
    visitors : VisitorRegistry
        Everybody who is here.
    uploads : Path
        Where Gradio puts uploads.
    local_folders : bool
        Whether a visitor may name a folder of this machine.
    """

    def __init__(self, visitors: VisitorRegistry, uploads: Path, local_folders: bool = False) -> None:
        self.visitors = visitors
        self.uploads = uploads
        self.local_folders = local_folders
        self.jobs = JobRunner()
        self.queue = RequestQueue(_is_slow)

    def functions(self) -> list[Callable[[Any], Awaitable[str]]]:
        """The functions that the browser may call, by their names."""
        return [_queued(self.queue, getattr(self, name)) for name in RPC_METHODS]

    # -- reading

    @_rpc_method
    def hello(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """The first request of a tab, and of one that lost its connection: everything that is quick to
        tell."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        parts = view_parts()
        catalogue = {name: {"depends": list(p.depends), "slow": p.slow} for name, p in parts.items()}
        answer = self._read(visitor, selection, [n for n, p in parts.items() if not p.slow])
        info = {
            "glossary": glossary.TERMS,
            "project": visitor.project.name,
            "demo": _is_demo(visitor),
        }
        return {"catalogue": catalogue, "info": info, **answer, **({"note": note} if note else {})}

    @_rpc_method
    def read(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Some parts of some views."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        names = _parts(request)
        return {**self._read(visitor, selection, names), **({"note": note} if note else {})}

    def _read(self, visitor: Visitor, selection: Selection, names: Iterable[str]) -> dict[str, Any]:
        parts, failed = {}, {}
        for name in names:
            try:
                part = view_parts()[name]
                parts[name] = part.read(
                    self.visitors.shared_reader(visitor) if part.slow else visitor, selection
                )
            except InputError as error:
                failed[name] = str(error)
            except Exception:
                LOG.exception("the part %s could not be read", name)
                failed[name] = INTERNAL_ERROR
        return {"parts": parts, "failed": failed, "selection": selection.to_json()}

    @_rpc_method
    def ping(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Nothing but a sign of life."""
        return {}

    @_rpc_method
    def sheet(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """A sheet of thumbnails."""
        return {"url": visitor.sheet_url(_integer(request, "number"), make=True)}

    @_rpc_method
    def similar(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """The images most like one."""
        row = visitor.session.row_of(_string(request, "image"))
        return {"rows": [int(r) for r in visitor.session.similar(row, 24)]}

    # -- tuning

    @_rpc_method
    def preview(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """What some actions would do."""
        cls = _string(request, "cls")
        found = visitor.session.preview(cls, _actions(request), request.get("focus"))
        return {"preview": to_plain(preview_payload(found, cls))}

    @_rpc_method
    def apply(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Take a step."""
        node = visitor.session.apply(_string(request, "cls"), _actions(request), request.get("focus"))
        return self._moved(visitor, request, node)

    @_rpc_method
    def undo(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """A step back."""
        return self._moved(visitor, request, visitor.session.undo())

    @_rpc_method
    def redo(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """A step forward again."""
        return self._moved(visitor, request, visitor.session.redo())

    @_rpc_method
    def checkout(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Go to a node."""
        return self._moved(visitor, request, visitor.session.checkout(_string(request, "node")))

    @_rpc_method
    def rename(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Call a node something."""
        text = request.get("text")
        visitor.session.name(_string(request, "node"), text if isinstance(text, str) else "")
        return self._moved(visitor, request, visitor.session.current)

    @_rpc_method
    def add_concept(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """A word that the person typed becomes a concept."""
        word = " ".join(_string(request, "word").split())
        node = visitor.session.add_concept(word)
        changed = len(node.weights)
        said = f"“{word}” is now a concept; {changed} weight{'s' if changed != 1 else ''} moved."
        return {**self._moved(visitor, request, node), "concept": word, "said": said}

    @_rpc_method
    def drop_concept(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """A concept is taken out of every class."""
        return self._moved(visitor, request, visitor.session.drop_concept(_string(request, "concept")))

    @_rpc_method
    def override(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """The teacher is wrong about an image."""
        value = request.get("value")
        if value is not None and not isinstance(value, int | float):
            raise InputError("say yes, no, or what the teacher says")
        cls, image = _string(request, "cls"), _string(request, "image")
        return self._moved(visitor, request, visitor.session.override([image], cls, value))

    @_rpc_method
    def set_lambda(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Another λ for every class."""
        try:
            lam = float(request.get("lam", ""))
        except (TypeError, ValueError, OverflowError):
            raise InputError("λ is a number above 0, for instance 0.0025") from None
        return self._moved(visitor, request, visitor.session.set_lambda(lam))

    @_rpc_method
    def set_thresholds(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """From which probability on the students say yes."""
        return self._moved(visitor, request, visitor.session.set_thresholds(request.get("at", "")))

    @_rpc_method
    def compare(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Two nodes side by side, for the selected class where it differs."""
        found = visitor.session.compare(_string(request, "a"), _string(request, "b"))
        cls = request.get("cls")
        shown = cls if isinstance(cls, str) and cls in found.classes else next(iter(found.classes), None)
        moved = ""
        if shown is not None:
            change = found.classes[shown]
            moved = (
                f"From A to B, images that newly agree with the teacher: {len(change.fixed)}; "
                f"that newly disagree: {len(change.broken)}."
            )
        return {
            "compare": to_plain(
                {
                    "cls": shown,
                    "a": step_label(visitor, found.a),
                    "b": step_label(visitor, found.b),
                    "metrics": change_chips(found.classes[shown]) if shown is not None else [],
                    "weights": weight_changes(found.classes),
                    "n_weights": sum(len(change.weights) for change in found.classes.values()),
                    "moved": moved,
                }
            )
        }

    # -- long work

    @_rpc_method
    def job(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """How far a job is."""
        return {"job": self.jobs.get(visitor.token, request.get("job")).to_json()}

    @_rpc_method
    def cancel_job(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Ask a job to stop."""
        self.jobs.get(visitor.token, request.get("job")).cancel()
        return {}

    @_rpc_method
    def start_report(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Measure how good the students are."""

        def work(job: Job) -> Any:
            return visitor.cached(("summary",), lambda: to_plain(actions.summary_payload(visitor, job)))

        return {"job": self.jobs.start(visitor.token, work).id}

    @_rpc_method
    def start_export(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Make a file to take away."""
        kind = _string(request, "kind")

        def work(job: Job) -> Any:
            return actions.export_payload(actions.export_file(visitor, kind, job), visitor, kind)

        return {"job": self.jobs.start(visitor.token, work).id}

    @_rpc_method
    def start_project(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Make a new project from a folder or from uploads."""
        options = actions.project_options(request, self.uploads, self.local_folders)

        def work(job: Job) -> Any:
            from inficond.core import Project

            project = Project.open(build_project(options, job))
            key = self.visitors.add(project, None if self.local_folders else visitor.token)
            line = (
                f"{len(project):,} images, {len(project.classes)} classes, {len(project.concepts)} concepts."
            )
            return {"project": key, "line": line}

        return {"job": self.jobs.start(visitor.token, work).id}

    @_rpc_method
    def origin(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """What the project was made from, to make another one of the same images."""
        return {"origin": actions.project_origin(visitor) if self.local_folders else None}

    @_rpc_method
    def open_project(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Go to another project, as a new visit."""
        return {"token": self.visitors.choose(visitor.token, request.get("project")).token}

    # -- one's own image

    @_rpc_method
    def classify(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """Teacher and student on an uploaded image."""
        return {"trial": actions.classify(visitor, request.get("path"), request.get("name"), self.uploads)}

    @_rpc_method
    def forget_trial(self, visitor: Visitor, request: Request) -> dict[str, Any]:
        """The person closed their image: it goes."""
        self.visitors.files.forget_own(visitor.token, "trial")
        return {}

    def _moved(self, visitor: Visitor, request: Request, node: Any) -> dict[str, Any]:
        """The answer to everything that moves in the history: the parts that changed with it."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        names = _parts(request)
        answer = {"node": node.id, "title": node.title, **self._read(visitor, selection, names)}
        return {**answer, **({"note": note} if note else {})}


RPC_METHODS = (
    "hello", "read", "ping", "sheet", "similar", "preview", "apply", "undo", "redo", "checkout", "rename",
    "add_concept", "drop_concept", "override", "set_lambda", "set_thresholds", "compare", "job", "cancel_job",
    "start_report", "start_export", "start_project", "origin", "open_project", "classify", "forget_trial",
)  # fmt: skip


def _queued(lanes: RequestQueue, method: Callable[[Any], str]) -> Callable[[Any], Awaitable[str]]:
    """A plain function of the method's name: Gradio marks the functions it is given."""

    async def call(request: Any) -> str:
        try:
            return await lanes.run(method.__name__, method, request)
        except QueueFull as error:  # nothing was begun; the session is as it was
            return to_json({"error": str(error)})
        except RetryLater as error:
            return to_json({"later": str(error), "seconds": AGAIN})

    call.__name__ = method.__name__
    return call


def _is_slow(name: str, request: Request) -> bool:
    """Whether a request is for a search, which the page asks for beside what a person waits for."""
    asked = request.get("parts")
    if name != "read" or not isinstance(asked, list):
        return False
    return any(isinstance(n, str) and n in view_parts() and view_parts()[n].slow >= SEARCHES for n in asked)


def _string(request: Request, name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"the request lacks {name!r}")
    return value


def _integer(request: Request, name: str) -> int:
    value = request.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"the request lacks the number {name!r}")
    return value


def _parts(request: Request) -> list[str]:
    """The parts that a request asks for, each once; what is no part is passed over."""
    asked = request.get("parts")
    names = [n for n in asked if isinstance(n, str)] if isinstance(asked, list) else []
    return [n for n in dict.fromkeys(names) if n in view_parts()]


def _actions(request: Request) -> list[Any]:
    actions = request.get("actions")
    if not isinstance(actions, list) or not 0 < len(actions) <= 200:
        raise InputError("the request names no action")
    if len(json.dumps(actions)) > 100_000:
        raise InputError("too many actions at once")
    return actions


def _is_demo(visitor: Visitor) -> bool:
    return "inficond.core.demo" in str((visitor.project.config.get("source") or {}).get("images"))
