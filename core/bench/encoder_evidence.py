"""Measures of shown evidence on photographs with outlined labels: whether it lies inside the label."""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.bench.encoder_measures import (
    FEWEST,
    THINGS,
    area_under_roc,
    encode,
    mean_or_none,
    on_grid,
    read_table,
    spelled,
    word_vectors,
)
from inficond.core.concepts import evidence
from inficond.core.concepts.cells import encode_cells
from inficond.core.models.encoder import Encoder


@dataclass
class ShownEvidence:
    """How well shown evidence fits outlined labels; values by label, one for each picture."""

    pointing: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    auc: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    inside: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    covers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    area: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, label: str, truth: np.ndarray, scores: np.ndarray, mask: np.ndarray) -> None:
        """Add a picture: truth, scores and mask of the cells, each (196,)."""
        self.pointing[label].append(float(truth[scores == scores.max()].mean()))
        self.auc[label].append(area_under_roc(truth, scores))
        self.inside[label].append(float((mask & truth).sum() / mask.sum()))
        self.covers[label].append(float((mask & truth).sum() / truth.sum()))
        self.area[label].append(float(mask.mean()))

    def figures(self, prefix: str) -> dict[str, float | None]:
        """Return the means over pictures, then over labels."""
        out = {}
        for name in ("pointing", "auc", "inside", "covers", "area"):
            means = {label: float(np.mean(v)) for label, v in getattr(self, name).items()}
            things = [mean for label, mean in means.items() if label in THINGS]
            stuff = [mean for label, mean in means.items() if label not in THINGS]
            out[f"{prefix}_{name}_things"] = mean_or_none(things)
            out[f"{prefix}_{name}_stuff"] = mean_or_none(stuff)
        out[f"{prefix}_pairs_pointing"] = mean_or_none([v for each in self.pointing.values() for v in each])
        return out


def measure_evidence(
    folder: Path, encoder: Encoder, cell_encoder: Encoder | None = None, held_out: bool = False
) -> dict[str, float | None]:
    """Measure whether the evidence that is shown for a label lies inside its outline.

    Parameters
    ----------
    folder : Path
        As for `measure_outlines`.
    encoder : Encoder
    cell_encoder : Encoder, optional
        Encodes the cells of each picture; see `inficond.core.concepts.cells`.
    held_out : bool
        As for `measure_outlines`.

    Returns
    -------
    dict
        For things and for stuff: ``pointing`` (share of the cells with the largest score inside the label),
        ``auc`` (area under ROC of cells), ``inside`` (share of the evidence inside the label), ``covers``
        (share of the label inside the evidence), ``area`` (share of the picture). ``pairs_pointing``: the
        pointing of all pairs of a label and a picture, so that frequent labels count more.

    Raises
    ------
    InputError
        The folder has no readable `panoptic.json`.
    """
    from inficond.core.images import decode

    table = read_table(folder / "panoptic.json", held_out)
    labels = sorted({label for row in table for label in row["labels"]})
    used = [label for label in labels if sum(label in row["labels"] for row in table) >= FEWEST]
    words = dict(zip(used, word_vectors(encoder, [spelled(label) for label in used])))
    paths = [folder / "images" / row["image"] for row in table]
    regions, assignment, _ = encode(encoder, paths)
    shown = ShownEvidence()
    for i, row in enumerate(table):
        outlines, grid = np.array(row["grid14"]), assignment[i].reshape(encoder.grid)
        cells = None
        if cell_encoder is not None:
            cells = encode_cells(cell_encoder, Image.fromarray(np.asarray(decode(paths[i]))))
        for label in sorted(set(row["labels"]) & set(used)):
            truth = outlines == label
            if not 0 < truth.sum() < len(truth):
                continue
            word = words[label]
            scores = (regions[i] @ word)[grid]
            if cells is not None:
                scores = scores + cells.scores(word)
            mask = evidence(regions[i], grid, word, cells).mask
            both = np.stack([scores, mask.astype(np.float32)], axis=-1).reshape(1, -1, 2)
            at = on_grid(both, encoder.grid)[0]
            if at[:, 1].any():
                shown.add(label, truth, at[:, 0], at[:, 1] > 0)
    return shown.figures("evidence" if cell_encoder is None else "cells")
