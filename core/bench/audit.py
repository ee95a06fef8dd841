"""Benchmark of the audit: planted shortcuts are found, and shuffled labels give no finding.

Five kinds of shortcuts are planted into labelled photographs, each with several seeds: background, colour
cast, a mark in the corner, an object beside the subject, a fault of the teacher. A shortcut counts as found
if one of the first three findings names it. With shuffled labels, every finding is false.
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.audit.audit import Audit, audit
from inficond.core.bench.planted import SHORTCUTS, Bank, make_bank, names_shortcut, plant
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "whether the audit finds planted shortcuts, and nothing in shuffled labels"
FIRST = 3
"""Findings among which a planted shortcut is searched."""


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose photographs and seeds."""
    parser.add_argument(
        "--data", required=True, metavar="IMAGES", help="labelled photographs, as for `inficond distill`"
    )
    parser.add_argument("--class", dest="target", metavar="C", help="target class (default: the largest)")
    parser.add_argument(
        "--each", type=int, default=800, metavar="N", help="photographs of either side (default 800)"
    )
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds (default 10)")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=tuple(SHORTCUTS),
        default=list(SHORTCUTS),
        help="default: all",
    )


def read_bank(args: argparse.Namespace, out: "Output") -> Bank:
    """Read and encode the photographs that the arguments name."""
    if args.seeds < 1 or args.each < 60:
        raise InputError("--seeds must be at least 1 and --each at least 60")
    how = [SHORTCUTS[kind] for kind in args.kinds]
    versions = list(dict.fromkeys(version for one in how for version in (one.without, one.having)))
    return make_bank(args.data, args.target, args.each, versions, progress=out.progress())


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    add_data_arguments(parser)
    parser.add_argument("--shuffles", type=int, default=20, metavar="N", help="shuffles (default 20)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Plant, audit, count and print."""
    bank = read_bank(args, out)
    rows: list[dict[str, Any]] = []
    out.say(f"{bank.target}: {int(bank.is_target.sum())} photographs, others: {int((~bank.is_target).sum())}")
    out.say(f"{'planted':<16}{'found in the first 3':>22}{'as the first':>14}")
    for kind in args.kinds:
        ranks = [rank_of(bank, kind, seed) for seed in range(args.seeds)]
        found = sum(rank is not None and rank < FIRST for rank in ranks)
        first = sum(rank == 0 for rank in ranks)
        rows.append({"shortcut": kind, "found": found, "first": first, "seeds": args.seeds, "ranks": ranks})
        out.say(f"{kind:<16}{f'{found} of {args.seeds}':>22}{f'{first} of {args.seeds}':>14}")
    quiet = 0
    for i in range(args.shuffles):
        kind = args.kinds[i % len(args.kinds)]
        quiet += is_quiet(bank, kind, 1000 + i)
    out.say(f"nothing found in {quiet} of {args.shuffles} shuffles of the labels")
    out.result({"target": bank.target, "shortcuts": rows, "shuffles": args.shuffles, "quiet": quiet})
    return 0


def rank_of(bank: Bank, kind: str, seed: int) -> int | None:
    """Return the rank of the finding that names a planted shortcut, counted from 0; None without one."""
    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
        planted = plant(bank, kind, Path(folder) / "project", seed)
        made = audit(planted.project.session(), repairs=False)
        for rank, finding in enumerate(made.findings):
            shortcut = finding.shortcut
            features = [(f.kind, f.name) for f in (shortcut.feature, *shortcut.members)]
            if names_shortcut(kind, features, planted.project):
                return rank
    return None


def is_quiet(bank: Bank, kind: str, seed: int) -> bool:
    """Return whether an audit of shuffled labels has neither findings nor split groups."""
    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as folder:
        planted = plant(bank, kind, Path(folder) / "project", seed, shuffled=True)
        return not has_findings(audit(planted.project.session(), repairs=False))


def has_findings(made: Audit) -> bool:
    """Return whether an audit has a finding or a significant split."""
    return bool(made.findings) or any(group.parts for one in made.classes for group in one.tree)
