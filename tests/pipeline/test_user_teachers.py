"""Teachers of the user (ONNX files, zero-shot classes, Python objects) answer as their own libraries do."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tests.pipeline.user_teacher import create

from inficond.core.errors import InputError
from inficond.core.images import decode
from inficond.core.models import load_encoder
from inficond.core.models.teacher import apply_link

SIZE = 24
WEIGHTS = np.array([[9, -3, -3], [-3, 9, -3], [-3, -3, 9]], np.float32)
"""Colour to logits."""
TOLERANCE = 1e-4


def write_onnx(
    path: Path, layout: str, metadata: dict[str, str], softmax: bool = False, weights: np.ndarray = WEIGHTS
) -> Path:
    """Write a classifier of the mean colour whose input has a layout such as ``float_bchw``."""
    kind, order = layout.split("_")
    shape = ["B", 3, SIZE, SIZE] if order == "bchw" else ["B", SIZE, SIZE, 3]
    axes = [2, 3] if order == "bchw" else [1, 2]
    nodes = [
        helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["colour"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["colour", "scale"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=-1),
    ]
    inputs = TensorProto.UINT8 if kind == "uint8" else TensorProto.FLOAT
    scale = 1 / 255 if layout != "float_bchw" else 1.0
    graph = helper.make_graph(
        nodes if softmax else nodes[:-1],
        "classifier",
        [helper.make_tensor_value_info("x", inputs, shape)],
        [
            helper.make_tensor_value_info(
                "probabilities" if softmax else "logits", TensorProto.FLOAT, ["B", weights.shape[1]]
            )
        ],
        [
            numpy_helper.from_array(np.array(scale, np.float32), "scale"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


def resized(path: Path, shorter: int | None) -> np.ndarray:
    """Resize and centre crop as torchvision does on Pillow images; None stretches the whole picture."""
    image = Image.fromarray(decode(path))
    if shorter is None:
        return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    width, height = image.size
    factor = min(width, height)
    image = image.resize((shorter * width // factor, shorter * height // factor), Image.Resampling.BILINEAR)
    left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
ULTRALYTICS = {
    "author": "Ultralytics", "task": "classify", "imgsz": f"[{SIZE}, {SIZE}]",
    "names": "{0: 'red', 1: 'green', 2: 'blue'}",
}  # fmt: skip
STATED = {"labels": '["red", "green", "blue"]', "mean": str(MEAN), "std": str(STD)}


@pytest.mark.parametrize(
    ("layout", "metadata", "softmax", "shorter", "scale"),
    [
        ("float_bchw", ULTRALYTICS, True, SIZE, lambda x: x / 255),
        ("float_bchw", STATED, False, round(SIZE / 0.875), lambda x: (x / 255 - MEAN) / STD),
        ("uint8_bchw", {"classes": "red,green,blue"}, False, round(SIZE / 0.875), lambda x: x / 255),
        ("uint8_bhwc", {"classes": "red,green,blue"}, True, round(SIZE / 0.875), lambda x: x / 255),
        ("float_bhwc", {"classes": "red,green,blue"}, False, None, lambda x: x / 255),
    ],
    ids=["Ultralytics", "stated mean and std", "uint8 NCHW", "uint8 NHWC", "Keras"],
)
def test_an_onnx_file_answers_as_it_does_by_itself(
    tiny: Any, photos: Path, tmp_path: Path, layout: str, metadata: dict[str, str], softmax: bool,
    shorter: int | None, scale: Callable[[np.ndarray], np.ndarray],
) -> None:  # fmt: skip
    path = write_onnx(tmp_path / "mine.onnx", layout, metadata, softmax)
    project = create(tiny, tmp_path, photos, path)
    assert len(project) == 20
    assert set(project.classes) == {"red", "green", "blue"}
    order = [("red", "green", "blue").index(c) for c in project.classes]
    for row, id in enumerate(project.image_ids):
        colour = scale(resized(photos / id, shorter).astype(np.float64)).mean(axis=(0, 1))
        expected = apply_link((colour @ WEIGHTS).astype(np.float32)[None], "softmax")[0]
        np.testing.assert_allclose(project.T[row], expected[order], atol=TOLERANCE)
        if row % 5 == 0:
            answered = project.context.respond(decode(photos / id))
            np.testing.assert_allclose(answered, project.T[row], atol=TOLERANCE)
    said = " ".join([*project.config["choices"], *project.config["source"]["notes"]])
    assert layout in said
    assert ("used as probabilities" in said) == softmax
    assert "gives the label of" in said


ULTRALYTICS_METADATA = {
    "description": "Ultralytics YOLO11n-cls model trained on /data/colours",
    "author": "Ultralytics",
    "date": "2025-10-04T11:02:07.134213",
    "version": "8.3.204",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "docs": "https://docs.ultralytics.com",
    "stride": "1",
    "task": "classify",
    "batch": "1",
    "imgsz": f"[{SIZE}, {SIZE}]",
    "names": "{0: 'red', 1: 'green', 2: 'blue'}",
    "args": "{'batch': 1, 'half': False, 'dynamic': False, 'simplify': True, 'opset': None, 'nms': False}",
    "channels": "3",
}
"""What `YOLO("…-cls.pt").export(format="onnx")` writes into the file: ``str`` of each value."""


def test_a_graph_with_the_metadata_of_ultralytics_answers_as_its_preprocessing(
    tiny: Any, photos: Path, tmp_path: Path
) -> None:
    """Each pixel has its own weight, so that a picture resized or cropped otherwise is answered otherwise."""
    weights = np.repeat(WEIGHTS, SIZE * SIZE, axis=0) / SIZE**2
    weights += np.random.default_rng(0).normal(0, 0.02, weights.shape).astype(np.float32)
    shape = ["images", TensorProto.FLOAT, [1, 3, SIZE, SIZE]], ["output0", TensorProto.FLOAT, [1, 3]]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
            helper.make_node("Softmax", ["logits"], ["output0"], axis=1),
        ],
        "main_graph",
        [helper.make_tensor_value_info(*shape[0])],
        [helper.make_tensor_value_info(*shape[1])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    helper.set_model_props(model, ULTRALYTICS_METADATA)
    onnx.save(model, tmp_path / "yolo11n-cls.onnx")
    project = create(tiny, tmp_path, photos, tmp_path / "yolo11n-cls.onnx")
    assert len(project) == 20
    order = [("red", "green", "blue").index(c) for c in project.classes]
    assert sorted(order) == [0, 1, 2]
    for row, id in enumerate(project.image_ids):
        pixels = resized(photos / id, SIZE).astype(np.float64) / 255  # neither mean nor std
        logits = pixels.transpose(2, 0, 1).reshape(-1) @ weights
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        np.testing.assert_allclose(project.T[row], expected[order], atol=TOLERANCE)
    assert "as Ultralytics does" in " ".join(project.config["source"]["notes"])


def test_the_scale_of_the_input_follows_from_the_labels(tiny: Any, photos: Path, tmp_path: Path) -> None:
    centred = np.concatenate([WEIGHTS])
    path = write_onnx(tmp_path / "mine.onnx", "float_bchw", {"classes": "red,green,blue"}, weights=centred)
    project = create(tiny, tmp_path, photos, path)
    assert "pixels are scaled" in " ".join(project.config["source"]["notes"])
    truth = [project.classes.index(id.split("/")[0]) for id in project.image_ids]
    assert (project.T.argmax(axis=1) == truth).mean() > 0.8


def test_names_of_outputs_come_from_a_file_or_the_class_folders(
    tiny: Any, photos: Path, tmp_path: Path
) -> None:
    path = write_onnx(tmp_path / "mine.onnx", "uint8_bchw", {})
    names = tmp_path / "names.txt"
    names.write_text("red\ngreen\nblue\n")
    project = create(tiny, tmp_path, photos, path, teacher_labels=names)
    assert set(project.classes) == {"red", "green", "blue"}
    with pytest.raises(InputError, match="output 0 is named 'blue' and is highest on images of 'red'"):
        create(tiny, tmp_path / "alphabetical", photos, path)
    names.write_text("red\ngreen\n")
    with pytest.raises(InputError, match="3 outputs, but 2 labels"):
        create(tiny, tmp_path / "few", photos, path, teacher_labels=names)
    with pytest.raises(InputError, match="--labels-file"):
        create(tiny, tmp_path / "none", photos / "red", path)
    with pytest.raises(InputError, match="not a classifier"):
        create(
            tiny, tmp_path / "task", photos, write_onnx(tmp_path / "d.onnx", "uint8_bchw", {"task": "detect"})
        )


def test_zero_shot_classes_are_the_softmax_of_cosines(tiny: Any, photos: Path, tmp_path: Path) -> None:
    project = create(tiny, tmp_path, photos, "zero-shot", temperature=0.1)
    assert project.classes
    encoder = load_encoder(tiny.encoder, "cpu")
    names = ["blue", "green", "red"]
    words = encoder.embed_words(names)
    for row, id in enumerate(project.image_ids):
        picture = decode(photos / id)
        image = encoder.encode(encoder.preprocess(picture)[None]).image
        expected = apply_link(image @ words.T / 0.1, "softmax")[0]
        expected = [expected[names.index(c)] for c in project.classes]
        np.testing.assert_allclose(project.T[row], expected, atol=TOLERANCE)
    np.testing.assert_allclose(project.context.respond(picture), project.T[-1], atol=TOLERANCE)


def colours(pictures: list[Image.Image]) -> np.ndarray:
    """Return the mean colours (n, 3), as a distribution."""
    found = np.stack([np.asarray(p, np.float64).mean(axis=(0, 1)) for p in pictures])
    return found / found.sum(axis=1, keepdims=True)


def test_a_python_function_answers_as_it_is(tiny: Any, photos: Path, tmp_path: Path) -> None:
    project = create(tiny, tmp_path, photos, colours, teacher_labels=["red", "green", "blue"])
    for row, id in enumerate(project.image_ids):
        expected = colours([Image.fromarray(decode(photos / id))])[0]
        order = [("red", "green", "blue").index(c) for c in project.classes]
        np.testing.assert_allclose(project.T[row], expected[order], atol=TOLERANCE)
    assert project.config["teacher"]["spec"] == "colours"


def test_a_function_is_named_by_its_module(
    tiny: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine_for_test.py").write_text(
        "import numpy as np\n"
        "def answer(pictures):\n"
        "    return [np.asarray(p, float).mean(axis=(0, 1)) for p in pictures]\n"
        "answer.labels = ['red', 'green', 'blue']\n"
    )
    monkeypatch.chdir(tmp_path)
    project = create(tiny, tmp_path, photos, "mine_for_test:answer")
    assert "logits of a softmax" in " ".join(project.config["source"]["notes"])
    with pytest.raises(InputError, match="unknown object of mine_for_test|'anwser'"):
        create(tiny, tmp_path / "other", photos, "mine_for_test:anwser")
    with pytest.raises(InputError, match="cannot be imported"):
        create(tiny, tmp_path / "other", photos, "no_such_module:answer")


def test_a_pipeline_of_scikit_learn_answers_as_it_is(tiny: Any, photos: Path, tmp_path: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    pictures = [Image.fromarray(decode(path)) for path in sorted(photos.rglob("*.png"))]
    model = make_pipeline(FunctionTransformer(colours), LogisticRegression(C=100))
    model.fit(pictures, [path.parent.name for path in sorted(photos.rglob("*.png"))])
    project = create(tiny, tmp_path, photos, model)
    expected = model.predict_proba(pictures)
    order = [list(model.classes_).index(c) for c in project.classes]
    np.testing.assert_allclose(project.T, expected[:, order], atol=TOLERANCE)


def test_a_pipeline_of_transformers_answers_as_it_is(tiny: Any, photos: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=SIZE,
        patch_size=8, id2label={0: "red", 1: "green", 2: "blue"}, initializer_range=0.5,
    )  # fmt: skip
    try:
        processor = transformers.ViTImageProcessor(size={"height": SIZE, "width": SIZE})
    except Exception as error:  # torchvision does not load beside every torch
        pytest.skip(f"no image processor here: {error}")
    pipe = transformers.pipeline(
        "image-classification",
        model=transformers.ViTForImageClassification(config),
        image_processor=processor,
    )
    project = create(tiny, tmp_path, photos, pipe)
    for row, id in enumerate(project.image_ids):
        scores = {
            found["label"]: found["score"] for found in pipe(Image.fromarray(decode(photos / id)), top_k=3)
        }
        np.testing.assert_allclose(project.T[row], [scores[c] for c in project.classes], atol=TOLERANCE)


def test_a_torch_module_answers_as_it_is(
    tiny: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "module_for_test.py").write_text(
        "import torch\n"
        "class Small(torch.nn.Module):\n"
        f"    preprocessing = {{'size': {SIZE}, 'resize': 27, 'mean': {MEAN}, 'std': {STD}}}\n"
        "    labels = ['red', 'green', 'blue']\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        torch.manual_seed(0)\n"
        "        self.convolution = torch.nn.Conv2d(3, 8, 3)\n"
        "        self.classifier = torch.nn.Linear(8, 3)\n"
        "    def forward(self, x):\n"
        "        return 3 * self.classifier(self.convolution(x).relu().mean(dim=(2, 3)))\n"
        "def build():\n"
        "    return Small()\n"
    )
    monkeypatch.chdir(tmp_path)
    project = create(tiny, tmp_path, photos, "module_for_test:build")
    import module_for_test  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]

    module = module_for_test.build().eval()
    for row, id in enumerate(project.image_ids):
        pixels = (resized(photos / id, 27) / 255 - MEAN) / STD
        with torch.no_grad():
            outputs = module(torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)).numpy()
        expected = apply_link(outputs, "softmax")[0]
        order = [module.labels.index(c) for c in project.classes]
        np.testing.assert_allclose(project.T[row], expected[order], atol=TOLERANCE)
    np.testing.assert_allclose(project.context.respond(decode(photos / id)), project.T[-1], atol=TOLERANCE)
    assert "preprocessing of its attribute" in " ".join(project.config["source"]["notes"])


def test_an_image_on_which_the_teacher_fails_is_skipped(tiny: Any, photos: Path, tmp_path: Path) -> None:
    count = 0

    def teacher(pictures: list[Image.Image]) -> np.ndarray:
        nonlocal count
        found = colours(pictures)
        for row, picture in enumerate(pictures):
            value = zlib.crc32(picture.tobytes()[:300]) % 7
            if value == 0:
                raise RuntimeError("cannot do this one")
            if value == 1:
                found[row] = np.nan
        count += len(pictures)
        return found

    project = create(tiny, tmp_path, photos, teacher, teacher_labels=["red", "green", "blue"])
    reasons = [reason for _, reason in project.config["source"]["skipped_files"]]
    assert len(project) + len(reasons) == 20
    assert all("raised RuntimeError: cannot do this one" in r or "answers NaN" in r for r in reasons)


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (lambda pictures: np.full((len(pictures), 3), np.nan), "answers none of the images"),
        (lambda pictures: np.zeros((len(pictures), 4)), "4 numbers per image for 3 class names"),
        (lambda pictures: np.zeros(3), r"shape \(3,\)"),
        (3, "neither"),
    ],
)
def test_answers_that_cannot_be_used_are_one_line(
    tiny: Any, photos: Path, tmp_path: Path, teacher: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        create(tiny, tmp_path, photos, teacher, teacher_labels=["red", "green", "blue"])
