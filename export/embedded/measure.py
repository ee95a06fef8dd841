"""Quality of the shipped encoder and teacher on real photographs, for the model card.

The shipped files are measured with ONNX Runtime, by the regions that students use: the score of a word in a
picture is its largest cosine over the picture's regions, and the score of a cell is that of its region.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.concepts import load_corpus
from inficond.core.errors import InputError
from inficond.core.models import Encoder, load_encoder, load_teacher
from inficond.core.progress import Progress
from inficond.export.embedded.photographs import is_validation, read_captions

FEWEST = 3
"""Fewest pictures of a COCO label for which average precision is computed."""
BATCH = 16
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
SCENES = {"desert": "desert", "mountains": "mountain", "sea": "sea", "sunset": "sunset", "trees": "tree"}


def measure(data: Path, progress: Progress) -> dict[str, Any]:
    """Return all figures of the card.

    Parameters
    ----------
    data : Path
        The folder of the photographs: ``coco``, ``scenes``, ``flickr8k``, ``imagenet_sample``.
    progress : Progress
    """
    encoder = load_encoder("embedded")
    progress.start("measuring", 4)
    figures: dict[str, Any] = {"encoder": encoder.name, "dim": encoder.dim, "regions": encoder.n_regions}
    parts = {"coco": measure_coco, "scenes": measure_scenes, "flickr8k": measure_flickr, "teacher": _teacher}
    for name, part in parts.items():
        figures[name] = part(data, encoder)
        progress.advance()
    return figures


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


def measure_coco(data: Path, encoder: Encoder) -> dict[str, Any]:
    """Measure how well a word finds its pictures and its cells."""
    table = _read_json(data / "coco" / "panoptic.json")
    labels = sorted({label for row in table for label in row["labels"]})
    truth = np.array([[label in row["labels"] for label in labels] for row in table])
    cells = np.array([row["grid14"] for row in table])
    vectors = word_vectors(encoder, [spelled(label) for label in labels])
    regions, assignment, _ = encode(encoder, [data / "coco" / "images" / row["image"] for row in table])
    scores = regions @ vectors.T  # (N, R, L)
    images = scores.max(axis=1)
    per_cell = _on_grid(
        np.take_along_axis(scores, assignment[:, :, None].astype(np.int64), axis=1), encoder.grid
    )
    ap: dict[bool, list[float]] = {True: [], False: []}
    auc: dict[bool, list[float]] = {True: [], False: []}
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
    return {
        "images": len(table),
        "labels": len(used),
        "map": float(np.mean(ap[True] + ap[False])),
        "map_things": float(np.mean(ap[True])),
        "map_stuff": float(np.mean(ap[False])),
        "map_chance": float(truth[:, used].mean()),
        "cell_auc_things": float(np.mean(auc[True])),
        "cell_auc_stuff": float(np.mean(auc[False])),
    }


def measure_scenes(data: Path, encoder: Encoder) -> dict[str, Any]:
    """Measure zero-shot labels of scenes: the score of a word ranks the pictures."""
    with (data / "scenes" / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    regions, _, _ = encode(encoder, [data / "scenes" / "images" / row["image"] for row in rows])
    scores = (regions @ word_vectors(encoder, list(SCENES.values())).T).max(axis=1)
    each = {
        label: average_precision(np.array([row[label] == "1" for row in rows]), scores[:, j])
        for j, label in enumerate(SCENES)
    }
    return {"images": len(rows), "map": float(np.mean(list(each.values()))), **each}


def measure_flickr(data: Path, encoder: Encoder) -> dict[str, Any]:
    """Measure retrieval between captions and validation pictures by the image embedding."""
    paths, captions = read_captions(data)
    rows = [i for i, p in enumerate(paths) if is_validation(p.name)]
    _, _, image = encode(encoder, [paths[i] for i in rows])
    texts = [(k, text) for k, i in enumerate(rows) for text in captions[i]]
    vectors = np.concatenate(
        [
            encoder.embed_words([_short(t) for _, t in texts[i : i + 256]], ["{}"])
            for i in range(0, len(texts), 256)
        ]
    )
    scores = vectors @ image.T
    own = np.array([k for k, _ in texts])
    rank = (scores > scores[np.arange(len(texts)), own][:, None]).sum(axis=1)
    found = own[scores.argmax(axis=0)]
    return {
        "images": len(rows),
        "captions": len(texts),
        "caption_to_image_r1": float((rank < 1).mean()),
        "caption_to_image_r10": float((rank < 10).mean()),
        "image_to_caption_r1": float((found == np.arange(len(rows))).mean()),
    }


def _teacher(data: Path, encoder: Encoder) -> dict[str, Any]:
    from inficond.core.images import decode

    del encoder
    teacher = load_teacher("embedded")
    ids = json.loads((data_manifest()).read_text("utf-8"))["wordnet_ids"]
    paths = sorted((data / "imagenet_sample").glob("n*.jpg"))
    right = []
    for i in range(0, len(paths), BATCH):
        some = paths[i : i + BATCH]
        answer = teacher.respond(np.stack([teacher.preprocess(decode(p)) for p in some])).argmax(axis=1)
        right += [ids[a] == p.name.split("_")[0] for a, p in zip(answer, some)]
    return {"images": len(paths), "top1": float(np.mean(right))}


def data_manifest() -> Path:
    """Return the path of the shipped teacher's manifest."""
    from inficond.core.models.resolve import embedded_folder

    return embedded_folder("teacher") / "manifest.json"


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


def _on_grid(cells: np.ndarray, grid: tuple[int, int], to: int = 14) -> np.ndarray:
    """Resample cell values (N, h·w, L) to the grid of the ground truth, by the nearest cell."""
    at = [np.minimum(((np.arange(to) + 0.5) * n / to).astype(int), n - 1) for n in grid]
    shaped = cells.reshape(len(cells), grid[0], grid[1], -1)
    return shaped[:, at[0]][:, :, at[1]].reshape(len(cells), to * to, -1)


def _short(text: str) -> str:
    return text[:190]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; give the folder of photographs with --data"
        ) from error
