"""API endpoints of the page for `gradio_client`, plain HTTP and MCP clients.

Every endpoint takes and returns plain JSON or files. `session` is the token of a visit: leave it empty to
begin a visit, and send back the returned one to continue it.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

import gradio as gr

from inficond.core.errors import InputError
from inficond.core.progress import Silent
from inficond.gradio_app import exports, new_project, own_images
from inficond.gradio_app.error_line import error_line
from inficond.gradio_app.job_procedures import PROJECT_COST
from inficond.gradio_app.jobs import UNPROVEN_WEIGHT
from inficond.gradio_app.limits import NOBODY, Caller
from inficond.gradio_app.presenters import preview_payload, suggestion_payload
from inficond.gradio_app.queries import selected_rows
from inficond.gradio_app.request_queue import Kind
from inficond.gradio_app.routes import ENDPOINTS
from inficond.gradio_app.rpc import RpcServer
from inficond.gradio_app.selection import Selection
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor
from inficond.gradio_app.zero_gpu import build_project

MAX_IMAGES = 200
MAX_NOTE = 2000
FILE_ENDPOINTS = ("export_student",)
"""Endpoints whose response contains a file object; elsewhere nothing may look like one."""
TYPE_NAMES = {str: "a text", int: "an integer", list: "a list", dict: "a file"}
"""Argument types in messages."""


class StepPayload(TypedDict):
    """A node of the history."""

    node: str
    parent: str | None
    title: str
    before: Any
    after: Any
    weights: list[dict[str, Any]]
    note: NotRequired[str]


@dataclass(frozen=True)
class Endpoint:
    """An API endpoint.

    Parameters
    ----------
    name : str
    fn : callable
        `(visitor, *arguments) -> dict`.
    parameters : tuple of inspect.Parameter
        All but the visitor; the last one is `session`.
    kind : str
        The queue of its requests.
    cost : float
        Expected seconds, for scheduling.
    """

    name: str
    fn: Callable[..., dict[str, Any]]
    parameters: tuple[inspect.Parameter, ...]
    kind: Kind
    cost: float


class Api:
    """The API endpoints, declared inside the current `gr.Blocks` for its description and for MCP.

    Parameters
    ----------
    rpc : RpcServer
        Provides visitors, files and the request queue.
    """

    def __init__(self, rpc: RpcServer) -> None:
        self._rpc = rpc
        self.endpoints: dict[str, Endpoint] = {}
        for name in ENDPOINTS:
            fn = getattr(self, f"_{name}")
            kind, cost = KINDS.get(name, ("quick", 0.0))
            session = inspect.Parameter(
                "session", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="", annotation=str
            )
            parameters = (*list(inspect.signature(fn).parameters.values())[1:], session)
            self.endpoints[name] = Endpoint(name, fn, parameters, kind, cost)
            gr.api(self._declaration(self.endpoints[name]), api_name=name, concurrency_limit=None)  # pyright: ignore[reportPrivateImportUsage]

    def _declaration(self, endpoint: Endpoint) -> Callable[..., Any]:
        """Return the function that Gradio describes, and that MCP calls."""

        @functools.wraps(endpoint.fn)
        async def call(*args: Any) -> dict:
            try:
                return await self.call(endpoint.name, args, NOBODY)
            except InputError as error:
                raise gr.Error(str(error), print_exception=False) from None

        signature = inspect.Signature(list(endpoint.parameters), return_annotation=dict)
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in endpoint.parameters} | {"return": dict}
        call.__name__ = endpoint.name
        return call

    async def call(self, name: str, args: Sequence[Any], caller: Caller) -> dict[str, Any]:
        """Call an endpoint through the request queue.

        Parameters
        ----------
        name : str
        args : sequence
            Missing ones at the end take their defaults.
        caller : Caller

        Returns
        -------
        dict
            Plain JSON; nothing in it looks like a file object, except for `FILE_ENDPOINTS`.

        Raises
        ------
        InputError
            Bad input, or a fault that was logged; the message is one line for the caller.
        """
        endpoint = self.endpoints[name]
        *values, token = _checked_arguments(endpoint, args)
        known = self._rpc.visitors.find(token)
        proven = known is not None and known.has_steps
        return await self._rpc.queue.run(
            endpoint.kind,
            caller,
            known.token if known is not None else None,
            lambda: self._answer(endpoint, values, token, caller),
            endpoint.cost,
            1.0 if proven or endpoint.kind == "quick" else UNPROVEN_WEIGHT,
        )

    def _answer(self, endpoint: Endpoint, values: list[Any], token: str, caller: Caller) -> dict[str, Any]:
        try:
            visitor, _ = self._rpc.visitors.get(token, caller.address)
            visitor.is_owner |= self._rpc.owner_key.matches(caller.owner_key)
            result = endpoint.fn(visitor, *values)
            payload: dict[str, Any] = to_plain({"session": visitor.token, **result})
        except InputError:
            raise
        except Exception as error:
            raise InputError(error_line(error, f"the endpoint {endpoint.name}")) from None
        return payload if endpoint.name in FILE_ENDPOINTS else strip_file_objects(payload)

    # -- the endpoints; their docstrings are the public description

    def _classes(self, visitor: Visitor) -> dict[str, Any]:
        """List the classes with the quality of each student, measured on held-out images."""
        session = visitor.session
        return {"classes": [{"name": c, **session.metrics(c).to_dict()} for c in visitor.project.classes]}

    def _influence(self, visitor: Visitor, class_name: str) -> dict[str, Any]:
        """List the signed weights of a class, largest first; `gap` compares misaligned to agreeing images."""
        found = visitor.session.influence(class_name)
        order = sorted(
            (k for k in range(len(found.concepts)) if found.weights[k]), key=lambda k: -abs(found.weights[k])
        )
        rows = []
        for k in order:
            bound = found.bounds.get(found.concepts[k])
            rows.append(
                {
                    "concept": found.concepts[k],
                    "group": found.groups[k],
                    "weight": found.weights[k],
                    "gap": found.gap[k],
                    "bound": None if bound is None else str(bound.action),
                }
            )
        return {"class": class_name, "concepts": rows}

    def _instances(
        self, visitor: Visitor, class_name: str, subset: str = "", limit: int = 50
    ) -> dict[str, Any]:
        """List held-out images of a class, all or one subset (agree-pos, agree-neg, missed, extra), largest
        disagreement first."""
        session = visitor.session
        c = session.class_index(class_name)
        rows = session.subset(class_name, subset) if subset else selected_rows(visitor, Selection(class_name))
        teacher, student = session.targets(class_name), session.scores()[:, c]
        order = sorted((int(r) for r in rows), key=lambda r: -abs(float(teacher[r]) - float(student[r])))
        ids = visitor.project.image_ids
        listed = order[: max(0, min(int(limit), MAX_IMAGES))]
        images = [{"image": ids[r], "teacher": teacher[r], "student": student[r]} for r in listed]
        return {"class": class_name, "subset": subset or None, "total": len(order), "images": images}

    def _preview(self, visitor: Visitor, class_name: str, actions: list, focus: str = "") -> dict[str, Any]:
        """Predict the effect of actions without applying them. An action is {"kind": "mute", "concept":
        "water"}; kinds are up, down, mute, lock, set, free; `focus` is missed or extra."""
        found = visitor.own_session().preview(class_name, actions, focus or None)
        return {**preview_payload(found, class_name), "detail": found.to_json()}

    def _apply(
        self, visitor: Visitor, class_name: str, actions: list, focus: str = "", note: str = ""
    ) -> dict[str, Any]:
        """Apply actions: refit the class under the bounds that they set."""
        with visitor.step() as session:
            node = session.apply(class_name, actions, focus or None, note=str(note)[:MAX_NOTE])
        return _stepped(visitor, node)

    def _undo(self, visitor: Visitor) -> dict[str, Any]:
        """Undo the last step."""
        with visitor.step() as session:
            node = session.undo()
        return _stepped(visitor, node)

    def _redo(self, visitor: Visitor) -> dict[str, Any]:
        """Redo the step that was undone last."""
        with visitor.step() as session:
            node = session.redo()
        return _stepped(visitor, node)

    def _suggest(self, visitor: Visitor, class_name: str, subset: str = "") -> dict[str, Any]:
        """List the actions with the largest expected gain for a class, each with its predicted effect."""
        session = visitor.session
        found = session.suggest(class_name, subset or None, progress=visitor.progress)
        return {"suggestions": [suggestion_payload(s, session) for s in found]}

    def _add_concept(self, visitor: Visitor, word: str) -> dict[str, Any]:
        """Add a word as a concept of this visit and refit."""
        with visitor.step() as session:
            node = session.add_concept(word)
        return _stepped(visitor, node)

    def _recipe(self, visitor: Visitor) -> dict[str, Any]:
        """Return the steps so far as a recipe that can be replayed on another project."""
        return {"recipe": visitor.session.recipe().to_json()}

    def _predict(self, visitor: Visitor, image: dict) -> dict[str, Any]:
        """Return the predictions of teacher and student for one image, which is deleted afterwards."""
        found = own_images.classify(visitor, image.get("path"), image.get("orig_name"))
        own_images.discard(visitor)
        return {"classes": [{k: row[k] for k in ("name", "teacher", "student")} for row in found["rows"]]}

    def _export_student(self, visitor: Visitor, kind: str = "safetensors") -> dict[str, Any]:
        """Return the student as a file: safetensors, onnx, page, recipe or report."""
        path = exports.export_file(visitor, kind, Silent())
        address = visitor.files.register.address(path)
        return {"file": {"path": address, "orig_name": path.name, "url": visitor.files.register.url(path),
                         "meta": {"_type": "gradio.FileData"}}}  # fmt: skip

    def _distill(
        self, visitor: Visitor, images: str, name: str = "", classes: str = "", owner_key: str = ""
    ) -> dict[str, Any]:
        """Build a project from a folder of images of this machine and begin a visit to it. Needs the owner
        key, which the page prints when it starts."""
        from inficond.core import Project

        rpc = self._rpc
        rpc.owner_key.check(owner_key)
        request = {"folder": images, "name": name, "classes": classes, "owner_key": owner_key}
        options, _ = new_project.project_options(request, visitor.token, visitor.files, rpc.owner_key)
        project = Project.open(build_project(options, Silent()))
        key = rpc.visitors.add(project)
        opened = rpc.visitors.open_project(visitor, key)
        return {"session": opened.token, "project": project.name, "classes": list(project.classes)}


KINDS: dict[str, tuple[Kind, float]] = {
    "suggest": ("search", 0.5),
    "predict": ("image", 0.3),
    "export_student": ("job", 3.0),
    "distill": ("job", PROJECT_COST),
}
"""Queue and expected seconds of the endpoints that are not quick."""


def strip_file_objects(value: Any) -> Any:
    """Return plain JSON without the marks of Gradio's file objects.

    Gradio's MCP server copies every file that a response names into its cache and serves it. A path that a
    visitor or the history of a project smuggled into a response must not have this effect.
    """
    if isinstance(value, dict):
        return {k: strip_file_objects(v) for k, v in value.items() if not (k == "meta" and "path" in value)}
    return [strip_file_objects(v) for v in value] if isinstance(value, list) else value


def _stepped(visitor: Visitor, node: Any) -> dict[str, Any]:
    """Return the node after a step."""
    payload: StepPayload = {
        "node": node.id,
        "parent": node.parent,
        "title": node.title,
        "before": node.before,
        "after": node.after,
        "weights": [
            {"class": w.cls, "concept": w.concept, "before": w.before, "after": w.after} for w in node.weights
        ],
    }
    if not_saved := visitor.saving_note():
        payload["note"] = not_saved
    return dict(payload)


def _checked_arguments(endpoint: Endpoint, args: Sequence[Any]) -> list[Any]:
    """Return the arguments of an endpoint; null and missing ones take their defaults.

    Raises
    ------
    InputError
        There are too many, one without a default is missing, or one has another type.
    """
    if len(args) > len(endpoint.parameters):
        raise InputError(f"/{endpoint.name} takes {len(endpoint.parameters)} arguments, not {len(args)}")
    values = []
    for i, parameter in enumerate(endpoint.parameters):
        given = args[i] if i < len(args) else None
        if given is None and parameter.default is not inspect.Parameter.empty:
            given = parameter.default
        elif not isinstance(given, parameter.annotation) or isinstance(given, bool):
            raise InputError(
                f"`{parameter.name}` must be {TYPE_NAMES[parameter.annotation]}, not {given!r:.40}"
            )
        values.append(given)
    return values
