"""Out of memory is recognized, and results are split into rows."""

import numpy as np

from inficond.core.errors import InputError
from inficond.core.models.batching import is_out_of_memory, rows_of


def test_out_of_memory_is_recognized_in_every_form():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(
        RuntimeError("BFCArena: Failed to allocate memory for requested buffer of size 9")
    )
    assert is_out_of_memory(RuntimeError("CUDA failure 2: out of memory"))
    outer = InputError("image.onnx failed on cuda")
    outer.__cause__ = RuntimeError("std::bad_alloc")
    assert is_out_of_memory(outer)
    assert not is_out_of_memory(InputError("poisoned"))


def test_rows_are_copies_of_the_same_kind():
    batch = np.arange(6.0).reshape(3, 2)
    rows = rows_of((batch, batch * 2), 3)
    assert [r[1].tolist() for r in rows] == [[0, 2], [4, 6], [8, 10]]
    assert all(r[0].base is None for r in rows)
    assert rows_of(batch, 3)[2].tolist() == [4, 5]
