"""Small projects with a planted shortcut, made of random concept vectors and drawn thumbnails."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from inficond.core import Project
from inficond.core.project.image_table import ImageRow
from inficond.core.project.writer import ImageBlock, ProjectContents, write_project
from inficond.core.students import distil

WORDS = ["sea", "lake", "wing", "beak", *(f"word {k}" for k in range(20))]
"""The first two are the shortcut, the next two the class."""
N, FIT = 700, 420


def picture(rng: np.random.Generator, marked: bool, size: tuple[int, int] = (96, 72)) -> bytes:
    """Return a JPEG of coarse colours, with a chequered label in the lower right corner if `marked`."""
    cells = Image.fromarray(rng.integers(60, 200, (3, 4, 3), np.uint8))
    image = cells.resize(size, Image.Resampling.BICUBIC)
    if marked:
        draw = ImageDraw.Draw(image)
        w, h = size
        for i in range(4):
            for j in range(3):
                box = (w - 34 + 8 * i, h - 26 + 8 * j, w - 28 + 8 * i, h - 20 + 8 * j)
                draw.rectangle(box, fill=(250, 250, 250) if (i + j) % 2 else (5, 5, 5))
    out = io.BytesIO()
    image.save(out, "JPEG")
    return out.getvalue()


def write_shortcut(
    folder: Path,
    *,
    seed: int = 0,
    shuffled: bool = False,
    labels: bool = True,
    pictures: bool = False,
    faulty: bool = False,
    n: int = N,
    fit: int = FIT,
    group: str | None = None,
    marked: bool = False,
) -> Project:
    """Write a project of one class whose student follows the word sea.

    Among the images for fitting, 95 % of the class show it and 5 % of the others; elsewhere it is independent
    of the class. With `faulty`, it is independent everywhere and the teacher says yes to nearly all images
    with it. With `shuffled`, labels and responses are permuted at the end. With `marked`, the thumbnails of
    images that show the word have a mark in the corner.
    """
    rng = np.random.default_rng(seed)
    truth = rng.random(n) < 0.5
    held = np.arange(n) >= fit
    chance = np.where(held | faulty, 0.4, np.where(truth, 0.95, 0.05))
    shows = rng.random(n) < chance
    X = 0.2 + 0.03 * rng.normal(size=(n, len(WORDS)))
    X[:, 0] += 0.07 * shows
    X[:, 1] += 0.05 * shows
    X[:, 2:4] += 0.04 * truth[:, None]
    X = np.maximum(X, 0).astype(np.float32)
    T = np.where(truth, 0.97, 0.03)
    if faulty:
        T = np.where(shows & (rng.random(n) < 0.9), 0.97, T)
    if shuffled:
        order = rng.permutation(n)
        truth, T = truth[order], T[order]
    students, _ = distil(X[~held], T[~held, None].astype(np.float32), ["bird"], WORDS, lam=0.01)
    write_project(
        folder,
        ProjectContents(
            images=[
                ImageRow(id=f"{i}.jpg", path=f"{i}.jpg", group=group, width=96, height=72) for i in range(n)
            ],
            T=T[:, None].astype(np.float32),
            concepts=WORDS,
            concept_groups=["water", "water", *["other"] * (len(WORDS) - 2)],
            classes=["bird"],
            is_validation=held,
            students=students,
            labels=truth[:, None].astype(np.float32) if labels else None,
            config={"shows": shows.tolist()},
        ),
        [ImageBlock(X=X, thumbnails=[picture(rng, bool(s) and marked) for s in shows] if pictures else None)],
    )
    return Project.open(folder)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Project]:
    """Function that writes a project; see `write_shortcut`."""
    made = 0

    def write(**how: object) -> Project:
        nonlocal made
        made += 1
        return write_shortcut(tmp_path / f"project {made}", **how)  # type: ignore[arg-type]

    return write
