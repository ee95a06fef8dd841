"""Limits on what callers may use: JSON bodies, and budgets per address and in total."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from inficond.core.errors import InputError
from inficond.core.serving.connections import UNKNOWN_ADDRESS
from inficond.core.sessions.session_registry import MOST, MOST_STEPS, MOST_STEPS_EACH

MIB = 2**20
OWNER_HEADER = "x-inficond-owner"
"""Header in which clients of the API send the owner key."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
"""A JSON string; an unterminated one extends to the end, so that matching takes linear time."""
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{},"))


@dataclass(frozen=True)
class Quota:
    """A limit of what callers may use at the same time. The table in SECURITY.md lists `QUOTAS`.

    Parameters
    ----------
    name : str
        Of the quantity, for messages.
    total : int
        For all callers together.
    per_address : int
        For each network address; callers on this machine share one address and have the total.
    per_visit : int
        For each visit; 0 if there is no such limit.
    unit : str
        Unit of the quantity, ``bytes`` or empty.
    """

    name: str
    total: int
    per_address: int
    per_visit: int = 0
    unit: str = ""


REQUESTS = Quota("requests", 256, 48)
BODIES = Quota("request bodies", 32 * MIB, 4 * MIB, unit="bytes")
UPLOADS = Quota("uploads", 32, 8)
UPLOAD_FILES = Quota("stored uploads", 20_000, 5_000, 2_000)
UPLOAD_BYTES = Quota("bytes of stored uploads", 8192 * MIB, 4096 * MIB, 2048 * MIB, unit="bytes")
API_CALLS = Quota("API calls", 256, 24)
WAITING = Quota("waiting requests", 1024, 128, 32)
JOBS = Quota("reports, exports and projects", 240, 8, 2)
VISITS = Quota("visits without a step", 5000, 5000)
SESSIONS = Quota("visits with a step in memory", MOST, MOST)
STEPS = Quota("steps of visits in memory", MOST_STEPS, MOST_STEPS, MOST_STEPS_EACH)
PROJECTS = Quota("projects built from uploads", 12, 12, 2)
QUOTAS = (
    REQUESTS, BODIES, UPLOADS, UPLOAD_FILES, UPLOAD_BYTES, API_CALLS, WAITING, JOBS, VISITS, SESSIONS,
    STEPS, PROJECTS,
)  # fmt: skip
"""Every limit of what callers may use at the same time."""


class LimitExceeded(InputError):
    """A caller or all callers together exceed a budget; nothing was done."""


@dataclass(frozen=True)
class Caller:
    """The sender of a request.

    Parameters
    ----------
    address : str
        Network address. Behind the proxy of a Hugging Face Space, the address that the proxy reports.
    connection : str
        Identifies the connection.
    owner_key : str
        As sent in the header `OWNER_HEADER`.
    """

    address: str
    connection: str
    owner_key: str = field(default="", repr=False, compare=False)

    @property
    def is_local(self) -> bool:
        """Whether the caller is on this machine, where all users share one address."""
        return self.address in ("127.0.0.1", "::1", UNKNOWN_ADDRESS)


NOBODY = Caller(UNKNOWN_ADDRESS, "")
"""The caller of work that no request asked for."""


def caller_of(scope: Any, behind_proxy: bool) -> Caller:
    """Return the caller of an ASGI request.

    Parameters
    ----------
    scope : ASGI scope
    behind_proxy : bool
        Whether a trusted proxy appends the client's address to ``X-Forwarded-For``.
    """
    client = scope.get("client") or (UNKNOWN_ADDRESS, 0)
    connection = f"{client[0]}:{client[1]}"
    headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
    owner_key = headers.get(OWNER_HEADER.encode(), "")
    if not behind_proxy:
        return Caller(str(client[0]), connection, owner_key)
    last = headers.get(b"x-forwarded-for", "").rpartition(",")[2].strip()[:64]
    return Caller(last or str(client[0]), f"{last} {connection}", owner_key)


class Budget:
    """A quantity that requests reserve and release, limited in total and per address.

    Parameters
    ----------
    quota : Quota
    """

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._used = 0.0
        self._by_address: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def used(self) -> float:
        """The amount that is reserved now."""
        return self._used

    def reserve(self, caller: Caller, amount: float = 1) -> None:
        """Reserve an amount.

        Raises
        ------
        LimitExceeded
            It is not available.
        """
        quota = self.quota
        limit = quota.total if caller.is_local else quota.per_address
        with self._lock:
            if self._used + amount > quota.total or self._by_address[caller.address] + amount > limit:
                raise LimitExceeded(f"too many {quota.name} at the same time: try again in a moment")
            self._used += amount
            self._by_address[caller.address] += amount  # type: ignore[assignment]

    def release(self, caller: Caller, amount: float = 1) -> None:
        """Release an amount that was reserved."""
        with self._lock:
            self._used -= amount
            self._by_address[caller.address] -= amount  # type: ignore[assignment]
            if self._by_address[caller.address] <= 0:
                del self._by_address[caller.address]

    @contextmanager
    def using(self, caller: Caller, amount: float = 1) -> Iterator[None]:
        """Reserve an amount for the duration of a block.

        Raises
        ------
        LimitExceeded
            It is not available.
        """
        self.reserve(caller, amount)
        try:
            yield
        finally:
            self.release(caller, amount)


def json_size(body: bytes) -> tuple[int, int]:
    """Return the nesting depth of a JSON text and an upper bound of its number of values, without parsing it.

    Parameters
    ----------
    body : bytes

    Returns
    -------
    depth : int
    values : int
    """
    structure = _structure(body)
    return _depth(structure), _values(structure)


def check_json(body: bytes, max_depth: int, max_values: int) -> None:
    """Check the size of a JSON text before it is parsed.

    Raises
    ------
    LimitExceeded
        It is nested deeper than `max_depth`, holds more than `max_values` values, or closes more brackets.
    """
    structure = _structure(body)
    values = max(_values(structure), structure.count(b"]") + structure.count(b"}"))
    if values > max_values:
        raise LimitExceeded(f"the request holds {values} values; at most {max_values} are accepted")
    depth = _depth(structure)  # walks at most twice `max_values` brackets
    if depth > max_depth:
        raise LimitExceeded(f"the request is nested {depth} levels deep; at most {max_depth} are accepted")


def _structure(body: bytes) -> bytes:
    """Return the brackets and commas of a JSON text outside of its strings."""
    return _STRING.sub(b"", body).translate(None, _NOT_STRUCTURE)


def _values(structure: bytes) -> int:
    return 1 + structure.count(b",") + structure.count(b"[") + structure.count(b"{")


def _depth(structure: bytes) -> int:
    depth = deepest = 0
    for byte in structure.replace(b",", b""):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
