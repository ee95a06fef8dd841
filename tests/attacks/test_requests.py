"""Requests that no honest browser sends: addresses to fetch, endless bodies, invalid values."""

import asyncio
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send
from tests.attacks.conftest import Arena

from inficond.gradio_app.access import AccessPolicy
from inficond.gradio_app.guard import Refused, RequestGuard
from inficond.gradio_app.routes import ROUTES, RPC_ROUTES, RouteTable
from inficond.gradio_app.rpc import RPC_METHODS

Visit = Callable[[], tuple[str, str]]
ADDRESSES = [
    "http://canary.example.test/a.jpg",
    "https://canary.example.test/a.jpg",
    "HTTP://canary.example.test/a.jpg",
    " http://canary.example.test/a.jpg",
    "//canary.example.test/a.jpg",
    "ftp://canary.example.test/a.jpg",
    "gopher://canary.example.test/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://0x7f000001:{port}/config",
    "http://127.0.0.1:{port}/canary",
    "http://localhost:{port}/canary",
    "https://user:pass@canary.example.test@127.0.0.1/",
]


class Canary:
    """A server on loopback that must receive no request."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                requests.append(self.path)
                self.send_response(200)
                self.end_headers()

            do_HEAD = do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_port


@pytest.fixture(scope="module")
def canary():
    canary = Canary()
    httpx.get(f"http://127.0.0.1:{canary.port}/check")
    assert canary.requests == ["/check"], "the canary records requests"
    canary.requests.clear()
    yield canary
    canary.server.shutdown()


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_server_fetches_no_address_that_a_visitor_names(
    address: str, arena: Arena, visit: Visit, canary: Canary
) -> None:
    """The address is neither requested nor resolved: every look-up and connection is recorded."""
    address = address.format(port=canary.port)
    token, cls = visit()
    arena.outside.clear()
    for target in ("/gradio_api/file=", "/gradio_api/proxy=", "/file="):
        status, _ = arena.raw(target + address.replace(" ", "%20"))
        assert status in (400, 403, 404), f"{target}{address} -> {status}"
    meta = {"meta": {"_type": "gradio.FileData"}}
    for value in (
        {"path": address, **meta},
        {"path": "x.jpg", "url": address, **meta},
        {"path": address, "url": address, "is_stream": True, **meta},
        {"url": address},
        address,
    ):
        assert "event: error" in arena.call("predict", value, token)
        arena.call("preview", cls, [value], "", token)
        arena.call("influence", value, token)
    for name in ("path", "url", "folder", "image"):
        arena.ask("classify", token=token, name="x", **{name: address})
    for field in ("folder", "teacher", "encoder"):
        assert arena.ask("start_project", token=token, files=[], **{field: address})["error"]
    assert arena.outside == []
    assert canary.requests == []


def test_look_ups_are_recorded(arena: Arena) -> None:
    """The test above proves something only if look-ups are recorded."""
    arena.outside.clear()
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://canary.invalid/")
    assert ("socket.getaddrinfo", "canary.invalid") in arena.outside
    arena.outside.clear()


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix"])
def test_a_header_writes_no_script_into_the_page(header: str, arena: Arena) -> None:
    value = 'localhost/"></script><script>window.__pwned=1</script>'
    _, text = arena.raw("/", **{header.replace("-", "_"): value})
    assert "<script>window.__pwned" not in text


@pytest.mark.parametrize("name", ["cookie", "authorization", "x-forwarded-for"])
def test_a_response_repeats_no_header_of_the_request(name: str, arena: Arena) -> None:
    """A cache may send to others what it keeps of a response."""
    url = "/" + arena.ask("sheet", number=0)["url"]
    answer = arena.client.get(url, headers={"range": "bytes=0-9", name: "own-secret"})
    assert answer.status_code == 206
    assert "own-secret" not in str(answer.headers)


@pytest.mark.parametrize(
    "path", ["dev/reload", "vibe-code", "vibe-code/", "vibe-edit", "process_recording", "run-history/buckets",
             "runs", "profiling/traces", "deep_link?session_hash=x", "stream/x/y/1/playlist.m3u8", "reset",
             "custom_component/1/client/a/b", "component_server", "component_server/", "cancel",
             "heartbeat/x", "upload_progress?upload_id=x", "proxy=http://x/", "startup-events",
             "openapi.json", "app_id", "user", "token", "login_check", "call/v2/classes", "run/predict",
             "api/predict", "mcp/"],
)  # fmt: skip
def test_a_route_of_gradio_that_the_page_does_not_need_does_not_exist(path: str, arena: Arena) -> None:
    assert arena.client.get(f"/gradio_api/{path}").status_code in (404, 405)
    assert arena.client.post(f"/gradio_api/{path}", content=b"{}").status_code in (404, 405)


@pytest.mark.parametrize(
    "path", ["/monitoring", "/login", "/logout", "/docs", "/openapi.json", "/svelte/x.js", "/pwa_icon",
             "/manifest.json", "/?x/../config", "//config", "/config/"],
)  # fmt: skip
def test_a_page_that_is_not_in_the_table_does_not_exist(path: str, arena: Arena) -> None:
    status, text = arena.raw(path)
    assert status in (403, 404) or (path.startswith("/?") and status == 200)
    assert "components" not in text or status == 200


@pytest.mark.parametrize("endpoint", ["classes", "apply", "export_student", "predict", "distill"])
@pytest.mark.parametrize("route", ["run", "api"])
def test_no_direct_request_skips_the_queue(endpoint: str, route: str, arena: Arena) -> None:
    for tail in ("", "/"):
        answer = arena.client.post(f"/gradio_api/{route}/{endpoint}{tail}", json={"data": []})
        assert answer.status_code in (404, 405)


@pytest.mark.parametrize("declared", [True, False], ids=["declared length", "no declared length"])
@pytest.mark.parametrize("route", [r for r in RPC_ROUTES if r.path in ("/rpc/ping", "/rpc/apply")], ids=str)
def test_a_body_that_is_too_long_is_refused(route: Any, declared: bool, arena: Arena) -> None:
    content = b'{"x":"' + b"a" * route.max_body + b'"}'
    answer = arena.client.post(
        route.path,
        content=content if declared else iter([content[i : i + 4096] for i in range(0, len(content), 4096)]),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413
    assert arena.alive()


def test_a_body_that_has_arrived_is_refused_without_waiting_for_more() -> None:
    """A second `receive` would wait until the client closes the connection."""
    received: list[Message] = []
    sent: list[Message] = []

    async def receive() -> Message:
        received.append({"type": "http.request", "body": b"{", "more_body": False})
        return received[-1]

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise Refused(400, "not JSON")

    guard = RequestGuard(app, RouteTable(ROUTES), AccessPolicy("127.0.0.1"))
    headers = [(b"host", b"127.0.0.1:7860"), (b"content-type", b"application/json")]
    scope = {"type": "http", "path": "/rpc/ping", "method": "POST", "headers": headers}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 400
    assert len(received) == 1


def test_an_invalid_length_is_refused(arena: Arena) -> None:
    for length in ("99999999999999", "-1", "1e9", "0x10", "²"):
        status, _ = arena.raw("/rpc/hello", "POST", Content_Length=length)
        assert status in (400, 413), length


BODIES: dict[str, Any] = {
    "nothing": b"",
    "not JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "nested past the stack": b'{"data":' + b"[" * 4_000 + b"]" * 4_000 + b"}",
    "nested objects": b'{"data":' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
    "not UTF-8": b'{"data": "\xff\xfe"}',
    "lone surrogate": b'{"data": {"token": "\\ud800"}, "session_hash": "", "fn_index": 0}',
    "huge number": b'{"data": 1' + b"0" * 5000 + b"}",
    "NaN": b'{"data": {"lam": NaN}, "lam": NaN, "session_hash": "x"}',
    "no such function": b'{"data": [], "session_hash": "x", "fn_index": 99999}',
    "a negative function": b'{"data": [], "session_hash": "x", "fn_index": -1}',
    "a function that is true": b'{"data": [], "session_hash": "x", "fn_index": true}',
    "a session that is a list": b'{"data": [], "session_hash": [1], "fn_index": 0}',
    "a long session": b'{"data": [], "session_hash": "' + b"x" * 9000 + b'", "fn_index": 0}',
    "data that is an object": b'{"data": {}, "session_hash": "x", "fn_index": 0}',
}
POSTS = ("/rpc/hello", "/rpc/apply", "/gradio_api/queue/join", "/gradio_api/call/apply", "/gradio_api/upload")


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize("path", POSTS)
def test_an_invalid_body_is_refused_and_never_a_server_error(path: str, name: str, arena: Arena) -> None:
    headers = {"content-type": "application/json"}
    answer = arena.client.post(path, content=BODIES[name], headers=headers)
    assert answer.status_code < 500
    assert answer.status_code >= 400 or path.startswith(("/rpc/", "/gradio_api/call/"))
    if answer.status_code == 200:
        assert "Internal error" not in answer.text
    assert arena.ask("ping") is not None


VALUES: list[Any] = [
    None, -1, 1e308, True, "\0", "a" * 9_000, [], {}, [[]], {"a": {"b": []}}, ["x"] * 3000,
    [{"kind": "mute", "concept": 7}], "\ud800",
]  # fmt: skip
GOOD = {
    "kind": "recipe", "number": 0, "job": "x", "project": "x", "lam": 0.1, "at": 0.5, "path": "x",
    "name": "x", "files": [], "text": "x", "word": "red", "value": 1, "focus": None, "selection": {},
    "node": "x", "a": "x", "b": "x", "parts": ["tuning.state"], "accept": [], "reject": [], "rename": [],
    "examples": [], "x": 0.5, "y": 0.5,
}  # fmt: skip
FIELDS = {
    "read": (), "sheet": ("number",), "similar": ("image",), "preview": ("cls", "actions", "focus"),
    "apply": ("cls", "actions", "focus"), "checkout": ("node",), "rename": ("node", "text"),
    "add_concept": ("word",), "drop_concept": ("concept",), "override": ("cls", "image", "value"),
    "set_lambda": ("lam",), "set_thresholds": ("at",), "compare": ("a", "b", "cls"), "job": ("job",),
    "cancel_job": ("job",), "start_export": ("kind",), "start_project": ("files", "name"),
    "open_project": ("project",), "classify": ("path", "name"),
    "choose_words": ("accept", "reject", "rename", "examples"), "region_at": ("image", "x", "y"),
}  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:24])
def test_any_value_of_any_field_is_answered_with_one_line(
    value: Any, arena: Arena, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad input of any remote procedure is one line, never an internal error in the log."""
    token, cls = visit()
    concept, image = arena.project.concepts[0], arena.project.image_ids[0]
    actions = [{"kind": "mute", "concept": concept}]
    good = {**GOOD, "cls": cls, "actions": actions, "image": image, "concept": concept}
    for fn in RPC_METHODS:
        if fn in ("start_report", "start_words", "start_discovery", "hello"):
            continue
        for field in ("selection", "parts", *FIELDS.get(fn, ())):
            request = {"token": token, **{k: good[k] for k in FIELDS.get(fn, ())}, field: value}
            answer = arena.client.post(
                f"/rpc/{fn}", content=json.dumps(request), headers={"content-type": "application/json"}
            )
            if answer.status_code != 200:
                assert answer.status_code in (400, 413, 429), (fn, field)
                continue
            response = answer.json()
            assert "Internal error" not in response.get("error", ""), (fn, field)
            assert not any("Internal error" in line for line in response.get("failed", {}).values())
    assert not [r for r in caplog.records if r.levelname == "ERROR" and r.name == "inficond.page"]


@pytest.mark.parametrize("value", [None, [{"kind": 7}], {"a": []}, "../../etc/passwd", 1e308], ids=repr)
def test_any_argument_of_any_endpoint_is_answered_or_refused(value: Any, arena: Arena, visit: Visit) -> None:
    token, cls = visit()
    for endpoint, arguments in {
        "classes": [token], "influence": [cls, token], "instances": [cls, "", 5, token],
        "preview": [cls, [], "", token], "apply": [cls, [], "", "", token], "suggest": [cls, "", token],
        "add_concept": ["red", token], "predict": [{}, token], "export_student": ["recipe", token],
        "distill": ["x", "", "", "", token],
    }.items():  # fmt: skip
        for at in range(len(arguments)):
            changed = [*arguments]
            changed[at] = value
            text = arena.call(endpoint, *changed)
            assert "event: error" in text or "event: complete" in text, text[:200]
            assert "Traceback" not in text
            assert "Internal error" not in text
    assert arena.alive()


@pytest.mark.parametrize(
    "value", ["bytes=", "bytes=-", "bytes=a-b", "bytes=9-1", "bytes=0-99999999999999999999", "bytes=-0",
              "bytes=0-0,2-2", "bytes=" + ",".join(f"{i}-{i}" for i in range(3000)), "x=0-1", "²-³"],
    ids=lambda v: v[:20],
)  # fmt: skip
def test_an_odd_range_is_no_server_error(value: str, arena: Arena) -> None:
    url = "/" + arena.ask("sheet", number=0)["url"]
    answer = arena.client.get(url, headers={"range": value.encode()})
    assert answer.status_code in (200, 206, 400, 416)


@pytest.mark.parametrize(
    "path", ["/gradio_api/call/classes/nobody", "/gradio_api/queue/data?session_hash=nobody",
             "/gradio_api/queue/data", "/gradio_api/call/nothing/x"],
)  # fmt: skip
def test_a_result_that_nobody_asked_for_does_not_exist(path: str, arena: Arena) -> None:
    assert arena.client.get(path, timeout=5).status_code == 404


def test_a_websocket_is_refused(arena: Arena) -> None:
    status, _ = arena.raw(
        "/gradio_api/queue/join", Upgrade="websocket", Connection="Upgrade",
        Sec_WebSocket_Key="x3JJHMbDL1EzLkh9GBhXDw==", Sec_WebSocket_Version="13",
    )  # fmt: skip
    assert status in (403, 404, 405, 426)
