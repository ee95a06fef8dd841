"""Windows of a picture: where a word is shown, without a change of its value."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.tiny_models import write_encoder

from inficond.core.concepts import evidence
from inficond.core.concepts.windows import Windows, encode_windows
from inficond.core.models.encoder import load_encoder


def one_region_each(values: list[float], cells: int = 6) -> Windows:
    """Return windows of one region each, whose cosine with the word (1, 0) is given."""
    regions = np.array([[[v, np.sqrt(1 - v * v)]] for v in values], np.float16)
    return Windows(regions, np.zeros((4, cells, cells), np.uint8))


def test_equal_windows_give_an_equal_score_everywhere() -> None:
    scores = one_region_each([0.5] * 4).scores(np.array([1, 0], np.float32))
    np.testing.assert_allclose(scores, 0.5, atol=1e-3)


@pytest.mark.parametrize(("window", "corner"), [(0, (0, 0)), (1, (0, 5)), (2, (5, 0)), (3, (5, 5))])
def test_a_corner_has_the_score_of_the_only_window_that_covers_it(
    window: int, corner: tuple[int, int]
) -> None:
    values = [0.25] * 4
    values[window] = 0.75
    scores = one_region_each(values).scores(np.array([1, 0], np.float32))
    assert scores[corner] == pytest.approx(0.75, abs=1e-3)
    opposite = (5 - corner[0], 5 - corner[1])
    assert scores[opposite] == pytest.approx(0.25, abs=1e-3)
    assert 0.25 < scores[2, 2] < 0.75, "the middle belongs to all windows"


def test_several_words_at_once_have_the_scores_of_each_alone() -> None:
    windows = one_region_each([0.1, 0.4, 0.6, 0.9])
    words = np.array([[1, 0], [0, 1]], np.float32)
    both = windows.scores(words)
    for k, word in enumerate(words):
        np.testing.assert_allclose(both[k], windows.scores(word), atol=1e-6)


def test_windows_of_a_picture_show_the_quarter_that_has_the_colour(tmp_path: Path) -> None:
    encoder = load_encoder(write_encoder(tmp_path / "encoder"))
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[:] = (20, 40, 230)
    pixels[45:, 60:] = (230, 20, 20)
    picture = Image.fromarray(pixels)
    encoded = encoder.encode(encoder.preprocess(picture)[None])
    regions, grid = encoded.regions[0], encoded.assignment[0].reshape(encoder.grid)
    word = np.asarray(encoder.embed_words(["red"])[0], np.float32)
    plain, shown = (evidence(regions, grid, word, w) for w in (None, encode_windows(encoder, picture)))
    assert (shown.region, shown.score) == (plain.region, plain.score)
    h, w = encoder.grid
    quarter = np.zeros((h, w), bool)
    quarter[h // 2 :, w // 2 :] = True
    assert shown.mask.any()
    assert not shown.mask[~quarter].any()
