"""Cells of a picture: where a word is shown, without a change of its value."""

import numpy as np
from PIL import Image

from inficond.core.concepts import evidence
from inficond.core.concepts.cells import Cells, encode_cells, load_cell_encoder
from inficond.core.models.encoder import load_encoder

WORD = np.array([1, 0], np.float32)


def cells_of(cosines: list[list[float]]) -> Cells:
    """Return cells whose cosine with the word (1, 0) is given."""
    values = np.array(cosines)
    return Cells(np.stack([values, np.sqrt(1 - values**2)], axis=2).astype(np.float16))


def test_the_score_of_a_cell_is_its_cosine_with_the_word() -> None:
    values = [[0.1, 0.4, 0.6], [0.9, 0.2, -0.5]]
    np.testing.assert_allclose(cells_of(values).scores(WORD), values, atol=1e-3)


def test_several_words_at_once_have_the_scores_of_each_alone() -> None:
    cells = cells_of([[0.1, 0.4], [0.6, 0.9]])
    words = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    together = cells.scores(words)
    assert together.shape == (3, 2, 2)
    for k, word in enumerate(words):
        np.testing.assert_allclose(together[k], cells.scores(word), atol=1e-6)


def test_cells_decide_what_is_shown_but_not_region_and_score() -> None:
    regions = np.array([[1, 0], [0, 1]], np.float16)
    grid = np.array([[0, 1], [1, 1]], np.uint8)
    cells = cells_of([[-0.9, 0.2], [0.85, 0.9]])
    plain, shown = evidence(regions, grid, WORD), evidence(regions, grid, WORD, cells)
    assert plain.mask.tolist() == [[True, False], [False, False]]
    assert shown.mask.tolist() == [[False, False], [True, True]]
    assert (shown.region, shown.score) == (plain.region, plain.score)


def test_cells_are_compared_with_the_text_vector_and_regions_with_the_concept() -> None:
    regions = np.array([[1, 0], [0, 1]], np.float16)
    grid = np.array([[0, 0], [1, 1]], np.uint8)
    vectors = np.array([[[1, 0], [0, 1]], [[1, 0], [0, 1]]], np.float16)
    text = np.array([0, 1], np.float32)
    shown = evidence(regions, grid, WORD, Cells(vectors), text)
    assert shown.mask.tolist() == [[False, True], [False, False]], "region and cell agree"
    assert (shown.region, shown.score) == (0, 1.0)


def test_the_shipped_cells_lie_in_the_space_of_the_embedded_encoder() -> None:
    """In a picture of a blue sky above green grass, each word is shown in its own half."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((240, 320, 3), np.uint8)
    pixels[:] = (110, 170, 240)
    blades = rng.integers(-60, 60, (120, 320, 1))
    pixels[120:] = np.clip(np.array((60, 140, 40)) + blades, 0, 255)
    picture = Image.fromarray(pixels)
    encoder, cell_encoder = load_encoder("embedded"), load_cell_encoder()
    assert (cell_encoder.dim, cell_encoder.grid) == (encoder.dim, encoder.grid)
    cells = encode_cells(cell_encoder, picture)
    sky, grass = cells.scores(np.asarray(encoder.embed_words(["sky", "grass"]), np.float32))
    h = encoder.grid[0]
    assert (sky - grass)[: h // 2 - 1].min() > (sky - grass)[h // 2 + 1 :].max()
    upper = encode_cells(cell_encoder, picture, part=(0.0, 0.0, 1.0, 0.5))
    lower = encode_cells(cell_encoder, picture, part=(0.0, 0.5, 1.0, 1.0))
    words = np.asarray(encoder.embed_words(["sky"]), np.float32)
    assert upper.scores(words).mean() > lower.scores(words).mean()
