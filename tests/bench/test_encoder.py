"""The benchmark of an encoder on photographs with outlined labels."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import write_encoder

from inficond.core.bench.encoder_evidence import measure_evidence
from inficond.core.bench.encoder_measures import GRID, likeness, measure_outlines
from inficond.core.errors import InputError
from inficond.core.models.encoder import load_encoder


def test_regions_of_one_picture_are_as_alike_as_their_cosines() -> None:
    rng = np.random.default_rng(0)
    regions = rng.normal(size=(6, 4, 8))
    centred = regions - regions.mean(axis=(0, 1))
    centred /= np.linalg.norm(centred, axis=2, keepdims=True)
    flat = centred.reshape(24, 8)
    cosines, image = flat @ flat.T, np.repeat(np.arange(6), 4)
    same = image[:, None] == image
    within, between = likeness(regions)
    assert within == pytest.approx(cosines[same & ~np.eye(24, dtype=bool)].mean())
    assert between == pytest.approx(cosines[~same].mean())


def two_coloured_pictures(folder: Path) -> Path:
    """Write twelve pictures of two colours, with the colour of each half as its label."""
    (folder / "images").mkdir(parents=True)
    colours = {"red": (230, 20, 20), "green": (20, 200, 40), "blue": (20, 40, 230)}
    table = []
    for i in range(12):
        left, right = list(colours)[i % 3], list(colours)[(i + 1) % 3]
        picture = np.zeros((64, 64, 3), np.uint8)
        picture[:, :32], picture[:, 32:] = colours[left], colours[right]
        Image.fromarray(picture).save(folder / "images" / f"{i}.png")
        row = [left] * (GRID // 2) + [right] * (GRID // 2)
        table.append({"image": f"{i}.png", "labels": [left, right], "grid14": row * GRID})
    (folder / "panoptic.json").write_text(json.dumps(table))
    return folder


def test_a_word_finds_the_half_that_has_its_colour(tmp_path: Path) -> None:
    folder = two_coloured_pictures(tmp_path / "coco")
    figures = measure_outlines(folder, load_encoder(write_encoder(tmp_path / "encoder")))
    assert figures["images"] == 12
    assert figures["labels"] == 3
    assert figures["map_things"] is None, "colours are not things of COCO"
    assert figures["likeness_within"] < 0.5


def test_shown_evidence_lies_in_the_half_that_has_the_colour_of_the_word(tmp_path: Path) -> None:
    folder = two_coloured_pictures(tmp_path / "coco")
    encoder = load_encoder(write_encoder(tmp_path / "encoder"))
    for cell_encoder, prefix in ((None, "evidence"), (encoder, "cells")):
        figures = measure_evidence(folder, encoder, cell_encoder)
        assert figures[f"{prefix}_inside_things"] is None
        for name in ("pointing_stuff", "auc_stuff", "inside_stuff", "pairs_pointing"):
            assert (figures[f"{prefix}_{name}"] or 0) > 0.8, (prefix, name, figures)


def test_held_out_pictures_are_those_that_train_no_embedded_model(tmp_path: Path) -> None:
    folder = two_coloured_pictures(tmp_path / "coco")
    encoder = load_encoder(write_encoder(tmp_path / "encoder"))
    names = [f"{i}.png" for i in range(12)]
    held_out = [n for n in names if hashlib.md5(n.encode()).hexdigest()[-1] in "012"]
    assert 0 < len(held_out) < len(names)
    assert measure_outlines(folder, encoder, held_out=True)["images"] == len(held_out)
    table = json.loads((folder / "panoptic.json").read_text())
    rest = [row for row in table if row["image"] not in held_out]
    (folder / "panoptic.json").write_text(json.dumps(rest))
    with pytest.raises(InputError, match="none of its pictures is held out"):
        measure_outlines(folder, encoder, held_out=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("{}", "must be a list of objects"),
        ('[{"image": "a", "labels": [], "grid14": []}]', "must have 196 labels"),
    ],
)
def test_a_bad_table_is_one_clear_line(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "panoptic.json").write_text(text)
    encoder = load_encoder(write_encoder(tmp_path / "encoder"))
    with pytest.raises(InputError, match=message):
        measure_outlines(tmp_path, encoder)
