"""Remote procedures of the page: functions from a JSON request to a JSON response, for one visitor each.

The page's scripts reach sessions only through these. Bad input comes back as ``error``, one line for the
person. A fault of the program is logged and comes back as a line too; the visitor's session stays usable.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from inficond.core.errors import InputError
from inficond.core.strict_json import parse_json
from inficond.gradio_app import glossary, new_project, own_images
from inficond.gradio_app.access import OwnerKey
from inficond.gradio_app.class_matrix import matrix_payload
from inficond.gradio_app.comparison import comparison_payload
from inficond.gradio_app.error_line import error_line
from inficond.gradio_app.exam import exam_payload
from inficond.gradio_app.guard import CALLER_KEY
from inficond.gradio_app.image_map import colours_payload, tiles_payload
from inficond.gradio_app.job_procedures import JobProcedures
from inficond.gradio_app.jobs import UNPROVEN_WEIGHT, JobRunner
from inficond.gradio_app.limits import NOBODY, Caller
from inficond.gradio_app.presenters import preview_payload
from inficond.gradio_app.request_fields import (
    Payload,
    Request,
    action_list,
    integer_field,
    text_field,
    token_field,
)
from inficond.gradio_app.request_queue import Kind, QueueFull, RequestQueue, RetryLater
from inficond.gradio_app.routes import RPC_ROUTES
from inficond.gradio_app.selection import Selection, resolve_selection
from inficond.gradio_app.serialization import to_json, to_plain
from inficond.gradio_app.views import ViewPart, view_parts
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.visitor_registry import VisitorRegistry
from inficond.gradio_app.word_choice import choose, region_at

LOG = logging.getLogger("inficond.page")
SESSION_EXPIRED = (
    "Your earlier tuning is not available any more because the page was idle for long or was restarted. "
    "This is the fitted student."
)
SLOW_LEVEL = 3
"""Value of `ViewPart.slow` from which a part takes a good part of a second."""
RETRY_SECONDS = 5
"""Seconds after which the page repeats a search that did not get its turn."""
SIMILAR_IMAGES = 24
RPC_METHODS = tuple(route.path.removeprefix("/rpc/") for route in RPC_ROUTES)
"""Names of the remote procedures, as the route table lists them."""


class RpcServer:
    """The remote procedures of the page.

    Parameters
    ----------
    visitors : VisitorRegistry
    queue : RequestQueue
    owner_key : OwnerKey
        Required for requests that name a path of this machine.
    """

    def __init__(self, visitors: VisitorRegistry, queue: RequestQueue, owner_key: OwnerKey) -> None:
        self.visitors = visitors
        self.files = visitors.files
        self.queue = queue
        self.owner_key = owner_key
        self.jobs = JobRunner(queue)
        self._job_procedures = JobProcedures(visitors, owner_key, self.jobs)

    def routes(self) -> list[Route]:
        """Return the Starlette routes."""
        return [Route(f"/rpc/{name}", self._endpoint(name), methods=["POST"]) for name in RPC_METHODS]

    def _endpoint(self, name: str) -> Callable[[HttpRequest], Any]:
        async def endpoint(http: HttpRequest) -> Response:
            try:
                request = parse_json(await http.body())
            except ValueError as error:
                return _json(to_json({"error": f"the request is not valid JSON: {error}"}), 400)
            caller: Caller = http.scope[CALLER_KEY]
            return _json(await self.call(name, request if isinstance(request, Mapping) else {}, caller))

        return endpoint

    async def call(self, name: str, request: Request, caller: Caller = NOBODY) -> str:
        """Call a remote procedure through the request queue; return its response as JSON."""
        known = self.visitors.find(token_field(request))
        visit = known.token if known is not None else None
        try:
            return await self.queue.run(
                self._kind(name, request),
                caller,
                visit,
                lambda: self.answer(name, request, caller),
                *self._cost(name, request, known),
            )
        except QueueFull as error:  # nothing was done
            return to_json({"error": str(error)})
        except RetryLater as error:
            return to_json({"later": str(error), "seconds": RETRY_SECONDS})

    def _kind(self, name: str, request: Request) -> Kind:
        """Return the queue of a request: ``image``, ``search`` or ``quick``."""
        if name == "classify":
            return "image"
        parts = request.get("parts")
        if name == "read" and isinstance(parts, list) and any(_is_search(part) for part in parts):
            return "search"
        return "quick"

    def _cost(self, name: str, request: Request, visitor: Visitor | None) -> tuple[float, float]:
        """Return the expected duration of a request in seconds and its weight, for scheduling."""
        if name != "classify":
            return 0.0, 1.0
        is_proven = visitor is not None and visitor.has_steps
        return self.files.decode_cost(request.get("path")), 1.0 if is_proven else UNPROVEN_WEIGHT

    def answer(self, name: str, request: Request, caller: Caller = NOBODY) -> str:
        """Run a remote procedure in this thread; return its response as JSON.

        Parameters
        ----------
        name : str
            One of `RPC_METHODS`.
        request : mapping
        caller : Caller
        """
        try:
            visitor, lost = self.visitors.get(token_field(request), caller.address)
        except Exception as error:
            return to_json({"error": error_line(error, f"finding the visit for {name}")})
        visitor.is_owner |= self.owner_key.matches(request.get("owner_key") or caller.owner_key)
        try:
            response = self.procedure(name)(visitor, request, caller)
        except Exception as error:
            response = {"error": error_line(error, f"the request {name}")}
        response.setdefault("token", visitor.token)
        if lost:
            response["note"] = SESSION_EXPIRED
        visitor.saving_note()  # a step whose answer failed is saved before it is answered too
        return to_json(response)

    def procedure(self, name: str) -> Callable[[Visitor, Request, Caller], Payload]:
        """Return the remote procedure of a name."""
        return getattr(self if hasattr(self, name) else self._job_procedures, name)

    # -- reading

    def hello(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Begin or resume a visit: the selection, the catalogue of parts, and all parts that are not slow."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        parts = view_parts()
        catalogue = {name: {"depends": list(p.depends), "slow": p.slow} for name, p in parts.items()}
        response = self._read(visitor, selection, [n for n, p in parts.items() if not p.slow])
        info = {
            "glossary": glossary.TERMS,
            "project": visitor.project.name,
            "demo": _is_demo(visitor),
            "oneHistory": self.visitors.one_history,
            "fresh": _is_fresh(visitor),
        }
        revision = visitor.session.history.revision
        return {"catalogue": catalogue, "info": info, "revision": revision, **response, **_noted(note)}

    def read(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Read parts of views."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        return {**self._read(visitor, selection, _part_names(request)), **_noted(note)}

    def _read(self, visitor: Visitor, selection: Selection, names: Iterable[str]) -> Payload:
        parts, failed = {}, {}
        for name in names:
            try:
                parts[name] = self._value(view_parts()[name], visitor, selection)
            except Exception as error:
                failed[name] = error_line(error, f"reading the part {name}")
        return {"parts": parts, "failed": failed, "selection": selection.to_json()}

    def _value(self, part: ViewPart, visitor: Visitor, selection: Selection) -> Any:
        if part.slow:
            return part.read(self.visitors.shared_reader(visitor), selection)
        if part.shared and not visitor.has_session and selection == Selection(selection.cls):
            key = ("part", part.name, selection.cls)
            return visitor.cached(key, lambda: part.read(visitor, selection))
        return part.read(visitor, selection)

    def ping(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Keep the visit alive; return the revision of its history."""
        return {"revision": visitor.session.history.revision}

    def sheet(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the address of a sheet of thumbnails."""
        return {"url": visitor.sheet_url(integer_field(request, "number"), make=True)}

    def similar(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the rows of the images that are most similar to one."""
        row = visitor.session.row_of(text_field(request, "image"))
        return {"rows": [int(r) for r in visitor.session.similar(row, SIMILAR_IMAGES)]}

    # -- tuning

    def preview(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the predicted effect of tuning actions."""
        cls = text_field(request, "cls")
        found = visitor.own_session().preview(cls, action_list(request), request.get("focus"))
        return {"preview": to_plain(preview_payload(found, cls))}

    def apply(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Apply tuning actions."""
        cls, actions = text_field(request, "cls"), action_list(request)
        with visitor.step() as session:
            node = session.apply(cls, actions, request.get("focus"))
        return self._stepped(visitor, request, node)

    def undo(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Undo the last step."""
        with visitor.step() as session:
            node = session.undo()
        return self._stepped(visitor, request, node)

    def redo(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Redo the step that was undone last."""
        with visitor.step() as session:
            node = session.redo()
        return self._stepped(visitor, request, node)

    def checkout(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Go to a node."""
        with visitor.step() as session:
            node = session.checkout(text_field(request, "node"))
        return self._stepped(visitor, request, node)

    def rename(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Name a node."""
        text = request.get("text")
        with visitor.step() as session:
            session.name(text_field(request, "node"), text if isinstance(text, str) else "")
            node = session.current
        return self._stepped(visitor, request, node)

    def add_concept(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Add a word as a concept."""
        word = " ".join(text_field(request, "word").split())
        with visitor.step() as session:
            node = session.add_concept(word)
        changed = len(node.weights)
        line = f"“{word}” is now a concept; {changed} weight{'s' if changed != 1 else ''} changed."
        return {**self._stepped(visitor, request, node), "concept": word, "said": line}

    def drop_concept(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Remove a concept from every class."""
        with visitor.step() as session:
            node = session.drop_concept(text_field(request, "concept"))
        return self._stepped(visitor, request, node)

    def choose_words(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Accept, reject and rename words, and add concepts by example."""
        with visitor.step() as session:
            lines = choose(session, request, visitor.own_regions)
            node = session.current
        return {**self._stepped(visitor, request, node), "said": "; ".join(lines) + "."}

    def region_at(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the region of an image at a place."""
        return {"picked": region_at(visitor, request)}

    def override(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Correct the teacher's answer for an image; null restores it."""
        value = request.get("value")
        if value is not None and not isinstance(value, int | float):
            raise InputError("'value' must be a probability or null")
        cls, image = text_field(request, "cls"), text_field(request, "image")
        with visitor.step() as session:
            node = session.override([image], cls, value)
        return self._stepped(visitor, request, node)

    def set_lambda(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Change λ of every class."""
        try:
            lam = float(request.get("lam", ""))
        except (TypeError, ValueError, OverflowError):
            raise InputError("λ must be a number above 0, for example 0.0025") from None
        with visitor.step() as session:
            node = session.set_lambda(lam)
        return self._stepped(visitor, request, node)

    def set_thresholds(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Change the thresholds of the students."""
        with visitor.step() as session:
            node = session.set_thresholds(request.get("at", ""))
        return self._stepped(visitor, request, node)

    def exam(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the exam of the current student; nothing is measured."""
        return {"exam": to_plain(exam_payload(visitor))}

    def take_exam(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Open the exam on the locked images, as a step."""
        with visitor.step() as session:
            node = session.take_exam()
        return {**self._stepped(visitor, request, node), "exam": to_plain(exam_payload(visitor))}

    def _stepped(self, visitor: Visitor, request: Request, node: Any) -> Payload:
        """Return the node after a step, with the parts that the request names."""
        selection, note = resolve_selection(request.get("selection"), visitor)
        response = self._read(visitor, selection, _part_names(request))
        not_saved = visitor.saving_note()
        line = " ".join(text for text in (note, not_saved) if text)
        revision = visitor.session.history.revision
        return {"node": node.id, "title": node.title, "revision": revision, **response, **_noted(line)}

    def compare(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Compare two steps, students, teachers or projects; without `a` and `b` those that come first."""
        a, b = (text_field(request, side) if request.get(side) else None for side in ("a", "b"))
        return {"compare": to_plain(comparison_payload(visitor, a, b, request.get("cls")))}

    # -- the map of the images

    def map_colours(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return a category or a value of each image."""
        selection, _ = resolve_selection(request.get("selection"), visitor)
        return {"colours": to_plain(colours_payload(visitor, selection, request))}

    def map_tiles(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return thumbnails of the images of some rows."""
        return {"tiles": tiles_payload(visitor, request.get("rows"))}

    def matrix(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the weights of all classes, and the pairs of classes that are confused."""
        selection, _ = resolve_selection(request.get("selection"), visitor)
        return {"matrix": to_plain(matrix_payload(visitor, selection))}

    def examine(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the number of images and the classes of a folder, for the owner of the machine."""
        return {"found": new_project.examine_source(request, self.owner_key)}

    def origin(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return what the project was built from, to build another one from the same images."""
        is_owner = self.owner_key.matches(request.get("owner_key"))
        return {"origin": new_project.project_origin(visitor) if is_owner else None}

    def open_project(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Begin a new visit to another project."""
        return {"token": self.visitors.open_project(visitor, request.get("project")).token}

    # -- own images

    def classify(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Return the predictions of teacher and student for an uploaded image."""
        return {"prediction": own_images.classify(visitor, request.get("path"), request.get("name"))}

    def discard_image(self, visitor: Visitor, request: Request, caller: Caller) -> Payload:
        """Delete the visitor's own image."""
        own_images.discard(visitor)
        return {}


def _json(text: str, status: int = 200) -> Response:
    return Response(text, status, {"Cache-Control": "no-store"}, "application/json")


def _noted(note: str | None) -> Payload:
    return {"note": note} if note else {}


def _is_search(name: Any) -> bool:
    """Return whether a part is a search, which the page requests in the background."""
    return isinstance(name, str) and name in view_parts() and view_parts()[name].slow >= SLOW_LEVEL


def _part_names(request: Request) -> list[str]:
    """Return the parts that a request names, each once, without unknown ones."""
    requested = request.get("parts")
    names = [n for n in requested if isinstance(n, str)] if isinstance(requested, list) else []
    return [n for n in dict.fromkeys(names) if n in view_parts()]


def _is_fresh(visitor: Visitor) -> bool:
    """Return whether no step was taken yet on a project whose words can be chosen."""
    is_root = visitor.session.node == visitor.session.context.root.id
    return is_root and "words" in visitor.project.config and not _is_demo(visitor)


def _is_demo(visitor: Visitor) -> bool:
    return "inficond.core.demo" in str((visitor.project.config.get("source") or {}).get("images"))
