"""How long work tells what it is doing, and how it is asked to stop."""

import sys
import time
from collections import deque
from typing import Protocol, TextIO

from inficond.core.errors import Cancelled, printable


class Progress(Protocol):
    """What long work calls while it runs. `advance` raises `Cancelled` once a stop was asked for."""

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """A stage of `total` steps begins, `done` of them finished by an earlier run."""

    def advance(self, n: int = 1) -> None:
        """`n` more steps are finished."""

    def note(self, message: str) -> None:
        """One line worth keeping, e.g. a file that was skipped and why."""


class Remaining:
    """Time left in a stage, from the pace of the last half minute."""

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done = total, done
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), done)], maxlen=512)

    def advance(self, n: int) -> None:
        """Count `n` more steps."""
        now = time.monotonic()
        self.done += n
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30.0:
            self._marks.popleft()

    @property
    def seconds(self) -> float | None:
        """Seconds left, or None while nothing is known."""
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        if n1 <= n0 or t1 <= t0:
            return None
        return (self.total - self.done) * (t1 - t0) / (n1 - n0)


class Silent:
    """Says nothing; remembers the notes and can be cancelled."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stage = ""
        self.remaining = Remaining(0)
        self._cancelled = False

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancelled = True

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self.stage = stage
        self.remaining = Remaining(total, done)
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        """Count steps; raise `Cancelled` once `cancel` was called."""
        self.remaining.advance(n)
        if self._cancelled:
            raise Cancelled(f"stopped during: {self.stage}")

    def note(self, message: str) -> None:
        """Keep a line."""
        self.notes.append(message)


class Terminal(Silent):
    """One line on a terminal, redrawn at most ten times a second; only the notes where it is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._drawn = 0.0

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage on the same line."""
        self.clear()
        super().start(stage, total, done)

    def advance(self, n: int = 1) -> None:
        """Count steps and redraw."""
        super().advance(n)
        now = time.monotonic()
        if self._live and (now - self._drawn > 0.1 or self.remaining.done >= self.remaining.total):
            self._drawn = now
            r = self.remaining
            left = "" if r.seconds is None else f", {spell_seconds(r.seconds)} left"
            self._stream.write(f"\r\x1b[K{self.stage}: {r.done:,} of {r.total:,}{left}")
            self._stream.flush()

    def note(self, message: str) -> None:
        """Print a line above the progress line."""
        super().note(message)
        self.clear()
        self._stream.write(printable(message) + "\n")

    def clear(self) -> None:
        """Take the progress line away."""
        if self._live:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def spell_seconds(seconds: float) -> str:
    """`95` -> `"1 min 35 s"`."""
    s = max(0, round(seconds))
    if s < 60:
        return f"{s} s"
    if s < 3600:
        return f"{s // 60} min {s % 60:02d} s"
    return f"{s // 3600} h {s % 3600 // 60:02d} min"
