"""What visitors of a page do, as data: a mix names actions and how often each is taken.

An action is a function of a `Visit`. `ACTIONS` holds all there are; adding one is one function and one entry,
and a mix is one more entry of `MIXES`. What a visitor waits for goes through `Visit.ask`, which times it and
keeps what the answer said; what the page asks beside it (searches for suggestions, values for hovering) goes
through a second connection, one request at a time, as the page's own scripts do.
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
"""Seconds that the page waits before it asks for slow parts."""
FAILED = (UnexpectedResponse, OSError, http.client.HTTPException, ValueError)


@dataclass(frozen=True)
class Mix:
    """How visitors spend their time.

    Parameters
    ----------
    actions : mapping from action to float
        How often each is taken, relative to the others; names of `ACTIONS`.
    think : tuple of float
        Least and most seconds between the end of one action and the beginning of the next.
    about : str
        One line.
    """

    actions: Mapping[str, float]
    think: tuple[float, float]
    about: str = ""


class Visit:
    """One visitor: what their tab knows, and everything they asked.

    Parameters
    ----------
    number : int
        Also the seed of what they do.
    client : PageClient
    began : float
        `time.monotonic()` when the load began.
    pictures : sequence of (str, bytes)
        Image files that they may upload.
    """

    def __init__(self, number: int, client: PageClient, began: float, pictures: Any = ()) -> None:
        self.number = number
        self.random = random.Random(number)
        self.client = client
        self.pictures = list(pictures)
        self.log: list[Exchange] = []
        self.slow: list[Exchange] = []
        self.put_off = 0
        self.catalogue: dict[str, dict[str, Any]] = {}
        self.parts: dict[str, Any] = {}
        self.selection: dict[str, Any] = {}
        self.token: str | None = None
        self.classes: list[str] = []
        self._began = began
        self._due: set[str] = set()
        self._wake = threading.Condition()
        self._over = False

    # -- asking

    def ask(self, kind: str, name: str, request: dict[str, Any], keep: bool = True) -> dict[str, Any]:
        """A request that the visitor waits for; its answer, or an empty one where it failed.

        Parameters
        ----------
        kind : str
        name : str
        request : dict
        keep : bool
            Whether the answer is checked against the reference afterwards.
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

    def expect(self, kind: str, what: Callable[[], str]) -> None:
        """Something else that the visitor does: `what` returns what was wrong with its outcome, or ""."""
        exchange, problem = self._timed(kind, what)
        exchange.problem = exchange.problem or problem or ""

    def fetch(self, kind: str, url: str) -> None:
        """A picture or a file that the page shows or offers; nothing in it is a fault."""

        def get() -> str:
            return "" if self.client.get(url) else "empty"

        self.expect(kind, get)

    def _timed(self, kind: str, what: Callable[[], Any]) -> tuple[Exchange, Any]:
        began, problem, said = time.monotonic(), "", None
        try:
            said = what()
        except FAILED as error:
            problem = f"{type(error).__name__}: {error}"[:300]
        exchange = Exchange(kind, began - self._began, time.monotonic() - began, problem)
        self.log.append(exchange)
        return exchange, said

    # -- what the page does by itself

    def enter(self) -> None:
        """Open the page and see the first view of it, pictures included."""
        self.expect("page", self._enter)
        answer = self.ask("first view", "hello", {"selection": {}})
        self.catalogue = answer.get("catalogue") or {}
        self.classes = [c["name"] for c in self.parts.get("performance.table", {}).get("classes", [])]
        for sheet in self.parts.get("instances.index", {}).get("sheets", []):
            if sheet:
                self.fetch("picture", sheet)
        self.later(slow_only=True)

    def _enter(self) -> str:
        self.client.enter()
        return ""

    def select(self, kind: str, **patch: Any) -> dict[str, Any]:
        """Change the selection: read the quick parts that depend on it, and queue the slow ones."""
        self.selection = {**self.selection, **patch}
        wanted = [n for n, p in self.catalogue.items() if set(p["depends"]) & set(patch)]
        quick = [n for n in wanted if not self.catalogue[n]["slow"]]
        answer = self.ask(kind, "read", {"parts": quick, "selection": dict(self.selection)})
        self.later(wanted)
        return answer

    def step(self, kind: str, name: str, **request: Any) -> dict[str, Any]:
        """Move in the history: the quick parts that depend on it come with the answer."""
        parts = [n for n, p in self.catalogue.items() if not p["slow"] and "node" in p["depends"]]
        answer = self.ask(kind, name, {**request, "selection": dict(self.selection), "parts": parts})
        self.later([n for n, p in self.catalogue.items() if "node" in p["depends"]])
        return answer

    def later(self, names: Any = (), slow_only: bool = False) -> None:
        """Queue slow parts; those already queued are asked for once."""
        with self._wake:
            self._due |= {n for n, p in self.catalogue.items() if p["slow"] and (slow_only or n in names)}
            self._wake.notify()

    def beside(self) -> None:
        """Ask for the slow parts, one at a time, until the visit is over; runs in a thread of its own."""
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
                    self.put_off += 1
                    threading.Timer(answer["seconds"], self.later, ([name],)).start()
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

    # -- what they see

    @property
    def cls(self) -> str:
        """The selected class."""
        return str(self.selection.get("cls") or (self.classes or [""])[0])

    def word(self) -> str | None:
        """A concept that the tuning view offers for the selected class."""
        rows = self.parts.get("tuning.state", {}).get("rows", [])[:12]
        return str(self.random.choice(rows)["name"]) if rows else None


def _wrong(answer: Mapping[str, Any]) -> str:
    """What a visitor would have been told that is no answer to what they asked."""
    if answer.get("error"):
        return f"refused: {answer['error']}"
    if answer.get("failed"):
        return f"parts failed: {answer['failed']}"
    return f"noted: {answer['note']}" if answer.get("note") else ""


# -- actions


def switch(visit: Visit) -> None:
    """Look at another class."""
    others = [c for c in visit.classes if c != visit.cls]
    if others:
        visit.select("class switch", cls=visit.random.choice(others), subset=None, slice=None)


def narrow(visit: Visit) -> None:
    """Look at a misaligned subset, or at all again."""
    now = visit.selection.get("subset")
    visit.select("subset", subset=None if now else visit.random.choice(SUBSETS), slice=None)


def look(visit: Visit) -> None:
    """Open an image, see where the student looked, close it."""
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
    """Drag a word's weight: previews follow the hand, each asked for when the one before is there."""
    word = visit.word()
    if word is None:
        return
    focus = visit.random.choice((None, None, "missed", "extra"))
    for _ in range(visit.random.randint(3, 7)):
        value = round(visit.random.uniform(-1, 1), 3)
        actions = [{"kind": "set", "concept": word, "value": value}]
        visit.ask(
            "preview", "preview", {"cls": visit.cls, "actions": actions, "focus": _possible(visit, focus)}
        )


def tune(visit: Visit) -> None:
    """Take a step: one or two words are raised, lowered or muted."""
    words = {w for w in (visit.word(), visit.word()) if w is not None}
    if not words:
        return
    actions = [{"kind": visit.random.choice(("up", "down", "mute")), "concept": w} for w in sorted(words)]
    focus = _possible(visit, visit.random.choice((None, "missed", "extra")))
    visit.step("apply", "apply", cls=visit.cls, actions=actions, focus=focus)


def _possible(visit: Visit, focus: str | None) -> str | None:
    """The focus, where the tuning view offers it."""
    offered = {f["id"] for f in visit.parts.get("tuning.state", {}).get("focuses", []) if f["usable"]}
    return focus if focus in offered else None


def undo(visit: Visit) -> None:
    """Take the last step back."""
    if visit.parts.get("provenance.tree", {}).get("can_undo"):
        visit.step("undo", "undo")


def redo(visit: Visit) -> None:
    """Take it again."""
    if visit.parts.get("provenance.tree", {}).get("can_redo"):
        visit.step("redo", "redo")


def upload(visit: Visit) -> None:
    """Try one's own image, look at the answer, close it."""
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
    """Take the student away as a file."""
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
    "switch": switch,
    "narrow": narrow,
    "look": look,
    "drag": drag,
    "tune": tune,
    "undo": undo,
    "redo": redo,
    "upload": upload,
    "export": export,
}
"""Everything a visitor can do."""

MIXES: dict[str, Mix] = {
    "tuning": Mix(
        {"switch": 6, "narrow": 2, "look": 3, "drag": 4, "tune": 3, "undo": 1, "redo": 0.5, "export": 0.1},
        (1.0, 4.0),
        "everybody tunes: something every few seconds, a drag or a refit every third time",
    ),
}
"""How visitors may spend their time, by name."""
