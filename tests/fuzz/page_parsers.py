"""Parsers of the page: requests, links, forms, headers, and sizes of JSON."""

import asyncio
import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from tests.fuzz.harness import Bug, Parser
from tests.fuzz.inputs import documents, texts, value
from tests.fuzz.registry import parser, printable, told
from tests.fuzz.workshop import Workshop

from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS
from inficond.core.models.class_sets import read_classes
from inficond.gradio_app.access import AccessPolicy, OwnerKey, is_loopback
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.error_line import INTERNAL_ERROR
from inficond.gradio_app.guard import RequestGuard
from inficond.gradio_app.jobs import Job
from inficond.gradio_app.limits import NOBODY, json_size
from inficond.gradio_app.new_project import project_options
from inficond.gradio_app.page_files import PageFiles
from inficond.gradio_app.routes import ROUTES, RouteTable
from inficond.gradio_app.rpc import RPC_METHODS
from inficond.gradio_app.selection import SCOPES, resolve_selection

SELECTION = {
    "cls": "boat",
    "subset": "missed",
    "concepts": ["c0", "c1"],
    "image": "photos/0003.jpg",
    "scope": "all",
    "moved": "$node~teacher~yes-no",
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
    "choose_words": {"token": "$token", "accept": ["c1"], "reject": ["c2"], "rename": [["c4", "d"]],
                     "examples": [{"name": "seed", "shown": [["photos/0003.jpg", 0]], "not_shown": []}]},
    "start_words": {"token": "$token", "crops_of": [["c1", "a"]]},
    "start_discovery": {"token": "$token", "cls": "boat"},
    "region_at": {"token": "$token", "image": "photos/0003.jpg", "x": 0.5, "y": 0.25},
    "override": {"token": "$token", "cls": "boat", "image": "photos/0003.jpg", "value": 0.5},
    "set_lambda": {"token": "$token", "lam": 0.01},
    "set_thresholds": {"token": "$token", "at": 0.4},
    "examine": {"token": "$token", "folder": "/nowhere", "labels": "labels.csv"},
    "origin": {"token": "$token"},
    "compare": {"token": "$token", "a": "$node", "b": "teacher", "cls": "boat"},
    "job": {"token": "$token", "job": "x"},
    "cancel_job": {"token": "$token", "job": "x"},
    "start_report": {"token": "$token"},
    "start_export": {"token": "$token", "kind": "recipe"},
    "start_project": {"token": "$token", "name": "x", "files": [{"path": "/nowhere/a.jpg", "name": "a.jpg"}]},
    "open_project": {"token": "$token", "project": "p0"},
    "classify": {"token": "$token", "path": "/nowhere/a.jpg", "name": "a.jpg"},
    "discard_image": {"token": "$token"},
    "matrix": {"token": "$token", "selection": SELECTION},
    "map": {"token": "$token"},
    "map_colours": {"token": "$token", "selection": SELECTION, "by": "concept", "concept": "c1"},
    "map_tiles": {"token": "$token", "rows": [0, 1]},
    "exam": {"token": "$token"},
    "take_exam": {"token": "$token"},
}  # fmt: skip
CALLS: dict[str, list[Any]] = {
    "classes": [], "influence": ["boat"], "instances": ["boat", "missed", 5], "suggest": ["boat", ""],
    "preview": ["boat", [{"kind": "mute", "concept": "c0"}], "missed"],
    "apply": ["boat", [{"kind": "mute", "concept": "group:land"}], "", "a note"],
    "undo": [], "redo": [], "add_concept": ["c3"], "recipe": [], "predict": [{"path": "/nowhere/a.jpg"}],
    "export_student": ["recipe"], "distill": ["/nowhere", "mine", "boat: canoe", "$owner"],
}  # fmt: skip
assert set(REQUESTS) == set(RPC_METHODS)


class _Faults(logging.Handler):
    """Collects the internal errors that the page logs."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@cache
def page(shop: Workshop) -> tuple[Page, _Faults]:
    """A page without a server; jobs are accepted and do not begin."""
    made = build_page(shop.project, local_folders=True)
    made.visitors.disable_saving()
    made.rpc.jobs.start = lambda owner, *args, **kwargs: Job(owner)  # type: ignore[method-assign]
    faults = _Faults()
    logging.getLogger("inficond.page").addHandler(faults)
    for name in ("hello", "read"):  # files that are made once are made before anybody is watched
        made.rpc.answer(name, REQUESTS[name])
    return made, faults


def filled(document: Any, places: dict[str, str]) -> Any:
    """The document with `$name` put in."""
    if isinstance(document, dict):
        return {k: filled(v, places) for k, v in document.items()}
    if isinstance(document, list):
        return [filled(v, places) for v in document]
    return places.get(document, document) if isinstance(document, str) else document


@parser("page request", 3)
def page_request(shop: Workshop) -> Parser:
    made, faults = page(shop)

    def parse(given: Any, place: Path) -> dict[str, Any]:
        name, document = given
        visitor, _ = made.visitors.get()
        session = visitor.own_session()
        session.apply("boat", {"kind": "mute", "concept": "c2"})
        request = filled(value(document), {"$token": visitor.token, "$node": session.node})
        faults.seen.clear()
        answer = made.rpc.answer(name, request if isinstance(request, dict) else {})
        for record in faults.seen:
            raise Bug(f"{name} failed") from (record.exc_info or (None, None))[1]
        answer.encode()
        response = json.loads(answer, parse_constant=_no_number)
        assert INTERNAL_ERROR not in answer
        if "error" in response:
            raise InputError(response["error"])
        return dict(response)

    def holds(response: dict[str, Any], given: Any, place: Path) -> None:
        assert isinstance(response["token"], str)
        again, lost = made.visitors.get(response["token"])
        assert not lost
        assert (again.session.scores() >= 0).all()

    seeds = sorted(REQUESTS)
    given = st.sampled_from(seeds).flatmap(
        lambda name: st.tuples(st.just(name), documents([REQUESTS[name]], 3))
    )
    return Parser("page request", given, parse, holds, ("",), (made.files.folder, shop.root))


def _no_number(text: str) -> None:
    raise Bug(f"{text} is not JSON")


@parser("endpoint", 1.5)
def endpoint(shop: Workshop) -> Parser:
    """The API endpoints, which `gradio_client` and MCP clients call."""
    made, _ = page(shop)

    def parse(given: Any, place: Path) -> dict[str, Any]:
        name, document = given
        wanted = CALLS[name]
        document = value(document)
        args = (document if isinstance(document, list) else [])[: len(wanted)]
        args += wanted[len(args) :]
        args = [made.owner_key.value if arg == "$owner" else arg for arg in args]
        response = asyncio.run(made.api.call(name, [*args, ""], NOBODY))
        json.dumps(response, ensure_ascii=False, allow_nan=False).encode()
        return response

    def holds(response: dict[str, Any], given: Any, place: Path) -> None:
        assert response["session"]

    given = st.sampled_from(sorted(CALLS)).flatmap(
        lambda name: st.tuples(st.just(name), documents([CALLS[name]], 3))
    )
    return Parser("endpoint", given, parse, holds, ("",), (made.files.folder, shop.root))


@parser("permalink", 1.5)
def permalink(shop: Workshop) -> Parser:
    made, _ = page(shop)
    visitor, _ = made.visitors.get()

    def parse(given: Any, place: Path) -> Any:
        return resolve_selection(value(given), visitor)

    def holds(result: Any, given: Any, place: Path) -> None:
        selection, note = result
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
        (shop.root, made.files.folder),
    )


@parser("new project")
def new_project(shop: Workshop) -> Parser:
    """The form for a new project, filled in by visitors and by the owner of the machine."""
    seeds = [
        {"name": "Mine", "files": [{"path": "$0", "name": "a.jpg"}, {"path": "$1", "name": "b/c.png"}],
         "classes": "boat: canoe, gondola\nbird"},
        {"name": "", "folder": "$photos", "teacher": "embedded", "encoder": "embedded", "classes": ""},
    ]  # fmt: skip

    def parse(given: Any, place: Path) -> Any:
        document, is_owner = given
        files, key = PageFiles(place), OwnerKey(True)
        photos = place / "photos"
        photos.mkdir()
        named = {"$photos": str(photos)}
        for i in range(2):
            upload = files.new_upload("x.jpg")
            upload.write_bytes(b"%d" % i)
            named[f"${i}"] = files.add_upload(upload, "visit")
        request = filled(value(document), named)
        request = dict(request) if isinstance(request, dict) else {}
        request["owner_key"] = key.value if is_owner else request.get("owner_key")
        try:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("INFICOND_CACHE", str(place / "cache"))
                options, temporary = project_options(request, "visit", files, key)
            home = place / "cache" / "projects" if is_owner else files.projects
            assert options.out.is_relative_to(home)
            assert options.images.exists()
            asked = request.get("files")
            sent = {e["path"] for e in asked if isinstance(e, dict)} if isinstance(asked, list) else set()
            if request.get("folder"):
                assert is_owner
            else:
                assert (temporary is None) == is_owner
                assert options.images.is_relative_to(home)
                assert len([p for p in options.images.rglob("*") if p.is_file()]) == len(sent)
        finally:
            files.close()
        return options

    def holds(options: Any, given: Any, place: Path) -> None:
        json.dumps(options.name, ensure_ascii=False).encode()
        told(lambda: read_classes(options.classes))

    given = st.tuples(documents(seeds, 3), st.booleans())
    return Parser("new project", given, parse, holds, ("",))


@parser("json size")
def json_sizes(shop: Workshop) -> Parser:
    """The size of a JSON text that is measured without parsing it: never below the true one."""
    texts_ = st.one_of(
        documents([REQUESTS["apply"]], 3).map(lambda d: json.dumps(value(d), ensure_ascii=True).encode()),
        st.text(alphabet='[]{},"\\a1: ', max_size=60).map(str.encode),
        st.binary(max_size=60),
    )

    def parse(given: Any, place: Path) -> Any:
        measured = json_size(given)
        try:
            parsed = json.loads(given)
        except (ValueError, RecursionError):
            raise InputError("not JSON") from None
        return measured, parsed

    def size(parsed: Any) -> tuple[int, int]:
        inner = parsed.values() if isinstance(parsed, dict) else parsed if isinstance(parsed, list) else None
        if inner is None:
            return 0, 1
        sizes = [size(one) for one in inner]
        return 1 + max((d for d, _ in sizes), default=0), 1 + sum(n for _, n in sizes)

    def holds(result: Any, given: Any, place: Path) -> None:
        (depth, count), parsed = result
        true_depth, true_count = size(parsed)
        assert depth == true_depth or (depth > true_depth and b'"' in given)  # repeated keys are parsed once
        assert count >= true_count

    return Parser("json size", texts_, parse, holds, ("",))


@parser("header")
def header(shop: Workshop) -> Parser:
    """The path and the headers of a request, as they come from the network."""
    raw = st.one_of(
        st.sampled_from([b"localhost:7860", b"127.0.0.1", b"[::1]:1", b"evil.example", b"http://localhost",
                         b"[", b"null", b"[::1", b"12", b"9" * 5000, b"-1", b"\xb2", b"a@b:c", b"http://[",
                         b"//", b":::", b"localhost.evil.example", b"cross-site", b"navigate"]),
        st.binary(max_size=20),
    )  # fmt: skip
    names = st.sampled_from(
        [b"host", b"origin", b"content-length", b"range", b"cookie", b"sec-fetch-site", b"sec-fetch-mode"]
    )
    paths = st.one_of(
        st.sampled_from(["/", "/gradio_api/file=/etc/passwd", "/gradio_api/file=\0", "/gradio_api/upload",
                         "/gradio_api/proxy=x", "/gradio_api/file=" + "a" * 5000, "/gradio_api/file=~",
                         "/gradio_api/file=\ud800", "/rpc/hello", "/rpc/hello/", "/config"]),
        texts.map(lambda t: f"/gradio_api/file={value(t)}"),
    )  # fmt: skip
    given = st.tuples(
        paths, st.sampled_from(["GET", "POST"]), st.lists(st.tuples(names, raw), max_size=4), st.booleans()
    )

    def parse(given: Any, place: Path) -> Any:
        path, method, headers, loopback = given

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        policy = AccessPolicy("127.0.0.1" if loopback else "0.0.0.0")
        guard = RequestGuard(app, RouteTable(ROUTES), policy)
        headers = [(k.lower(), v) for k, v in headers]
        scope = {"type": "http", "path": path, "method": method, "headers": headers}
        asyncio.run(guard(scope, receive, send))
        return sent[0]

    def holds(response: Any, given: Any, place: Path) -> None:
        path, method, headers, loopback = given
        assert response["status"] in (200, 400, 403, 404, 405, 413, 429)
        if response["status"] != 200:
            return
        assert RouteTable(ROUTES).find(method, path) is not None
        hosts = [v.decode("latin-1") for k, v in headers if k == b"host"]
        if loopback:
            name = hosts[0].rpartition("@")[2] if hosts else ""
            bare = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
            assert is_loopback(bare)
        origins = [v.decode("latin-1") for k, v in headers if k == b"origin"]
        assert not origins or origins[0].rpartition("//")[2].lower() == hosts[0].lower()

    return Parser("header", given, parse, holds, ("",))
