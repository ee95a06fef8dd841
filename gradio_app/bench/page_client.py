"""One tab's way to a running page, without a browser: the requests that the page's own scripts make.

Only loopback is spoken to: this is a load driver, not a tool to aim at strangers.
"""

import http.client
import ipaddress
import json
import secrets
import zlib
from typing import Any
from urllib.parse import urlsplit

from inficond.core.errors import InputError

CALL = "/gradio_api/component_server/"
UPLOAD = "/gradio_api/upload"


class UnexpectedResponse(Exception):
    """The server answered with something that no visitor should ever see: a fault, not an answer."""


class PageClient:
    """Requests over one kept connection, as a browser keeps it. Not for two threads at once.

    Parameters
    ----------
    url : str
        Of the page, on loopback.
    timeout : float
        Seconds without an answer after which a request counts as failed.

    Raises
    ------
    InputError
        The address is another machine's.
    """

    def __init__(self, url: str, timeout: float = 60.0) -> None:
        at = urlsplit(url)
        if at.scheme != "http" or not _loopback(at.hostname or ""):
            raise InputError(f"{url} is not this machine: only a page on 127.0.0.1 is driven")
        self.url = url
        self.timeout = timeout
        self.host, self.port = at.hostname or "", at.port or 80
        self._root = at.path.rstrip("/")
        self._connection: http.client.HTTPConnection | None = None
        self._shell = 0
        self._tab = secrets.token_hex(6)

    def twin(self) -> "PageClient":
        """Another connection of the same tab, for what a page asks beside what a person waits for."""
        other = PageClient(self.url, self.timeout)
        other._shell, other._tab = self._shell, self._tab
        return other

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Any request; its status and what was answered, unpacked.

        A kept connection that the server closed meanwhile is opened again once, as browsers do.

        Raises
        ------
        OSError, http.client.HTTPException
            No answer.
        """
        sent = {"Accept-Encoding": "gzip", **(headers or {})}
        while True:
            fresh = self._connection is None
            if self._connection is None:
                self._connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            try:
                self._connection.request(method, self._root + path, body, sent)
                answer = self._connection.getresponse()
                raw = answer.read()
                break
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if fresh:
                    raise
            except BaseException:
                self.close()
                raise
        if answer.getheader("Content-Encoding") == "gzip":
            raw = zlib.decompress(raw, 31)
        return answer.status, raw

    def get(self, path: str) -> bytes:
        """A page or a picture.

        Raises
        ------
        UnexpectedResponse
            Any status but 200.
        """
        status, raw = self.request("GET", "/" + path.lstrip("/"))
        if status != 200:
            raise UnexpectedResponse(f"{path.split('?')[0]} answered {status}")
        return raw

    def enter(self) -> None:
        """Load the page and its configuration, and find the component that answers.

        Raises
        ------
        UnexpectedResponse
            It is no page of ours.
        """
        self.get("/")
        config = json.loads(self.get("/config"))
        for component in config.get("components", []):
            if component.get("props", {}).get("elem_id") == "shell":
                self._shell = int(component["id"])
                return
        raise UnexpectedResponse(f"{self.url} is no page of InFiConD")

    def call(self, name: str, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the page's server side, as its scripts do.

        Parameters
        ----------
        name : str
            One of the functions that the page may call.
        request : dict
            JSON.

        Returns
        -------
        dict
            The answer; ``error`` in it is a line for the person.

        Raises
        ------
        UnexpectedResponse
            Anything but an answer.
        """
        body = {"session_hash": self._tab, "component_id": self._shell, "fn_name": name, "data": request}
        status, raw = self.request(
            "POST", CALL, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        if status != 200:
            raise UnexpectedResponse(f"{name} answered {status}: {raw[:200].decode('utf-8', 'replace')}")
        try:
            answer = json.loads(json.loads(raw))
        except (ValueError, TypeError):
            raise UnexpectedResponse(f"{name} answered no JSON") from None
        if not isinstance(answer, dict):
            raise UnexpectedResponse(f"{name} answered no object")
        return answer

    def upload(self, name: str, content: bytes) -> tuple[int, str]:
        """Send a file as a form does.

        Returns
        -------
        status : int
        path : str
            Where the server put it, to be named in a call; empty where it was refused.
        """
        mark = secrets.token_hex(12)
        quoted = name.replace("\\", "_").replace('"', "_")
        head = (
            f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        body = head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        status, raw = self.request(
            "POST", UPLOAD, body, {"Content-Type": f"multipart/form-data; boundary={mark}"}
        )
        if status != 200:
            return status, ""
        return status, str(json.loads(raw)[0])

    def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
