"""Neutral regions of the embedded encoder: `core/assets/concepts/neutral.npy`."""

from pathlib import Path

import numpy as np

from inficond.core.concepts.neutral import BUILT_IN
from inficond.core.images import open_picture
from inficond.core.models.encoder import load_encoder
from inficond.core.progress import Progress
from inficond.export.embedded.photographs import is_validation, read_captions

PHOTOGRAPHS = 800
"""Most photographs that are encoded."""


def write_neutral(data: Path, progress: Progress, out: Path = BUILT_IN) -> None:
    """Encode photographs of Flickr8k, spread evenly over its training part, and write their regions.

    Parameters
    ----------
    data : Path
        Folder of the photographs.
    progress : Progress
    out : Path
        The array, float16 (M, D).
    """
    encoder = load_encoder("embedded")
    paths = [p for p in read_captions(data)[0] if not is_validation(p.name)]
    count = min(PHOTOGRAPHS, len(paths))
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]
    progress.start("neutral regions", len(chosen))
    found = []
    for start in range(0, len(chosen), 16):
        pictures = [open_picture(p, encoder.preprocess.at_least).image for p in chosen[start : start + 16]]
        regions = encoder.encode(np.stack([encoder.preprocess(p) for p in pictures])).regions
        found.append(np.asarray(regions, np.float16).reshape(-1, encoder.dim))
        progress.advance(len(pictures))
    np.save(out, np.concatenate(found))
