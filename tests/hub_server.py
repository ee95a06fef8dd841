"""A server on loopback that answers the requests of a hub that downloads, and uploads of a folder, need."""

import base64
import json
import re
import shutil
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

Revisions = Mapping[str, Mapping[str, bytes | Path]]
"""Files of a repository by revision and path; a `Path` is read from disk at each request."""
COMMITS = {"main": "1" * 40, "refs/convert/parquet": "2" * 40}


@dataclass
class Hub:
    """The address of the server, the paths that were asked for, and the files that were uploaded.

    Attributes
    ----------
    uploaded : dict
        From repository (``spaces/owner/name``) to the content of each path.
    """

    endpoint: str
    asked: list[str] = field(default_factory=list)
    uploaded: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def environment(self, cache: str) -> dict[str, str]:
        """Return the variables with which the client libraries use this hub and a cache folder."""
        return {"HF_ENDPOINT": self.endpoint, "HF_HOME": cache, "NO_PROXY": "127.0.0.1"}


@contextmanager
def hub_server(repositories: Mapping[str, Revisions]) -> Iterator[Hub]:
    """Serve repositories by name: ``owner/model``, or ``datasets/owner/name`` for a data set."""
    names = "|".join(map(re.escape, sorted(repositories, key=len, reverse=True)))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.asked.append(self.path)
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            if path.startswith("/api/"):
                self.describe(path.removeprefix("/api/").removeprefix("models/"))
                return
            found = re.fullmatch(rf"/({names})/resolve/(main|refs/convert/parquet|[12]+)/(.+)", path)
            if found is None:
                self.send_error(404)
                return
            revision = named(found[2])
            content = repositories[found[1]].get(revision, {}).get(found[3])
            if content is None:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            tag = f'"{size_of(content):040x}"'
            self.reply(content, {"X-Repo-Commit": COMMITS[revision], "ETag": tag})

        do_HEAD = do_GET

        def do_POST(self) -> None:
            hub.asked.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            found = re.fullmatch(r"/api/(.+)/(preupload|commit)/main", urllib.parse.urlsplit(self.path).path)
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                answer: object = {"url": f"{hub.endpoint}/{asked['type']}s/NAME/{asked['name']}"}
            elif self.path == "/api/validate-yaml":
                answer = {"errors": [], "warnings": []}
            elif found is None:
                self.send_error(404)
                return
            elif found[2] == "preupload":
                files = [{"path": f["path"], "uploadMode": "regular"} for f in json.loads(body)["files"]]
                answer = {"files": [{**f, "shouldIgnore": False} for f in files]}
            else:
                lines = [json.loads(line) for line in body.splitlines()]
                stored = {v["path"]: v["content"] for v in (x["value"] for x in lines if x["key"] == "file")}
                hub.uploaded[found[1]] = {path: base64.b64decode(text) for path, text in stored.items()}
                url = f"{hub.endpoint}/{found[1]}/commit/{COMMITS['main']}"
                answer = {"commitUrl": url, "commitOid": COMMITS["main"], "success": True}
            self.reply(json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def describe(self, path: str) -> None:
            found = re.fullmatch(rf"({names})(?:/(revision|tree)/(.+))?", path)
            if found is None:
                self.send_error(404)
                return
            revision = named(found[3] or "main")
            files = repositories[found[1]].get(revision, {})
            if found[2] == "tree":
                answer: object = [
                    {"type": "file", "path": name, "size": size_of(content), "oid": str(size_of(content))}
                    for name, content in files.items()
                ]
            else:
                name = found[1].removeprefix("datasets/")
                siblings = [{"rfilename": file} for file in files]
                answer = {"_id": "0", "id": name, "sha": COMMITS[revision], "siblings": siblings}
            self.reply(json.dumps(answer).encode(), {"Content-Type": "application/json"})

        def reply(self, content: bytes | Path, headers: dict[str, str]) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": str(size_of(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                with content.open("rb") if isinstance(content, Path) else BytesIO(content) as file:
                    shutil.copyfileobj(file, self.wfile)

        def log_message(self, format: str, *args: object) -> None:
            pass

    def size_of(content: bytes | Path) -> int:
        return content.stat().st_size if isinstance(content, Path) else len(content)

    def named(revision: str) -> str:
        return next((name for name, commit in COMMITS.items() if revision in (name, commit)), "main")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
