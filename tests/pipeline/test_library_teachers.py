"""Classifiers saved by Keras and exported by Ultralytics answer as in these libraries."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pipeline.user_teacher import create

from inficond.core.errors import InputError

pytest.importorskip("torch")
NAMES = ["blue", "green", "red"]
SIZE = 32
needs_keras = pytest.mark.skipif(
    importlib.util.find_spec("keras") is None, reason="Keras is not installed (extra `keras`)"
)


@pytest.fixture
def keras(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    return pytest.importorskip("keras")


def keras_classifier(keras: Any) -> Any:
    """Return a small convolutional classifier with random weights."""
    keras.utils.set_random_seed(3)
    layers, wide = keras.layers, keras.initializers.RandomNormal(stddev=9)
    return keras.Sequential(
        [
            layers.Input((SIZE, SIZE, 3)),
            layers.Rescaling(1 / 127.5, offset=-1),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Activation("swish"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax", kernel_initializer=wide),
        ],
        name="small",
    )


def keras_answers(keras: Any, model: Any, photos: Path, ids: list[str]) -> np.ndarray:
    """Return the answers of Keras to photographs that Keras loads."""
    load = keras.utils.load_img
    pictures = [load(photos / id, target_size=(SIZE, SIZE), interpolation="bilinear") for id in ids]
    return model.predict(np.stack([keras.utils.img_to_array(p) for p in pictures]), verbose=0)


@needs_keras
@pytest.mark.parametrize("given", ["file", "model"])
def test_a_keras_classifier_answers_as_in_keras(
    tiny: Any, photos: Path, tmp_path: Path, keras: Any, given: str
) -> None:
    model = keras_classifier(keras)
    model.save(tmp_path / "small.keras")
    project = create(tiny, tmp_path, photos, tmp_path / "small.keras" if given == "file" else model)
    assert len(project) == 20
    expected = keras_answers(keras, model, photos, project.image_ids)
    order = [NAMES.index(c) for c in project.classes]
    np.testing.assert_allclose(project.T, expected[:, order], atol=1e-4)
    assert project.T.std() > 0.1
    assert "float_bhwc" in " ".join(project.config["source"]["notes"])


@needs_keras
def test_keras_files_that_are_no_classifiers_are_one_line(tiny: Any, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "torn.keras").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="torn.keras is not a Keras model that can be read"):
        create(tiny, tmp_path, photos, tmp_path / "torn.keras")
    with pytest.raises(InputError, match="nothing.keras does not exist"):
        create(tiny, tmp_path, photos, tmp_path / "nothing.keras")


@pytest.mark.skipif(importlib.util.find_spec("keras") is not None, reason="Keras is installed")
def test_without_keras_its_extra_is_named(tiny: Any, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"inficond\[keras\]"):
        create(tiny, tmp_path, photos, tmp_path / "small.keras")


@pytest.mark.skipif(
    importlib.util.find_spec("ultralytics") is None, reason="ultralytics is not installed (AGPL licence)"
)
def test_an_export_of_ultralytics_answers_as_in_ultralytics(
    tiny: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from inficond.export.torchvision_import import import_torchvision

    import_torchvision("this test")
    monkeypatch.chdir(tmp_path)
    from ultralytics import YOLO  # pyright: ignore[reportMissingImports]

    torch.manual_seed(0)
    model = YOLO("yolo11n-cls.yaml", task="classify")
    head = model.model.model[-1].linear
    model.model.model[-1].linear = torch.nn.Linear(head.in_features, 3)
    torch.nn.init.normal_(model.model.model[-1].linear.weight, std=3)
    model.model.names = dict(enumerate(NAMES))
    with torch.no_grad():  # statistics of the normalisations, without which the signal vanishes
        for module in model.model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        model.model.train()(torch.rand(8, 3, 64, 64))
    model.model.eval()
    model.save(tmp_path / "tiny-cls.pt")
    saved = YOLO(tmp_path / "tiny-cls.pt", task="classify")
    exported = Path(saved.export(format="onnx", imgsz=64, simplify=False, verbose=False))
    project = create(tiny, tmp_path, photos, exported)
    order = [NAMES.index(c) for c in project.classes]
    for row, id in enumerate(project.image_ids):
        (found,) = saved.predict(photos / id, imgsz=64, verbose=False)
        np.testing.assert_allclose(project.T[row], found.probs.data.numpy()[order], atol=1e-4)
    assert "as Ultralytics does" in " ".join(project.config["source"]["notes"])
