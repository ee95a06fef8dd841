"""Preview, apply and the rest of a session on a project of N images, and what many sessions cost.

The project is made for the measurement: concept-like vectors of 584 words, 20 classes of 2 to 10 % positives,
ground truth for all, a third held out, so that a preview has all to do that it can have: refit, metrics
against teacher and truth, bootstrap. Wall-clock and processor time are both told; on a busy machine the
second is the fairer one.
"""

import argparse
import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output
    from inficond.core.facade import Project
    from inficond.core.sessions.session import Session

SUMMARY = "preview, apply and suggestions at N images; memory of a session"
CONCEPTS, CLASSES = 584, 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's arguments."""
    parser.add_argument("--images", type=int, default=5000, metavar="N", help="images (default 5000)")
    parser.add_argument(
        "--events", type=int, default=60, metavar="N", help="events of each kind (default 60)"
    )
    parser.add_argument("--sessions", type=int, default=200, metavar="N", help="sessions (default 200)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if args.images < 500 or args.events < 5 or args.sessions < 1:
        raise InputError("--images must be at least 500, --events at least 5, --sessions at least 1")
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project", args.images)
        result = measure(project, args.events, args.sessions)
    out.say(f"{args.images:,} images, {CONCEPTS} concepts, {CLASSES} classes; milliseconds")
    out.say(f"{'':<24}{'median':>10}{'p95':>10}{'processor':>12}")
    for name, ms in result["milliseconds"].items():
        out.say(f"{name:<24}{ms['median']:>10.1f}{ms['p95']:>10.1f}{ms['processor']:>12.1f}")
    out.say(f"memory of a session: {result['session_kilobytes']:.0f} kB (mean of {args.sessions})")
    out.result({"images": args.images, **result})
    return 0


def make_project(folder: Path, n: int, seed: int = 0) -> "Project":
    """A project of n images whose arrays look like a real one's."""
    from inficond.core.facade import Project
    from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
    from inficond.core.students.distil import distil

    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(n, 40)).astype(np.float32)
    mixed = topics @ rng.normal(size=(40, CONCEPTS)).astype(np.float32) / 6
    X = np.maximum(0, 0.22 + 0.03 * (mixed + rng.normal(size=(n, CONCEPTS)))).astype(np.float32)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    W = np.zeros((CONCEPTS, CLASSES), np.float32)
    for c in range(CLASSES):
        W[rng.choice(CONCEPTS, 20, replace=False), c] = rng.normal(size=20)
    logits = Z @ W
    logits = 3 * logits / logits.std(axis=0)
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


def measure(project: "Project", events: int, sessions: int) -> dict[str, Any]:
    """Time every kind of event on steps drawn at random, then count bytes."""
    from inficond.core.tuning.actions import Action

    rng = np.random.default_rng(1)
    session = project.session()
    main = project.session("main")

    def step(at: "Session") -> tuple[str, list[Action]]:
        cls = str(rng.choice(at.classes))
        used = np.flatnonzero(at.state.classes[cls].weights)
        kind = str(rng.choice(["up", "down", "mute"]))
        return cls, [Action(kind, at.concepts[int(rng.choice(used))])]

    session.preview(*step(session))  # compiled code and shared arrays
    kinds: dict[str, Callable[[], Any]] = {
        "preview": lambda: session.preview(*step(session)),
        "preview with focus": lambda: session.preview(*step(session), focus="missed"),
        "apply": lambda: session.apply(*step(session)),
        "apply, kept on disk": lambda: main.apply(*step(main)),
        "undo": lambda: (session.undo(), session.redo()),
        "metrics of a class": lambda: session.metrics(step(session)[0]),
        "influence of a class": lambda: session.influence(step(session)[0]),
    }
    result: dict[str, Any] = {"milliseconds": {name: timed(call, events) for name, call in kinds.items()}}
    few = max(3, events // 10)
    result["milliseconds"]["slices"] = timed(lambda: session.slices(step(session)[0]), few)
    result["milliseconds"]["suggestions"] = timed(lambda: session.suggest(step(session)[0]), few)
    result["session_kilobytes"] = kilobytes_of_a_session(project, sessions, step)
    return result


def kilobytes_of_a_session(
    project: "Project", sessions: int, step: Callable[["Session"], tuple[str, Any]]
) -> float:
    """What a session holds after three steps, the caches that all share left out."""
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
    """Median and 95th percentile of the wall clock, median of the processor's, in milliseconds."""
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
    }
