"""HTTP client for a running page, without a browser: sends the requests that the page's scripts send.

It connects to loopback addresses only.
"""

import http.client
import json
import secrets
import zlib
from typing import Any
from urllib.parse import urlsplit

from inficond.core.errors import InputError
from inficond.gradio_app.access import is_loopback
from inficond.gradio_app.routes import TOKEN_HEADER

UPLOAD = "/gradio_api/upload"


class UnexpectedResponse(Exception):
    """A response with an error status, or one that is not JSON."""


class PageClient:
    """Client with one persistent connection. Not thread-safe.

    Parameters
    ----------
    url : str
        Of the page, on loopback.
    timeout : float
        Seconds without a response after which a request fails.
    source : str
        Address of this machine to connect from, such as 127.0.0.9; the system's choice by default.

    Raises
    ------
    InputError
        The address is not on this machine.
    """

    def __init__(self, url: str, timeout: float = 60.0, source: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not is_loopback(parts.hostname or ""):
            raise InputError(f"{url} is not on this machine: only pages on 127.0.0.1 are tested")
        self.url = url
        self.timeout = timeout
        self.source = source
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._root = parts.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None

    def twin(self) -> "PageClient":
        """Return a client with a second connection to the same page."""
        return PageClient(self.url, self.timeout, self.source)

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Send a request; return status and decompressed body.

        A persistent connection that the server closed meanwhile is opened again once, as browsers do.

        Raises
        ------
        OSError, http.client.HTTPException
            There is no response.
        """
        sent = {"Accept-Encoding": "gzip", **(headers or {})}
        while True:
            is_new = self._connection is None
            if self._connection is None:
                source = (self.source, 0) if self.source else None
                self._connection = http.client.HTTPConnection(
                    self.host, self.port, timeout=self.timeout, source_address=source
                )
            try:
                self._connection.request(method, self._root + path, body, sent)
                response = self._connection.getresponse()
                raw = response.read()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if is_new:
                    raise
            except BaseException:
                self.close()
                raise
        if response.getheader("Content-Encoding") == "gzip":
            raw = zlib.decompress(raw, 31)
        return response.status, raw

    def get(self, path: str) -> bytes:
        """Return the content of a page or file.

        Raises
        ------
        UnexpectedResponse
            The status is not 200.
        """
        status, raw = self.request("GET", "/" + path.lstrip("/"))
        if status != 200:
            raise UnexpectedResponse(f"{path.split('?')[0]}: status {status}")
        return raw

    def enter(self) -> None:
        """Load the page.

        Raises
        ------
        UnexpectedResponse
            It is not a page of InFiConD.
        """
        if b"inficond" not in self.get("/").lower():
            raise UnexpectedResponse(f"{self.url} is not a page of InFiConD")

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Call a remote procedure of the page.

        Parameters
        ----------
        name : str
        request : dict
            JSON.

        Returns
        -------
        dict
            The response; ``error`` in it is a line for the person.

        Raises
        ------
        UnexpectedResponse
            The response is an error status, or not a JSON object.
        """
        headers = {"Content-Type": "application/json"}
        status, raw = self.request("POST", f"/rpc/{name}", json.dumps(request).encode(), headers)
        if status != 200:
            raise UnexpectedResponse(f"{name}: status {status}: {raw[:200].decode('utf-8', 'replace')}")
        try:
            response = json.loads(raw)
        except ValueError:
            raise UnexpectedResponse(f"{name}: the response is not JSON") from None
        if not isinstance(response, dict):
            raise UnexpectedResponse(f"{name}: the response is not an object")
        return response

    def upload(self, name: str, content: bytes, token: str | None = None) -> tuple[int, str]:
        """Upload a file as a form does.

        Returns
        -------
        status : int
        address : str
            Of the upload, for `call`; empty if it was refused.
        """
        boundary = secrets.token_hex(12)
        quoted = name.replace("\\", "_").replace('"', "_")
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", TOKEN_HEADER: token or ""}
        status, raw = self.request("POST", UPLOAD, body, headers)
        return status, str(json.loads(raw)[0]) if status == 200 else ""

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
