"""Quality of the shipped encoder and teacher on real photographs, for the model card.

The shipped files are measured with ONNX Runtime, by the regions that students use: the score of a word in a
picture is its largest cosine over the picture's regions, and the score of a cell is that of its region.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.bench.encoder_measures import (
    BATCH,
    average_precision,
    encode,
    mean_or_none,
    measure_outlines,
    word_vectors,
)
from inficond.core.errors import InputError
from inficond.core.models import Encoder, load_encoder, load_teacher
from inficond.core.progress import Progress
from inficond.export.embedded.photographs import (
    imagenet_sample,
    is_validation,
    read_captions,
    read_rows,
)

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
    parts = {"coco": _measure_coco, "scenes": measure_scenes, "flickr8k": measure_flickr, "teacher": _teacher}
    for name, part in parts.items():
        figures[name] = part(data, encoder)
        progress.advance()
    return figures


def _measure_coco(data: Path, encoder: Encoder) -> dict[str, Any]:
    return measure_outlines(data / "coco", encoder)


def measure_scenes(data: Path, encoder: Encoder) -> dict[str, Any]:
    """Measure zero-shot labels of scenes: the score of a word ranks the pictures.

    The average precision of a label without pictures is None.
    """
    rows = read_rows(data / "scenes" / "labels.csv", ["image", *SCENES])
    regions, _, _ = encode(encoder, [data / "scenes" / "images" / row["image"] for row in rows])
    scores = (regions @ word_vectors(encoder, list(SCENES.values())).T).max(axis=1)
    each: dict[str, float | None] = {}
    for j, label in enumerate(SCENES):
        truth = np.array([row[label] == "1" for row in rows])
        each[label] = average_precision(truth, scores[:, j]) if truth.any() else None
    return {"images": len(rows), "map": mean_or_none([v for v in each.values() if v is not None]), **each}


def measure_flickr(data: Path, encoder: Encoder) -> dict[str, Any]:
    """Measure retrieval between captions and validation pictures by the image embedding."""
    paths, captions = read_captions(data)
    rows = [i for i, p in enumerate(paths) if is_validation(p.name)]
    if not rows:
        raise InputError(
            f"{data / 'flickr8k'} has no validation pictures (md5 of the name ends in 0, 1 or 2)"
        )
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
    paths = imagenet_sample(data)
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


def _short(text: str) -> str:
    return text[:190]
