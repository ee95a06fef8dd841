"""Measures of an encoder on photographs with outlined labels: which images and cells a word finds.

A folder holds `images/` and `panoptic.json`: a list of ``{"image", "labels", "grid14"}``, with the labels of
an image, and the label that covers most of each cell of a 14 × 14 grid, row by row, "" where none does.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.concepts import load_corpus
from inficond.core.errors import InputError
from inficond.core.models.encoder import Encoder
from inficond.core.strict_json import parse_json

FEWEST = 3
"""Fewest pictures of a label for which average precision is computed."""
BATCH = 16
GRID = 14
THINGS = frozenset(
    [
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "traffic light",
        "fire hydrant",
        "stop sign",
        "parking meter",
        "bench",
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
        "elephant",
        "bear",
        "zebra",
        "giraffe",
        "backpack",
        "umbrella",
        "handbag",
        "tie",
        "suitcase",
        "frisbee",
        "skis",
        "snowboard",
        "sports ball",
        "kite",
        "baseball bat",
        "baseball glove",
        "skateboard",
        "surfboard",
        "tennis racket",
        "bottle",
        "wine glass",
        "cup",
        "fork",
        "knife",
        "spoon",
        "bowl",
        "banana",
        "apple",
        "sandwich",
        "orange",
        "broccoli",
        "carrot",
        "hot dog",
        "pizza",
        "donut",
        "cake",
        "chair",
        "couch",
        "potted plant",
        "bed",
        "dining table",
        "toilet",
        "tv",
        "laptop",
        "mouse",
        "remote",
        "keyboard",
        "cell phone",
        "microwave",
        "oven",
        "toaster",
        "sink",
        "refrigerator",
        "book",
        "clock",
        "vase",
        "scissors",
        "teddy bear",
        "hair drier",
        "toothbrush",
    ]
)
"""The 80 things of COCO; its other labels are stuff."""
SPELLED = {
    "playingfield": "playing field", "mouse": "computer mouse", "floor-wood": "wooden floor",
    "window-blind": "window blinds", "wall-brick": "brick wall", "wall-stone": "stone wall",
    "wall-tile": "tiled wall",
    "wall-wood": "wooden wall", "hair drier": "hair dryer", "remote": "remote control",
    "motorcycle": "motorcycle",
    "couch": "sofa", "tv": "television", "skis": "ski", "traffic light": "traffic light",
    "knife": "kitchen knife",
    "tennis racket": "tennis racket", "railroad": "railway track",
}  # fmt: skip


def encode(encoder: Encoder, paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return regions (N, R, D), rounded to float16, assignment (N, h·w) and image embeddings (N, D)."""
    from inficond.core.images import decode

    found: list[Any] = []
    for i in range(0, len(paths), BATCH):
        pixels = np.stack([encoder.preprocess(decode(p)) for p in paths[i : i + BATCH]])
        found.append(encoder.encode(pixels))
    regions, assignment, image = (np.concatenate([np.asarray(f[k]) for f in found]) for k in range(3))
    return regions.astype(np.float16).astype(np.float32), assignment, image


def word_vectors(encoder: Encoder, words: Sequence[str]) -> np.ndarray:
    """Return the vectors of words, from the built-in corpus if it has them."""
    corpus = load_corpus(None, encoder)
    names = {n.lower(): k for k, n in enumerate(corpus.names)}
    missing = [w for w in words if w.lower() not in names]
    typed = dict(zip(missing, encoder.embed_words(missing))) if missing else {}
    return np.stack([typed[w] if w in typed else corpus.embeddings[names[w.lower()]] for w in words])


def spelled(label: str) -> str:
    """Return a COCO panoptic label as a common noun."""
    for ending in ("-other-merged", "-merged", "-other", "-stuff"):
        label = label.removesuffix(ending)
    return SPELLED.get(label, label)


def measure_outlines(folder: Path, encoder: Encoder, held_out: bool = False) -> dict[str, Any]:
    """Measure how well a word finds its pictures and its cells, and how alike regions are.

    Parameters
    ----------
    folder : Path
    encoder : Encoder
    held_out : bool
        Only pictures for which `is_held_out` holds.

    Returns
    -------
    dict
        ``map``, ``map_things``, ``map_stuff``, ``map_chance``: average precision of pictures. ``cell_auc_…``:
        area under ROC of a label's cells within its pictures. ``pointing_…``: share of pictures in which the
        middle cell of the best region shows the label. ``likeness_within``, ``likeness_between``: mean cosine
        of two regions of one picture, and of two pictures, relative to the mean region.

    Raises
    ------
    InputError
        The folder has no readable `panoptic.json`.
    """
    table = read_table(folder / "panoptic.json", held_out)
    labels = sorted({label for row in table for label in row["labels"]})
    truth = np.array([[label in row["labels"] for label in labels] for row in table])
    cells = np.array([row["grid14"] for row in table])
    vectors = word_vectors(encoder, [spelled(label) for label in labels])
    regions, assignment, _ = encode(encoder, [folder / "images" / row["image"] for row in table])
    scores = regions @ vectors.T  # (N, R, L)
    images = scores.max(axis=1)
    per_cell = on_grid(
        np.take_along_axis(scores, assignment[:, :, None].astype(np.int64), axis=1), encoder.grid
    )
    ap: dict[bool, list[float]] = {True: [], False: []}
    auc: dict[bool, list[float]] = {True: [], False: []}
    hits: dict[bool, list[float]] = {True: [], False: []}
    best = scores.argmax(axis=1)  # (N, L)
    points = _middle_cells(assignment, encoder.grid, encoder.n_regions)
    used = [j for j in range(len(labels)) if truth[:, j].sum() >= FEWEST]
    for j in used:
        thing = labels[j] in THINGS
        ap[thing].append(average_precision(truth[:, j], images[:, j]))
        within = [
            area_under_roc(cells[i] == labels[j], per_cell[i, :, j])
            for i in range(len(table))
            if 0 < (cells[i] == labels[j]).sum() < cells.shape[1]
        ]
        if within:
            auc[thing].append(float(np.mean(within)))
            shown = [
                float(cells[i, points[i, best[i, j]]] == labels[j])
                for i in range(len(table))
                if 0 < (cells[i] == labels[j]).sum() < cells.shape[1]
            ]
            hits[thing].append(float(np.mean(shown)))
    within_likeness, between_likeness = likeness(regions)
    return {
        "images": len(table),
        "labels": len(used),
        "map": mean_or_none(ap[True] + ap[False]),
        "map_things": mean_or_none(ap[True]),
        "map_stuff": mean_or_none(ap[False]),
        "map_chance": float(truth[:, used].mean()) if used else None,
        "cell_auc_things": mean_or_none(auc[True]),
        "cell_auc_stuff": mean_or_none(auc[False]),
        "pointing_things": mean_or_none(hits[True]),
        "pointing_stuff": mean_or_none(hits[False]),
        "pointing": mean_or_none(hits[True] + hits[False]),
        "likeness_within": within_likeness,
        "likeness_between": between_likeness,
    }


def likeness(regions: np.ndarray) -> tuple[float, float]:
    """Return the mean cosine of two regions of one picture, and of two pictures, less the mean region.

    Parameters
    ----------
    regions : (N, R, D)
    """
    centred = regions - regions.mean(axis=(0, 1))
    centred /= np.maximum(np.linalg.norm(centred, axis=2, keepdims=True), 1e-12)
    n, r, _ = centred.shape
    sums = centred.sum(axis=1)  # (N, D)
    own = (sums**2).sum(axis=1)
    within = (own - r) / (r * (r - 1)) if r > 1 else np.ones(n)
    between = ((sums.sum(axis=0) ** 2).sum() - own.sum()) / (n * (n - 1) * r * r) if n > 1 else 0.0
    return float(within.mean()), float(between)


def mean_or_none(values: Sequence[float]) -> float | None:
    """Return a mean; None of nothing, such as the things of a folder without things."""
    return float(np.mean(values)) if len(values) else None


def _middle_cells(assignment: np.ndarray, grid: tuple[int, int], n_regions: int) -> np.ndarray:
    """Return the cell of the truth nearest to the centre of each region, (N, R)."""
    rows, columns = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    out = np.zeros((len(assignment), n_regions), np.int64)
    for i, cells in enumerate(assignment.reshape(len(assignment), -1)):
        for r in range(n_regions):
            own = np.flatnonzero(cells == r)
            if len(own):
                away = (rows[own] - rows[own].mean()) ** 2 + (columns[own] - columns[own].mean()) ** 2
                middle = own[away.argmin()]
                line = min(int((rows[middle] + 0.5) / grid[0] * GRID), GRID - 1)
                out[i, r] = line * GRID + min(int((columns[middle] + 0.5) / grid[1] * GRID), GRID - 1)
    return out


def average_precision(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the mean precision at the rank of each positive; equal scores share a rank."""
    order = np.argsort(-scores, kind="stable")
    hits = truth[order].astype(np.float64)
    last = np.r_[np.flatnonzero(np.diff(scores[order])), len(scores) - 1]  # ends of runs of equal scores
    found, seen = np.cumsum(hits)[last], last + 1.0
    return float(np.sum(np.diff(np.r_[0.0, found]) * found / seen) / hits.sum())


def area_under_roc(truth: np.ndarray, scores: np.ndarray) -> float:
    """Return the probability that a positive scores above a negative; ties count half (Mann–Whitney)."""
    values, rank = np.unique(scores, return_inverse=True)
    counts = np.bincount(rank, minlength=len(values))
    middle = np.cumsum(counts) - (counts - 1) / 2
    positives = int(truth.sum())
    total = middle[rank][truth].sum() - positives * (positives + 1) / 2
    return float(total / (positives * (len(truth) - positives)))


def on_grid(cells: np.ndarray, grid: tuple[int, int], to: int = 14) -> np.ndarray:
    """Resample cell values (N, h·w, L) to the grid of the ground truth, by the nearest cell."""
    at = [np.minimum(((np.arange(to) + 0.5) * n / to).astype(int), n - 1) for n in grid]
    shaped = cells.reshape(len(cells), grid[0], grid[1], -1)
    return shaped[:, at[0]][:, :, at[1]].reshape(len(cells), to * to, -1)


def is_held_out(name: str) -> bool:
    """Return whether no embedded model is trained on a picture: its name's md5 ends in 0, 1 or 2."""
    return hashlib.md5(name.encode()).hexdigest()[-1] in "012"


def read_table(path: Path, held_out: bool = False) -> list[dict[str, Any]]:
    """Read and check `panoptic.json`; with `held_out`, only its held-out pictures."""
    try:
        table = parse_json(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; name a folder with images/ and panoptic.json"
        ) from error
    keys = {"image", "labels", "grid14"}
    if (
        not isinstance(table, list)
        or not table
        or not all(isinstance(r, dict) and keys <= set(r) for r in table)
    ):
        raise InputError(f"{path} must be a list of objects with the keys image, labels and grid14")
    if any(len(row["grid14"]) != GRID * GRID for row in table):
        raise InputError(f"{path}: each grid14 must have {GRID * GRID} labels, row by row")
    if held_out:
        table = [row for row in table if is_held_out(str(row["image"]))]
        if not table:
            raise InputError(f"{path}: none of its pictures is held out, so leave out --held-out")
    return table
