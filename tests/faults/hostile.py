"""Visitors of a page on loopback who mean no good: one sends nonsense, one asks for everything at once."""

import contextlib
import http.client
import io
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from inficond.gradio_app.bench.page_client import PageClient, UnexpectedResponse
from inficond.gradio_app.rpc import INTERNAL_ERROR

AT_ONCE = 48
"""Requests that a heavy visitor keeps in flight."""


def health(url: str) -> str:
    """What `/health` says, in a word."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=60) as answer:
            return "well" if json.loads(answer.read())["ok"] else "not well"
    except urllib.error.HTTPError as error:
        said = json.loads(error.read())
        return "not well: " + ", ".join(
            p["said"] for p in said.values() if isinstance(p, dict) and not p["ok"]
        )


class Foe:
    """Threads that ask until they are stopped, and a count of what they were answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.at_once = 1
        self.requests = self.refused = self.faults = 0
        self.examples: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def count(self, status: int, said: str, what: str) -> None:
        """Take down an answer: a refusal, a fault of the server, or neither."""
        with self._lock:
            self.requests += 1
            if status >= 500 or INTERNAL_ERROR in said:
                self.faults += 1
                self.examples.append(f"{what}: {status} {said[:200]}")
            elif status >= 400 or '"error"' in said or '\\"error\\"' in said:
                self.refused += 1

    def told(self) -> dict[str, Any]:
        """The counts."""
        return {
            "at_once": self.at_once, "requests": self.requests, "refused": self.refused,
            "faults": self.faults, "examples": self.examples[:10],
        }  # fmt: skip


def _bomb() -> bytes:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    return out.getvalue()


def _nonsense(client: PageClient, rng: random.Random, foe: Foe, bomb: bytes) -> None:
    names = [
        "apply",
        "preview",
        "read",
        "checkout",
        "classify",
        "start_export",
        "rename",
        "__class__",
        "hello",
    ]
    values: list[Any] = ["../../etc/passwd", -1, 1e308, None, [], {"a": {}}, "x" * 5000, "'; DROP TABLE x",
                         [{"kind": "up", "concept": "<script>", "value": 1e9}], True]  # fmt: skip
    name = rng.choice(names)
    body = {
        key: rng.choice(values)
        for key in ("token", "cls", "actions", "node", "path", "selection", "kind", "parts", "text")
        if rng.random() < 0.7
    }
    kind = rng.randrange(5)
    if kind == 0:
        what, sent = "broken body", json.dumps(body).encode()[: rng.randrange(1, 60)]
    elif kind == 1:
        what, sent = "no object", json.dumps(rng.choice(values)).encode()
    elif kind == 2:
        client.upload("bomb.png", bomb)
        what, sent = "bomb", b""
    elif kind == 3:
        path = rng.choice(
            ["/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd", "/proxy=http://x/"]
        )
        status, said = client.request("GET", path)
        return foe.count(status, said.decode(errors="replace"), path)
    else:
        what, sent = name, json.dumps(body).encode()
    if sent:
        status, said = client.request("POST", f"/rpc/{name}", sent, {"Content-Type": "application/json"})
        foe.count(status, said.decode(errors="replace"), what)


@contextmanager
def visitor(url: str, count: int = 1) -> Iterator[Foe]:
    """Hostile visitors, a request every half second each, while the block runs."""
    foe, bomb = Foe(url), _bomb()

    def live(seed: int) -> None:
        rng, client = random.Random(seed), PageClient(url)
        with contextlib.suppress(UnexpectedResponse, OSError, http.client.HTTPException):
            client.enter()
        while not foe.over.wait(0.5):
            try:
                _nonsense(client, rng, foe, bomb)
            except (UnexpectedResponse, OSError, http.client.HTTPException, ValueError) as error:
                foe.count(400, "", type(error).__name__)
                client.close()

    with _running(foe, live, count):
        yield foe


@contextmanager
def heavy(url: str) -> Iterator[Foe]:
    """One visitor who keeps `AT_ONCE` costly requests in flight under one token, while the block runs."""
    foe = Foe(url)
    foe.at_once = AT_ONCE
    first = PageClient(url)
    first.enter()
    answer = first.call("hello", {"selection": {}})
    token = answer["token"]
    classes = [c["name"] for c in answer["parts"]["performance.table"]["classes"]]
    concepts = [r["name"] for r in answer["parts"]["influence.rows"]["rows"]][:20]

    def live(seed: int) -> None:
        rng, client = random.Random(seed), first.twin()
        while not foe.over.is_set():
            actions = [{"kind": "set", "concept": rng.choice(concepts), "value": rng.uniform(-0.3, 0.3)}]
            asked = {
                "token": token,
                "cls": rng.choice(classes),
                "actions": actions,
                "selection": {},
                "parts": [],
            }
            try:
                said = client.call(rng.choice(["apply", "preview", "preview"]), asked)
                foe.count(200, json.dumps(said)[:3000], "heavy")
                if "error" in said:
                    time.sleep(0.05)
            except (UnexpectedResponse, OSError, http.client.HTTPException, ValueError) as error:
                foe.count(400, "", type(error).__name__)
                client.close()

    with _running(foe, live, AT_ONCE):
        yield foe


@contextmanager
def _running(foe: Foe, live: Any, count: int) -> Iterator[None]:
    threads = [threading.Thread(target=live, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        foe.over.set()
        for thread in threads:
            thread.join(90)
