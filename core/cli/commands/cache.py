"""List the cache and remove entries from it.

The cache holds what models computed from images, by content, so that no image is encoded twice. It also holds
exported models and compiled engines. Everything in it is made again when it is missing. `INFICOND_CACHE`
names another folder, and `INFICOND_CACHE_LIMIT` another largest size of the encodings (default 10GB, 0 to
switch them off).

examples:
  inficond cache
  inficond cache --prune --unused 30      encodings not used for 30 days
  inficond cache --prune --keep 2GB       all but the 2 GB of encodings used most recently
  inficond cache --prune                  all encodings
"""

import argparse
import os
import time
from pathlib import Path

from inficond.core.cli.output import Output
from inficond.core.errors import InputError

ENTRIES = {"words": "lists", "probe": "probes"}
"""Name of the entries of a kind, where they are not images."""

SUMMARY = "what the cache holds; its size; removal of entries"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("--prune", action="store_true", help="remove encodings: all, or as --keep or --unused says")
    add("--keep", metavar="SIZE", help="with --prune: keep the most recently used, for example 2GB")
    add("--unused", type=float, metavar="DAYS", help="with --prune: remove those not used for so many days")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the entries of the cache, after removing some where asked to."""
    from inficond.core.models.cache_directory import cache_folder
    from inficond.core.pipeline.encoding_cache import EncodingCache, parse_size

    if not args.prune and (args.keep is not None or args.unused is not None):
        raise InputError("--keep and --unused need --prune")
    if args.keep is not None and args.unused is not None:
        raise InputError("give --keep or --unused, not both")
    if args.unused is not None and not args.unused >= 0:
        raise InputError(f"--unused must be a number of days, not {args.unused}")
    cache = EncodingCache()
    before = cache.size()
    if args.prune:
        keep = 0 if args.keep is None else parse_size(args.keep, "--keep")
        cache.prune(keep, args.unused)
    usage, problem = cache.usage(), cache.problem
    cache.close()
    size = cache.size()
    root = cache_folder()
    others = {} if not root.is_dir() else {
        entry.name: _size_of(entry)
        for entry in sorted(root.iterdir()) if entry.is_dir() and entry != cache.path.parent
    }  # fmt: skip
    if args.prune:
        out.say(f"{_readable(max(0, before - size))} removed")
    out.say(f"{root}")
    out.say(f"encodings: {_readable(size)} of at most {_readable(cache.limit)}")
    for model in usage:
        day = time.strftime("%Y-%m-%d", time.localtime(model.used))
        entries = ENTRIES.get(model.kind, "images")
        out.say(
            f"  {model.kind:9}  {model.name}: {model.images:,} {entries}, {_readable(model.bytes)}, "
            f"last used {day}"
        )
    for name, used in others.items():
        out.say(f"{name}: {_readable(used)}")
    if problem and cache.limit > 0:
        out.warn(f"the encodings cannot be read: {problem}")
    out.result(
        {
            "folder": str(root), "limit": cache.limit, "bytes": size, "removed": max(0, before - size),
            "encodings": [vars(model) for model in usage], "other": others,
        }
    )  # fmt: skip
    return 0


def _size_of(folder: Path) -> int:
    """Return the bytes of the files below a folder."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(where, name)).st_size
            except OSError:
                continue
    return total


def _readable(size: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"
