"""Simulated visitors of a page: their actions, and mixes of actions with frequencies.

An action is a function of a `Visit`. To add one, write the function and list it in `ACTIONS`. Mixes are in
`MIXES`. `Visit.ask` sends the requests that a visitor waits for, measures them and keeps the numbers of the
response. Requests in the background (searches for suggestions, values for hovering) use a second connection,
one request at a time, as the page's own scripts do.
"""

import http.client
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from inficond.gradio_app.bench.exchange import Exchange
from inficond.gradio_app.bench.page_client import PageClient, UnexpectedResponse
from inficond.gradio_app.bench.response_checks import extract_facts

SUBSETS = ("missed", "extra")
SLOW_AFTER = 0.06
"""Seconds that the page waits before it requests slow parts."""
FAILED = (UnexpectedResponse, OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Mix:
    """A mix of actions with their frequencies.

    Parameters
    ----------
    actions : mapping from str to float
        Relative frequency of each action, by its name in `ACTIONS`.
    think : tuple of float
        Minimum and maximum of the seconds between the end of one action and the start of the next.
    about : str
        Description in one line.
    """

    actions: Mapping[str, float]
    think: tuple[float, float]
    about: str = ""


class Visit:
    """A simulated visitor: the state of the browser tab, and a log of all requests.

    Parameters
    ----------
    number : int
        Number of the visitor, and seed of the random choices.
    client : PageClient
    began : float
        `time.monotonic()` at the start of the load test.
    pictures : sequence of (str, bytes)
        Image files for uploads.
    """

    def __init__(self, number: int, client: PageClient, began: float, pictures: Any = ()) -> None:
        self.number = number
        self.random = random.Random(number)
        self.client = client
        self.pictures = list(pictures)
        self.log: list[Exchange] = []
        self.slow: list[Exchange] = []
        self.postponed = 0
        self.catalogue: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, Any] = {}
        self.selection: dict[str, Any] = {}
        self.token: str | None = None
        self.classes: list[str] = []
        self._began = began
        self._due: set[str] = set()
        self._wake = threading.Condition()
        self._over = False

    # -- requests

    def ask(self, kind: str, name: str, request: dict[str, Any], keep: bool = True) -> dict[str, Any]:
        """Send a request that the visitor waits for; return the response, empty if the request failed.

        Parameters
        ----------
        kind : str
        name : str
        request : dict
        keep : bool
            Whether the response is compared with the reference afterwards.
        """
        sent = {"token": self.token, **request}
        exchange, answer = self._timed(kind, lambda: self.client.call(name, sent))
        exchange.name = name
        if answer:
            if self.token is not None and answer.get("token") != self.token:
                exchange.problem = exchange.problem or "the session was lost"
            self.token = answer.get("token", self.token)
            exchange.problem = exchange.problem or _wrong(answer)
            self.parts.update(answer.get("parts") or {})
            if answer.get("selection"):
                self.selection = answer["selection"]
            if keep:
                exchange.request, exchange.facts = request, extract_facts(answer)
        return answer or {}

    def expect(self, kind: str, step: Callable[[], str]) -> None:
        """Run and measure another step, a function that returns its problem, or "" if there was none."""
        exchange, problem = self._timed(kind, step)
        exchange.problem = exchange.problem or problem or ""

    def fetch(self, kind: str, url: str) -> None:
        """Load a picture or a file; an empty one is a problem."""

        def get() -> str:
            return "" if self.client.get(url) else "empty"

        self.expect(kind, get)

    def _timed(self, kind: str, step: Callable[[], Any]) -> tuple[Exchange, Any]:
        began, problem, result = time.monotonic(), "", None
        try:
            result = step()
        except FAILED as error:
            problem = f"{type(error).__name__}: {error}"[:300]
        exchange = Exchange(kind, began - self._began, time.monotonic() - began, problem)
        self.log.append(exchange)
        return exchange, result

    # -- behaviour of the page's scripts

    def enter(self) -> None:
        """Open the page and load the first view with its pictures."""
        self.expect("page", self._enter)
        answer = self.ask("first view", "hello", {"selection": {}})
        self.catalogue = answer.get("catalogue") or {}
        self.classes = [c["name"] for c in self.parts.get("performance.table", {}).get("classes", [])]
        for sheet in self.parts.get("instances.index", {}).get("sheets", []):
            if sheet:
                self.fetch("picture", sheet)
        self.queue_slow_parts(all_parts=True)

    def _enter(self) -> str:
        self.client.enter()
        return ""

    def select(self, kind: str, **patch: Any) -> dict[str, Any]:
        """Change the selection: request the quick parts that depend on it, and queue the slow ones."""
        self.selection = {**self.selection, **patch}
        wanted = [n for n, p in self.catalogue.items() if set(p["depends"]) & set(patch)]
        quick = [n for n in wanted if not self.catalogue[n]["slow"]]
        answer = self.ask(kind, "read", {"parts": quick, "selection": dict(self.selection)})
        self.queue_slow_parts(wanted)
        return answer

    def step(self, kind: str, name: str, **request: Any) -> dict[str, Any]:
        """Call a procedure that changes the current node; the response contains the quick parts."""
        parts = [n for n, p in self.catalogue.items() if not p["slow"] and "node" in p["depends"]]
        answer = self.ask(kind, name, {**request, "selection": dict(self.selection), "parts": parts})
        self.queue_slow_parts([n for n, p in self.catalogue.items() if "node" in p["depends"]])
        return answer

    def queue_slow_parts(self, names: Any = (), all_parts: bool = False) -> None:
        """Queue the slow parts among these names, or all slow parts; each is queued once."""
        with self._wake:
            self._due |= {n for n, p in self.catalogue.items() if p["slow"] and (all_parts or n in names)}
            self._wake.notify()

    def request_slow_parts(self) -> None:
        """Request the queued slow parts, one at a time, until the visit ends; runs in its own thread."""
        client: PageClient | None = None
        while True:
            with self._wake:
                while not self._due and not self._over:
                    self._wake.wait()
                if self._over:
                    break
            time.sleep(SLOW_AFTER)
            with self._wake:
                name = min(self._due, key=lambda n: self.catalogue[n]["slow"])
                self._due.discard(name)
            client = client or self.client.twin()
            request = {"token": self.token, "parts": [name], "selection": dict(self.selection)}
            began, problem = time.monotonic(), ""
            try:
                answer = client.call("read", request)
                if answer.get("later"):
                    self.postponed += 1
                    threading.Timer(answer["seconds"], self.queue_slow_parts, ([name],)).start()
                    continue
                problem = _wrong(answer)
                self.parts.update(answer.get("parts") or {})
            except FAILED as error:
                problem = f"{type(error).__name__}: {error}"[:300]
            self.slow.append(Exchange(name, began - self._began, time.monotonic() - began, problem))
        if client is not None:
            client.close()

    def leave(self) -> None:
        """Close the tab."""
        with self._wake:
            self._over = True
            self._wake.notify()
        self.client.close()

    # -- state of the tab

    @property
    def cls(self) -> str:
        """The selected class."""
        return str(self.selection.get("cls") or (self.classes or [""])[0])

    def word(self) -> str | None:
        """Return a random concept of those that the tuning view offers for the selected class."""
        rows = self.parts.get("tuning.state", {}).get("rows", [])[:12]
        return str(self.random.choice(rows)["name"]) if rows else None


def _wrong(answer: Mapping[str, Any]) -> str:
    """Return the message of a response that reports a problem, else ""."""
    if answer.get("error"):
        return f"refused: {answer['error']}"
    if answer.get("failed"):
        return f"parts failed: {answer['failed']}"
    return f"noted: {answer['note']}" if answer.get("note") else ""


# -- actions


def switch_class(visit: Visit) -> None:
    """Select another class."""
    others = [c for c in visit.classes if c != visit.cls]
    if others:
        visit.select("class switch", cls=visit.random.choice(others), subset=None, slice=None)


def toggle_subset(visit: Visit) -> None:
    """Select a subset of wrong predictions, or all images if a subset is selected."""
    now = visit.selection.get("subset")
    visit.select("subset", subset=None if now else visit.random.choice(SUBSETS), slice=None)


def open_image(visit: Visit) -> None:
    """Open an image with its evidence, and close it."""
    ids = [
        i for part in ("instances.ids", "instances.index") for i in visit.parts.get(part, {}).get("ids", [])
    ]
    if not ids:
        return
    answer = visit.select("open image", image=visit.random.choice(ids))
    opened = (answer.get("parts") or {}).get("instances.opened") or {}
    if opened.get("url"):
        visit.fetch("picture", opened["url"])
    visit.selection = {**visit.selection, "image": None}


def drag(visit: Visit) -> None:
    """Drag the slider of a concept: request previews one after another."""
    word = visit.word()
    if word is None:
        return
    focus = visit.random.choice((None, None, "missed", "extra"))
    for _ in range(visit.random.randint(3, 7)):
        value = round(visit.random.uniform(-1, 1), 3)
        actions = [{"kind": "set", "concept": word, "value": value}]
        visit.ask(
            "preview", "preview", {"cls": visit.cls, "actions": actions, "focus": _offered(visit, focus)}
        )


def tune(visit: Visit) -> None:
    """Raise, lower or mute one or two concepts."""
    words = {w for w in (visit.word(), visit.word()) if w is not None}
    if not words:
        return
    actions = [{"kind": visit.random.choice(("up", "down", "mute")), "concept": w} for w in sorted(words)]
    focus = _offered(visit, visit.random.choice((None, "missed", "extra")))
    visit.step("apply", "apply", cls=visit.cls, actions=actions, focus=focus)


def _offered(visit: Visit, focus: str | None) -> str | None:
    """Return the focus if the tuning view offers it, else None."""
    offered = {f["id"] for f in visit.parts.get("tuning.state", {}).get("focuses", []) if f["usable"]}
    return focus if focus in offered else None


def undo(visit: Visit) -> None:
    """Undo the last step."""
    if visit.parts.get("provenance.tree", {}).get("can_undo"):
        visit.step("undo", "undo")


def redo(visit: Visit) -> None:
    """Redo the step that was undone last."""
    if visit.parts.get("provenance.tree", {}).get("can_redo"):
        visit.step("redo", "redo")


def upload(visit: Visit) -> None:
    """Upload an image, classify it, and delete it."""
    if not visit.pictures:
        return
    which = visit.random.randrange(len(visit.pictures))
    name, content = visit.pictures[which]
    path = ""

    def send() -> str:
        nonlocal path
        status, path = visit.client.upload(name, content, visit.token)
        return "" if status == 200 else f"the upload was answered {status}"

    visit.expect("upload", send)
    if path:
        visit.ask("own image", "classify", {"path": path, "name": name})
        visit.log[-1].request["picture"] = which
        visit.ask("close image", "discard_image", {}, keep=False)


def export(visit: Visit) -> None:
    """Export the student and load the file."""
    answer = visit.ask("export begins", "start_export", {"kind": "safetensors"}, keep=False)
    began = time.monotonic()
    while answer.get("job") and time.monotonic() - began < visit.client.timeout:
        state: dict[str, Any] = visit.ask("job", "job", {"job": answer["job"]}, keep=False).get("job") or {}
        if state.get("state") != "running":
            if state.get("state") == "done":
                visit.fetch("file", state["result"]["url"])
            else:
                visit.expect("file", lambda: f"no file: {answer}")
            return
        time.sleep(0.3)


ACTIONS: dict[str, Callable[[Visit], None]] = {
    "switch class": switch_class,
    "toggle subset": toggle_subset,
    "open image": open_image,
    "drag": drag,
    "tune": tune,
    "undo": undo,
    "redo": redo,
    "upload": upload,
    "export": export,
}
"""Actions of visitors, by name."""

MIXES: dict[str, Mix] = {
    "tuning": Mix(
        {
            "switch class": 6,
            "toggle subset": 2,
            "open image": 3,
            "drag": 4,
            "tune": 3,
            "undo": 1,
            "redo": 0.5,
            "export": 0.1,
        },
        (1.0, 4.0),
        "all visitors tune: an action every few seconds, every third one a drag or a refit",
    ),
}
"""Mixes of actions, by name."""
