"""Photographs for training, calibration and measurement: splits, captions, pixels."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.bench.encoder_measures import is_held_out
from inficond.core.errors import InputError


def is_validation(name: str) -> bool:
    """Return whether a picture is for validation: the md5 of its file name ends in 0, 1 or 2."""
    return is_held_out(name)


def read_picture(path: Path, size: int, view: str = "full") -> np.ndarray:
    """Read a picture, or a seeded crop of it, stretched to a square: uint8 (size, size, 3).

    Parameters
    ----------
    path : Path
    size : int
    view : str
        ``full``, ``flip``, or ``crop`` with a number that seeds position, size and mirroring of the crop.
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


def read_captions(data: Path) -> tuple[list[Path], list[list[str]]]:
    """Return the pictures of Flickr8k under `data`, sorted by name, with their captions."""
    table = data / "flickr8k" / "captions.csv"
    if not table.is_file():
        raise InputError(f"{table} is missing: give the folder of photographs with --data")
    captions: dict[str, list[str]] = {}
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            captions.setdefault(row["image"], []).append(row["caption"].strip())
    names = sorted(n for n in captions if (data / "flickr8k" / "images" / n).is_file())
    return [data / "flickr8k" / "images" / n for n in names], [captions[n] for n in names]
