"""A page in a separate process, and measurement of its memory and processor time."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inficond.core.errors import InputError


@dataclass
class PageProcess:
    """A running page.

    Parameters
    ----------
    url : str
    pid : int
        Of the server.
    started : float
        Seconds from the start of the process to its first line of output.
    """

    url: str
    pid: int
    started: float = 0.0


@contextmanager
def page_process(
    folder: Path, cpus: Sequence[int] | None = None, log: Path | None = None
) -> Iterator[PageProcess]:
    """Run `inficond launch` on a project, on a free port of loopback.

    Parameters
    ----------
    folder : Path
        The project.
    cpus : sequence of int, optional
        Processors that the server may use; those of this process by default.
    log : Path, optional
        File for its stderr.

    Yields
    ------
    PageProcess

    Raises
    ------
    InputError
        The page did not start.
    """
    command = [
        sys.executable,
        "-m",
        "inficond.core.cli.main",
        "launch",
        str(folder),
        "--no-browser",
        "--isolated",
        "--json",
    ]
    began = time.monotonic()
    pinned = getattr(os, "sched_setaffinity", None)
    limit = (lambda: pinned(0, set(cpus))) if pinned and cpus else None
    with open(log or os.devnull, "wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors if log else None, text=True, preexec_fn=limit
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise InputError("the page did not start: try `inficond launch` to see why")
            yield PageProcess(json.loads(line)["url"].rstrip("/"), process.pid, time.monotonic() - began)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def resident_memory(pid: int) -> int | None:
    """Return the resident memory of a process and its children in bytes; None except on Linux."""
    total, found = 0, False
    for one in (pid, *_children(pid)):
        try:
            pages = int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
        total, found = total + pages * os.sysconf("SC_PAGE_SIZE"), True
    return total if found else None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for word in (task / "children").read_text().split():
                found += [int(word), *_children(int(word))]
    except OSError:
        pass
    return found


def processor_seconds(pid: int) -> float | None:
    """Return the processor time that a process has used; None except on Linux."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class MemorySampler:
    """Samples of the memory of a process, taken in a thread.

    Parameters
    ----------
    pid : int
    interval : float
        Seconds between samples.
    samples : list of (float, int)
        Seconds since the start, and bytes.
    """

    pid: int
    interval: float = 1.0
    samples: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "MemorySampler":
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._sample, name="memory", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            size = resident_memory(self.pid)
            if size is not None:
                self.samples.append((time.monotonic() - self._began, size))
            if self._stop.wait(self.interval):
                return

    def summary(self) -> dict[str, float] | None:
        """Return start, middle, end and maximum in MB (2**20 bytes), and the slope in MB per minute.

        The slope is that of the second half, by Theil and Sen: the median over all pairs of samples, on which
        a single garbage collection has little effect. None with fewer than four samples.
        """
        if len(self.samples) < 4:
            return None
        seconds, sizes = np.array(self.samples).T
        sizes = sizes / 2**20
        late = seconds >= seconds[-1] / 2
        t, m = seconds[late] / 60, sizes[late]
        i, j = np.triu_indices(len(t), 1)
        return {
            "start": float(sizes[0]),
            "middle": float(np.median(m[: max(1, len(m) // 5)])),
            "end": float(np.median(m[-max(1, len(m) // 5) :])),
            "most": float(sizes.max()),
            "slope_per_minute": float(np.median((m[j] - m[i]) / (t[j] - t[i]))) if len(i) else 0.0,
        }
