"""Reduced precision is accurate or refused; SmoothQuant does not change the function."""

import json

import numpy as np
import pytest

from inficond.core.errors import InputError

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from inficond.core.models.encoder import load_encoder  # noqa: E402
from inficond.export import quantize  # noqa: E402
from inficond.export.encoder import EncoderOptions, export_encoder  # noqa: E402
from inficond.export.graph import node_counts, run_cpu  # noqa: E402
from inficond.export.verify import synthetic_photographs  # noqa: E402


@pytest.fixture(scope="module")
def float32(tiny_encoder, tmp_path_factory):
    (folder,) = export_encoder(str(tiny_encoder("clip")), tmp_path_factory.mktemp("q") / "float32")
    return onnx.load(folder / "image.onnx")


@pytest.fixture(scope="module")
def pictures():
    return synthetic_photographs((32, 32), 24)


@pytest.fixture(scope="module")
def folder_of_pictures(pictures, tmp_path_factory):
    from PIL import Image

    folder = tmp_path_factory.mktemp("pictures")
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    return folder


def test_smoothing_keeps_the_function_and_balances_the_ranges(float32, pictures):
    smooth = quantize.smooth_ranges(float32, pictures[:8])
    pixels = {"pixels": np.stack(pictures[:5])}
    before, after = run_cpu(float32, pixels), run_cpu(smooth, pixels)
    assert abs(before["dense"] - after["dense"]).max() < 1e-4
    names = [n.output[0] for n in float32.graph.node if n.op_type == "LayerNormalization"]
    name = next(n for n in names if "blocks.0" in n or "layer_norm1" in n)
    raw = quantize.largest_per_channel(float32, [name], pictures[:8])[name]
    flat = quantize.largest_per_channel(smooth, [name], pictures[:8])[name]
    assert flat.max() / np.median(flat) < raw.max() / np.median(raw)


def test_int8_quantises_linear_layers_only(float32, pictures):
    reduced = quantize.to_int8(float32, pictures[:8])
    counts = node_counts(reduced)
    assert counts["MultiHeadAttention"] == node_counts(float32)["MultiHeadAttention"]
    quantised = [i for i in reduced.graph.initializer if i.data_type == onnx.TensorProto.INT8]
    # q, k, v, out and two of the MLP in three blocks; the dense branch has its own copy of the last out.
    assert len([i for i in quantised if len(i.dims) == 2]) == 3 * 6 + 1
    assert {24} & {d for i in quantised for d in i.dims} == set(), "the projection stays float32"
    measured = quantize.check_quality(float32, reduced, pictures[8:], "int8")
    assert measured["dense_cosine"] > 0.97


def test_an_int8_encoder_is_exported_calibrated_and_runs(tiny_encoder, folder_of_pictures, tmp_path, noise):
    (out,) = export_encoder(
        str(tiny_encoder("clip")), tmp_path / "x", EncoderOptions(precision="int8", images=folder_of_pictures)
    )
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["precision"] == "int8"
    assert manifest["verification"]["photographs"] == "real"
    assert manifest["verification"]["int8"]["retrieval"] >= 0.95
    encoded = load_encoder(out).encode(noise(3, 32))
    np.testing.assert_allclose(np.linalg.norm(encoded.regions, axis=-1), 1, atol=1e-3)


def test_fp16_keeps_the_numbers_and_halves_the_weights(float32, pictures):
    half = quantize.to_fp16(float32)
    measured = quantize.check_quality(float32, half, pictures, "fp16")
    assert measured["dense_cosine"] > 0.9999
    kinds = [i.data_type for i in half.graph.initializer if len(i.dims) == 2]
    assert kinds.count(onnx.TensorProto.FLOAT16) >= 18
    norms = [n for n in half.graph.node if n.op_type == "LayerNormalization"]
    gains = {i.name: i.data_type for i in half.graph.initializer}
    assert {gains.get(n.input[1], onnx.TensorProto.FLOAT) for n in norms} == {onnx.TensorProto.FLOAT}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_below_the_thresholds_is_refused(float32, pictures, precision):
    worse = onnx.ModelProto()
    worse.CopyFrom(float32)
    for tensor in worse.graph.initializer:
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT:
            array = onnx.numpy_helper.to_array(tensor)
            noise = np.random.default_rng(0).standard_normal(array.shape).astype(np.float32) * array.std()
            tensor.CopyFrom(onnx.numpy_helper.from_array(array + noise, tensor.name))
    with pytest.raises(InputError, match=f"{precision} is too inaccurate"):
        quantize.check_quality(float32, worse, pictures, precision)


def test_int8_without_pictures_or_below_its_thresholds_writes_nothing(
    tiny_encoder, folder_of_pictures, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match="--images"):
        export_encoder(str(tiny_encoder("clip")), tmp_path / "x", EncoderOptions(precision="int8"))
    monkeypatch.setitem(quantize.THRESHOLDS, "int8", {"cosine": 1.1, "retrieval": 0.95})
    with pytest.raises(InputError, match="int8 is too inaccurate"):
        export_encoder(
            str(tiny_encoder("clip")),
            tmp_path / "x",
            EncoderOptions(precision="int8", images=folder_of_pictures),
        )
    assert list(tmp_path.iterdir()) == []
