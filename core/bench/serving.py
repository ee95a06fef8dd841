"""Load test of the scheduler: many clients of one encoder, some with corrupt pictures.

Each client sends an encoded picture and waits for its regions; one in a hundred pictures is truncated or
scrambled. Expected: every valid picture is answered, every corrupt one refused, and memory is constant after
the first tenth of the run.
"""

import argparse
import io
import resource
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "many clients of one encoder, 1 % corrupt pictures: p95, memory, failures"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add = parser.add_argument
    add("--images", metavar="IMAGES", help="photographs to send (default: generated JPEGs)")
    add("--encoder", default="embedded", metavar="E", help="as for distill")
    add("--provider", default="auto", metavar="P", help="as for distill")
    add("--requests", type=int, default=10_000, metavar="N", help="requests in all (default 10000)")
    add("--clients", type=int, default=32, metavar="N", help="at once (default 32)")
    add(
        "--corrupt",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="share of corrupt pictures (default 0.01)",
    )
    add("--batch", type=int, default=8, metavar="N", help="most pictures in a batch (default 8)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if args.requests < 100 or args.clients < 1 or not 0 <= args.corrupt < 1:
        raise InputError("--requests must be at least 100, --clients at least 1 and --corrupt in [0, 1)")
    result = measure(args)
    sent = (
        f"{result['requests']} requests from {result['clients']} clients, {result['corrupt']} of them corrupt"
    )
    out.say(f"{sent}, encoder {result['encoder']} on {result['provider']}")
    out.say(f"  answered {result['answered']}, refused {result['refused']}, lost {result['lost']}")
    out.say(
        f"  {result['per_second']:.1f} images/s; p50 {1e3 * result['p50']:.0f} ms, p95 "
        f"{1e3 * result['p95']:.0f} ms"
    )
    out.say(f"  {result['mean_batch']:.1f} pictures a batch; memory {result['memory_start'] / 2**20:.0f} MB"
            f" after a tenth, {result['memory_end'] / 2**20:.0f} MB at the end")  # fmt: skip
    out.say(f"  health: {'ok' if result['health']['ok'] else result['health']['reason']}")
    out.result(result)
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Run the load test; see the module."""
    from dataclasses import asdict

    from inficond.core.images import UnreadableImage, find_images, open_picture
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.scheduler import Scheduler

    encoder = load_encoder(args.encoder, args.provider)
    pictures = sound_pictures(args.images, find_images)
    every = round(1 / args.corrupt) if args.corrupt else 0
    rng = np.random.default_rng(0)
    broken = [scrambled(p, rng, open_picture, UnreadableImage) for p in pictures[:8]]

    def prepare(body: bytes) -> np.ndarray:
        return encoder.preprocess(open_picture(io.BytesIO(body), encoder.preprocess.at_least).image)

    memory: list[int] = []
    waits: list[float] = []
    with Scheduler(encoder.encode, prepare, batch_size=args.batch) as scheduler:

        def client(number: int) -> Counter[str]:
            said: Counter[str] = Counter()
            for i in range(number, args.requests, args.clients):
                bad = bool(every) and i % every == every - 1
                began = time.perf_counter()
                try:
                    row = scheduler.ask(
                        broken[i % len(broken)] if bad else pictures[i % len(pictures)], timeout=600
                    )
                    waits.append(time.perf_counter() - began)
                    said["answered" if not bad and np.isfinite(row.regions).all() else "lost"] += 1
                except UnreadableImage:
                    said["refused" if bad else "lost"] += 1
                except Exception:
                    said["lost"] += 1
                if i % 97 == 0:
                    memory.append(resident())
            return said

        began = time.perf_counter()
        with ThreadPoolExecutor(args.clients) as pool:
            total: Counter[str] = sum(pool.map(client, range(args.clients)), Counter())
        seconds = time.perf_counter() - began
        health = scheduler.health()
    tenth = max(1, len(memory) // 10)
    return {
        "encoder": encoder.name,
        "provider": encoder.provider,
        "requests": args.requests,
        "clients": args.clients,
        "corrupt": args.requests // every if every else 0,
        "answered": total["answered"],
        "refused": total["refused"],
        "lost": total["lost"],
        "per_second": args.requests / seconds,
        "p50": float(np.quantile(waits, 0.5)),
        "p95": float(np.quantile(waits, 0.95)),
        "mean_batch": health.answered / max(1, health.batches),
        "memory_start": int(statistics.median(memory[tenth : 2 * tenth] or memory)),
        "memory_end": int(statistics.median(memory[-tenth:])),
        "health": asdict(health),
    }


def resident() -> int:
    """Return the memory of this process in bytes; its peak if the system does not report it."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def sound_pictures(images: str | None, find_images: Any) -> list[bytes]:
    """Return up to 200 encoded pictures."""
    if images is not None:
        files = find_images(images)
        step = max(1, len(files) // 200)
        return [f.data() for f in files[::step][:200]]
    import tempfile

    from inficond.core.bench.encode import generated

    with tempfile.TemporaryDirectory() as folder:
        generated(Path(folder), 32)
        return [p.read_bytes() for p in sorted(Path(folder).iterdir())]


def scrambled(
    picture: bytes, rng: np.random.Generator, open_picture: Any, unreadable: type[Exception]
) -> bytes:
    """Return a picture that cannot be decoded: truncated, and with an invalid header if necessary."""
    body = bytearray(picture[: len(picture) // 3])
    while True:
        try:
            open_picture(io.BytesIO(bytes(body)))
        except unreadable:
            return bytes(body)
        body[int(rng.integers(0, min(64, len(body))))] ^= int(rng.integers(1, 256))
