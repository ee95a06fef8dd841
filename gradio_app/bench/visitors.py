"""Load test of the page: latencies, errors, wrong responses and memory with many visitors at the same time.

The page runs in a separate process (`inficond launch`) on a fixed number of processors. Visitors send the
requests that a browser sends: several for an action, and those for slow parts of the views in the background.
Afterwards, responses are compared with a reference session in this process; see `response_checks`. The load
test runs on the same machine, so the latencies are upper bounds. Memory is measured on Linux only.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.gradio_app.bench.exchange import Exchange
from inficond.gradio_app.bench.load_scenarios import ACTIONS, MIXES, Mix, Visit
from inficond.gradio_app.bench.page_client import PageClient
from inficond.gradio_app.bench.page_process import MemorySampler, page_process, processor_seconds
from inficond.gradio_app.bench.response_checks import check_against_core

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "load test with many visitors: latencies, errors, wrong responses, memory"
MAX_VISITORS, MAX_MINUTES = 500, 60.0
SWITCH_TARGET = 1500.0
"""Milliseconds: target for the 95th percentile of class switches."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's arguments."""
    add = parser.add_argument
    add("--visitors", type=int, default=30, metavar="N", help="visitors at the same time (default 30)")
    add("--minutes", type=float, default=5.0, metavar="M", help="duration (default 5)")
    add("--mix", default="tuning", metavar="NAME", help=f"actions: {', '.join(MIXES)} (default tuning)")
    add("--project", metavar="DIR", help="project to serve (default: the demo)")
    add("--cpus", type=int, default=2, metavar="N", help="processors of the server (default 2)")
    add(
        "--check",
        type=float,
        default=1.0,
        metavar="SHARE",
        help="share of visitors whose responses are checked (default 1)",
    )


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if not 1 <= args.visitors <= MAX_VISITORS:
        raise InputError(f"--visitors must be from 1 to {MAX_VISITORS}, not {args.visitors}")
    if not 0 < args.minutes <= MAX_MINUTES:
        raise InputError(f"--minutes must be above 0 and at most {MAX_MINUTES:g}, not {args.minutes:g}")
    if args.mix not in MIXES:
        raise unknown("mix", args.mix, list(MIXES))
    if args.cpus < 1:
        raise InputError(f"--cpus must be at least 1, not {args.cpus}")
    if not 0 <= args.check <= 1:
        raise InputError(f"--check must be from 0 to 1, not {args.check:g}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = copy_without_history(args.project, Path(scratch))
        with page_process(folder, _processors(args.cpus), Path(scratch) / "log") as page:
            found = visit(
                page.url, page.pid, folder, MIXES[args.mix], args.visitors, 60 * args.minutes, args.check
            )
            found["log"] = (Path(scratch) / "log").read_text(errors="replace")[-2000:]
    for line in summary_lines(found):
        out.say(line)
    out.result(found)
    return 0


def copy_without_history(project: str | None, scratch: Path) -> Path:
    """Copy a project, or the demo for None, without its history; return the copy."""
    if project is None:
        from inficond.core.demo import demo_project

        source = demo_project()
    else:
        from inficond.core import Project

        source = Project.open(project).path
    return shutil.copytree(source, scratch / "project", ignore=shutil.ignore_patterns("history.sqlite*"))


def _processors(n: int) -> list[int] | None:
    """Return the first n processors that this process may use; None if the system cannot bind to them."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[:n]


def sample_images(folder: Path, n: int = 12) -> list[tuple[str, bytes]]:
    """Return name and content of n thumbnails of a project, as images to upload."""
    from inficond.core import Project

    project = Project.open(folder)
    rows = np.linspace(0, len(project) - 1, min(n, len(project))).astype(int)
    return [(f"own-{row}.jpg", project.thumbnail_bytes(int(row))) for row in rows]


def visit(
    url: str,
    pid: int | None,
    folder: Path,
    mix: Mix,
    visitors: int,
    seconds: float,
    check: float = 1.0,
    pictures: Sequence[tuple[str, bytes]] | None = None,
) -> dict[str, Any]:
    """Run visitors on a page and check its responses.

    Parameters
    ----------
    url : str
        Address of the page, on loopback.
    pid : int or None
        Process of the server, whose memory is measured.
    folder : Path
        Project that the page serves.
    mix : Mix
        Actions of the visitors.
    visitors : int
        Number of visitors.
    seconds : float
        Duration. Visitors arrive during its first tenth, within 10 s at most.
    check : float
        Share of visitors whose responses are checked, in [0, 1].
    pictures : sequence of (str, bytes), optional
        Image files for uploads; some of the project's thumbnails by default.

    Returns
    -------
    dict
        ``waits`` {kind: n, p50, p95, p99, most in milliseconds}, ``p95`` of all of them, ``slow`` the same as
        ``waits`` for parts requested in the background; ``postponed`` (number of searches that the server
        postponed), ``errors`` (count), ``problems`` {line: count}, ``checked``, ``wrong`` (counts),
        ``wrong_answers`` (lines), ``memory`` (in MB; see `MemorySampler.summary`), ``processors`` (mean in
        use by the server).

    Raises
    ------
    InputError
        The address is not on this machine.
    """
    pictures = sample_images(folder) if pictures is None else pictures
    began = time.monotonic()
    visits = [Visit(i, PageClient(url), began, pictures) for i in range(visitors)]
    arrive = min(10.0, seconds / 10)
    end = began + seconds
    memory = MemorySampler(pid or os.getpid())
    used, own = processor_seconds(pid) if pid else None, time.process_time()
    with memory:
        threads = [
            threading.Thread(
                target=_run_visit, args=(v, mix, began + arrive * i / visitors, end), daemon=True
            )
            for i, v in enumerate(visits)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    spent, own = processor_seconds(pid) if pid else None, time.process_time() - own
    return {
        "visitors": visitors,
        "seconds": took,
        "mix": dict(mix.actions),
        "think": list(mix.think),
        **_counted(visits),
        **_checked(visits, folder, check, pictures),
        "memory": memory.summary() if pid else None,
        "processors": None if used is None or spent is None else (spent - used) / took,
        "driver_processors": own / took,
    }


def _run_visit(visit: Visit, mix: Mix, arrives: float, end: float) -> None:
    """Run one visitor from the first page to the last action."""
    time.sleep(max(0.0, arrives - time.monotonic()))
    background = threading.Thread(target=visit.request_slow_parts, daemon=True)
    names, weights = list(mix.actions), list(mix.actions.values())
    try:
        visit.enter()
        background.start()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, visit.random.uniform(*mix.think)))
            if time.monotonic() < end and visit.classes:
                ACTIONS[visit.random.choices(names, weights)[0]](visit)
    except Exception as error:  # reported as a problem; otherwise the test would run with one visitor fewer
        visit.log.append(Exchange("driver", 0, 0, f"driver: {type(error).__name__}: {error}"))
    finally:
        visit.leave()
        if background.is_alive():
            background.join()


def _counted(visits: Sequence[Visit]) -> dict[str, Any]:
    waits: dict[str, list[float]] = {}
    slow: dict[str, list[float]] = {}
    problems: Counter[str] = Counter()
    for v in visits:
        for log, into in ((v.log, waits), (v.slow, slow)):
            for e in log:
                into.setdefault(e.kind, []).append(e.seconds)
                if e.problem:
                    problems[f"{e.kind}: {e.problem}"] += 1
    return {
        "requests": sum(map(len, waits.values())) + sum(map(len, slow.values())),
        "waits": {kind: _percentiles(s) for kind, s in sorted(waits.items())},
        "p95": _percentiles([s for seconds in waits.values() for s in seconds])["p95"],
        "slow": {kind: _percentiles(s) for kind, s in sorted(slow.items())},
        "postponed": sum(v.postponed for v in visits),
        "errors": sum(problems.values()),
        "problems": dict(problems.most_common(20)),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return count, percentiles and maximum in milliseconds."""
    p50, p95, p99 = np.quantile(seconds, [0.5, 0.95, 0.99]) * 1e3
    return {
        "n": len(seconds),
        "p50": float(p50),
        "p95": float(p95),
        "p99": float(p99),
        "most": 1e3 * max(seconds),
    }


def _checked(
    visits: Sequence[Visit], folder: Path, share: float, pictures: Sequence[tuple[str, bytes]]
) -> dict[str, Any]:
    from inficond.core import Project

    project = Project.open(folder)
    chosen = visits[: round(share * len(visits))]
    wrong = [
        f"visitor {v.number}, {line}" for v in chosen for line in check_against_core(project, v.log, pictures)
    ]
    return {
        "checked": sum(bool(e.facts) and not e.problem for v in chosen for e in v.log),
        "wrong": len(wrong),
        "wrong_answers": wrong[:20],
    }


def summary_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the result as lines of text."""
    lines = [
        f"{found['visitors']} visitors, {found['seconds']:.0f} s, {found['requests']:,} requests, "
        f"{found['errors']} errors, {found['wrong']} wrong of {found['checked']:,} responses checked"
    ]
    if found["postponed"]:
        lines.append(f"  {found['postponed']:,} searches were postponed")
    lines += [f"  {n} x {line}" for line, n in found["problems"].items()]
    lines += [f"  {line}" for line in found["wrong_answers"]]
    lines.append("  milliseconds                 n     p50     p95     p99     max")
    for group in ("waits", "slow"):
        for kind, w in found[group].items():
            row = "".join(f"{w[k]:8.0f}" for k in ("p50", "p95", "p99", "most"))
            missed = "" if w["p95"] <= SWITCH_TARGET else ", missed"
            bound = f"   (p95 at most {SWITCH_TARGET:g}{missed})"
            lines.append(f"  {kind:22} {w['n']:7}{row}{bound if kind == 'class switch' else ''}")
    memory = found["memory"]
    if memory:
        lines.append(
            f"  memory of the server: {memory['start']:.0f} MB at the start, {memory['most']:.0f} at most, "
            f"{memory['middle']:.0f} in the middle, {memory['end']:.0f} at the end "
            f"({memory['slope_per_minute']:+.1f} per minute)"
        )
    if found["processors"] is not None:
        lines.append(
            f"  processors in use: {found['processors']:.2f} by the server, "
            f"{found['driver_processors']:.2f} by the load test"
        )
    return lines
