"""Benchmark of words in the teacher's own features against words of the embedded encoder.

Each folder is built twice per seed, with `--encoder text2concept` and with the embedded encoder, and the same
probe as teacher, parts and number of concepts. Fidelity is measured on the tune part.

  inficond bench text2concept FLOWERS SCENES
"""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "words in the teacher's own features, against words of the embedded encoder"
ENCODERS = ("embedded", "text2concept")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="a folder of class folders")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="splits (default 5)")
    parser.add_argument(
        "--nec", type=float, default=10.0, metavar="N", help="concepts per class (default 10)"
    )


def run(args: argparse.Namespace, out: "Output") -> int:
    """Build, measure and print."""
    if args.seeds < 1:
        raise InputError(f"--seeds is {args.seeds}: give a number of at least 1")
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for folder in args.folders:
        rows = found.setdefault(folder.resolve().name, {name: [] for name in ENCODERS})
        for seed in range(args.seeds):
            for encoder in ENCODERS:
                rows[encoder].append(_measured(folder, encoder, seed, args.nec, out))
    out.say(
        f"fidelity AP at {args.nec:g} concepts per class, mean (standard deviation) of {args.seeds} splits"
    )
    for name, rows in found.items():
        for encoder in ENCODERS:
            aps, labels = (np.array([r[k] for r in rows[encoder]]) for k in ("fidelity_ap", "student_ap"))
            nec = float(np.mean([r["nec"] for r in rows[encoder]]))
            out.say(
                f"  {name:12} {encoder:13} {aps.mean():.3f} ({aps.std():.3f}); "
                f"AP on labels {labels.mean():.3f}; {nec:.1f} concepts"
            )
        gains = [b["fidelity_ap"] - a["fidelity_ap"] for a, b in zip(rows["embedded"], rows["text2concept"])]
        each = ", ".join(f"{g:+.3f}" for g in gains)
        out.say(f"  {name:12} difference    {np.mean(gains):+.3f} (splits: {each})")
    out.result({"nec": args.nec, "folders": found})
    return 0


def _measured(folder: Path, encoder: str, seed: int, nec: float, out: "Output") -> dict[str, float]:
    """Return the metrics of one build."""
    from inficond.core.facade import Project
    from inficond.core.pipeline.build import build
    from inficond.core.pipeline.options import BuildOptions
    from inficond.core.report.build_summary import summarise

    with tempfile.TemporaryDirectory(prefix="inficond-bench-") as scratch:
        options = BuildOptions(
            images=folder, out=Path(scratch) / "project", encoder=encoder, nec=nec, seed=seed, baseline=False
        )
        mean: dict[str, Any] = summarise(Project.open(build(options, out.progress())))["mean"]
    return {key: float(mean[key]) for key in ("fidelity_ap", "student_ap", "nec")}
