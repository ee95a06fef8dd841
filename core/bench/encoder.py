"""Benchmark of an encoder: does a word find its images and its place in them, and do regions differ.

  inficond bench encoder COCO
  inficond bench encoder COCO --encoder FOLDER
  inficond bench encoder COCO --held-out

COCO is a folder with `images/` and `panoptic.json`; see `inficond.core.bench.encoder_measures`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "which images and which cells a word finds, on photographs with outlined labels"
NAMES = {
    "map": "average precision of images",
    "map_things": "… things",
    "map_stuff": "… stuff",
    "map_chance": "… by chance",
    "cell_auc_things": "area under ROC of cells, things",
    "cell_auc_stuff": "… stuff",
    "pointing": "pointing game",
    "pointing_things": "… things",
    "pointing_stuff": "… stuff",
    "likeness_within": "cosine of two regions of an image, less the mean region",
    "likeness_between": "… of two images",
}


SHOWN = {
    "pointing": "its strongest cell is inside the label",
    "auc": "area under ROC of cells",
    "inside": "share of it inside the label",
    "covers": "share of the label that it covers",
    "area": "share of the picture",
}
PAIRS = "its strongest cell is inside the label, of all pairs"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("folder", type=Path, metavar="COCO", help="a folder with images/ and panoptic.json")
    parser.add_argument(
        "--held-out",
        action="store_true",
        help="only the pictures on which no embedded model was trained (md5 of the name ends in 0, 1 or 2)",
    )
    parser.add_argument("--encoder", default="embedded", metavar="E", help="as for `inficond distill`")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    from inficond.core.bench.encoder_evidence import measure_evidence
    from inficond.core.bench.encoder_measures import measure_outlines
    from inficond.core.concepts.cells import ENCODER, load_cell_encoder
    from inficond.core.models.encoder import load_encoder

    encoder = load_encoder(args.encoder)
    figures = measure_outlines(args.folder, encoder, args.held_out)
    out.say(f"{encoder.name}: {figures['images']} images, {figures['labels']} labels in 3 images or more")
    for key, name in NAMES.items():
        out.say(f"{name:56} {'–' if figures[key] is None else format(figures[key], '.3f')}")
    for by_cells in (False, True) if args.encoder == ENCODER else (False,):
        found = measure_evidence(
            args.folder, encoder, load_cell_encoder() if by_cells else None, args.held_out
        )
        figures |= found
        prefix = "cells" if by_cells else "evidence"
        out.say(f"shown evidence, {'with' if by_cells else 'without'} cells of the picture: things, stuff")
        for key, name in SHOWN.items():
            pair = [found[f"{prefix}_{key}_{kind}"] for kind in ("things", "stuff")]
            shown = "  ".join("–" if value is None else format(value, ".3f") for value in pair)
            out.say(f"  {name:54} {shown}")
        pairs = found[f"{prefix}_pairs_pointing"]
        out.say(f"  {PAIRS:54} {'–' if pairs is None else format(pairs, '.3f')}")
    out.result({"encoder": encoder.name, **figures})
    return 0
