"""A page to attack: served once on loopback, on a project that was built from files with hostile names.

Every connection and look-up of the process is recorded.
"""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests import tiny_models

from inficond.core import Project
from inficond.gradio_app.app import Page, build_page
from inficond.gradio_app.uploads import TOKEN_HEADER

SECRET = "the secret that no visitor may read"
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"><script>window.__pwned=1</script>',
    "'; DROP TABLE node; --",
    "=HYPERLINK(\"http://evil.example\",\"x\")",
    "{{7*7}} ${7*7} %s %n",
    "javascript:alert(1)",
)  # fmt: skip
"""Names that an attacker would choose."""

_outside: list[tuple[str, str]] = []


def _watch(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = args[0].decode("latin-1") if isinstance(args[0], bytes) else str(args[0])
    elif event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
    else:
        return
    if host not in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "None"):
        _outside.append((event, host))


sys.addaudithook(_watch)


@dataclass
class Arena:
    """A running page, and ways to send requests to it."""

    page: Page
    url: str
    secret: Path
    client: httpx.Client
    outside: list[tuple[str, str]] = field(default_factory=lambda: _outside)

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rsplit(":", 1)[1])

    @property
    def project(self) -> Project:
        return self.page.visitors.default_project

    def ask(self, fn: str, **request: Any) -> dict[str, Any]:
        """Call a remote procedure as the page's scripts do."""
        answer = self.post(fn, request)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def post(self, fn: str, request: Any, **headers: str) -> httpx.Response:
        """Call a remote procedure; return the HTTP response."""
        return self.client.post(f"/rpc/{fn}", json=request, headers=headers)

    def call(self, endpoint: str, *data: Any) -> str:
        """Call an API endpoint; return the text of its event stream."""
        joined = self.client.post(f"/gradio_api/call/{endpoint}", json={"data": list(data)})
        if joined.status_code != 200:
            return f"event: error\ndata: {joined.text}"
        event = joined.json()["event_id"]
        return self.client.get(f"/gradio_api/call/{endpoint}/{event}").text

    def answer(self, endpoint: str, *data: Any) -> dict[str, Any]:
        """Call an API endpoint that must succeed; return its result."""
        text = self.call(endpoint, *data)
        assert "event: complete" in text, text
        return json.loads(text.split("data: ", 1)[1])[0]

    def file(self, path: object, encoded: str | None = None) -> httpx.Response:
        """Request a path from the file route."""
        return self.client.get("/gradio_api/file=" + (encoded or quote(str(path))))

    def raw(self, target: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Send a request whose target is not normalized; return the status and the whole response."""
        lines = [f"{method} {target} HTTP/1.1", "Connection: close"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in {"Host": "localhost", **headers}.items()]
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as s:
            s.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            parts = []
            while block := s.recv(1 << 16):
                parts.append(block)
        text = b"".join(parts).decode("latin-1")
        return int(text.split(" ", 2)[1]), text

    def upload(self, name: str, content: bytes, token: str = "") -> str:
        """Upload a file; return its address."""
        headers = {TOKEN_HEADER: token}
        answer = self.client.post("/gradio_api/upload", files={"files": (name, content)}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()[0]

    def alive(self) -> bool:
        """Return whether the page still answers a newcomer correctly."""
        return set(self.ask("hello", selection={})["parts"]) >= {"influence.rows", "instances.index"}


@pytest.fixture(scope="session")
def hostile_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project built from pictures, words and labels whose names are attacks."""
    root = tmp_path_factory.mktemp("attacked")
    words = [*tiny_models.WORDS, *HOSTILE]
    (root / "words.json").write_text(json.dumps(words))
    photos = tiny_models.write_photos(root / "photos", 90)
    for i, name in enumerate(HOSTILE):
        file = next(photos.rglob(f"{i:05d}.*"))
        file.rename(file.with_name(name.replace("/", "_")[:80] + file.suffix))
    Project.create(
        images=photos,
        out=root / "project",
        encoder=tiny_models.write_encoder(root / "encoder"),
        teacher=tiny_models.write_teacher(root / "teacher", labels=HOSTILE[:3]),
        concepts=root / "words.json",
        provider="cpu",
    )
    return root / "project"


@pytest.fixture(scope="session")
def arena(hostile_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    """The page as strangers see it: nobody may name a path of the machine."""
    page = build_page(Project.open(hostile_project))
    url = page.start()
    secret = hostile_project / "secret.txt"
    secret.write_text(SECRET)
    with httpx.Client(base_url=url, timeout=60) as client:
        yield Arena(page, url, secret, client)
    page.close()


@pytest.fixture
def visit(arena: Arena) -> Callable[[], tuple[str, str]]:
    """Begin a visit; returns its token and class."""

    def begin() -> tuple[str, str]:
        hello = arena.ask("hello", selection={})
        return hello["token"], hello["selection"]["cls"]

    return begin
