"""The routes of the page with their limits: requests to anything else are refused.

`ROUTES` is the only list of what the page serves. The request guard enforces it, and the table in SECURITY.md
is generated from it (`python -m inficond.gradio_app.routes --write SECURITY.md`).
"""

import argparse
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from inficond.core.serving.routes import SERVE_ROUTES
from inficond.gradio_app.limits import MIB, QUOTAS

TOKEN_HEADER = "x-inficond-token"
KIB = 2**10
BEGIN, END = "<!-- generated: routes -->", "<!-- end -->"
"""Markers of the tables in SECURITY.md."""
MAX_UPLOAD = 24 * MIB
"""Bytes of one uploaded file."""
MAX_FORM = 4 * KIB
"""Bytes of an upload request besides the file: boundaries and part headers."""


@dataclass(frozen=True)
class Route:
    """A route of the page.

    Parameters
    ----------
    method : str
        ``GET`` (which includes ``HEAD``), ``POST`` or ``DELETE``.
    path : str
        Exact path. A placeholder ``{name}`` matches one path segment, ``{name:path}`` the rest of the path.
    purpose : str
        What a visitor can do with the route.
    max_body : int
        Bytes of the request body; 0 refuses any body.
    max_depth : int
        Nesting depth of a JSON body.
    max_values : int
        Number of values in a JSON body.
    body_seconds : float
        Seconds in which the request body must arrive.
    work : str
        The queue that the work goes through: ``none`` (static response), ``quick``, ``search``, ``image``,
        ``job`` or ``stream``.
    owner_key : bool
        Whether naming a path of this machine in the request needs the owner key.
    mcp : bool
        Whether the route exists only with ``--mcp``.
    """

    method: str
    path: str
    purpose: str
    max_body: int = 0
    max_depth: int = 0
    max_values: int = 0
    body_seconds: float = 10.0
    work: str = "none"
    owner_key: bool = False
    mcp: bool = False

    @property
    def is_json(self) -> bool:
        """Whether the request body is JSON."""
        return self.max_depth > 0

    @property
    def is_exact(self) -> bool:
        """Whether the path has no placeholder."""
        return "{" not in self.path

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Regular expression that matches the whole path."""
        parts = re.split(r"(\{\w+(?::path)?\})", self.path)
        regex = "".join(
            (".+" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part)
            for part in parts
        )
        return re.compile(regex, re.DOTALL)


def _rpc(name: str, purpose: str, max_body: int = 16 * KIB, work: str = "quick", **more: object) -> Route:
    """Return the route of a remote procedure of the page's scripts."""
    fields = {"max_depth": 12, "max_values": 4_000, **more}
    return Route("POST", f"/rpc/{name}", purpose, max_body=max_body, work=work, **fields)  # type: ignore[arg-type]


def _get(path: str, purpose: str, **more: object) -> Route:
    return Route("GET", path, purpose, **more)  # type: ignore[arg-type]


STATIC_ROUTES = (
    _get("/", "open the page"),
    _get("/config", "read the layout of the page"),
    _get("/theme.css", "load the theme"),
    _get("/late.js", "load the scripts of large dialogs and of the map"),
    _get("/favicon.ico", "load the icon"),
    _get("/robots.txt", "read the rules for crawlers"),
    _get("/assets/{path:path}", "load Gradio's scripts and styles"),
    _get("/static/{path:path}", "load Gradio's static files"),
    _get("/health", "check whether the page works", work="quick"),
)
FILE_ROUTES = (
    Route(
        "POST", "/gradio_api/upload", "upload one image", MAX_UPLOAD + MAX_FORM, body_seconds=300.0,
        work="stream",
    ),
    _get("/gradio_api/file={key}/{name}", "download a thumbnail sheet, an opened image or an export"),
)  # fmt: skip
RPC_ROUTES = (
    _rpc("hello", "begin or resume a visit"),
    _rpc("read", "read parts of views", work="quick, search"),
    _rpc("ping", "keep the visit alive", 1 * KIB),
    _rpc("sheet", "read a sheet of thumbnails"),
    _rpc("similar", "find similar images"),
    _rpc("preview", "preview tuning actions", 128 * KIB, max_values=8_000),
    _rpc("apply", "apply tuning actions", 128 * KIB, max_values=8_000),
    _rpc("undo", "undo the last step"),
    _rpc("redo", "redo an undone step"),
    _rpc("checkout", "go to a step"),
    _rpc("rename", "name a step", 32 * KIB),
    _rpc("add_concept", "add a concept"),
    _rpc("drop_concept", "remove a concept"),
    _rpc("choose_words", "accept, reject and rename words, add concepts by example", 64 * KIB),
    _rpc("region_at", "find the region of an image at a place"),
    _rpc("override", "correct the teacher's answer for an image"),
    _rpc("set_lambda", "change λ"),
    _rpc("set_thresholds", "change thresholds"),
    _rpc("exam", "read the exam of the current student"),
    _rpc("take_exam", "open the exam on locked images"),
    _rpc("compare", "compare two steps, students, teachers or projects"),
    _rpc("map", "read the map of the images"),
    _rpc("map_colours", "read the colours of the map"),
    _rpc("map_tiles", "read thumbnails of the map"),
    _rpc("matrix", "read the weights of all classes"),
    _rpc("job", "read the progress of an own job"),
    _rpc("cancel_job", "cancel an own job"),
    _rpc("start_report", "measure the students", work="job"),
    _rpc("start_words", "look for words of the classes", work="job"),
    _rpc("start_discovery", "look for concepts without words", work="job"),
    _rpc("start_export", "export the student, a recipe or a report", work="job"),
    _rpc(
        "start_project", "build a project from own uploads or, with the owner key, from a folder", 1 * MIB,
        work="job", max_values=20_000, owner_key=True,
    ),
    _rpc("examine", "count the images and classes of a folder", owner_key=True),
    _rpc("origin", "read the folder that a project was built from", owner_key=True),
    _rpc("open_project", "open a project"),
    _rpc("classify", "classify an own image", work="image"),
    _rpc("discard_image", "delete an own image"),
)  # fmt: skip
ENDPOINTS = (
    "classes", "influence", "instances", "preview", "apply", "undo", "redo", "suggest", "add_concept",
    "recipe", "predict", "export_student", "distill",
)  # fmt: skip
"""Names of the API endpoints."""
API_ROUTES = (
    _get("/gradio_api/info", "read the description of the API"),
    Route(
        "POST", "/gradio_api/queue/join", "call an API endpoint (gradio_client)", 128 * KIB, 12, 8_000,
        work="by endpoint", owner_key=True,
    ),
    _get("/gradio_api/queue/data", "receive API results (gradio_client)", work="stream"),
    Route(
        "POST", "/gradio_api/call/{endpoint}", "call an API endpoint", 128 * KIB, 12, 8_000,
        work="by endpoint", owner_key=True,
    ),
    _get("/gradio_api/call/{endpoint}/{event}", "receive an API result", work="stream"),
)  # fmt: skip
MCP_ROUTES = (
    Route(
        "POST", "/gradio_api/mcp/", "call an API endpoint (MCP); file arguments are refused", 128 * KIB, 16,
        8_000, work="by endpoint", owner_key=True, mcp=True,
    ),
    _get("/gradio_api/mcp/", "receive messages (MCP)", work="stream", mcp=True),
    Route("DELETE", "/gradio_api/mcp/", "end a session (MCP)", mcp=True),
    _get("/gradio_api/mcp/schema", "read the tools (MCP)", mcp=True),
)  # fmt: skip
ROUTES = (*STATIC_ROUTES, *FILE_ROUTES, *RPC_ROUTES, *API_ROUTES, *MCP_ROUTES)
"""Every route of the page."""


class RouteTable:
    """Lookup of routes by method and path.

    Parameters
    ----------
    routes : iterable of Route
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._exact = {(r.method, r.path): r for r in self.routes if r.is_exact}
        self._patterns = [r for r in self.routes if not r.is_exact]

    def find(self, method: str, path: str) -> Route | None:
        """Return the route of a request, or None if the page does not serve it."""
        method = "GET" if method == "HEAD" else method
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        return next((r for r in self._patterns if r.method == method and r.pattern.fullmatch(path)), None)

    def methods(self, path: str) -> list[str]:
        """Return the methods that a path has, in alphabetical order."""
        return sorted({r.method for r in self.routes if r.pattern.fullmatch(path)})


def markdown_table() -> str:
    """Return the tables of SECURITY.md: the routes of page, MCP and `inficond serve`, and the quotas."""
    lines = [
        "| where | method | route | who may do what | body | JSON depth, values | seconds | work |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in ROUTES:
        where = "page with `--mcp`" if r.mcp else "page, Space"
        owner = "; naming a path of this machine needs the owner key" if r.owner_key else ""
        shape = f"{r.max_depth}, {r.max_values:,}" if r.is_json else "–"
        seconds = f"{r.body_seconds:g}" if r.max_body else "–"
        what = f"anyone: {r.purpose}{owner}"
        cells = [where, r.method, f"`{r.path}`", what, _size(r.max_body), shape, seconds, r.work]
        lines.append(f"| {' | '.join(cells)} |")
    for s in SERVE_ROUTES:
        seconds = f"{s.body_seconds:g}" if s.max_body else "–"
        cells = [
            "`serve`",
            s.method,
            f"`{s.path}`",
            f"anyone: {s.purpose}",
            _size(s.max_body),
            "–",
            seconds,
            "–",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| at the same time | in total | per network address | per visit |", "|---|---|---|---|"]
    for q in QUOTAS:
        count = _size if q.unit == "bytes" else "{:,}".format
        visit = count(q.per_visit) if q.per_visit else "–"
        lines.append(f"| {q.name} | {count(q.total)} | {count(q.per_address)} | {visit} |")
    return "\n".join(lines)


def _size(count: int) -> str:
    if not count:
        return "none"
    return f"{count / MIB:,.4g} MiB" if count >= MIB else f"{count // KIB} KiB"


def with_tables(document: str) -> str:
    """Return a document with the tables of `markdown_table` between its markers.

    Raises
    ------
    ValueError
        It has no markers.
    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the document lacks the markers {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{markdown_table()}\n{END}{tail}"


def main() -> None:
    """Print the tables, or write them into a document."""
    parser = argparse.ArgumentParser(prog="python -m inficond.gradio_app.routes", description=main.__doc__)
    parser.add_argument("--write", type=Path, metavar="SECURITY.md", help="document with markers to update")
    path = parser.parse_args().write
    if path is None:
        print(markdown_table())
    else:
        path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
