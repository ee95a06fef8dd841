"""Safetensors files: deterministic, readable by the library, and validated."""

import json
import os
import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors import safe_open
from safetensors.numpy import save as library_save

from inficond.core.errors import InputError
from inficond.core.students import safetensors_io

ARRAYS = st.dictionaries(
    st.text(min_size=1, max_size=12).filter(lambda s: s != "__metadata__"),
    st.sampled_from([np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8]).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(tensors=ARRAYS, metadata=st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=3))
def test_dumped_tensors_are_parsed_bit_for_bit(tensors, metadata) -> None:
    data = safetensors_io.dump(tensors, metadata)
    found, stored = safetensors_io.parse(data)
    assert stored == metadata
    assert set(found) == set(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
    shuffled = dict(reversed(tensors.items()))
    assert safetensors_io.dump(shuffled, dict(reversed(metadata.items()))) == data


def test_the_safetensors_library_reads_our_files(tmp_path: Path) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    safetensors_io.write(
        tmp_path / "x.safetensors", {"w": weights, "h": weights.astype(np.float16)}, {"é": "ü"}
    )
    with safe_open(tmp_path / "x.safetensors", "np") as file:
        assert file.metadata() == {"é": "ü"}
        np.testing.assert_array_equal(file.get_tensor("w"), weights)
        np.testing.assert_array_equal(file.get_tensor("h"), weights.astype(np.float16))


def test_files_of_the_safetensors_library_are_read() -> None:
    weights = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    tensors, metadata = safetensors_io.parse(library_save({"a": weights, "b": weights[0]}, {"k": "v"}))
    assert metadata == {"k": "v"}
    np.testing.assert_array_equal(tensors["a"], weights)
    np.testing.assert_array_equal(tensors["b"], weights[0])


def packed(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


def entry(dtype: object = "F32", shape: object = None, offsets: object = None) -> dict:
    return {"dtype": dtype, "shape": [2] if shape is None else shape, "data_offsets": offsets or [0, 8]}


EIGHT = b"\0" * 8
ATTACKS = {
    "empty": b"",
    "shorter than the length": b"\1\0\0",
    "header of 2^63 bytes": packed({}, length=2**63),
    "header past the end": packed({}, length=100),
    "header not UTF-8": packed(b"\xff\xfe{}"),
    "header not JSON": packed(b"{'w': 1}"),
    "header nested past the stack": packed(b"[" * 200_000),
    "header is a list": packed([]),
    "header holds NaN for an offset": packed(
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,NaN]}}', EIGHT
    ),
    "metadata is a list": packed({"__metadata__": []}),
    "metadata is not text": packed({"__metadata__": {"a": 1}}),
    "entry is text": packed({"w": "x"}),
    "unknown type": packed({"w": entry("BF16")}, EIGHT),
    "type is a list": packed({"w": entry(["F32"])}, EIGHT),
    "negative shape": packed({"w": entry(shape=[-2])}, EIGHT),
    "fractional shape": packed({"w": entry(shape=[2.0])}, EIGHT),
    "Boolean shape": packed({"w": entry(shape=[True, 2])}, EIGHT),
    "shape that overflows 64 bits": packed({"w": entry(shape=[2**62, 4, 2])}, EIGHT),
    "shape with too many axes": packed({"w": entry(shape=[2] + [1] * 100)}, EIGHT),
    "shape too small for its bytes": packed({"w": entry(shape=[1])}, EIGHT),
    "offsets past the end": packed({"w": entry(shape=[4], offsets=[0, 16])}, EIGHT),
    "offsets reversed": packed({"w": entry(shape=[0], offsets=[8, 0])}, EIGHT),
    "negative offset": packed({"w": entry(offsets=[-8, 0])}, EIGHT),
    "three offsets": packed({"w": entry(offsets=[0, 8, 8])}, EIGHT),
    "tensors overlap": packed({"a": entry(), "b": entry()}, EIGHT),
    "a hole between tensors": packed(
        {"a": entry(shape=[1], offsets=[0, 4]), "b": entry(shape=[1], offsets=[8, 12])}, b"\0" * 12
    ),
    "bytes of no tensor": packed({"a": entry()}, b"\0" * 12),
    "a name twice": packed(
        b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        EIGHT,
    ),
}


@pytest.mark.parametrize("name", list(ATTACKS))
def test_an_invalid_header_is_rejected_in_one_line(name: str, tmp_path: Path) -> None:
    file = tmp_path / "student.safetensors"
    file.write_bytes(ATTACKS[name])
    with pytest.raises(InputError, match=r"student\.safetensors") as error:
        safetensors_io.read(file)
    assert "\n" not in str(error.value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_damage_raises_nothing_but_input_errors(data) -> None:
    whole = bytearray(safetensors_io.dump({"w": np.ones((2, 3), np.float32)}, {"format": "x"}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with suppress(InputError):
        safetensors_io.parse(bytes(whole[:cut]))


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "s.safetensors"
    safetensors_io.write(file, {"w": np.ones(2, np.float32)}, {})
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        safetensors_io.write(file, {"w": np.zeros(2, np.float32)}, {})
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["s.safetensors"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        safetensors_io.read(tmp_path / "nowhere" / "s.safetensors")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        safetensors_io.write(tmp_path / "file" / "s.safetensors", {}, {})
