"""Benchmark of encoding: the pipeline from files to regions and thumbnails, compared with bare sessions.

Bare sessions run the same graphs on pixels in memory, as one call at a time on all cores, and as one
single-threaded call per core. Rounds of the three alternate, so that other load affects all of them, and
medians over rounds are compared. Processor time per image is also reported, since it does not depend on other
load.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "images/s and memory of encoding, compared with bare sessions"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--images", metavar="IMAGES", help="photographs to use (default: generated JPEGs of 500×375)")
    add("--encoder", default="embedded", metavar="E", help="as for distill")
    add("--teacher", default="embedded", metavar="T", help="as for distill; `none` leaves it out")
    add("--provider", default="auto", metavar="P", help="as for distill")
    add("--number", type=int, default=256, metavar="N", help="images a round (default 256)")
    add("--rounds", type=int, default=5, metavar="N", help="rounds of each (default 5)")
    add("--workers", type=int, metavar="N", help="threads of the pipeline (default: every core)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if args.number < 16 or args.rounds < 1:
        raise InputError("--number must be at least 16 and --rounds at least 1")
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(args, Path(scratch))
    out.say(f"encoder {result['encoder']}, teacher {result['teacher']}, {result['provider']}")
    out.say(f"{result['cores']} cores, {result['number']} images a round, {result['rounds']} rounds")
    for name, speed in result["images_per_second"].items():
        used = result["processor_ms"][name]
        out.say(f"  {name:40} {speed:8.1f} images/s   {used:6.2f} ms of processor time per image")
    for name, value in result["share_of_bare"].items():
        out.say(f"  pipeline / {name:29} {value:8.2f}")
    out.say(f"  of one image: {', '.join(f'{k} {v:.2f} ms' for k, v in result['milliseconds'].items())}")
    out.say(f"  peak memory of the process {result['peak_memory'] / 2**20:.0f} MB")
    out.result(result)
    return 0


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Run all rounds; see the module."""
    from inficond.core.images import find_images, make_thumbnail
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.hardware import available_cores, peak_memory
    from inficond.core.models.teacher import load_teacher
    from inficond.core.pipeline.encode import Encoding
    from inficond.core.pipeline.shards import SourceFile

    cores = args.workers or available_cores()
    found = find_images(args.images or generated(scratch, args.number))
    sources = [SourceFile.of(found[i % len(found)]) for i in range(args.number)]
    wide = [load_encoder(args.encoder, args.provider, threads=cores)]
    narrow: list[Any] = [load_encoder(args.encoder, args.provider, threads=1)]
    if args.teacher != "none":
        wide.append(load_teacher(args.teacher, args.provider, threads=cores))  # type: ignore[arg-type]
        narrow.append(load_teacher(args.teacher, args.provider, threads=1))
    encoding = Encoding(narrow[0], narrow[1] if len(narrow) > 1 else None)
    pictures = [s.file.open().image for s in sources[: encoding.batch]]
    batches = [np.stack([m.preprocess(p) for p in pictures]) for m in narrow]
    calls = args.number // encoding.batch

    def one_at_a_time() -> None:
        for _ in range(calls):
            for model, batch in zip(wide, batches):
                _call(model, batch)

    def side_by_side() -> None:
        def carry(_: int) -> None:
            for model, batch in zip(narrow, batches):
                _call(model, batch)

        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(carry, range(calls)))

    def pipeline() -> None:
        whole = (sources[i : i + encoding.batch] for i in range(0, calls * encoding.batch, encoding.batch))
        for batch in encoding.stream(whole, cores):
            if batch.skipped:
                raise InputError(f"{batch.skipped[0][0]}: {batch.skipped[0][1]}")

    kinds: dict[str, Callable[[], None]] = {
        "bare session, all cores in one call": one_at_a_time,
        "bare session, a call on each core": side_by_side,
        "pipeline: decode, resize, run, thumbnail": pipeline,
    }
    speeds, processor = _rounds(kinds, calls * encoding.batch, args.rounds)
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    names = list(kinds)
    first = [
        _each(lambda s: s.file.open(encoding.at_least), sources[:32]),
        *(_each(m.preprocess, pictures) for m in narrow),
        _each(make_thumbnail, pictures),
    ]
    steps = ["decode", "encoder's resize", *(["teacher's resize"] if len(narrow) > 1 else []), "thumbnail"]
    parts = dict(zip(steps, first))
    return {
        "encoder": narrow[0].name,
        "teacher": narrow[1].name if len(narrow) > 1 else "none",
        "provider": narrow[0].provider,
        "cores": cores,
        "number": calls * encoding.batch,
        "rounds": args.rounds,
        "images_per_second": medians,
        "all_rounds": speeds,
        "processor_ms": {name: statistics.median(values) for name, values in processor.items()},
        "share_of_bare": {
            name: statistics.median(p / b for p, b in zip(speeds[names[2]], speeds[name]))
            for name in names[:2]
        },
        "milliseconds": parts,
        "peak_memory": peak_memory() or 0,
    }


def _call(model: Any, batch: np.ndarray) -> None:
    """Return a bare session of ONNX Runtime."""
    model.session.run({next(iter(model.session.inputs)): batch})


def _rounds(
    kinds: dict[str, Callable[[], None]], number: int, rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return images per second and milliseconds of processor time per image, by kind and round.

    One round more, unmeasured, comes first.
    """
    speeds: dict[str, list[float]] = {name: [] for name in kinds}
    processor: dict[str, list[float]] = {name: [] for name in kinds}
    for turn in range(rounds + 1):
        for name, work in kinds.items():
            start, used = time.perf_counter(), time.process_time()
            work()
            if turn:
                speeds[name].append(number / (time.perf_counter() - start))
                processor[name].append(1e3 * (time.process_time() - used) / number)
    return speeds, processor


def _each(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the median time of an item in milliseconds."""
    times = []
    for item in items:
        start = time.perf_counter()
        work(item)
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def generated(folder: Path, number: int) -> Path:
    """Return JPEGs of 500×375 pixels with noise of all scales, as detailed as photographs."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(min(number, 64)):
        pixels = np.zeros((375, 500, 3))
        for scale in (4, 16, 64):
            noise = rng.normal(0, 12 * scale**0.35, (375 // scale + 2, 500 // scale + 2, 3))
            pixels += np.kron(noise, np.ones((scale, scale, 1)))[:375, :500]
        Image.fromarray(np.clip(pixels + 128, 0, 255).astype(np.uint8)).save(
            folder / f"{i:03d}.jpg", quality=88
        )
    return folder
