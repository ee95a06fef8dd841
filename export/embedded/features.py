"""What the projection is trained on: a picture's maps from Lite0, computed once in float32 and kept on disk."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from inficond.core.errors import InputError
from inficond.export.embedded.network import Lite
from inficond.export.graph import cpu_session, to_onnx

BATCH = 16


def is_validation(name: str) -> bool:
    """The data's own split: the last hexadecimal digit of the md5 of the file name is 0, 1 or 2."""
    return hashlib.md5(name.encode()).hexdigest()[-1] in "012"


def read_picture(path: Path, size: int, view: str = "full") -> np.ndarray:
    """A picture stretched to a square, or a seeded part of it; uint8 (size, size, 3).

    Parameters
    ----------
    path : Path
    size : int
    view : str
        ``full``, ``flip`` or ``crop`` with a number, which seeds place, extent and mirroring of the part.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if view == "flip":
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not view.startswith("crop"):
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    seed = int(hashlib.md5(f"{path.name}{view}".encode()).hexdigest()[:8], 16)
    rng = np.random.default_rng(seed)
    part = np.sqrt(rng.uniform(0.35, 0.8))
    w, h = image.width * part, image.height * part
    x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
    image = image.resize((size, size), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image)


class _Maps(torch.nn.Module):
    """The middle map averaged 2 × 2 and the last block's 320 channels, from which the rest follows exactly."""

    def __init__(self, lite: Lite) -> None:
        super().__init__()
        self.lite = lite

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mid, top = self.lite(pixels)
        cells = top.flatten(2).transpose(1, 2)
        return F.avg_pool2d(mid, 2).flatten(2).transpose(1, 2), cells


def maps(lite: Lite, paths: Sequence[Path], size: int, view: str, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Middle (N, g², 112) and top (N, g², 1280) channels, float16, from the cache where they are."""
    key = hashlib.sha256("\n".join([str(size), view, *(p.name for p in paths)]).encode()).hexdigest()[:16]
    files = [cache / f"{key}-{part}.npy" for part in ("mid", "top")]
    if not all(f.is_file() for f in files):
        cache.mkdir(parents=True, exist_ok=True)
        example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
        session = cpu_session(to_onnx(_Maps(lite), [example], ["pixels"], ["mid", "top"]))
        parts: list[list[np.ndarray]] = []
        for i in range(0, len(paths), BATCH):
            pixels = np.stack([read_picture(p, size, view) for p in paths[i : i + BATCH]])
            parts.append([a.astype(np.float16) for a in session.run(["mid", "top"], {"pixels": pixels})])
        for file, values in zip(files, zip(*parts)):
            np.save(file, np.concatenate(values))
    mid, top = (np.load(f, mmap_mode="r") for f in files)
    return mid, top


def read_captions(data: Path) -> tuple[list[Path], list[list[str]]]:
    """The pictures of Flickr8k under `data`, sorted by name, with their captions."""
    table = data / "flickr8k" / "captions.csv"
    if not table.is_file():
        raise InputError(f"no {table}: give the folder of the photographs with --data")
    captions: dict[str, list[str]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            captions.setdefault(row["image"], []).append(row["caption"].strip())
    names = sorted(n for n in captions if (data / "flickr8k" / "images" / n).is_file())
    return [data / "flickr8k" / "images" / n for n in names], [captions[n] for n in names]
