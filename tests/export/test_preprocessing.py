"""What a manifest says of resizing and normalisation is what the model's own image processor does."""

import json
from dataclasses import replace

import numpy as np
import pytest

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from inficond.export.preprocessing import Preprocessing, prepare, read_preprocessing  # noqa: E402
from inficond.export.source import find_source  # noqa: E402
from inficond.export.verify import synthetic_photographs  # noqa: E402

GAP = 6
"""Reductions beyond twice Pillow's `reducing_gap` of 3 are made in two steps; see `Preprocess`."""
BASE = Preprocessing(
    size=(224, 224), resize=256, crop=(224, 224), interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


SHAPES = [(90, 120), (91, 64), (97, 131), (333, 500), (32, 32)]
"""Even and odd; what is cropped off is odd in most of them."""


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", ["clip", "siglip", "vit", "convnext", "resnet"])
def test_pixels_are_those_of_the_models_own_processor(tiny_encoder, tiny_classifier, kind, shape):
    folder = (tiny_encoder if kind in ("clip", "siglip") else tiny_classifier)(kind)
    said = read_preprocessing(find_source(str(folder)), None)
    picture = synthetic_photographs(shape, 1)[0]
    ours = prepare(said)(picture)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    theirs = processor(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    got = (ours * said.rescale - np.array(said.mean)) / np.array(said.std)
    assert got.shape == theirs.shape
    step = said.rescale / np.array(said.std).min()
    if min(shape) <= GAP * min(said.size):
        assert np.abs(got - theirs).max() < 1.01 * step
    else:  # a strong reduction goes through a smaller picture first
        assert np.abs(got - theirs).mean() < step


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("size", "crop", "resample"),
    [
        ({"shortest_edge": 37}, (32, 32), 3),
        ({"shortest_edge": 64}, (57, 41), 2),
        ({"shortest_edge": 48}, (48, 48), 1),
        ({"height": 45, "width": 38}, (32, 31), 3),
        ({"height": 40, "width": 33}, None, 2),
    ],
)
def test_odd_crops_lie_where_transformers_has_them(shape, size, crop, resample):
    """One resampling from picture to crop gives the bytes of resizing to whole pixels, then cropping."""
    processor = transformers.CLIPImageProcessorPil(
        size=size,
        crop_size={"height": crop[0], "width": crop[1]} if crop else None,
        do_center_crop=crop is not None,
        resample=resample,
        do_normalize=False,
        do_rescale=False,
    )
    picture = synthetic_photographs(shape, 1)[0]
    theirs = processor(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    resize = size.get("shortest_edge") or (size["height"], size["width"])
    said = replace(
        BASE,
        size=crop or resize,
        resize=resize,
        crop=crop,
        interpolation={1: "lanczos", 2: "bilinear", 3: "bicubic"}[resample],
    )
    apart = np.abs(prepare(said)(picture).astype(int) - theirs.astype(int))
    if min(shape) <= GAP * (resize if isinstance(resize, int) else min(resize)):
        assert apart.max() <= 1
    else:
        assert apart.mean() < 1


def test_siglip2_takes_its_size_from_the_model(tiny_encoder):
    said = read_preprocessing(find_source(str(tiny_encoder("siglip2"))), (32, 32))
    assert (said.size, said.resize, said.crop) == ((32, 32), (32, 32), None)
    with pytest.raises(InputError, match="--size"):
        read_preprocessing(find_source(str(tiny_encoder("siglip2"))), None)


def test_another_size_keeps_the_margin_that_is_cut_off():
    larger = BASE.at((448, 448))
    assert (larger.size, larger.resize, larger.crop) == ((448, 448), 512, (448, 448))
    stretched = replace(BASE, resize=(224, 224), crop=None).at((336, 336))
    assert (stretched.size, stretched.resize, stretched.crop) == ((336, 336), (336, 336), None)


def test_a_manifest_is_in_units_of_bytes_whatever_the_processor_multiplies_by():
    said = replace(BASE, rescale=1 / 127.5).manifest("image.onnx")
    assert said["mean"] == pytest.approx([0.25] * 3)
    assert said["std"] == pytest.approx([0.25] * 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": [0.5], "image_std": [0.5]}, "only RGB"),
        ({"resample": 5}, "filter 5"),
        ({"do_center_crop": True, "crop_size": {"height": 64, "width": 64}}, "inconsistent"),
    ],
)
def test_what_no_manifest_can_say_is_refused(tiny_classifier, tmp_path, change, message):
    import shutil

    shutil.copytree(tiny_classifier("vit"), tmp_path / "m")
    path = tmp_path / "m" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_preprocessing(find_source(str(tmp_path / "m")), None)
