"""What the page's server reads from browsers and programs: requests, links, forms, headers."""

import asyncio
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from hypothesis import strategies as st
from tests.fuzz.harness import Bug, Parser
from tests.fuzz.inputs import documents, texts, value
from tests.fuzz.registry import parser, printable, told
from tests.fuzz.workshop import Workshop

from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS
from inficond.core.models.class_sets import read_classes
from inficond.gradio_app.actions import project_options
from inficond.gradio_app.api import add_endpoints
from inficond.gradio_app.guard import RequestGuard, is_loopback
from inficond.gradio_app.jobs import Job
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.rpc import INTERNAL_ERROR, RPC_METHODS, RpcServer
from inficond.gradio_app.selection import SCOPES, resolve_selection
from inficond.gradio_app.visitor import VisitorRegistry

SELECTION = {
    "cls": "boat",
    "subset": "missed",
    "concepts": ["c0", "c1"],
    "image": "photos/0003.jpg",
    "scope": "all",
}
STEP: dict[str, Any] = {
    "token": "$token", "cls": "boat", "selection": SELECTION, "parts": ["influence.rows", "provenance.tree"],
    "actions": [{"kind": "up", "concept": "c0", "value": 2}],
}  # fmt: skip
REQUESTS: dict[str, dict[str, Any]] = {
    "hello": {"selection": SELECTION},
    "read": {"token": "$token", "selection": SELECTION, "parts": ["influence.rows", "instances.opened"]},
    "ping": {"token": "$token"},
    "sheet": {"token": "$token", "number": 0},
    "similar": {"token": "$token", "image": "photos/0003.jpg"},
    "preview": {**STEP, "focus": "missed"},
    "apply": {**STEP, "focus": {"conditions": [{"concept": "c1", "level": "low"}], "factor": 2}},
    "undo": {"token": "$token"},
    "redo": {"token": "$token"},
    "checkout": {"token": "$token", "node": "$node"},
    "rename": {"token": "$token", "node": "$node", "text": "the one"},
    "add_concept": {"token": "$token", "word": "c3"},
    "drop_concept": {"token": "$token", "concept": "c3"},
    "override": {"token": "$token", "cls": "boat", "image": "photos/0003.jpg", "value": 0.5},
    "set_lambda": {"token": "$token", "lam": 0.01},
    "set_thresholds": {"token": "$token", "at": 0.4},
    "origin": {"token": "$token"},
    "compare": {"token": "$token", "a": "$node", "b": "$node", "cls": "boat"},
    "job": {"token": "$token", "job": "x"},
    "cancel_job": {"token": "$token", "job": "x"},
    "start_report": {"token": "$token"},
    "start_export": {"token": "$token", "kind": "recipe"},
    "start_project": {"token": "$token", "name": "x", "files": [{"path": "/nowhere/a.jpg", "name": "a.jpg"}]},
    "open_project": {"token": "$token", "project": "p0"},
    "classify": {"token": "$token", "path": "/nowhere/a.jpg", "name": "a.jpg"},
    "forget_trial": {"token": "$token"},
}  # fmt: skip
CALLS: dict[str, list[Any]] = {
    "classes": [], "influence": ["boat"], "instances": ["boat", "missed", 5], "suggest": ["boat", ""],
    "preview": ["boat", [{"kind": "mute", "concept": "c0"}], "missed"],
    "apply": ["boat", [{"kind": "mute", "concept": "group:land"}], "", "a note"],
    "undo": [], "redo": [], "add_concept": ["c3"], "recipe": [], "predict": [{"path": "/nowhere/a.jpg"}],
    "export_student": ["recipe"], "distill": ["/nowhere", "mine", "boat: canoe"],
}  # fmt: skip
assert set(REQUESTS) == set(RPC_METHODS)


class _Faults(logging.Handler):
    """What the page logs as a fault of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@cache
def page(shop: Workshop) -> tuple[RpcServer, PageFiles, _Faults]:
    """The page's server side, with nobody in front of it; long work is accepted and not begun."""
    pictures = PageFiles()
    visitors = VisitorRegistry(shop.project, pictures, shop.root / "visitors.sqlite")
    visitors.disable_saving()
    bridge = RpcServer(visitors, pictures.uploads)
    bridge.jobs.start = lambda owner, work: Job(owner)  # type: ignore[method-assign]
    faults = _Faults()
    logging.getLogger("inficond.page").addHandler(faults)
    for name in ("hello", "read"):  # what is made once is made before anybody is watched
        getattr(bridge, name)(REQUESTS[name])
    return bridge, pictures, faults


def filled(document: Any, places: dict[str, str]) -> Any:
    """The document with `$name` put in."""
    if isinstance(document, dict):
        return {k: filled(v, places) for k, v in document.items()}
    if isinstance(document, list):
        return [filled(v, places) for v in document]
    return places.get(document, document) if isinstance(document, str) else document


@parser("page request", 3)
def page_request(shop: Workshop) -> Parser:
    bridge, pictures, faults = page(shop)

    def parse(given: Any, place: Path) -> dict[str, Any]:
        name, said = given
        visitor, _ = bridge.visitors.get()
        session = visitor.session
        session.apply("boat", {"kind": "mute", "concept": "c2"})
        request = filled(value(said), {"$token": session.token, "$node": session.node})
        faults.seen.clear()
        answer = getattr(bridge, name)(request)
        for record in faults.seen:
            raise Bug(f"{name} failed") from (record.exc_info or (None, None))[1]
        answer.encode()
        found = json.loads(answer, parse_constant=_no_number)
        assert INTERNAL_ERROR not in answer
        if "error" in found:
            raise InputError(found["error"])
        return found

    def holds(made: dict[str, Any], given: Any, place: Path) -> None:
        assert isinstance(made["token"], str)
        again, lost = bridge.visitors.get(made["token"])
        assert not lost
        assert (again.session.scores() >= 0).all()

    seeds = sorted(REQUESTS)
    given = st.sampled_from(seeds).flatmap(
        lambda name: st.tuples(st.just(name), documents([REQUESTS[name]], 3))
    )
    return Parser("page request", given, parse, holds, ("",), (pictures.folder, pictures.uploads, shop.root))


def _no_number(text: str) -> None:
    raise Bug(f"{text} is no JSON")


@parser("endpoint", 1.5)
def endpoint(shop: Workshop) -> Parser:
    """What `gradio_client` and MCP clients call."""
    bridge, pictures, _ = page(shop)
    with gr.Blocks() as blocks:
        add_endpoints(bridge.visitors, pictures.uploads, False)
    functions = {fn.api_name: fn.fn for fn in blocks.fns.values()}

    def parse(given: Any, place: Path) -> dict[str, Any]:
        name, said = given
        wanted = CALLS[name]
        said = value(said)
        args = (said if isinstance(said, list) else [])[: len(wanted)]
        args += wanted[len(args) :]
        try:
            found = functions[name](*args, "")
        except gr.Error as error:
            raise InputError(str(error.message)) from None
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
        return found

    def holds(made: dict[str, Any], given: Any, place: Path) -> None:
        assert made["session"]

    given = st.sampled_from(sorted(CALLS)).flatmap(
        lambda name: st.tuples(st.just(name), documents([CALLS[name]], 3))
    )
    return Parser("endpoint", given, parse, holds, ("",), (pictures.folder, pictures.uploads, shop.root))


@parser("permalink", 1.5)
def permalink(shop: Workshop) -> Parser:
    bridge, pictures, _ = page(shop)
    visitor, _ = bridge.visitors.get()

    def parse(given: Any, place: Path) -> Any:
        return resolve_selection(value(given), visitor)

    def holds(made: Any, given: Any, place: Path) -> None:
        selection, note = made
        assert selection.cls in shop.project.classes
        assert selection.subset in (None, *SUBSETS)
        assert set(selection.concepts) <= set(shop.project.concepts)
        assert selection.image in (None, *shop.project.image_ids)
        assert selection.scope in (None, *SCOPES[1:])
        again, silent = resolve_selection(json.loads(json.dumps(selection.to_json())), visitor)
        assert again == selection
        assert silent is None
        assert note is None or (printable(note) and len(note) < 2000)

    return Parser(
        "permalink",
        documents([SELECTION, {**SELECTION, "slice": "missed: c0 high"}]),
        parse,
        holds,
        ("",),
        (shop.root, pictures.folder),
    )


@parser("new project")
def new_project(shop: Workshop) -> Parser:
    """The form of view 1, as visitors and as the machine's owner fill it in."""
    seeds = [
        {"name": "Mine", "files": [{"path": "$0", "name": "a.jpg"}, {"path": "$1", "name": "b/c.png"}],
         "classes": "boat: canoe, gondola\nbird", "token": "t"},
        {"name": "", "folder": "$photos", "teacher": "embedded", "encoder": "embedded", "classes": ""},
    ]  # fmt: skip

    def parse(given: Any, place: Path) -> Any:
        said, owner = given
        uploads, photos = place / "uploads", place / "photos"
        photos.mkdir()
        named = {"$photos": str(photos)}
        for i in range(2):
            file = uploads / f"{i}" / "x.jpg"
            file.parent.mkdir(parents=True)
            file.write_bytes(b"%d" % i)
            named[f"${i}"] = str(file)
        request = filled(value(said), named)
        request = request if isinstance(request, dict) else {}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("INFICOND_CACHE", str(place / "cache"))
            options = project_options(request, uploads, owner)
        asked = request.get("files")
        sent = {e["path"] for e in asked if isinstance(e, dict)} if isinstance(asked, list) else set()
        return options, set() if request.get("folder") else sent

    def holds(made: Any, given: Any, place: Path) -> None:
        options, sent = made
        projects = place / "cache" / "projects"
        assert options.out.parent == projects
        assert options.images.exists()
        if sent:
            assert options.images.parent == projects
            assert len([p for p in options.images.iterdir() if p.is_file()]) == len(sent)
        json.dumps(options.name, ensure_ascii=False).encode()
        told(lambda: read_classes(options.classes))

    given = st.tuples(documents(seeds, 3), st.booleans())
    return Parser("new project", given, parse, holds, ("",))


@parser("header")
def header(shop: Workshop) -> Parser:
    """A request's address and headers, as they come from the network."""
    raw = st.one_of(
        st.sampled_from([b"localhost:7860", b"127.0.0.1", b"[::1]:1", b"evil.example", b"http://localhost",
                         b"[", b"null", b"[::1", b"12", b"9" * 5000, b"-1", b"\xb2", b"a@b:c", b"http://[",
                         b"//", b":::", b"localhost.evil.example"]),
        st.binary(max_size=20),
    )  # fmt: skip
    names = st.sampled_from([b"host", b"origin", b"content-length", b"range", b"cookie"])
    paths = st.one_of(
        st.sampled_from(["/", "/gradio_api/file=/etc/passwd", "/gradio_api/file=\0", "/gradio_api/upload",
                         "/gradio_api/proxy=x", "/gradio_api/file=" + "a" * 5000, "/gradio_api/file=~",
                         "/gradio_api/file=\ud800"]),
        texts.map(lambda t: f"/gradio_api/file={value(t)}"),
    )  # fmt: skip
    given = st.tuples(
        paths, st.sampled_from(["GET", "POST"]), st.lists(st.tuples(names, raw), max_size=4), st.booleans()
    )

    def parse(given: Any, place: Path) -> Any:
        path, method, headers, own = given
        (place / "public").mkdir(exist_ok=True)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        guard = RequestGuard(app, [place / "public"], lambda name: False, own)
        scope = {
            "type": "http",
            "path": path,
            "method": method,
            "headers": [(k.lower(), v) for k, v in headers],
        }
        asyncio.run(guard(scope, receive, send))
        return sent[0]

    def holds(made: Any, given: Any, place: Path) -> None:
        path, _, headers, own = given
        assert made["status"] in (200, 403, 404, 413)
        hosts = [v.decode("latin-1") for k, v in headers if k == b"host"]
        if own and made["status"] == 200:
            name = hosts[0].rpartition("@")[2] if hosts else ""
            bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
            assert is_loopback(bare)
        if "/file=" in path:
            assert made["status"] != 200

    return Parser("header", given, parse, holds, ("",))
