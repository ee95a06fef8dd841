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

BASE = Preprocessing(
    size=(224, 224), resize=256, crop=(224, 224), interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


@pytest.mark.parametrize("shape", [(90, 120), (128, 64), (32, 32)])
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
    # One resampling from the picture to the crop, against resizing to whole pixels and then cropping. (Where
    # what is cropped off is odd, theirs lies half a pixel off the centre; these shapes leave it even.)
    step = 1 / 255 / np.array(said.std).min()
    assert np.abs(got - theirs).mean() < 4 * step
    assert abs((got - theirs).mean()) < step


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
