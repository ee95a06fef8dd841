"""Runs of `inficond distill --engine ray` as processes."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
LISTEN = "0A"


COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (0, 255, 255)]


def large_photos(folder: Path, count: int) -> Path:
    """Write photographs of a megapixel under many names, so that decoding takes most of the time."""
    folder.mkdir(parents=True)
    noise = Image.effect_noise((1152, 864), 60)
    for number in range(count):
        path = folder / f"{number:04d}.jpg"
        if number < len(COLOURS):
            bands = [noise.point([v * c // 255 for v in range(256)]) for c in COLOURS[number]]
            Image.merge("RGB", bands).save(path, quality=80)
        else:
            os.link(folder / f"{number % len(COLOURS):04d}.jpg", path)
    return folder


def arguments(tiny: Any, photos: Path, out: Path, *more: object) -> list[str]:
    """Return a command that builds a project from the small models."""
    return [
        sys.executable, "-m", "inficond.core.cli.main", "distill", str(photos), "--out", str(out),
        "--encoder", str(tiny.encoder), "--teacher", str(tiny.teacher), "--concepts", str(tiny.words),
        "--provider", "cpu", "--no-exam", "--no-cache", "--no-baseline", "--json", *map(str, more),
    ]  # fmt: skip


def started(command: list[str], inside: list[str]) -> subprocess.Popen[str]:
    """Start a command in a process group of its own."""
    return subprocess.Popen(
        [*inside, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def result(process: subprocess.Popen[str], seconds: float = 600) -> dict[str, Any]:
    """Return what a command printed as JSON."""
    try:
        out, error = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, error
    assert out.startswith("{"), out
    return json.loads(out)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 480) -> Any:
    """Return the first true value of a condition, while a process runs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("the condition did not become true")


def shards(store: Path) -> list[Path]:
    """Return the finished shards of a store."""
    return sorted(store.glob("*.npz"))


def descendants(root: int) -> Iterator[tuple[int, str]]:
    """Yield the processes that a process has started, with their command lines."""
    parents: dict[int, int] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    for pid in parents:
        above = pid
        while above not in (0, root):
            above = parents.get(above, 0)
        if above == root and pid != root:
            try:
                yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            except OSError:
                continue


def encoders(root: int) -> list[int]:
    """Return the actors that encode below a process."""
    return [pid for pid, line in descendants(root) if line.startswith("ray::EncodingWorker.encode")]


def listening(pid: int) -> list[str]:
    """Return the addresses, in hexadecimal form, on which the network namespace of a process listens."""
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTEN:
                found.append(fields[1].partition(":")[0])
    return found
