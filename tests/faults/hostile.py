"""Hostile visitors of a page on loopback: invalid requests, and many expensive requests at the same time."""

import contextlib
import http.client
import json
import random
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.large_pictures import blank_png

from inficond.gradio_app.bench.page_client import PageClient, UnexpectedResponse
from inficond.gradio_app.error_line import INTERNAL_ERROR

AT_ONCE = 48
"""Requests that a heavy visitor keeps in flight."""


def health(url: str) -> str:
    """Return the state that `/health` reports, with the reasons if something fails."""
    try:
        with urllib.request.urlopen(url.rstrip("/") + "/health", timeout=60) as answer:
            return "ok" if json.loads(answer.read())["ok"] else "not ok"
    except urllib.error.HTTPError as error:
        parts = json.loads(error.read())
        return "not ok: " + ", ".join(
            p["reason"] for p in parts.values() if isinstance(p, dict) and not p["ok"]
        )


class HostileVisitors:
    """Threads that send requests until they are stopped, and counts of the responses."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.at_once = 1
        self.requests = self.refused = self.faults = 0
        self.examples: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def count(self, status: int, body: str, request: str) -> None:
        """Count a response as a refusal, a fault of the server, or neither."""
        with self._lock:
            self.requests += 1
            if status >= 500 or INTERNAL_ERROR in body:
                self.faults += 1
                self.examples.append(f"{request}: {status} {body[:200]}")
            elif status >= 400 or '"error"' in body or '\\"error\\"' in body:
                self.refused += 1

    def counts(self) -> dict[str, Any]:
        """Return the counts and examples of faults."""
        return {
            "at_once": self.at_once, "requests": self.requests, "refused": self.refused,
            "faults": self.faults, "examples": self.examples[:10],
        }  # fmt: skip


def _invalid_request(client: PageClient, rng: random.Random, hostile: HostileVisitors, bomb: bytes) -> None:
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
        return hostile.count(status, said.decode(errors="replace"), path)
    else:
        what, sent = name, json.dumps(body).encode()
    if sent:
        status, said = client.request("POST", f"/rpc/{name}", sent, {"Content-Type": "application/json"})
        hostile.count(status, said.decode(errors="replace"), what)


@contextmanager
def visitor(url: str, count: int = 1) -> Iterator[HostileVisitors]:
    """Send invalid requests during the block, one every half second from each visitor."""
    hostile, bomb = HostileVisitors(url), blank_png(30_000, 30_000)

    def live(seed: int) -> None:
        rng, client = random.Random(seed), PageClient(url)
        with contextlib.suppress(UnexpectedResponse, OSError, http.client.HTTPException):
            client.enter()
        while not hostile.over.wait(0.5):
            try:
                _invalid_request(client, rng, hostile, bomb)
            except (UnexpectedResponse, OSError, http.client.HTTPException, ValueError) as error:
                hostile.count(400, "", type(error).__name__)
                client.close()

    with running(hostile, live, count):
        yield hostile


@contextmanager
def heavy(url: str) -> Iterator[HostileVisitors]:
    """Keep `AT_ONCE` expensive requests of one visitor in flight during the block."""
    hostile = HostileVisitors(url)
    hostile.at_once = AT_ONCE
    first = PageClient(url)
    first.enter()
    answer = first.call("hello", {"selection": {}})
    token = answer["token"]
    classes = [c["name"] for c in answer["parts"]["performance.table"]["classes"]]
    concepts = [r["name"] for r in answer["parts"]["influence.rows"]["rows"]][:20]

    def live(seed: int) -> None:
        rng, client = random.Random(seed), first.twin()
        while not hostile.over.is_set():
            actions = [{"kind": "set", "concept": rng.choice(concepts), "value": rng.uniform(-0.3, 0.3)}]
            asked = {
                "token": token,
                "cls": rng.choice(classes),
                "actions": actions,
                "selection": {},
                "parts": [],
            }
            try:
                response = client.call(rng.choice(["apply", "preview", "preview"]), asked)
                hostile.count(200, json.dumps(response)[:3000], "heavy")
                if "error" in response:
                    hostile.over.wait(0.05)
            except (UnexpectedResponse, OSError, http.client.HTTPException, ValueError) as error:
                hostile.count(400, "", type(error).__name__)
                client.close()

    with running(hostile, live, AT_ONCE):
        yield hostile


@contextmanager
def running(hostile: HostileVisitors, live: Any, count: int) -> Iterator[None]:
    threads = [threading.Thread(target=live, args=(i,), daemon=True) for i in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        hostile.over.set()
        for thread in threads:
            thread.join(90)
