"""Cells of pictures in the cache of encodings."""

from pathlib import Path

import numpy as np
from PIL import Image

from inficond.core.concepts.cells import encode_cells, load_cell_encoder
from inficond.core.pipeline.cached_cells import CachedCells
from inficond.core.pipeline.encoding_cache import EncodingCache

WHOLE = (0.0, 0.0, 1.0, 1.0)


def test_cells_are_found_by_thumbnail_and_part(tmp_path: Path) -> None:
    encoder = load_cell_encoder()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    cells = encode_cells(encoder, Image.fromarray(pixels))
    assert cells.colours is not None
    CachedCells(EncodingCache(tmp_path), encoder).put(b"thumbnail", WHOLE, cells)
    cached = CachedCells(EncodingCache(tmp_path), encoder)
    found = cached.get(b"thumbnail", WHOLE)
    assert found is not None
    assert found.colours is not None
    np.testing.assert_array_equal(found.vectors, cells.vectors)
    np.testing.assert_array_equal(found.colours, cells.colours)
    assert cached.get(b"thumbnail", (0.1, 0.0, 0.9, 1.0)) is None
    assert cached.get(b"another", WHOLE) is None
    assert CachedCells(None, encoder).get(b"thumbnail", WHOLE) is None
