"""In-memory cache with a budget, shared by threads."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

PINNED = "pinned"
"""Group of the entries that are never evicted."""


@dataclass(frozen=True)
class Usage:
    """State of a cache.

    Parameters
    ----------
    entries : int
        Number of values held.
    size, budget : int
        Sum of their sizes, and the sum from which on values are evicted.
    pinned : int
        Part of `size` that is never evicted.
    evictions : int
        Values evicted so far.
    over : bool
        Whether `size` exceeds `budget` although everything that may be evicted has been.
    """

    entries: int
    size: int
    budget: int
    pinned: int
    evictions: int
    over: bool


@dataclass(frozen=True)
class _Entry:
    value: Any
    size: int
    group: Hashable


class Cache:
    """Values by key; beyond a budget, the least recently used are evicted.

    Values that are needed together, or that are expensive to make, belong to a group. The group `PINNED` is
    never evicted. Of the other groups, the one used last is not evicted either: evicting one of its values to
    make room for another would remake all of them at every step.

    Parameters
    ----------
    budget : int
        Upper limit of the sum of all sizes, in the unit of the sizes: bytes, or entries where each counts 1.
    name : str
        Name in log messages.
    hint : str
        What to do when the budget is exceeded; part of the log message.
    """

    def __init__(self, budget: int, name: str = "cache", hint: str = "") -> None:
        self._budget, self._name, self._hint = budget, name, hint
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._pending: dict[Hashable, threading.Event] = {}
        self._size = self._evictions = 0
        self._warned = 0
        self._group: Hashable = None
        self._lock = threading.Lock()

    def get(
        self,
        key: Hashable,
        make: Callable[[], Any],
        size: Callable[[Any], int] | None = None,
        group: Hashable = None,
    ) -> Any:
        """Return the value of a key; make it where it is missing.

        Parameters
        ----------
        key : hashable
            Name of the value.
        make : callable
            Returns the value. Threads that ask for the same key at the same time wait for one of them to make
            it. It may call `get` for other keys.
        size : callable, optional
            Returns the size of the value; 1 by default.
        group : hashable, optional
            Group of the value; None belongs to no group.
        """
        while True:
            with self._lock:
                if group is not None and group != PINNED:
                    self._group = group
                if key in self._entries:
                    self._entries.move_to_end(key)
                    return self._entries[key].value
                ready = self._pending.get(key)
                if ready is None:
                    self._pending[key] = threading.Event()
                    break
            ready.wait()  # then either the value is there, or making it failed and this thread tries
        try:
            value = make()
            self.put(key, value, 1 if size is None else size(value), group)
        finally:
            with self._lock:
                self._pending.pop(key).set()
        return value

    def find(self, key: Hashable) -> Any:
        """Return the value of a key, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key].value

    def put(self, key: Hashable, value: Any, size: int = 1, group: Hashable = None) -> None:
        """Store a value, and evict others where the budget is exceeded."""
        with self._lock:
            old = self._entries.pop(key, None)
            self._size += size - (0 if old is None else old.size)
            self._entries[key] = _Entry(value, size, group)
            self._evict(key)
            over = self._size if self._size > self._budget else 0
            grown = over > 1.25 * self._warned
            self._warned = over if grown or not over else self._warned
        if over and grown:
            log.warning(
                "%s: %.0f MB in use exceed the budget of %.0f MB%s",
                self._name, over / 2**20, self._budget / 2**20, f"; {self._hint}" if self._hint else "",
            )  # fmt: skip

    def remove(self, matches: Callable[[Any], bool]) -> None:
        """Remove the values whose keys match."""
        with self._lock:
            for key in [key for key in self._entries if matches(key)]:
                self._size -= self._entries.pop(key).size

    def clear(self) -> None:
        """Remove every value."""
        with self._lock:
            self._entries.clear()
            self._size = self._warned = 0

    @property
    def usage(self) -> Usage:
        """Sizes and counts at this moment."""
        with self._lock:
            pinned = sum(e.size for e in self._entries.values() if e.group == PINNED)
            return Usage(
                len(self._entries), self._size, self._budget, pinned, self._evictions,
                self._size > self._budget,
            )  # fmt: skip

    def _evict(self, newest: Hashable) -> None:
        """Remove the least recently used values until the rest fits; the caller holds the lock."""
        if self._size <= self._budget:
            return
        kept = {PINNED, self._group} - {None}
        for key, entry in list(self._entries.items()):
            if key == newest or entry.group in kept:
                continue
            del self._entries[key]
            self._size -= entry.size
            self._evictions += 1
            if self._size <= self._budget:
                return
