"""Photographs for training, calibration and measurement: splits, tables, pixels."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.bench.encoder_measures import is_held_out
from inficond.core.errors import InputError, system_reason


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

    Raises
    ------
    InputError
        The file cannot be read as a picture.
    """
    try:
        with Image.open(path) as opened:
            image = opened.convert("RGB")
    except OSError as error:
        raise InputError(f"cannot read the picture {path}: {system_reason(error)}") from error
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
    """Return the pictures of Flickr8k under `data`, sorted by name, with their captions.

    Raises
    ------
    InputError
        The table of captions cannot be read, or no picture of it exists.
    """
    captions: dict[str, list[str]] = {}
    for row in read_rows(data / "flickr8k" / "captions.csv", ["image", "caption"]):
        captions.setdefault(row["image"], []).append(row["caption"].strip())
    folder = data / "flickr8k" / "images"
    names = sorted(n for n in captions if (folder / n).is_file())
    if not names:
        raise InputError(f"{folder} has none of the pictures that captions.csv lists")
    return [folder / n for n in names], [captions[n] for n in names]


def read_rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a CSV file under the folder of photographs.

    Raises
    ------
    InputError
        The file cannot be read, has no rows, or lacks a value of one of `columns`.
    """
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = system_reason(error) if isinstance(error, OSError) else str(error)
        raise InputError(
            f"cannot read {table}: {reason}; give the folder of photographs with --data"
        ) from error
    if not rows or any(row.get(column) is None for row in rows for column in columns):
        raise InputError(f"{table} must have rows with the columns {', '.join(columns)}")
    return rows


def imagenet_sample(data: Path) -> list[Path]:
    """Return the pictures of the ImageNet sample, sorted by name.

    Raises
    ------
    InputError
        There are none.
    """
    paths = sorted((data / "imagenet_sample").glob("n*.jpg"))
    if not paths:
        raise InputError(f"{data / 'imagenet_sample'} has no pictures n*.jpg")
    return paths
