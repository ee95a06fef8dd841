"""Access rules of the page: accepted hosts and origins, framing, and the owner key."""

import contextlib
import hmac
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from inficond.core.errors import InputError

HUB_ORIGIN = "https://huggingface.co"
"""The site that shows a Hugging Face Space in a frame."""
FOREIGN_HOST = (
    "this page does not answer under this host name; start it with --host and the address to listen on, or "
    "with --public-name and the name under which others reach it"
)
FOREIGN_ORIGIN = "pages of other origins may not use this page"
OWNER_ONLY = (
    "naming a folder or a model of this machine needs the owner key: open the page with the address that the "
    "command printed when it started"
)

OWNER_STEPS = (
    "this page works on the project's own history, whose steps need the owner key: open the page with the "
    "address that the command printed when it started, or start it with --isolated"
)


class AccessPolicy:
    """Which host names and origins the page accepts, and which sites may show it in a frame.

    Parameters
    ----------
    host : str
        Address on which the page listens.
    public_names : iterable of str
        Further host names under which the page is reached, such as that of a reverse proxy.
    space_host : str
        Host name of the Hugging Face Space that serves the page; empty elsewhere. A Space is public and its
        proxy decides which names reach it, so any host name is accepted there.
    """

    def __init__(self, host: str, public_names: Iterable[str] = (), space_host: str = "") -> None:
        self.loopback_only = is_loopback(host)
        self.on_space = bool(space_host)
        self._names = {name.lower() for name in public_names}
        if not self.loopback_only:
            self._names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._origin_hosts = {space_host.lower()} if space_host else set()

    @classmethod
    def from_environment(cls, host: str, public_names: Iterable[str] = ()) -> "AccessPolicy":
        """Return the policy for an address, with the host name that a Space sets in ``SPACE_HOST``."""
        on_space = bool(os.environ.get("SPACE_ID"))
        return cls(host, public_names, os.environ.get("SPACE_HOST", "unknown.hf.space") if on_space else "")

    @property
    def frame_ancestors(self) -> str:
        """Value of the CSP directive ``frame-ancestors``."""
        return f"'self' {HUB_ORIGIN}" if self.on_space else "'self'"

    def refusal(self, headers: Mapping[str, str], method: str, path: str) -> str | None:
        """Return why a request is refused, or None.

        Parameters
        ----------
        headers : mapping
            Request headers, names in lower case.
        method, path : str
        """
        host = headers.get("host", "")
        if not self._accepts_host(host_name(host)):
            return FOREIGN_HOST
        origin = headers.get("origin")
        if origin is not None and urlsplit_netloc(origin) not in {host.lower(), *self._origin_hosts}:
            return FOREIGN_ORIGIN
        site = headers.get("sec-fetch-site", "none").lower()
        is_navigation = (
            method in ("GET", "HEAD") and path == "/" and headers.get("sec-fetch-mode") == "navigate"
        )
        if site in ("cross-site", "same-site") and not is_navigation:
            return FOREIGN_ORIGIN
        return None

    def _accepts_host(self, name: str) -> bool:
        if self.on_space or is_loopback(name) or name.lower() in self._names:
            return True
        if self.loopback_only:
            return False
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(name)
            return True
        return False


class OwnerKey:
    """A secret of one run of the page, which its owner sends with requests that name a path of the machine.

    Parameters
    ----------
    enabled : bool
        Whether the owner may name paths at all; if not, no key is accepted.
    """

    def __init__(self, enabled: bool) -> None:
        self.value = secrets.token_urlsafe(24) if enabled else ""

    def matches(self, key: Any) -> bool:
        """Return whether a key from a request is this one."""
        return (
            bool(self.value)
            and isinstance(key, str)
            and hmac.compare_digest(self.value.encode(), key.encode())
        )

    def check(self, key: Any) -> None:
        """Check a key from a request.

        Raises
        ------
        InputError
            It is missing or wrong.
        """
        if not self.value:
            raise InputError("this page does not open folders or models of its machine: upload images")
        if not self.matches(key):
            raise InputError(OWNER_ONLY)


def urlsplit_netloc(origin: str) -> str:
    """Return host and port of an origin in lower case; empty if there are none, as in the origin ``null``."""
    with contextlib.suppress(ValueError):
        return urlsplit(origin).netloc.lower()
    return ""


def host_name(host: str) -> str:
    """Return the name or address in a ``Host`` header, without port and brackets."""
    with contextlib.suppress(ValueError):
        return urlsplit(f"//{host}").hostname or ""
    return ""


def is_loopback(host: str) -> bool:
    """Return whether a host name or address can only mean this machine.

    Parameters
    ----------
    host : str
        Without a port.
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
