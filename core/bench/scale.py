"""Benchmark of growth: processor time and memory of what people do, at several numbers of images.

Each number of images gets a project with 20 classes and the words of the built-in corpus, built from
generated shards (`scale_data`) by the ordinary build without pixels. Building runs in one process, everything
else in another, so that each has its own peak memory and reads the files as a new process does. The first of
both has an empty cache of the user. In a third process with an empty cache, as on another machine, the first
typed word embeds all words of the project.
The exponent of a step is the slope of log time by log images, over all sizes and between the two largest; 1
is linear growth. Processor time is that of all threads of the process.

With `--steps`, histories of these numbers of steps on the demo project are measured instead: a tree whose
branches of ten steps hang from the root, saved as a visit.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.recorded import commit_of, markers, parts_around, replace_table
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "growth of building, opening, previews, suggestions and reports with the number of images"
WORD = "zeppelin"
"""The added word, which the built-in corpus lacks."""
LEAST = 1000
TABLE = "bench scale"
"""Name of the markers around the table in a document."""
MEMORY = ("peak memory of the build", "peak memory of the rest")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    sizes = [20_000, 60_000, 100_000, 300_000]
    add("--images", type=int, nargs="+", default=sizes, metavar="N", help="numbers of images, ascending")
    add("--steps", type=int, nargs="+", metavar="N", help="numbers of steps of a history, ascending")
    add("--events", type=int, default=5, metavar="N", help="previews at each size (default 5)")
    add("--folder", metavar="DIR", help="where the projects are made (default: a temporary folder)")
    add(
        "--write", type=Path, metavar="FILE",
        help="put the table of --images into a Markdown file, between its markers",
    )  # fmt: skip


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    sizes = args.steps or args.images
    if len(sizes) < 2 or sizes != sorted(set(sizes)) or sizes[0] < LEAST or args.events < 1:
        raise InputError(
            f"--images and --steps must be at least two ascending numbers from {LEAST:,}, --events at least 1"
        )
    if args.write is not None:
        if args.steps:
            raise InputError("--write needs --images: it writes no table of --steps")
        parts_around(args.write, markers(TABLE))  # a missing marker is found before minutes of work
    if args.steps:
        seconds = in_process(histories, sizes)
        growth = {step: exponents(sizes, of_step) for step, of_step in seconds.items()}
        print_growth(out, sizes, seconds, growth)
        out.result({"steps": sizes, "seconds": seconds, "exponents": growth})
        return 0
    commit = commit_of()
    with tempfile.TemporaryDirectory(prefix="inficond-scale-", dir=args.folder) as folder:
        results = [measure(Path(folder) / str(n), n, args.events) for n in sizes]
    seconds = {step: [r["seconds"][step] for r in results] for step in results[0]["seconds"]}
    growth = {step: exponents(sizes, of_step) for step, of_step in seconds.items()}
    print_growth(out, sizes, seconds, growth)
    for name in MEMORY:
        out.say(f"{name + ', GB':<28}" + "".join(f"{r[name] / 1e9:>12.2f}" for r in results))
    out.say(f"{'files of the project':<28}" + "".join(f"{r['files']:>12,}" for r in results))
    if args.write is not None:
        replace_table(args.write, markers(TABLE), table_of(results, seconds, growth, commit))
        out.say(f"written to {args.write}")
    out.result({"commit": commit, "sizes": results, "exponents": growth})
    return 0


def table_of(
    results: Sequence[Mapping[str, Any]],
    seconds: Mapping[str, Sequence[float]],
    growth: Mapping[str, tuple[float, float]],
    commit: str,
) -> list[str]:
    """Return the lines of the Markdown table of projects: processor seconds, exponents, memory and files.

    Parameters
    ----------
    results : sequence of dict
        From `measure`, one for each number of images.
    seconds, growth : mapping
        Processor seconds at each size and exponents, by step.
    commit : str
        That was measured.
    """
    heads = [f"{results[0]['images']:,} images", *(f"{r['images']:,}" for r in results[1:])]
    rows = [["", *heads, "exponent", "of the last"], ["---"] * (len(heads) + 3)]
    for step, of_step in seconds.items():
        cells = [f"{value:.3f}" if value < 0.1 else f"{value:.3g}" for value in of_step]
        rows.append([step, *cells, *(f"{slope:.2f}" for slope in growth[step])])
    for name in MEMORY:
        rows.append([f"{name}, GB", *(f"{r[name] / 1e9:.2f}" for r in results), "", ""])
    rows.append(["files of the project", *(f"{r['files']:,}" for r in results), "", ""])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines[1] = lines[1].replace(" ", "")
    return [*lines, "", f"Measured on commit `{commit[:10]}`{commit[40:]}."]


def print_growth(
    out: "Output",
    sizes: Sequence[int],
    seconds: Mapping[str, Sequence[float]],
    growth: Mapping[str, tuple[float, float]],
) -> None:
    """Print the processor times of every step and their exponents."""
    heads = "".join(f"{n:>12,}" for n in sizes)
    out.say(f"{'processor seconds':<24}{heads}{'exponent':>10}{'of the last':>13}")
    for step, of_step in seconds.items():
        cells = "".join(f"{value:>12.4f}" for value in of_step)
        out.say(f"{step:<24}{cells}{growth[step][0]:>10.2f}{growth[step][1]:>13.2f}")


def exponents(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Return the slope of log seconds by log sizes, over all sizes and between the two largest.

    Examples
    --------
    >>> from inficond.core.bench.scale import exponents
    >>> [round(slope, 6) for slope in exponents([10, 20, 40], [1.0, 2.0, 8.0])]
    [1.5, 2.0]
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.maximum(np.asarray(seconds, float), 1e-4))
    return float(np.polyfit(x, y, 1)[0]), float((y[-1] - y[-2]) / (x[-1] - x[-2]))


def measure(folder: Path, n: int, events: int) -> dict[str, Any]:
    """Generate n images, build their project, and use it; each in a process of its own."""
    import shutil

    folder.mkdir(parents=True)
    in_process(generate, folder, n)
    built = in_process(build_project, folder, folder / "cache")
    shutil.rmtree(folder / "shards")
    used = in_process(use_project, folder, events, folder / "cache")
    elsewhere = in_process(first_word, folder, folder / "other cache")
    files = sum(path.is_file() for path in (folder / "project").rglob("*"))
    shutil.rmtree(folder)
    return {
        "images": n,
        "seconds": built["seconds"] | used["seconds"] | elsewhere,
        "peak memory of the build": built["memory"],
        "peak memory of the rest": used["memory"],
        "files": files,
    }


def in_process(work: Callable[..., Any], *args: Any) -> Any:
    """Return the result of a function that runs in a new process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def generate(folder: Path, n: int) -> None:
    """Write the table and the shards of n images."""
    from inficond.core.bench.scale_data import write_shards, write_table
    from inficond.core.concepts.corpus import load_corpus
    from inficond.core.models.encoder import load_encoder

    encoder = load_encoder("embedded", "cpu", threads=1)
    write_table(folder / "images.parquet", n)
    write_shards(folder / "images.parquet", folder / "shards", encoder, load_corpus(None, encoder).embeddings)


def build_project(folder: Path, cache: Path) -> dict[str, Any]:
    """Build the project from its shards; return processor time and peak memory.

    `cache` is the folder of the user's cache, also in the functions below.
    """
    os.environ["INFICOND_CACHE"] = str(cache)
    from inficond.core.concepts.corpus import load_corpus
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.hardware import peak_memory
    from inficond.core.pipeline.build import BuildOptions, build
    from inficond.core.solver import warm_up

    warm_up()
    words = load_corpus(None, load_encoder("embedded", "cpu", threads=1)).names
    options = BuildOptions(
        images=folder / "images.parquet", out=folder / "project", teacher="labels", concepts=words,
        provider="cpu",
    )  # fmt: skip
    start = time.process_time()
    build(options, shards=folder / "shards")
    return {"seconds": {"build": time.process_time() - start}, "memory": peak_memory() or 0}


def first_word(folder: Path, cache: Path) -> dict[str, float]:
    """Open the project where nothing is cached and add a word; return its processor time."""
    os.environ["INFICOND_CACHE"] = str(cache)
    from inficond.core.facade import Project
    from inficond.core.solver import warm_up

    warm_up()
    session = Project.open(folder / "project").session()
    start = time.process_time()
    session.add_concept(WORD)
    return {"add a concept, empty cache": time.process_time() - start}


def use_project(folder: Path, events: int, cache: Path) -> dict[str, Any]:
    """Open the project and take every step; return processor times and peak memory."""
    os.environ["INFICOND_CACHE"] = str(cache)
    from inficond.core.facade import Project
    from inficond.core.models.hardware import peak_memory
    from inficond.core.report import report
    from inficond.core.solver import warm_up
    from inficond.core.tuning.actions import Action

    warm_up()
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any], times: int = 1) -> Any:
        spent = []
        for _ in range(times):
            start = time.process_time()
            result = work()
            spent.append(time.process_time() - start)
        seconds[name] = statistics.median(spent)
        return result

    project = timed("open", lambda: Project.open(folder / "project"))
    session = project.session()
    rng = np.random.default_rng(1)

    def preview() -> Any:
        cls = str(rng.choice(session.classes))
        used = np.flatnonzero(session.state.classes[cls].weights)
        return session.preview(cls, [Action("up", session.concepts[int(rng.choice(used))])])

    timed("first preview", preview)
    timed("preview", preview, events)
    timed("suggestions", lambda: session.suggest(str(rng.choice(session.classes))), 2)
    timed("slices of a class", lambda: session.slices(str(rng.choice(session.classes))), 2)
    timed("add a concept", lambda: session.add_concept(WORD))
    timed("preview after it", preview, events)
    timed("report", lambda: report(project))
    return {"seconds": seconds, "memory": peak_memory() or 0}


def histories(sizes: Sequence[int]) -> dict[str, list[float]]:
    """Take steps on a copy of the demo project; return the processor times at each number of steps."""
    import shutil

    from inficond.core.demo import demo_project
    from inficond.core.facade import Project
    from inficond.core.tuning.actions import Action

    found: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        found.setdefault(name, []).append(time.process_time() - start)
        return result

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="inficond-scale-") as folder:
        copy = shutil.copytree(demo_project(), Path(folder) / "project")
        session = Project.open(copy).session()
        root = session.node

        def step(number: int) -> None:
            cls, word = (str(rng.choice(names)) for names in (session.classes, session.concepts))
            session.apply(cls, [Action("mute", word)])
            if number % 10 == 9:
                session.checkout(root)

        taken = 0
        for size in sizes:
            for number in range(taken, size):
                step(number)
            session.save()
            step(size)
            taken = size + 1
            timed("save one step", session.save)
            project = Project.open(copy)
            visit = timed("resume the visit", partial(project.session, session.token))
            timed("resume it again", partial(project.session, session.token))
            tree = timed("tree", visit.tree)
            timed("compare two nodes", partial(visit.compare, root, tree[-1].node.id))
    return found
