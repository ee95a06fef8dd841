"""Command ``python -m inficond.export.embedded train|train-evidence|build|neutral|measure|speed``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from inficond.core.errors import InputError
from inficond.core.progress import Terminal
from inficond.export.command import need_extra
from inficond.export.embedded.wordnet import DEFAULT_DICT, WordNet

FEWEST = 4
"""Fewest pictures for calibration: the evidence graph takes every third, half of these for comparison."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m inficond.export.embedded", description=__doc__)
    steps = ["train", "train-evidence", "build", "neutral", "measure", "speed"]
    parser.add_argument("step", choices=steps)
    parser.add_argument("--data", type=Path, help="photographs: flickr8k/, scenes/, coco/, imagenet_sample/")
    parser.add_argument("--wordnet", type=Path, default=DEFAULT_DICT, help="WordNet 3.0's dictionary folder")
    parser.add_argument("--out", type=Path, help="parent of the folders (default: core/assets)")
    parser.add_argument(
        "--cache", type=Path, default=Path(".embedded-cache"), help="folder of cached features"
    )
    folders = ["encoder", "teacher", "concepts", "evidence"]
    parser.add_argument("--only", choices=folders, help="the only folder to build")
    parser.add_argument("--card", type=Path, help="model card that receives the figures")
    parser.add_argument("--json", action="store_true", help="figures as JSON")
    chosen = parser.parse_args(arguments)
    try:
        return _run(chosen)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _run(chosen: argparse.Namespace) -> int:
    if chosen.step not in ("neutral", "measure"):
        need_extra("embedded")
    if chosen.step == "speed":
        from inficond.export.embedded.speed import speed

        print(json.dumps(speed(), indent=1))
        return 0
    if chosen.data is None or not chosen.data.is_dir():
        raise InputError("the folder of photographs is missing: give it with --data DIR")
    if chosen.step == "neutral":
        from inficond.export.embedded.neutral import write_neutral

        write_neutral(chosen.data, Terminal())
        return 0
    if chosen.step == "measure":
        from inficond.export.embedded.card import split_card, update_card, write_figures
        from inficond.export.embedded.measure import measure

        if chosen.card:
            split_card(chosen.card)  # an unsuitable card is reported before the measurement, not after it
        figures = measure(chosen.data, Terminal())
        if chosen.card:
            update_card(chosen.card, figures)
        if chosen.json:
            print(json.dumps(figures, indent=1))
        else:
            print(write_figures(figures))
        return 0
    from inficond.export.embedded import build, evidence_build

    out = chosen.out or build.ASSETS
    if chosen.step == "train-evidence":
        from inficond.export.embedded.evidence_training import train_evidence

        evidence_build.save_parts(train_evidence(chosen.data, build.Trained.load(), Terminal()))
        return 0
    if chosen.step == "build" and chosen.only == "evidence":
        _build_evidence(out / "evidence", chosen.data)
        return 0
    wordnet = WordNet(chosen.wordnet)
    if chosen.step == "train":
        from inficond.export.embedded.prepare import train_from

        train_from(chosen.data, wordnet, chosen.cache, Terminal()).save()
        return 0
    pictures = build_pictures(chosen.data)
    if chosen.only in (None, "encoder"):
        build.build_encoder(out / "encoder", build.Trained.load(), pictures, wordnet)
    if chosen.only in (None, "teacher"):
        build.build_teacher(out / "teacher", pictures, wordnet)
    if chosen.only in (None, "concepts"):
        build.build_corpus(out / "concepts", wordnet)
    if chosen.only is None:
        _build_evidence(out / "evidence", chosen.data)
    return 0


def _build_evidence(out: Path, data: Path) -> None:
    from inficond.export.embedded import build, evidence_build

    trained = build.Trained.load()
    parts = evidence_build.load_parts(int(trained.class_vectors.shape[1]))
    evidence_build.build_evidence(out, trained, parts, build_pictures(data)[::3])


def build_pictures(data: Path) -> list[Path]:
    """Return pictures for calibration and comparison, of Flickr8k and of the ImageNet sample.

    Raises
    ------
    InputError
        There are too few, or the tables cannot be read.
    """
    from inficond.export.embedded.photographs import imagenet_sample, is_validation, read_captions

    flickr = [p for p in read_captions(data)[0] if not is_validation(p.name)][::60]
    pictures = flickr + imagenet_sample(data)[::3]
    if len(pictures) < FEWEST:
        raise InputError(f"{data} has too few pictures for calibration: add some to imagenet_sample/")
    return pictures


if __name__ == "__main__":
    sys.exit(main())
