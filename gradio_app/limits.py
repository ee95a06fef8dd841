"""Limits on what callers may use: JSON bodies, and budgets per address and in total."""

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from inficond.core.errors import InputError

UNKNOWN_ADDRESS = "unknown"
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\Z)', re.DOTALL)
"""A JSON string; an unterminated one extends to the end, so that matching takes linear time."""
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{},"))


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
    """

    address: str
    connection: str

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
    if not behind_proxy:
        return Caller(str(client[0]), connection)
    forwarded = [value for name, value in scope.get("headers", ()) if name == b"x-forwarded-for"]
    last = forwarded[-1].decode("latin-1").rpartition(",")[2].strip()[:64] if forwarded else ""
    return Caller(last or str(client[0]), f"{last} {connection}")


class Budget:
    """A quantity that requests reserve and release, limited in total and per address.

    Parameters
    ----------
    name : str
        Of the quantity, for messages.
    total : float
        For all callers together.
    per_address : float
        For each network address; callers on this machine share one address and have the total.
    """

    def __init__(self, name: str, total: float, per_address: float) -> None:
        self.name, self.total, self.per_address = name, total, per_address
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
        limit = self.total if caller.is_local else self.per_address
        with self._lock:
            if self._used + amount > self.total or self._by_address[caller.address] + amount > limit:
                raise LimitExceeded(f"too many {self.name} at the same time: try again in a moment")
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
    structure = _STRING.sub(b"", body).translate(None, _NOT_STRUCTURE)
    depth = deepest = 0
    for byte in structure.replace(b",", b""):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    opened = structure.count(b"[") + structure.count(b"{")
    return deepest, 1 + structure.count(b",") + opened


def check_json(body: bytes, max_depth: int, max_values: int) -> None:
    """Check the size of a JSON text before it is parsed.

    Raises
    ------
    LimitExceeded
        It is nested deeper than `max_depth` or holds more than `max_values` values.
    """
    depth, values = json_size(body)
    if depth > max_depth:
        raise LimitExceeded(f"the request is nested {depth} levels deep; at most {max_depth} are accepted")
    if values > max_values:
        raise LimitExceeded(f"the request holds {values} values; at most {max_values} are accepted")
