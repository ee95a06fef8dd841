"""Conversion between NumPy and Arrow without Pandas."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from inficond.core.project.arrow_values import (
    boolean_array,
    booleans_of,
    number_array,
    numbers_of,
    optional_array,
    text_array,
    texts_of,
)


@pytest.mark.parametrize("texts", [[], ["a", "", "ü\U0001f33b"], ["a", None, "", None], [None] * 9])
def test_texts_equal_those_of_arrow(texts: list[str | None]) -> None:
    made = text_array(texts)
    made.validate(full=True)
    assert made.equals(pa.array(texts, pa.string()))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("texts", [[], ["a", "", "b", "a"], ["ü\U0001f33b", None, "b", None], [None] * 9])
def test_texts_return_unchanged_from_dictionaries(texts: list[str | None], kind: pa.DataType) -> None:
    column = pa.array(texts, kind).dictionary_encode()
    assert texts_of(pa.chunked_array([column, column.slice(1)])) == [*texts, *texts[1:]]


def test_a_text_that_is_not_in_its_dictionary_is_refused() -> None:
    places = pa.array([0, 2], pa.int32())
    damaged = pa.DictionaryArray.from_arrays(places, pa.array(["a", "b"]), safe=False)
    with pytest.raises(ValueError, match="a text is not in its dictionary"):
        texts_of(pa.chunked_array([damaged]))


@pytest.mark.parametrize("numbers", [[], [3, 4], [None, 7, None, *range(20)]])
def test_whole_numbers_equal_those_of_arrow(numbers: list[int | None]) -> None:
    made = optional_array(numbers)
    made.validate(full=True)
    assert made.equals(pa.array(numbers, pa.int32()))


@pytest.mark.parametrize("n", [0, 1, 8, 21])
def test_numbers_and_booleans_return_unchanged_from_slices_and_chunks(n: int) -> None:
    rng = np.random.default_rng(n)
    numbers, booleans = rng.integers(0, 2**32, n, np.uint32), rng.random(n) < 0.5
    stored = pa.table({"number": number_array(numbers), "boolean": boolean_array(booleans)})
    assert stored["boolean"].to_pylist() == booleans.tolist()
    parts = pa.concat_tables([stored.slice(0, n // 2), stored.slice(n // 2)])
    assert numbers_of(parts["number"], np.uint32).tolist() == numbers.tolist()
    assert booleans_of(parts["boolean"]).tolist() == booleans.tolist()


def test_a_table_is_written_and_read_without_pandas_or_arrow_functions() -> None:
    program = """
import sys, tempfile
from pathlib import Path
import numpy as np
from inficond.core.project.image_table import ImageRow, read_image_table, write_image_table
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "images.parquet")
    rows = [ImageRow(id=f"{i}.jpg", path=f"/{i}.jpg", width=3) for i in range(9)]
    write_image_table(path, rows, np.arange(9) % 2 == 0, {"crc": np.arange(9, dtype=np.uint32)}, n_exam=0)
    table = read_image_table(path, Path(folder), 9, ["crc"])
    assert table.ids[8] == "8.jpg" and table.checksums["crc"].tolist() == list(range(9))
assert "pandas" not in sys.modules
assert "pyarrow.compute" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
