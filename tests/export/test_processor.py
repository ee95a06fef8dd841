"""Measured preprocessing equals the model's own image processor, or the export is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
tf = pytest.importorskip("transformers")

from inficond.export.preprocessing import Preprocessing  # noqa: E402
from inficond.export.preprocessing_measurement import Stated, measure  # noqa: E402
from inficond.export.processor import read_preprocessing  # noqa: E402
from inficond.export.source import Source  # noqa: E402
from inficond.export.verify import synthetic_photographs  # noqa: E402

SHAPES = [(90, 120), (91, 64), (97, 131), (333, 500), (32, 32), (20, 300), (210, 23)]
"""Even, odd, tiny, wide and tall: an odd number of pixels is cropped off most of them."""
SQUARE = {"height": 40, "width": 40}
IMAGENET = Preprocessing(
    size=(224, 224), resize=256, crop=(224, 224), interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)


def saved(processor, folder: Path, **changes) -> Source:
    """A model folder with an image processor; `changes` are written into its JSON."""
    processor.save_pretrained(folder)
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    (folder / "config.json").write_text('{"model_type": "vit"}')
    return Source(folder=folder, name="tiny", revision=None, licence=None)


def input_of(preprocessing: Preprocessing, picture: np.ndarray) -> np.ndarray:
    """The model's input (3, H, W) by the preprocessing found."""
    pixels = preprocessing.prepare()(picture)[..., list(preprocessing.channels)]
    values = (pixels * preprocessing.rescale - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    return values.transpose(2, 0, 1)


PROCESSORS = {
    "stretched": (tf.ViTImageProcessorPil, {"size": {"height": 48, "width": 40}}),
    "shorter side, centre crop": (tf.CLIPImageProcessorPil, {"size": {"shortest_edge": 37}, "crop_size": 32}),
    "odd crop": (
        tf.CLIPImageProcessorPil,
        {"size": {"shortest_edge": 64}, "crop_size": {"height": 57, "width": 41}, "resample": 2},
    ),
    "crop as wide as the shorter side": (
        tf.CLIPImageProcessorPil,
        {"size": {"shortest_edge": 48}, "crop_size": {"height": 48, "width": 48}, "resample": 1},
    ),
    "stretched, then cropped": (
        tf.DeiTImageProcessorPil,
        {"size": {"height": 45, "width": 38}, "crop_size": {"height": 32, "width": 31}},
    ),
    "nearest neighbour": (tf.ViTImageProcessorPil, {"size": SQUARE, "resample": 0}),
    "margin of crop_pct": (tf.ConvNextImageProcessorPil, {"size": {"shortest_edge": 56}, "crop_pct": 0.9}),
    "no margin from 384": (tf.ConvNextImageProcessorPil, {"size": {"shortest_edge": 384}}),
    "margin of 256/224": (
        tf.LevitImageProcessorPil,
        {"size": {"shortest_edge": 40}, "crop_size": SQUARE},
    ),
    "second normalisation": (tf.EfficientNetImageProcessorPil, {"size": SQUARE}),
    "offset instead of a mean": (
        tf.EfficientNetImageProcessorPil,
        {"size": SQUARE, "rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False,
         "include_top": False},
    ),
    "BGR": (
        tf.MobileViTImageProcessorPil,
        {"size": {"shortest_edge": 45}, "crop_size": SQUARE},
    ),
    "bytes without rescaling": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE, "do_rescale": False, "do_normalize": False},
    ),
    "mean and deviation of bytes": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE, "do_rescale": False, "image_mean": [123.0, 117.0, 104.0], "image_std": [58.0] * 3},
    ),
    "centre crop after a stretch, classes reduced": (
        tf.BeitImageProcessorPil,
        {"size": SQUARE, "do_center_crop": True, "crop_size": {"height": 36, "width": 36},
         "do_reduce_labels": True},
    ),
    "multiples without aspect ratio": (tf.DPTImageProcessorPil, {"size": SQUARE, "ensure_multiple_of": 8}),
    "256 and 224 of MobileNet": (
        tf.MobileNetV2ImageProcessorPil,
        {"size": {"shortest_edge": 46}, "crop_size": SQUARE},
    ),
    "RGB by choice": (
        tf.MobileViTImageProcessorPil,
        {"size": {"shortest_edge": 45}, "crop_size": SQUARE, "do_flip_channel_order": False},
    ),
    "crop of EfficientNet, once normalised": (
        tf.EfficientNetImageProcessorPil,
        {"size": SQUARE, "do_center_crop": True, "crop_size": {"height": 32, "width": 32},
         "include_top": False},
    ),
    "twice the range": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE, "do_normalize": False, "rescale_factor": 1 / 127.5},
    ),
    "a filter of lanczos, upright": (
        tf.ChameleonImageProcessorPil,
        {"size": {"shortest_edge": 44}, "crop_size": SQUARE},
    ),
    "crop_pct of PoolFormer": (
        tf.PoolFormerImageProcessorPil,
        {"size": {"shortest_edge": 40}, "crop_size": SQUARE, "crop_pct": 0.95},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PROCESSORS)
def test_the_input_equals_that_of_the_models_own_processor(tmp_path, kind):
    factory, options = PROCESSORS[kind]
    processor = factory(**options)
    found, notes = read_preprocessing(saved(processor, tmp_path))
    assert notes == []
    level = found.rescale / np.array(found.std).min()
    for shape in SHAPES:
        picture = synthetic_photographs(shape, 1)[0]
        theirs = processor(picture, return_tensors="np")["pixel_values"][0]
        ours = input_of(found, picture)
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 0.01 * level, shape


@pytest.mark.parametrize("kind", ["clip", "siglip", "vit", "convnext", "resnet"])
def test_stated_mean_and_deviation_are_kept_where_they_are_right(tiny_encoder, tiny_classifier, kind):
    folder = (tiny_encoder if kind in ("clip", "siglip") else tiny_classifier)(kind)
    found, _ = read_preprocessing(Source(folder=folder, name=kind, revision=None, licence=None))
    stated = json.loads((folder / "preprocessor_config.json").read_text())
    assert list(found.mean) == stated["image_mean"]
    assert list(found.std) == stated["image_std"]


REFUSED = {
    "box filter": (tf.ViTImageProcessorPil, {"size": SQUARE}, {"resample": 4}, r"filter 4 of Pillow \(box\)"),
    "hamming filter": (tf.ViTImageProcessorPil, {"size": SQUARE}, {"resample": 5}, "hamming"),
    "no crop": (
        tf.BitImageProcessorPil,
        {"size": {"shortest_edge": 40}, "do_center_crop": False},
        {},
        "inputs of different sizes.*do_center_crop.*--size N",
    ),
    "no resize": (tf.ViTImageProcessorPil, {"do_resize": False}, {}, "inputs of different sizes"),
    "crop above the resize": (
        tf.CLIPImageProcessorPil,
        {"size": {"height": 32, "width": 32}, "crop_size": {"height": 64, "width": 64}},
        {},
        "pads pictures",
    ),
    "padding to a square": (
        tf.DonutImageProcessorPil,
        {"size": {"height": 64, "width": 64}},
        {},
        "keeps other parts of a picture",
    ),
    "multiples of 32": (
        tf.TextNetImageProcessorPil,
        {"size": {"shortest_edge": 40}, "crop_size": SQUARE, "do_center_crop": True, "size_divisor": 32},
        {},
        "TextNetImageProcessor",
    ),
    "colour palette": (
        tf.ImageGPTImageProcessorPil,
        {"clusters": np.eye(3).tolist(), "size": SQUARE},
        {},
        "makes input_ids of a picture",
    ),
    "one channel": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE},
        {"image_mean": [0.5], "image_std": [0.5]},
        "ViTImageProcessor.*states 1 values as image_mean",
    ),
    "unknown class": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE},
        {"image_processor_type": "HomeMadeImageProcessor"},
        "preprocessor_config.json",
    ),
    "size without pixels": (
        tf.ViTImageProcessorPil,
        {},
        {"size": {"height": 0, "width": 0}},
        "states 0 pixels as size",
    ),
    "size beyond memory": (
        tf.ViTImageProcessorPil,
        {},
        {"size": {"height": 20000, "width": 20000}},
        "states 20000 pixels as size; a side must have 1 to 4,096 pixels",
    ),
    "deviation of zero": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE},
        {"image_std": [0, 0, 0]},
        "standard deviation of 0",
    ),
    "a limit of the longer side": (
        tf.CLIPImageProcessorPil,
        {"crop_size": SQUARE},
        {"size": {"shortest_edge": 40, "longest_edge": 140}},
        "on a picture of 231×32 pixels the closest.*differs",
    ),
    "crop without resize": (
        tf.DeiTImageProcessorPil,
        {"do_resize": False, "crop_size": SQUARE},
        {},
        "no resize and centre crop reproduces",
    ),
    "grey": (
        tf.SuperPointImageProcessorPil,
        {"size": SQUARE, "do_grayscale": True},
        {},
        "mixes or drops colour",
    ),
    "a rescale factor of zero": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE},
        {"rescale_factor": 0},
        "the same input of every colour: correct rescale_factor",
    ),
    "a mean that is not a number": (
        tf.ViTImageProcessorPil,
        {"size": SQUARE},
        {"image_mean": [float("nan")] * 3},
        "not finite: correct image_mean",
    ),
    "a tensor alone": (tf.IdeficsImageProcessorPil, {"image_size": 40}, {}, "makes a Tensor of a picture"),
    "tiles": (
        tf.LlavaNextImageProcessorPil,
        {"size": {"shortest_edge": 40}, "crop_size": SQUARE},
        {},
        "takes one picture with three channels",
    ),
    "padding to a common size": (
        tf.DetrImageProcessorPil,
        {},
        {"size": {"shortest_edge": 40, "longest_edge": 60}, "pad_size": {"height": 64, "width": 64}},
        "pads pictures",
    ),
    "longest edge alone": (
        tf.CLIPImageProcessorPil,
        {"crop_size": SQUARE},
        {"size": {"longest_edge": 60}},
        "fails on a picture",
    ),
    "size of another form": (tf.ViTImageProcessorPil, {}, {"size": {"depth": 3}}, "preprocessor_config.json"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_preprocessing_without_a_manifest_form_is_refused_with_the_difference(tmp_path, kind):
    factory, options, changes, message = REFUSED[kind]
    with pytest.raises(InputError, match=message) as refused:
        read_preprocessing(saved(factory(**options), tmp_path, **changes))
    assert "\n" not in str(refused.value)


class CutsFrames(tf.ViTImageProcessorPil):
    """A processor for documents, which cuts off white margins before it stretches a picture."""

    def __call__(self, images, **options):
        dark = np.asarray(images.convert("L")) < 250
        rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
        if len(rows):
            images = images.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        return super().__call__(images, **options)


def test_a_processor_that_cuts_margins_is_refused():
    processor = CutsFrames(size=SQUARE)

    def process(picture):
        return processor(Image.fromarray(picture), return_tensors="np")["pixel_values"][0]

    with pytest.raises(InputError, match="the closest.*differs by up to"):
        measure(process, Stated(), "the processor of documents")


SPELLED: dict[str, dict[str, object]] = {
    "one number as size": {"size": 40},
    "one number as mean and deviation": {"image_mean": 0.5, "image_std": 0.25},
    "a negative deviation": {"image_std": [-0.5] * 3},
    "the name of a filter": {"resample": "bicubic"},
    "nothing where a switch is": {"do_normalize": None, "image_mean": None},
    "text where a switch is": {"do_normalize": "false"},
    "a list as size": {"size": [40, 40]},
    "text as mean": {"image_mean": ["0.5"] * 3},
    "channels last": {"data_format": "channels_last", "return_tensors": "pt"},
    "bytes with mean and deviation of bytes": {
        "rescale_factor": 1,
        "image_mean": [127.5] * 3,
        "image_std": [127.5] * 3,
    },
    "a crop that this processor does not state": {
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
    },
    "a feature extractor of old versions": {
        "image_processor_type": None,
        "feature_extractor_type": "ViTFeatureExtractor",
    },
    "the processor of torchvision": {"image_processor_type": "ViTImageProcessorFast"},
}


@pytest.mark.parametrize("kind", SPELLED)
def test_files_written_by_other_versions_mean_what_the_library_reads(tmp_path, kind):
    source = saved(tf.ViTImageProcessorPil(size=SQUARE), tmp_path, **SPELLED[kind])
    found, _ = read_preprocessing(source)
    library = tf.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    level = abs(found.rescale / np.array(found.std)).min()
    for shape in SHAPES[:3]:
        picture = synthetic_photographs(shape, 1)[0]
        theirs = library(picture, return_tensors="np")["pixel_values"][0]
        assert np.abs(input_of(found, picture) - theirs).max() < 0.01 * level, shape


def test_a_folder_without_processor_names_the_remedy(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(InputError, match=r"no preprocessor_config.json.*copy the file"):
        read_preprocessing(Source(folder=tmp_path, name="tiny", revision=None, licence=None))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "preprocessor_config.json is not valid JSON.*copy the file"),
        ("", "preprocessor_config.json is not valid JSON.*copy the file"),
        ("[]", "does not hold a JSON object"),
        ("{}", "states nothing"),
        ('{"auto_map": {"AutoImageProcessor": "own.Processor"}}', "needs its own Python code.*never run"),
        ('{"image_processor_type": "TeapotImageProcessor"}', "TeapotImageProcessor.*does not include"),
        (
            '{"image_processor_type": "ViTImageProcessor", "image_mean": [0.5], "image_std": [0.5]}',
            "states 1 values as image_mean.*write three",
        ),
    ],
)
def test_a_file_that_is_no_processor_names_the_remedy(tmp_path, content, message):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(InputError, match=message) as refused:
        read_preprocessing(Source(folder=tmp_path, name="tiny", revision=None, licence=None))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("processor", "size"),
    [
        (tf.BitImageProcessorPil(size={"shortest_edge": 40}, do_center_crop=False), (48, 48)),
        (tf.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16), (32, 32)),
    ],
)
def test_a_size_makes_a_varying_processor_stretch_and_says_so(tmp_path, processor, size):
    found, notes = read_preprocessing(saved(processor, tmp_path), size)
    assert (found.size, found.resize, found.crop) == (size, size, None)
    assert len(notes) == 1
    assert f"stretched to {size[1]}×{size[0]}" in notes[0]
    square = synthetic_photographs((96, 96), 1)[0]
    level = found.rescale / np.array(found.std).min()
    if "Siglip2" in type(processor).__name__:  # a square picture is stretched by its own processor too
        patches = processor(square, return_tensors="np")["pixel_values"][0]
        ours = input_of(found, square).reshape(3, 4, 8, 4, 8).transpose(1, 3, 2, 4, 0).reshape(16, -1)
        assert np.abs(ours - patches).max() < 0.01 * level


def test_another_size_is_noted(tmp_path):
    source = saved(tf.ViTImageProcessorPil(size=SQUARE), tmp_path)
    found, notes = read_preprocessing(source, (48, 48))
    assert found.size == (48, 48)
    assert "uses 40×40" in notes[0]


def test_another_size_keeps_the_share_that_is_cropped_off():
    larger = IMAGENET.at((448, 448))
    assert (larger.size, larger.resize, larger.crop) == ((448, 448), 512, (448, 448))
    stretched = replace(IMAGENET, resize=(224, 224), crop=None).at((336, 336))
    assert (stretched.size, stretched.resize, stretched.crop) == ((336, 336), (336, 336), None)
    cropped = replace(IMAGENET, resize=(256, 256)).at((112, 112))
    assert (cropped.size, cropped.resize, cropped.crop) == ((112, 112), (128, 128), (112, 112))


def test_a_manifest_states_mean_and_deviation_for_values_from_0_to_1():
    image = replace(IMAGENET, rescale=1 / 127.5).manifest("image.onnx")
    assert image["mean"] == pytest.approx([0.25] * 3)
    assert image["std"] == pytest.approx([0.25] * 3)
