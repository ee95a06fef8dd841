"""Benchmark of an encoder: does a word find its images and its place in them, and do regions differ.

  inficond bench encoder COCO
  inficond bench encoder COCO --encoder FOLDER

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


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("folder", type=Path, metavar="COCO", help="a folder with images/ and panoptic.json")
    parser.add_argument("--encoder", default="embedded", metavar="E", help="as for `inficond distill`")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    from inficond.core.bench.encoder_measures import measure_outlines
    from inficond.core.models.encoder import load_encoder

    encoder = load_encoder(args.encoder)
    figures = measure_outlines(args.folder, encoder)
    out.say(f"{encoder.name}: {figures['images']} images, {figures['labels']} labels in 3 images or more")
    for key, name in NAMES.items():
        out.say(f"{name:56} {'–' if figures[key] is None else format(figures[key], '.3f')}")
    out.result({"encoder": encoder.name, **figures})
    return 0
