"""Progress reporting and cancellation of long work."""

import shutil
import sys
import time
from collections import deque
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

from inficond.core.errors import Cancelled


class Progress(Protocol):
    """Receives the progress of long work."""

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage of `total` steps, of which an earlier run finished `done`."""

    def advance(self, n: int = 1) -> None:
        """Count `n` finished steps; raise `Cancelled` if the work should stop."""

    def note(self, message: str) -> None:
        """Report one line, for example a skipped file."""


class Remaining:
    """Estimate of the time left in a stage, from the pace of the last 30 seconds.

    Parameters
    ----------
    total, done : int
        Steps of the stage, and those already finished.

    Examples
    --------
    >>> from inficond.core.progress import Remaining
    >>> remaining = Remaining(total=100, done=20)
    >>> remaining.seconds is None  # no pace is known yet
    True
    >>> remaining.advance(40)
    >>> remaining.done
    60
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self.total, self.done = total, done
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), done)], maxlen=512)

    def advance(self, n: int) -> None:
        """Count `n` finished steps."""
        now = time.monotonic()
        self.done += n
        self._marks.append((now, self.done))
        while len(self._marks) > 2 and now - self._marks[0][0] > 30.0:
            self._marks.popleft()

    @property
    def seconds(self) -> float | None:
        """Seconds left; None before the first step."""
        (t0, n0), (t1, n1) = self._marks[0], self._marks[-1]
        if n1 <= n0 or t1 <= t0:
            return None
        return (self.total - self.done) * (t1 - t0) / (n1 - n0)


class Silent:
    """Collects notes, measures progress and can be cancelled; prints nothing.

    Examples
    --------
    >>> from inficond.core.progress import Silent
    >>> progress = Silent()
    >>> progress.start("encoding", total=100)
    >>> progress.advance(40)
    >>> progress.note("1 image skipped")
    >>> progress.stage, progress.remaining.done, progress.notes
    ('encoding', 40, ['1 image skipped'])
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stage = ""
        self.remaining = Remaining(0)
        self._cancelled = False

    def cancel(self) -> None:
        """Stop the work at its next step."""
        self._cancelled = True

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self.stage = stage
        self.remaining = Remaining(total, done)
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        """Count steps; raise `Cancelled` after `cancel` was called."""
        self.remaining.advance(n)
        if self._cancelled:
            raise Cancelled(f"stopped during: {self.stage}")

    def note(self, message: str) -> None:
        """Collect a line."""
        self.notes.append(message)


class _WithBar(Silent):
    """Progress with a bar of tqdm, or none."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None

    def advance(self, n: int = 1) -> None:
        """Count steps and update the bar."""
        super().advance(n)
        if self._bar is not None:
            self._bar.update(n)

    def clear(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Terminal(_WithBar):
    r"""Prints notes, and a progress bar if the stream is a terminal.

    Parameters
    ----------
    stream : text file, optional
        Standard error by default.

    Examples
    --------
    >>> import io
    >>> from inficond.core.progress import Terminal
    >>> stream = io.StringIO()
    >>> progress = Terminal(stream)  # no bar, since this is not a terminal
    >>> progress.start("encoding", total=100)
    >>> progress.note("1 image skipped")
    >>> stream.getvalue()
    '1 image skipped\n'
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream or sys.stderr

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage with a new bar."""
        from tqdm import tqdm

        self.clear()
        if self._stream.isatty():
            # Sizes are given because some pseudo-terminals report none, on which tqdm would print nothing.
            columns = shutil.get_terminal_size().columns - 1
            self._bar = tqdm(
                desc=stage, total=total, initial=done, file=self._stream, leave=False, ncols=columns, nrows=24
            )
        super().start(stage, total, done)

    def note(self, message: str) -> None:
        """Print a line above the bar."""
        super().note(message)
        if self._bar is not None:
            self._bar.clear()
        self._stream.write(message + "\n")


NO_WIDGETS = (
    "this notebook has no widgets, so progress is shown as text: for bars, run `pip install ipywidgets` and "
    "restart the kernel"
)


def lacks_widgets() -> bool:
    """Return whether this process is a notebook's kernel without the package ipywidgets.

    Examples
    --------
    >>> from inficond.core.progress import lacks_widgets
    >>> lacks_widgets()  # a Python prompt is not a notebook
    False
    """
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if "IPKernelApp" not in getattr(shell, "config", {}):
        return False
    return find_spec("ipywidgets") is None


class Bars(_WithBar):
    """Shows bars of `tqdm.auto` in a notebook or a terminal, and prints notes.

    In a notebook without widgets the bars are text, and one line says how to get widgets.

    Examples
    --------
    >>> from inficond.core.progress import Bars
    >>> progress = Bars()  # as in `distill(..., progress=progress)`
    >>> progress.note("1 image skipped")
    1 image skipped
    """

    _told = False

    def start(self, stage: str, total: int, done: int = 0) -> None:
        """Begin a stage with a new bar."""
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a notebook lacks widgets: `note` says it
            from tqdm.auto import tqdm

        self.clear()
        if lacks_widgets() and not self._told:
            self._told = True
            self.note(NO_WIDGETS)
        self._bar = tqdm(desc=stage, total=total, initial=done, leave=False)
        super().start(stage, total, done)

    def note(self, message: str) -> None:
        """Print a line."""
        super().note(message)
        print(message)
