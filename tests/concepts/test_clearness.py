"""Tests of the clearness of words in pictures, and of the colours that words name."""

import numpy as np
import pytest

from inficond.core.concepts.cells import Cells
from inficond.core.concepts.clearness import ClearnessOfWords
from inficond.core.concepts.colours import COLOURS, colour_of, colour_shares

SKY, GRASS, OTHER = np.eye(3, 4, dtype=np.float32)
ASSIGNMENT = np.repeat(np.array([0, 0, 1, 1], np.uint8)[:, None], 4, axis=1)
REGIONS = np.stack([SKY, GRASS]).astype(np.float16)


def picture(upper: np.ndarray, lower: np.ndarray, colours: np.ndarray | None = None) -> Cells:
    """Return 4 × 4 cells with one vector in the upper half and another in the lower one."""
    rows = np.stack([upper, upper, lower, lower])
    return Cells(np.repeat(rows[:, None], 4, axis=1).astype(np.float16), colours)


def clearness(cells: Cells, names: tuple[str, ...] = ()) -> float:
    words = SKY[None]
    meter = ClearnessOfWords(words, words, np.stack([GRASS, OTHER]), names)
    return float(meter.of([cells], REGIONS[None], ASSIGNMENT[None])[0, 0])


def test_a_word_is_clearer_where_its_cells_resemble_it_more_than_other_words() -> None:
    assert clearness(picture(SKY, GRASS)) > 0.9 > 0.5 > clearness(picture(OTHER, GRASS))


def test_a_word_is_less_clear_where_cells_and_regions_point_at_different_places() -> None:
    assert clearness(picture(GRASS, SKY)) < clearness(picture(SKY, GRASS))


def test_a_word_that_names_a_colour_is_less_clear_where_the_lit_part_lacks_it() -> None:
    blue, green = np.zeros((2, 4, 4, len(COLOURS)), np.float16)
    blue[..., COLOURS.index("blue")] = green[..., COLOURS.index("green")] = 1
    shown = {
        name: clearness(picture(SKY, GRASS, c), (name,)) for name, c in (("blue sky", blue), ("sky", green))
    }
    assert shown["blue sky"] == shown["sky"]
    assert clearness(picture(SKY, GRASS, green), ("blue sky",)) == 0


@pytest.mark.parametrize(
    ("colour", "rgb"),
    [
        ("red", (200, 20, 20)), ("orange", (240, 140, 20)), ("yellow", (240, 220, 30)),
        ("green", (40, 140, 40)), ("blue", (60, 110, 210)), ("purple", (120, 40, 160)),
        ("pink", (245, 130, 170)), ("white", (245, 245, 245)), ("black", (15, 15, 15)),
        ("brown", (120, 80, 40)), ("grey", (128, 128, 128)),
    ],
)  # fmt: skip
def test_a_plain_picture_has_its_colour_in_each_cell(colour: str, rgb: tuple[int, int, int]) -> None:
    pixels = np.full((8, 8, 3), rgb, np.uint8)
    shares = colour_shares(pixels, (2, 2))
    assert shares.shape == (2, 2, len(COLOURS))
    assert (shares[..., COLOURS.index(colour)] == 1).all()
    opposite = "blue" if colour in ("yellow", "orange", "brown") else "yellow"
    assert (shares[..., COLOURS.index(opposite)] == 0).all()


def test_only_whole_words_name_a_colour() -> None:
    assert colour_of("dark red petals") == "red"
    assert colour_of("covered bridge") is None
    assert colour_of("Gray stone") == "grey"
