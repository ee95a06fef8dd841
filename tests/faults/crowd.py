"""Hostile visitors of a page on loopback who overload it in every known way."""

import http.client
import io
import json
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image
from tests.faults.hostile import HostileVisitors, running

from inficond.gradio_app.bench.page_client import PageClient, UnexpectedResponse


@contextmanager
def crowd(url: str, count: int) -> Iterator[HostileVisitors]:
    """Hostile visitors who overload the page in every known way, while the block runs.

    Each connects from a loopback address of its own, as strangers on a network do, and has one attack in
    progress after another.
    """
    hostile, bomb = HostileVisitors(url), _picture(8_000, 7_900)
    hostile.at_once = count
    small = _picture(64, 64)

    def live(seed: int) -> None:
        rng, client = random.Random(seed), PageClient(url, source=f"127.0.1.{seed + 1}")
        attacks = list(ATTACKS.values())
        while not hostile.over.wait(rng.uniform(0.0, 0.2)):
            try:
                attack = rng.choice(attacks)
                attack(client, rng, hostile, bomb if rng.random() < 0.3 else small)
            except (UnexpectedResponse, OSError, http.client.HTTPException, ValueError, KeyError):
                hostile.count(400, "", "refused connection")
                client.close()

    with running(hostile, live, count):
        yield hostile


def _picture(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


def _post(
    client: PageClient, hostile: HostileVisitors, path: str, body: bytes, kind: str = "application/json"
) -> bytes:
    status, said = client.request("POST", path, body, {"Content-Type": kind})
    hostile.count(status, said.decode(errors="replace"), path)
    return said


def _begin(client: PageClient) -> tuple[str, str, str]:
    said = client.call("hello", {"selection": {}})
    return said["token"], said["selection"]["cls"], said["parts"]["influence.rows"]["rows"][0]["name"]


def _long_body(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    path = rng.choice(["/gradio_api/call/upload", "/rpc/apply", "/rpc/upload", "/gradio_api/queue/join"])
    _post(client, hostile, path, b'{"data":[' + b"[]," * 700_000 + b"[]]}")


def _deep_body(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    body = b'{"data":' + b"[" * 6_000 + b"]" * 6_000 + b"}"
    _post(client, hostile, rng.choice(["/rpc/hello", "/rpc/apply", "/gradio_api/call/apply"]), body)


def _form_field(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + b"a" * 3_000_000 + b"\r\n--b--\r\n"
    _post(client, hostile, "/gradio_api/upload", body, "multipart/form-data; boundary=b")


def _large_picture(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    status, address = client.upload("a.png", picture)
    hostile.count(status, "", "upload")
    if address and rng.random() < 0.8:
        _post(client, hostile, "/rpc/classify", json.dumps({"path": address, "name": "a.png"}).encode())


def _newcomers(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    for _ in range(20):
        _post(client, hostile, rng.choice(["/rpc/hello", "/rpc/ping"]), b'{"selection":{}}')


def _steps(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    token, cls, concept = _begin(client)
    for _ in range(5):
        action = {"kind": "set", "concept": concept, "value": rng.uniform(-0.3, 0.3)}
        request = {"token": token, "cls": cls, "actions": [action], "selection": {}, "parts": []}
        _post(client, hostile, rng.choice(["/rpc/apply", "/rpc/preview"]), json.dumps(request).encode())


def _jobs(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    token = _begin(client)[0]
    for kind in ("report", "onnx", "recipe"):
        _post(client, hostile, "/rpc/start_export", json.dumps({"token": token, "kind": kind}).encode())


def _searches(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    token, cls, _ = _begin(client)
    request = {
        "token": token,
        "selection": {"cls": cls},
        "parts": ["tuning.suggestions", "influence.missing"],
    }
    _post(client, hostile, "/rpc/read", json.dumps(request).encode())


def _calls(client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes) -> None:
    for _ in range(20):
        path = f"/gradio_api/call/{rng.choice(['classes', 'suggest', 'predict', 'export_student'])}"
        _post(client, hostile, path, b'{"data":["' + b"x" * rng.randrange(2000) + b'"]}')


def _held_connections(
    client: PageClient, rng: random.Random, hostile: HostileVisitors, picture: bytes
) -> None:
    held = []
    try:
        for _ in range(10):
            s = socket.create_connection((client.host, client.port), 10, (client.source, 0))
            held.append(s)
            s.sendall(
                rng.choice([b"", b"GET / HT", b"POST /rpc/ping HTTP/1.1\r\nHost: localhost\r\nContent-Le"])
            )
        hostile.over.wait(3)
    finally:
        for s in held:
            s.close()
        hostile.count(400, "", "held connections")


ATTACKS = {
    "long bodies": _long_body, "deep bodies": _deep_body, "form fields": _form_field,
    "large pictures": _large_picture, "newcomers": _newcomers, "steps": _steps, "jobs": _jobs,
    "searches": _searches, "API calls": _calls, "held connections": _held_connections,
}  # fmt: skip
"""What the crowd does."""
