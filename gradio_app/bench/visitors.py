"""Many visitors tuning at once on one page: waiting times, errors, wrong answers, memory.

The page runs in a process of its own (`inficond launch`), bound to as many processors as it would have;
visitors speak HTTP with it as a browser does (several requests for an action, the slow parts of the views
beside it). Afterwards every answer is held against core itself: a reference session in this process is led
through the same steps. An answer that another visitor's tuning had touched would differ. The driver runs on
the same machine, so a waiting time here is an upper bound. Linux tells memory; elsewhere it is left out.
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
from inficond.gradio_app.bench.page_process import Memory, page_process, processor_seconds
from inficond.gradio_app.bench.response_checks import check_against_core

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "many visitors tuning at once on one page: p95, errors, wrong answers, memory"
MOST_VISITORS, MOST_MINUTES = 500, 60.0
SWITCH = 1500.0
"""Milliseconds: 95 % of class switches must be faster."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's arguments."""
    add = parser.add_argument
    add("--visitors", type=int, default=30, metavar="N", help="at once (default 30)")
    add("--minutes", type=float, default=5.0, metavar="M", help="how long (default 5)")
    add("--mix", default="tuning", metavar="NAME", help=f"what they do: {', '.join(MIXES)} (default tuning)")
    add("--project", metavar="DIR", help="on this project instead of the demo")
    add("--cpus", type=int, default=2, metavar="N", help="processors of the server (default 2)")
    add("--check", type=float, default=1.0, metavar="SHARE", help="share of visitors checked (default 1)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if not 1 <= args.visitors <= MOST_VISITORS:
        raise InputError(f"--visitors must lie in 1 … {MOST_VISITORS}")
    if not 0 < args.minutes <= MOST_MINUTES:
        raise InputError(f"--minutes must lie above 0 and at most {MOST_MINUTES:g}")
    if args.mix not in MIXES:
        raise unknown("mix", args.mix, list(MIXES))
    if args.cpus < 1 or not 0 <= args.check <= 1:
        raise InputError("--cpus must be at least 1 and --check lie in 0 … 1")
    with tempfile.TemporaryDirectory() as scratch:
        folder = _copy(args.project, Path(scratch))
        with page_process(folder, _processors(args.cpus), Path(scratch) / "log") as page:
            found = visit(
                page.url, page.pid, folder, MIXES[args.mix], args.visitors, 60 * args.minutes, args.check
            )
            found["log"] = (Path(scratch) / "log").read_text(errors="replace")[-2000:]
    for line in told(found):
        out.say(line)
    out.result(found)
    return 0


def _copy(project: str | None, scratch: Path) -> Path:
    """A copy of a project, without anybody's tuning."""
    if project is None:
        from inficond.core.demo import demo_project

        source = demo_project()
    else:
        from inficond.core import Project

        source = Project.open(project).path
    return shutil.copytree(source, scratch / "project", ignore=shutil.ignore_patterns("history.sqlite*"))


def _processors(n: int) -> list[int] | None:
    """The first of those that this process may use; None where the system does not tell."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[:n]


def sample_images(folder: Path, n: int = 12) -> list[tuple[str, bytes]]:
    """Thumbnails of a project, as images that visitors may try."""
    from inficond.core import Project

    project = Project.open(folder)
    rows = np.linspace(0, len(project) - 1, min(n, len(project))).astype(int)
    return [(f"own-{row}.jpg", Path(project.thumbnail(int(row))).read_bytes()) for row in rows]


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
    """Send visitors to a page, and hold its answers against core.

    Parameters
    ----------
    url : str
        Of the page, on loopback.
    pid : int or None
        Of its process, whose memory is watched.
    folder : Path
        The project that it serves.
    mix : Mix
        What they do.
    visitors : int
    seconds : float
        They arrive during the first tenth of it (10 s at most).
    check : float
        Share of visitors whose answers are checked, in [0, 1].
    pictures : sequence of (str, bytes), optional
        Image files that they may upload; some of the project's thumbnails by default.

    Returns
    -------
    dict
        ``waits`` {kind: n, p50, p95, p99, most in milliseconds}, ``slow`` the same of the parts that are read
        beside; ``put_off`` (searches that were told to ask again later), ``errors`` (count), ``problems``
        {line: count}, ``checked``, ``wrong`` (counts), ``wrong_answers`` (lines), ``memory`` (MB; see
        `Memory.summary`), ``processors`` (the server's mean).

    Raises
    ------
    InputError
        The address is not this machine's, or nobody could enter.
    """
    pictures = sample_images(folder) if pictures is None else pictures
    began = time.monotonic()
    visits = [Visit(i, PageClient(url), began, pictures) for i in range(visitors)]
    arrive = min(10.0, seconds / 10)
    end = began + seconds
    watched = Memory(pid or os.getpid())
    used, own = processor_seconds(pid) if pid else None, time.process_time()
    with watched:
        threads = [
            threading.Thread(target=_live, args=(v, mix, began + arrive * i / visitors, end), daemon=True)
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
        "memory": watched.summary() if pid else None,
        "processors": None if used is None or spent is None else (spent - used) / took,
        "driver_processors": own / took,
    }


def _live(visit: Visit, mix: Mix, arrives: float, end: float) -> None:
    """One visitor from the first page to the last action."""
    time.sleep(max(0.0, arrives - time.monotonic()))
    beside = threading.Thread(target=visit.beside, daemon=True)
    names, weights = list(mix.actions), list(mix.actions.values())
    try:
        visit.enter()
        beside.start()
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, visit.random.uniform(*mix.think)))
            if time.monotonic() < end and visit.classes:
                ACTIONS[visit.random.choices(names, weights)[0]](visit)
    except Exception as error:  # a fault of the driver must be seen, not end as one visitor fewer
        visit.log.append(Exchange("driver", 0, 0, f"driver: {type(error).__name__}: {error}"))
    finally:
        visit.leave()
        if beside.is_alive():
            beside.join()


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
        "waits": {kind: _spread(s) for kind, s in sorted(waits.items())},
        "slow": {kind: _spread(s) for kind, s in sorted(slow.items())},
        "put_off": sum(v.put_off for v in visits),
        "errors": sum(problems.values()),
        "problems": dict(problems.most_common(20)),
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    """Milliseconds."""
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


def told(found: Mapping[str, Any]) -> list[str]:
    """The result for people."""
    lines = [
        f"{found['visitors']} visitors, {found['seconds']:.0f} s, {found['requests']:,} requests, "
        f"{found['errors']} errors, {found['wrong']} wrong of {found['checked']:,} answers checked"
    ]
    if found["put_off"]:
        lines.append(f"  {found['put_off']:,} searches were told to ask again later")
    lines += [f"  {n} x {line}" for line, n in found["problems"].items()]
    lines += [f"  {line}" for line in found["wrong_answers"]]
    lines.append("  milliseconds                 n     p50     p95     p99    most")
    for group in ("waits", "slow"):
        for kind, w in found[group].items():
            row = "".join(f"{w[k]:8.0f}" for k in ("p50", "p95", "p99", "most"))
            bound = f"   (p95 at most {SWITCH:g}{'' if w['p95'] <= SWITCH else ', missed'})"
            lines.append(f"  {kind:22} {w['n']:7}{row}{bound if kind == 'class switch' else ''}")
    memory = found["memory"]
    if memory:
        lines.append(
            f"  memory of the server: {memory['start']:.0f} MB at first, {memory['most']:.0f} at most, "
            f"{memory['middle']:.0f} half-way, {memory['end']:.0f} at the end "
            f"({memory['slope_per_minute']:+.1f} a minute)"
        )
    if found["processors"] is not None:
        lines.append(
            f"  processors in use: {found['processors']:.2f} by the server, "
            f"{found['driver_processors']:.2f} by the driver"
        )
    return lines
