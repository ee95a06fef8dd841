"""Teachers from torchvision: the same probabilities and preprocessing as torchvision gives."""

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
if importlib.util.find_spec("torchvision") is None:
    pytest.skip("torchvision is not installed", allow_module_level=True)

from inficond.core.models.teacher import apply_link, load_teacher  # noqa: E402
from inficond.export.preprocessing_measurement import probe_pictures  # noqa: E402
from inficond.export.teacher import TeacherOptions, export_teacher  # noqa: E402
from inficond.export.torchvision_import import import_torchvision  # noqa: E402

import_torchvision("this test")
from torchvision import models  # noqa: E402  # pyright: ignore[reportMissingImports]


def save_weights(path: Path, name: str, outputs: int = 4):
    """Save random weights of a model; return the model."""
    torch.manual_seed(1)
    model = models.get_model(name, weights=None, num_classes=outputs).eval()
    for p in model.parameters():
        if p.ndim > 1:
            torch.nn.init.kaiming_normal_(p)
    torch.save(model.state_dict(), path)
    return model


def pictures(shared_data: Path) -> list[np.ndarray]:
    photographs = sorted((shared_data / "flickr8k" / "images").glob("*.jpg"))[:20]
    return [np.asarray(Image.open(path).convert("RGB")) for path in photographs]


@pytest.mark.parametrize(
    "name",
    [
        "squeezenet1_1",
        pytest.param("resnet18", marks=pytest.mark.nightly),
        pytest.param("mobilenet_v3_small", marks=pytest.mark.nightly),
    ],
)
def test_photographs_get_the_probabilities_of_torchvision(
    tmp_path: Path, shared_data: Path, name: str
) -> None:
    model = save_weights(tmp_path / "weights.pth", name)
    transform = models.get_model_weights(name).DEFAULT.transforms()
    options = TeacherOptions(checkpoint=tmp_path / "weights.pth")
    teacher = load_teacher(export_teacher(f"torchvision/{name}", tmp_path / "out", options))
    for picture in pictures(shared_data):
        with torch.no_grad():
            theirs = apply_link(model(transform(Image.fromarray(picture))[None]).numpy(), "softmax")
        ours = teacher.respond(teacher.preprocess(picture)[None])
        assert np.abs(ours - theirs).max() < 1e-4


@pytest.mark.nightly
def test_the_named_weights_state_the_preprocessing(tmp_path: Path) -> None:
    save_weights(tmp_path / "weights.pth", "resnet50", outputs=1000)
    options = TeacherOptions(checkpoint=tmp_path / "weights.pth")
    teacher = load_teacher(export_teacher("torchvision/resnet50.IMAGENET1K_V1", tmp_path / "out", options))
    assert teacher.labels[:2] == ("tench", "goldfish")
    picture = probe_pictures((224, 224))[0]
    transform = models.ResNet50_Weights.IMAGENET1K_V1.transforms()
    assert transform(Image.fromarray(picture)).shape[1:] == teacher.preprocess(picture).shape[:2]


@pytest.mark.parametrize(
    ("spec", "write", "message"),
    [
        ("torchvision/resnet81", None, "resnet18"),
        ("torchvision/resnet18.IMAGENET1K_V9", None, "IMAGENET1K_V1"),
        ("torchvision/resnet18", lambda path: path.write_bytes(b"no weights"), "is not a file of tensors"),
        ("torchvision/resnet18", lambda path: torch.save([1, 2], path), "holds no state_dict"),
        ("torchvision/resnet18", lambda path: save_weights(path, "resnet34"), "does not fit"),
        ("torchvision/resnet34", lambda path: save_weights(path, "resnet18"), "does not fit"),
        ("torchvision/resnet18", lambda path: save_weights(path, "alexnet"), "no layer fc.weight"),
    ],
)
def test_other_names_and_weights_are_refused(tmp_path: Path, spec: str, write, message) -> None:
    if write is not None:
        write(tmp_path / "weights.pth")
    options = TeacherOptions(checkpoint=tmp_path / "weights.pth")
    with pytest.raises(InputError, match=message):
        export_teacher(spec, tmp_path / "out", options)


WITHOUT_OPERATORS = """
import sys
import torch

def fail(path):
    raise OSError(path)

torch.ops.load_library = fail
from inficond.core.cli.main import main
sys.exit(main(["export", *sys.argv[1:]]))
"""
"""Runs `inficond export` as where the compiled library of torchvision does not fit torch."""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "tiny"), [("encoder", "clip"), ("teacher", "vit")])
def test_transformers_loads_beside_a_torchvision_that_does_not_fit(
    kind: str, tiny: str, tmp_path: Path, tiny_encoder: Callable, tiny_classifier: Callable
) -> None:
    folder = (tiny_encoder if kind == "encoder" else tiny_classifier)(tiny)
    argv = [sys.executable, "-c", WITHOUT_OPERATORS, kind, str(folder), "--out", str(tmp_path / "out")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
