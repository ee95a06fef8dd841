"""Benchmark of tuning: previews, steps and suggestions on projects of N images, and memory per session.

The projects are synthetic: concept vectors of 584 words that resemble real ones, 20 classes with 2 to 10 % of
positives, labels for all images, a third held out. A preview then does everything that it can do: refit,
metrics compared with teacher and labels, bootstrap. Wall-clock and processor time are reported; on a busy
machine, processor time is the fairer one.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
import tracemalloc
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.atomic_io import replacing
from inficond.core.bench.recorded import code_digest, commit_of, markers, parts_around, replace_table
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output
    from inficond.core.facade import Project
    from inficond.core.sessions.session import Session

SUMMARY = "previews, steps and suggestions at N images; memory per session"
CONCEPTS, CLASSES = 584, 20
TABLE = "bench tuning"
"""Name of the markers around the table in a document."""
TIMED = ("cache.py", "evaluation", "solver", "tuning")
"""Modules of `inficond.core` whose code the recorded figures belong to."""
BLOCK = 8192
"""Images generated at a time."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument(
        "--images", type=int, nargs="+", default=[5000], metavar="N", help="numbers of images (default 5000)"
    )
    parser.add_argument(
        "--events", type=int, default=60, metavar="N", help="events of each kind (default 60)"
    )
    parser.add_argument("--sessions", type=int, default=200, metavar="N", help="sessions (default 200)")
    parser.add_argument(
        "--write", type=Path, metavar="FILE",
        help="put the table into a Markdown file, between its markers, and the figures into JSON beside it",
    )  # fmt: skip


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if min(args.images) < 500 or args.events < 5 or args.sessions < 1:
        raise InputError("--images must be at least 500, --events at least 5, --sessions at least 1")
    if args.write is not None:
        parts_around(args.write, markers(TABLE))  # a missing marker is found before minutes of work
    results = []
    for images in args.images:
        with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
            result = {"images": images, **measure(make_project(Path(folder) / "project", images), args)}
        results.append(result)
        out.say(f"{images:,} images, {CONCEPTS} concepts, {CLASSES} classes; milliseconds")
        out.say(f"{'':<24}{'median':>10}{'p95':>10}{'processor':>12}{'p95':>10}")
        for name, ms in result["milliseconds"].items():
            out.say(
                f"{name:<24}{ms['median']:>10.1f}{ms['p95']:>10.1f}{ms['processor']:>12.1f}"
                f"{ms['processor_p95']:>10.1f}"
            )
        out.say(f"memory per session: {result['session_kilobytes']:.0f} kB (mean of {args.sessions})")
        cache = result["cache"]
        out.say(f"cache: {cache['size'] / 2**20:,.0f} MB in use, budget {cache['budget'] / 2**20:,.0f} MB")
    if args.write is not None:
        run_of = {"commit": commit_of(), "code": code_digest(TIMED), "sizes": results}
        with replacing(args.write.with_suffix(".json")) as file:
            file.write(json.dumps(run_of, indent=1).encode() + b"\n")
        replace_table(args.write, markers(TABLE), table_of(run_of))
        out.say(f"written to {args.write} and {args.write.with_suffix('.json').name}")
    out.result(results[0] if len(results) == 1 else {"sizes": results})
    return 0


def table_of(recorded: Mapping[str, Any]) -> list[str]:
    """Return the lines of the Markdown table of a recorded run: processor time in ms, median and p95."""
    sizes = recorded["sizes"]
    lines = [
        "| | " + " | ".join(f"{one['images']:,} images" for one in sizes) + " |",
        "|---" * (1 + len(sizes)) + "|",
    ]
    for name in sizes[0]["milliseconds"]:
        times = [one["milliseconds"][name] for one in sizes]
        cells = [f"{t['processor']:,.0f}, {t['processor_p95']:,.0f}" for t in times]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    memory = [f"{one['session_kilobytes']:.0f} kB" for one in sizes]
    caches = [
        f"{one['cache']['size'] / 2**20:,.0f} · {one['cache']['pinned'] / 2**20:,.0f} MB" for one in sizes
    ]
    return [
        *lines,
        "| memory per session | " + " | ".join(memory) + " |",
        "| cache in use · pinned | " + " | ".join(caches) + " |",
        "",
        f"Measured on commit `{recorded['commit'][:10]}`{recorded['commit'][40:]}.",
    ]


def make_project(folder: Path, n: int, seed: int = 0) -> "Project":
    """Create a synthetic project of n images; generated in blocks, since n may be large."""
    from inficond.core.facade import Project
    from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
    from inficond.core.students.distil import distil

    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(40, CONCEPTS)).astype(np.float32) / 6
    X = np.empty((n, CONCEPTS), np.float32)
    for start in range(0, n, BLOCK):
        rows = X[start : start + BLOCK]
        topics = rng.standard_normal((len(rows), 40), np.float32)
        rows[:] = rng.standard_normal(rows.shape, np.float32)
        rows += topics @ mixing
        rows *= 0.03
        rows += 0.22
        np.maximum(rows, 0, out=rows)
    W = np.zeros((CONCEPTS, CLASSES), np.float32)
    for c in range(CLASSES):
        W[rng.choice(CONCEPTS, 20, replace=False), c] = rng.normal(size=20)
    W /= X[:BLOCK].std(axis=0)[:, None]
    logits = X @ W
    logits -= logits.mean(axis=0)
    logits *= 3 / logits.std(axis=0)
    bar = [np.quantile(logits[:, c], 1 - share) for c, share in enumerate(np.linspace(0.02, 0.1, CLASSES))]
    T = 1 / (1 + np.exp(-3 * (logits - np.array(bar)) - rng.normal(size=logits.shape)))
    held_out = rng.random(n) < 1 / 3
    concepts = [f"concept {i}" for i in range(CONCEPTS)]
    classes = [f"class {i}" for i in range(CLASSES)]
    students, _ = distil(X[~held_out], T[~held_out], classes, concepts)
    write_project(
        folder,
        ProjectContents(
            images=[f"{i}.jpg" for i in range(n)],
            T=T.astype(np.float32),
            concepts=concepts,
            classes=classes,
            is_validation=held_out,
            students=students,
            labels=(T > 0.5).astype(np.float32),
        ),
        [ImageBlock(X=X)],
    )
    return Project.open(folder)


def measure(project: "Project", args: argparse.Namespace) -> dict[str, Any]:
    """Time every kind of event on random steps, then measure the memory of sessions."""
    from inficond.core.tuning.actions import Action

    rng = np.random.default_rng(1)
    session, main = project.session(), project.session("main")

    def step(at: "Session") -> tuple[str, list[Action]]:
        cls = str(rng.choice(at.classes))
        used = np.flatnonzero(at.state.classes[cls].weights)
        kind = str(rng.choice(["up", "down", "mute"]))
        return cls, [Action(kind, at.concepts[int(rng.choice(used))])]

    session.preview(*step(session))  # compiles kernels and fills the cache
    kinds: dict[str, Callable[[], Any]] = {
        "preview": lambda: session.preview(*step(session)),
        "preview with focus": lambda: session.preview(*step(session), focus="missed"),
        "apply": lambda: session.apply(*step(session)),
        "apply, written to disk": lambda: main.apply(*step(main)),
        "undo and redo": lambda: (session.undo(), session.redo()),
        "metrics of a class": lambda: session.metrics(step(session)[0]),
        "influence of a class": lambda: session.influence(step(session)[0]),
    }
    result = {name: timed(call, args.events) for name, call in kinds.items()}
    few = max(3, args.events // 10)
    result["slices"] = timed(lambda: session.slices(step(session)[0]), few)
    result["suggestions"] = timed(lambda: session.suggest(step(session)[0]), few)
    usage = session.workspace.cache.usage
    return {
        "milliseconds": result | measure_added_word(project, step, args.events),
        "session_kilobytes": kilobytes_of_a_session(project, args.sessions, step),
        "cache": {"size": usage.size, "pinned": usage.pinned, "budget": usage.budget},
    }


def measure_added_word(
    project: "Project", step: Callable[["Session"], tuple[str, Any]], events: int
) -> dict[str, dict[str, float]]:
    """Time adding a concept, and previews after it, on a workspace that makes columns of words.

    The synthetic project has no regions: a word's column is a noisy mean of three concepts.
    """
    from inficond.core.tuning.concepts import added
    from inficond.core.tuning.workspace import Workspace

    X = np.asarray(project.X)

    def column(word: str) -> np.ndarray:
        rng = np.random.default_rng(zlib.crc32(word.encode()))
        mean = X[:, rng.choice(CONCEPTS, 3, replace=False)].mean(axis=1)
        return np.maximum(0, mean + 0.02 * rng.standard_normal(len(X), np.float32))

    session = project.session()
    given = session.workspace
    session.context.workspace = Workspace(
        given.students, given.X, given.T, given.is_validation, image_ids=given.image_ids,
        concept_groups=session.concept_groups, labels=given.labels, column=column,
    )  # fmt: skip
    try:
        workspace = session.context.workspace
        state = workspace.root
        words = iter(f"word {i}" for i in range(1000))
        found = {"add a concept": timed(lambda: added(workspace, state, next(words)), 3)}
        visit = project.session()
        visit.add_concept("word 0")
        visit.preview(*step(visit))
        found["preview after it"] = timed(lambda: visit.preview(*step(visit)), events)
    finally:
        session.context.workspace = given
    return found


def kilobytes_of_a_session(
    project: "Project", sessions: int, step: Callable[["Session"], tuple[str, Any]]
) -> float:
    """Return the memory of a session after three steps, without the shared cache."""
    cache = project.session().workspace.cache
    cache.clear()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    visitors = [project.session() for _ in range(sessions)]
    for visitor in visitors:
        for _ in range(3):
            visitor.apply(*step(visitor))
    cache.clear()
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return grown / sessions / 1e3


def timed(call: Callable[[], Any], events: int) -> dict[str, float]:
    """Return median and 95th percentile of wall-clock time and of processor time, in milliseconds."""
    wall, processor = [], []
    for _ in range(events):
        a, b = time.perf_counter(), time.process_time()
        call()
        wall.append(1e3 * (time.perf_counter() - a))
        processor.append(1e3 * (time.process_time() - b))
    return {
        "median": statistics.median(wall),
        "p95": float(np.quantile(wall, 0.95)),
        "processor": statistics.median(processor),
        "processor_p95": float(np.quantile(processor, 0.95)),
    }
