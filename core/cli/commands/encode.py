"""Encode one part of a plan, for batch systems and clusters.

`inficond distill … --plan PLAN` writes the plan. Each part is encoded by a process of its own, at the same
time or one after the other, on any machine that has the images and the models. `inficond merge PLAN` builds
the project. A part that is run again encodes only what is missing.

examples:
  inficond distill PHOTOS --out pets --plan pets.plan
  inficond encode pets.plan --part 3/64
  inficond encode pets.plan --part $SLURM_ARRAY_TASK_ID/64 --store /scratch/pets
  inficond merge pets.plan --store /scratch/pets
"""

import argparse
import re

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output, progress_line
from inficond.core.errors import InputError

SUMMARY = "encode one part of a plan, for batch systems and clusters"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add("plan", type=given_path, metavar="PLAN", help="the file that `inficond distill … --plan` wrote")
    add("--part", required=True, metavar="I/N", help="part I of N, counted from 1")
    add_worker_options(parser)


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that belong to a process, not to the plan."""
    add = parser.add_argument
    add("--store", metavar="DIR|URL", help="folder or URL of the shards (default: in the project folder)")
    add("--provider", default="auto", metavar="P", help="execution provider: auto (default), cpu, cuda, …")
    add("--workers", type=int, metavar="N", help="threads for decoding and encoding (default: one per core)")
    add("--network", action="store_true", help="images and models of the plan may be on other machines")
    add("--no-cache", action="store_true", help="encode every image, also those in `inficond cache`")


def run(args: argparse.Namespace, out: Output) -> int:
    """Encode the part and print how many images were encoded."""
    from inficond.core.pipeline.plan import encode_part, open_worker, read_plan, store_of

    number, parts = _part(args.part)
    plan = read_plan(args.plan, args.network)
    folder = args.store or plan.store
    with progress_line(out) as progress:
        worker = open_worker(plan, progress, provider=args.provider, cache=not args.no_cache)
        store = store_of(worker.encoding, folder)
        encoded, reused = encode_part(plan, number, parts, worker, store, progress, args.workers)
    done = f"{encoded:,} images encoded, {reused:,} finished before"
    out.say(f"part {number}/{parts}: {done}; shards in {folder}")
    out.result({"part": number, "parts": parts, "encoded": encoded, "reused": reused, "store": str(folder)})
    return 0


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(f"--part: {text!r:.40} is not a part; use 1/8, 2/8, … 8/8")
    return int(found[1]), int(found[2])
