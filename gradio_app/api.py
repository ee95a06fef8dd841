"""The page's functions as API endpoints, for `gradio_client`, plain HTTP and MCP clients.

Every endpoint takes and returns plain JSON or files. `session` is the token of a branch of one's own: leave
it empty
to begin one, and send back the one that is returned to go on with it.
"""

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from inficond.core.errors import InputError
from inficond.core.progress import Silent
from inficond.gradio_app import actions
from inficond.gradio_app.presenters import preview_payload, suggestion_payload
from inficond.gradio_app.queries import selected_rows
from inficond.gradio_app.selection import Selection
from inficond.gradio_app.serialization import to_plain
from inficond.gradio_app.visitor import Visitor, VisitorRegistry
from inficond.gradio_app.zero_gpu import build_project

MOST_IMAGES = 200
CONCURRENCY = 4
LONGEST_NOTE = 2000
GIVES_FILES = ("export_student",)
"""Endpoints whose answers may name a file; Gradio would hand out whatever an answer calls one."""


def add_endpoints(visitors: VisitorRegistry, uploads: Path, local_folders: bool) -> None:
    """Declare the endpoints inside the current `gr.Blocks`.

    Parameters
    ----------
    visitors : VisitorRegistry
    uploads : Path
        Where Gradio puts uploads.
    local_folders : bool
        Whether `/distill` may read folders of this machine.
    """
    with_session = functools.partial(_with_session, visitors)

    @with_session
    def classes(visitor: Visitor) -> dict[str, Any]:
        """The classes with how well each student follows its teacher, measured on held-out images."""
        return {
            "classes": [{"name": c, **visitor.session.metrics(c).to_dict()} for c in visitor.project.classes]
        }

    @with_session
    def influence(visitor: Visitor, class_name: str) -> dict[str, Any]:
        """The signed weights of a class's student, largest first; `gap` tells misaligned from agreeing
        images."""
        found = visitor.session.influence(class_name)
        order = sorted(
            (k for k in range(len(found.concepts)) if found.weights[k]), key=lambda k: -abs(found.weights[k])
        )
        rows = [
            {
                "concept": found.concepts[k],
                "group": found.groups[k],
                "weight": found.weights[k],
                "gap": found.gap[k],
                "bound": str(found.bounds[found.concepts[k]].action)
                if found.concepts[k] in found.bounds
                else None,
            }
            for k in order
        ]
        return {"class": class_name, "concepts": rows}

    @with_session
    def instances(visitor: Visitor, class_name: str, subset: str = "", limit: int = 50) -> dict[str, Any]:
        """Held-out images of a class, all or one subset (agree-pos, agree-neg, missed, extra), most
        disputed first."""
        session = visitor.session
        c = session.class_index(class_name)
        rows = session.subset(class_name, subset) if subset else selected_rows(visitor, Selection(class_name))
        teacher, student = session.targets(class_name), session.scores()[:, c]
        order = sorted((int(r) for r in rows), key=lambda r: -abs(float(teacher[r]) - float(student[r])))
        ids = visitor.project.image_ids
        listed = order[: max(0, min(int(limit), MOST_IMAGES))]
        images = [{"image": ids[r], "teacher": teacher[r], "student": student[r]} for r in listed]
        return {"class": class_name, "subset": subset or None, "total": len(order), "images": images}

    @with_session
    def preview(visitor: Visitor, class_name: str, actions: list, focus: str = "") -> dict[str, Any]:
        """What actions would do, without doing it. An action is {"kind": "mute", "concept": "water"}; kinds
        are
        up, down, mute, lock, set, free; `focus` is missed or extra."""
        found = visitor.session.preview(class_name, actions, focus or None)
        return {**preview_payload(found, class_name), "detail": found.to_json()}

    @with_session
    def apply(
        visitor: Visitor, class_name: str, actions: list, focus: str = "", note: str = ""
    ) -> dict[str, Any]:
        """Take a step: refit the class under the bounds that the actions ask for."""
        note = str(note)[:LONGEST_NOTE]
        return _node(visitor, visitor.session.apply(class_name, actions, focus or None, note=note))

    @with_session
    def undo(visitor: Visitor) -> dict[str, Any]:
        """Take the last step back."""
        return _node(visitor, visitor.session.undo())

    @with_session
    def redo(visitor: Visitor) -> dict[str, Any]:
        """Take a step again that was undone."""
        return _node(visitor, visitor.session.redo())

    @with_session
    def suggest(visitor: Visitor, class_name: str, subset: str = "") -> dict[str, Any]:
        """The few actions most likely to help a class, each with its predicted gain."""
        session = visitor.session
        found = session.suggest(class_name, subset or None)
        return {"suggestions": [suggestion_payload(s, session) for s in found]}

    @with_session
    def add_concept(visitor: Visitor, word: str) -> dict[str, Any]:
        """Make a word a concept of this branch and refit."""
        return _node(visitor, visitor.session.add_concept(word))

    @with_session
    def recipe(visitor: Visitor) -> dict[str, Any]:
        """The steps so far, to be replayed on another project."""
        return {"recipe": visitor.session.recipe().to_json()}

    @with_session
    def predict(visitor: Visitor, image: dict) -> dict[str, Any]:
        """Teacher and student on one image; nothing of it is kept."""
        name = image.get("orig_name") if isinstance(image, dict) else None
        found = actions.classify(
            visitor, image.get("path") if isinstance(image, dict) else None, name, uploads
        )
        visitor.files.forget_own(visitor.token, "trial")
        return {"classes": [{k: row[k] for k in ("name", "teacher", "student")} for row in found["rows"]]}

    @with_session
    def export_student(visitor: Visitor, kind: str = "safetensors") -> dict[str, Any]:
        """The student as a file: safetensors, onnx, recipe or report."""
        path = actions.export_file(visitor, kind, Silent())
        return {"file": gr.FileData(path=str(path), orig_name=path.name).model_dump()}

    @with_session
    def distill(visitor: Visitor, images: str, name: str = "", classes: str = "") -> dict[str, Any]:
        """Make a project from a folder of images of this machine and begin a session on it."""
        from inficond.core import Project

        request = {"folder": images, "name": name, "classes": classes}
        options = actions.project_options(request, uploads, local_folders)
        project = Project.open(build_project(options, Silent()))
        key = visitors.add(project, visitor.token)
        fresh = visitors.choose(visitor.token, key)
        return {"session": fresh.token, "project": project.name, "classes": list(project.classes)}

    for fn in (
        classes,
        influence,
        instances,
        preview,
        apply,
        undo,
        redo,
        suggest,
        add_concept,
        recipe,
        predict,
    ):
        gr.api(fn, api_name=fn.__name__, concurrency_limit=CONCURRENCY)
    gr.api(export_student, api_name="export_student", concurrency_limit=1)
    gr.api(distill, api_name="distill", concurrency_limit=1)


def strip_file_objects(value: Any) -> Any:
    """Plain JSON in which nothing looks like one of Gradio's files.

    Gradio copies every file that an answer names into its cache and serves it, from anywhere below the
    working folder; a name that a visitor or a project's history smuggled into an answer must not do that.
    """
    if isinstance(value, dict):
        return {k: strip_file_objects(v) for k, v in value.items() if not (k == "meta" and "path" in value)}
    return [strip_file_objects(v) for v in value] if isinstance(value, list) else value


def _node(visitor: Visitor, node: Any) -> dict[str, Any]:
    """A node of the history, as an answer."""
    return {
        "node": node.id,
        "parent": node.parent,
        "title": node.title,
        "before": node.before,
        "after": node.after,
        "weights": [
            {"class": w.cls, "concept": w.concept, "before": w.before, "after": w.after} for w in node.weights
        ],
    }


KINDS = {str: "a text", int: "a whole number", list: "a list", dict: "a file"}
"""What endpoints take, in words."""


def _typed(parameter: inspect.Parameter, given: Any) -> Any:
    """An argument of the kind that its endpoint declares; null where there is a default means that."""
    if given is None and parameter.default is not inspect.Parameter.empty:
        return parameter.default
    if not isinstance(given, parameter.annotation) or isinstance(given, bool):
        raise InputError(f"`{parameter.name}` must be {KINDS[parameter.annotation]}, not {given!r:.40}")
    return given


def _with_session(visitors: VisitorRegistry, fn: Callable[..., dict[str, Any]]) -> Callable[..., dict]:
    """Give an endpoint its visitor, add `session` as its last argument, turn bad input into a clear
    refusal."""
    signature = inspect.signature(fn)
    parameters = list(signature.parameters.values())[1:]
    parameters.append(
        inspect.Parameter("session", inspect.Parameter.POSITIONAL_OR_KEYWORD, default="", annotation=str)
    )

    @functools.wraps(fn)
    def endpoint(*args: Any) -> dict:
        *rest, token = args
        visitor, _ = visitors.get(token)
        try:
            rest = [_typed(p, given) for p, given in zip(parameters, rest)]
            said = to_plain({"session": visitor.token, **fn(visitor, *rest)})
            return said if fn.__name__ in GIVES_FILES else strip_file_objects(said)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    endpoint.__signature__ = signature.replace(parameters=parameters, return_annotation=dict)  # type: ignore[attr-defined]
    endpoint.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": dict}
    return endpoint
