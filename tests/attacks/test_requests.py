"""Requests that no honest browser sends: other machines' addresses, foreign names, no end, no sense."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest
from tests.attacks.conftest import Arena

from inficond.gradio_app.guard import MAX_BODY

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
    """A server on loopback that nobody should talk to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
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
    httpx.get(f"http://127.0.0.1:{canary.port}/it-sings")
    assert canary.asked == ["/it-sings"], "a canary that cannot sing proves nothing"
    canary.asked.clear()
    yield canary
    canary.server.shutdown()


@pytest.mark.parametrize("address", ADDRESSES)
def test_the_server_fetches_no_visitors_address(
    address: str, arena: Arena, visit: Visit, canary: Canary
) -> None:
    """Neither asked for, nor resolved: every look-up and connection of the process is watched."""
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
    assert canary.asked == []


def test_the_watch_sees_what_it_should(arena: Arena) -> None:
    """The test above is worth something only if a look-up is seen."""
    arena.outside.clear()
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://canary.invalid/")
    assert ("socket.getaddrinfo", "canary.invalid") in arena.outside
    arena.outside.clear()


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil.example", "",
             "[::", "0.0.0.0", "192.168.1.5", "169.254.169.254", "127.0.0.1@evil.example"],
)  # fmt: skip
def test_a_name_bent_to_this_machine_gets_nothing(host: str, arena: Arena) -> None:
    """DNS rebinding: a page of evil.example whose name now means 127.0.0.1 is of the same origin as ours."""
    for target, method in (("/config", "GET"), ("/", "GET"), ("/gradio_api/component_server", "POST")):
        status, text = arena.raw(target, method, Host=host)
        assert status in (400, 403), f"{host}: {target} -> {status}"
        assert "component" not in text


@pytest.mark.parametrize("host", ["localhost:7860", "127.0.0.1", "[::1]:7860", "127.8.9.1", "LOCALHOST."])
def test_its_own_names_are_answered(host: str, arena: Arena) -> None:
    assert arena.raw("/config", Host=host)[0] == 200


@pytest.mark.parametrize(
    "origin", ["null", "https://evil.example", "http://127.0.0.1.evil.example", "http://evil.example:7860", "file://",
               "http://localhost.evil.example"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_another_sites_page_cannot_act_here(origin: str, kind: str, arena: Arena) -> None:
    """A form or a script of any page that the owner has open reaches loopback; it must not start anything."""
    before = len(arena.page.visitors)
    body = {
        "data": {"folder": "~"},
        "session_hash": "x",
        "component_id": arena.shell,
        "fn_name": "start_project",
    }
    answer = arena.client.post(
        "/gradio_api/component_server",
        content=json.dumps(body),
        headers={"origin": origin, "content-type": kind},
    )
    assert answer.status_code == 403
    assert len(arena.page.visitors) == before
    for path in ("/gradio_api/call/apply", "/gradio_api/queue/join", "/gradio_api/run/apply"):
        joined = arena.client.post(path, json={"data": []}, headers={"origin": origin})
        assert joined.status_code == 403
    asked = {"origin": origin, "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in arena.client.options("/config", headers=asked).headers
    assert arena.client.get("/config", headers={"origin": origin}).status_code == 403


def test_a_foreign_frame_may_not_hold_the_page(arena: Arena) -> None:
    policy = arena.client.get("/").headers["content-security-policy"]
    assert policy.startswith("frame-ancestors 'self'")
    assert "evil" not in policy


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix"])
def test_a_header_writes_no_script_into_the_page(header: str, arena: Arena) -> None:
    value = 'localhost/"></script><script>window.__pwned=1</script>'
    _, text = arena.raw("/", **{header.replace("-", "_"): value})
    assert "<script>window.__pwned" not in text


@pytest.mark.parametrize("name", ["cookie", "authorization", "x-forwarded-for"])
def test_an_answer_repeats_no_header_of_the_request(name: str, arena: Arena) -> None:
    """What a cache keeps of an answer, others are sent."""
    url = "/" + arena.ask("sheet", number=0)["url"]
    answer = arena.client.get(url, headers={"range": "bytes=0-9", name: "own-secret"})
    assert answer.status_code in (200, 206)
    assert "own-secret" not in str(answer.headers)


@pytest.mark.parametrize(
    "path", ["dev/reload", "vibe-code", "vibe-code/", "vibe-edit", "process_recording", "run-history/buckets",
             "runs", "profiling/traces", "deep_link?session_hash=x", "stream/x/y/1/playlist.m3u8",
             "custom_component/1/client/a/b"],
)  # fmt: skip
def test_what_the_page_does_not_need_is_not_there(path: str, arena: Arena) -> None:
    assert arena.client.get(f"/gradio_api/{path}").status_code == 404
    assert arena.client.post(f"/gradio_api/{path}", content=b"{}").status_code == 404
    assert arena.client.get("/monitoring").status_code == 404


@pytest.mark.parametrize("endpoint", ["classes", "apply", "export_student", "predict", "distill"])
@pytest.mark.parametrize("route", ["run", "api"])
def test_no_direct_post_skips_the_queue(endpoint: str, route: str, arena: Arena) -> None:
    for tail in ("", "/"):
        answer = arena.client.post(f"/gradio_api/{route}/{endpoint}{tail}", json={"data": []})
        assert answer.status_code in (403, 404)
    numbered = arena.client.post(f"/gradio_api/{route}/predict", json={"data": [], "fn_index": 0})
    assert numbered.status_code in (403, 404)


@pytest.mark.parametrize("said", [True, False], ids=["length said", "length not said"])
def test_a_body_without_end_is_refused(said: bool, arena: Arena) -> None:
    start = b'{"session_hash":"x","component_id":%d,"fn_name":"ping","data":{"x":"' % arena.shell
    parts = [
        start,
        *[b"a" * (1 << 16)] * (MAX_BODY // (1 << 16) + 1),
        b'"}}',
    ]  # sound JSON but for its length
    content = b"".join(parts) if said else iter(parts)
    answer = arena.client.post(
        "/gradio_api/component_server", content=content, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (400, 413)
    assert arena.alive()


def test_a_lying_length_is_refused(arena: Arena) -> None:
    for length in ("99999999999999", "-1", "1e9", "0x10", "²"):
        status, _ = arena.raw("/gradio_api/component_server", "POST", Content_Length=length)
        assert status in (400, 413), length


BODIES: dict[str, Any] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "null": b"null",
    "nested past the stack": b'{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "nested objects": b'{"data":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_000 + b"}",
    "not UTF-8": b'{"data": "\xff\xfe"}',
    "lone surrogate": b'{"data": {"token": "\\ud800"}, "session_hash": "", "component_id": 1, "fn_name": ""}',
    "huge number": b'{"data": 1' + b"0" * 5000 + b"}",
    "NaN": b'{"data": {"lam": NaN}, "session_hash": "x", "component_id": %d, "fn_name": "set_lambda"}',
    "no such component": b'{"data": {}, "session_hash": "x", "component_id": 99999, "fn_name": "hello"}',
    "a private method": b'{"data": {}, "session_hash": "x", "component_id": %d, "fn_name": "__init__"}',
    "a component's method": b'{"data": {}, "session_hash": "x", "component_id": %d, "fn_name": "get_config"}',
    "no method": b'{"data": {}, "session_hash": "x", "component_id": %d, "fn_name": null}',
}


@pytest.mark.parametrize("name", list(BODIES))
@pytest.mark.parametrize(
    "path", ["component_server", "queue/join", "call/apply", "cancel", "reset", "upload"]
)
def test_a_senseless_body_harms_nobody(path: str, name: str, arena: Arena) -> None:
    body = BODIES[name]
    body = body % arena.shell if b"%d" in body else body
    headers = {"content-type": "application/json"}
    status = arena.client.post(f"/gradio_api/{path}", content=body, headers=headers).status_code
    assert 400 <= status <= 500 or path in ("upload", "cancel", "reset", "component_server")
    assert arena.ask("ping") is not None


VALUES: list[Any] = [
    None, -1, 1e308, True, "\0", "a" * 100_000, [], {}, [[]], {"a": {"b": []}}, ["x"] * 5000,
    [{"kind": "mute", "concept": 7}], "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: repr(v)[:24])
def test_any_value_anywhere_is_a_line_and_no_fault(
    value: Any, arena: Arena, visit: Visit, caplog: pytest.LogCaptureFixture
) -> None:
    """Every function of the page, every field: bad input is one line, never a fault of ours in the log."""
    from inficond.gradio_app.rpc import RPC_METHODS

    token, cls = visit()
    concept = arena.project.concepts[0]
    good = {
        "cls": cls, "actions": [{"kind": "mute", "concept": concept}], "image": arena.project.image_ids[0],
        "node": "x", "a": "x", "b": "x", "number": 0, "job": "x", "project": "x", "lam": 0.1, "at": 0.5,
        "concept": concept, "kind": "recipe", "path": "x", "name": "x", "files": [], "text": "x",
        "word": "red", "value": 1, "focus": None, "selection": {}, "parts": ["tuning.state"],
    }  # fmt: skip
    for fn in RPC_METHODS:
        if fn in ("start_report", "hello"):
            continue
        for field in ("selection", "parts", *FIELDS.get(fn, ())):
            request = {"token": token, **{k: good[k] for k in FIELDS.get(fn, ())}, field: value}
            answer = arena.client.post(
                "/gradio_api/component_server",
                content=json.dumps(
                    {"data": request, "session_hash": "attack", "component_id": arena.shell, "fn_name": fn}
                ),
                headers={"content-type": "application/json"},
            )
            if answer.status_code != 200:
                assert isinstance(value, str), (fn, field)
                continue
            said = json.loads(answer.json())
            assert "Internal error" not in said.get("error", ""), (
                fn,
                field,
                [r.getMessage() for r in caplog.records],
            )
            assert not any("Internal error" in line for line in said.get("failed", {}).values()), (fn, field)
    assert not [r for r in caplog.records if r.levelname == "ERROR" and r.name == "inficond.page"]


FIELDS = {
    "read": (), "sheet": ("number",), "similar": ("image",), "preview": ("cls", "actions", "focus"),
    "apply": ("cls", "actions", "focus"), "checkout": ("node",), "rename": ("node", "text"),
    "add_concept": ("word",), "drop_concept": ("concept",), "override": ("cls", "image", "value"),
    "set_lambda": ("lam",), "set_thresholds": ("at",), "compare": ("a", "b", "cls"), "job": ("job",),
    "cancel_job": ("job",), "start_export": ("kind",), "start_project": ("files", "name"),
    "open_project": ("project",), "classify": ("path", "name"),
}  # fmt: skip


@pytest.mark.parametrize("value", [None, [{"kind": 7}], {"a": []}, "../../etc/passwd", 1e308], ids=repr)
def test_any_value_in_any_endpoint_is_a_refusal(value: Any, arena: Arena, visit: Visit) -> None:
    token, cls = visit()
    for endpoint, arguments in {
        "classes": [token], "influence": [cls, token], "instances": [cls, "", 5, token],
        "preview": [cls, [], "", token], "apply": [cls, [], "", "", token], "suggest": [cls, "", token],
        "add_concept": ["red", token], "predict": [{}, token], "export_student": ["recipe", token],
        "distill": ["x", "", "", token],
    }.items():  # fmt: skip
        for at in range(len(arguments)):
            changed = [*arguments]
            changed[at] = value
            text = arena.call(endpoint, *changed)
            assert "event: error" in text or "event: complete" in text, text[:200]
            assert "Traceback" not in text
    assert arena.alive()
