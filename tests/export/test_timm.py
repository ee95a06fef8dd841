"""Teachers from timm: the same probabilities as timm gives, by name and from a folder in timm's layout."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
if importlib.util.find_spec("timm") is None or importlib.util.find_spec("torchvision") is None:
    pytest.skip("timm or torchvision is not installed", allow_module_level=True)

from safetensors.torch import save_file  # noqa: E402

from inficond.core.models.teacher import apply_link, load_teacher  # noqa: E402
from inficond.export.preprocessing_measurement import probe_pictures  # noqa: E402
from inficond.export.teacher import TeacherOptions, export_teacher  # noqa: E402
from inficond.export.timm_classifier import import_timm  # noqa: E402

timm = import_timm("this test")
SETTINGS = {
    "input_size": [3, 64, 64], "interpolation": "bicubic", "crop_pct": 0.95, "classifier": "fc",
    "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225],
}  # fmt: skip
ARCHITECTURES = {
    "resnet10t": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "mobilenetv3_small_050": {},
    "convnext_atto": {},
}


def make_folder(folder: Path, architecture: str, settings=SETTINGS, /, **more):
    """A folder as timm puts it on a hub, with random weights; returns the model."""
    torch.manual_seed(1)
    arguments = ARCHITECTURES[architecture]
    model = timm.create_model(architecture, num_classes=3, pretrained_cfg=dict(settings), **arguments).eval()
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.kaiming_normal_(p)
    config = {
        "architecture": architecture,
        "num_classes": 3,
        "model_args": arguments,
        "pretrained_cfg": settings,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config | more))
    save_file(model.state_dict(), folder / "model.safetensors")
    return model


def library_probabilities(model, picture):
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model), is_training=False)
    with torch.no_grad():
        return apply_link(model(transform(Image.fromarray(picture))[None]).numpy(), "softmax")


def largest_difference(model, folder):
    teacher = load_teacher(folder)
    return max(
        float(np.abs(teacher.respond(teacher.preprocess(p)[None]) - library_probabilities(model, p)).max())
        for p in probe_pictures((64, 64))
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_in_timms_layout_gives_timms_probabilities(tmp_path, architecture):
    model = make_folder(tmp_path / "model", architecture, label_names=["cat", "dog", "cow"])
    out = export_teacher(str(tmp_path / "model"), tmp_path / "out")
    assert largest_difference(model, out) < 1e-4
    assert load_teacher(out).labels == ("cat", "dog", "cow")


def test_a_folder_of_the_wrapper_of_transformers_gives_its_probabilities(tmp_path):
    import transformers

    torch.manual_seed(3)
    config = transformers.TimmWrapperConfig(
        architecture="resnet10t",
        pretrained_cfg=SETTINGS,
        num_labels=3,
        id2label={0: "cat", 1: "dog", 2: "cow"},
    )
    model = transformers.TimmWrapperForImageClassification(config).eval()
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.kaiming_normal_(p)
    model.save_pretrained(tmp_path / "model")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "model")
    teacher = load_teacher(export_teacher(str(tmp_path / "model"), tmp_path / "out"))
    answers = []
    for picture in probe_pictures((64, 64)):
        with torch.no_grad():
            inputs = processor(Image.fromarray(picture), return_tensors="pt")
            expected = model(**inputs).logits.softmax(-1).numpy()
        answers.append(expected)
        np.testing.assert_allclose(teacher.respond(teacher.preprocess(picture)[None]), expected, atol=1e-4)
    assert np.std(answers) > 0.1
    assert teacher.labels == ("cat", "dog", "cow")


@pytest.mark.parametrize(
    "change",
    [
        {"crop_pct": 1.0},
        {"crop_mode": "squash"},
        {"interpolation": "bilinear", "crop_pct": 0.8},
        {"mean": [0, 0, 0]},
    ],
)
def test_the_data_configuration_is_followed(tmp_path, change):
    model = make_folder(tmp_path / "model", "resnet10t", SETTINGS | change)
    assert largest_difference(model, export_teacher(str(tmp_path / "model"), tmp_path / "out")) < 1e-4


def test_a_transform_that_pads_is_refused(tmp_path):
    make_folder(tmp_path / "model", "resnet10t", SETTINGS | {"crop_mode": "border", "crop_pct": 0.8})
    with pytest.raises(InputError, match="the transform of model"):
        export_teacher(str(tmp_path / "model"), tmp_path / "out")


def test_a_name_with_a_checkpoint_gives_timms_probabilities(tmp_path):
    torch.manual_seed(2)
    model = timm.create_model("resnet10t", num_classes=4).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    options = TeacherOptions(checkpoint=tmp_path / "weights.safetensors")
    out = export_teacher("timm/resnet10t", tmp_path / "out", options)
    assert largest_difference(model, out) < 1e-4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "resnet10x"}, "cannot build the architecture resnet10x"),
        ({"num_classes": 0}, "no classification head|lack|differ"),
        ({"num_classes": 7}, "differ in 2 shapes"),
        ({"architecture": "resnet18"}, "lack .* of the weights"),
    ],
)
def test_folders_that_contradict_themselves_are_refused(tmp_path, change, message):
    make_folder(tmp_path / "model", "resnet10t", **change)
    with pytest.raises(InputError, match=message) as refused:
        export_teacher(str(tmp_path / "model"), tmp_path / "out")
    assert "\n" not in str(refused.value)


def test_an_unknown_name_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match="resnet10t"):
        export_teacher("timm/resnet10s", tmp_path / "out")


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    save_file(timm.create_model("resnet18", num_classes=3).state_dict(), tmp_path / "weights.safetensors")
    options = TeacherOptions(checkpoint=tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="belong to another model"):
        export_teacher("timm/resnet10t", tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
