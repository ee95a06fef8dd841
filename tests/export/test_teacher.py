"""Any classifier of transformers, or a user's own ONNX file, becomes a teacher that answers as it did."""

import json
import shutil

import numpy as np
import pytest

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")

from inficond.core.models.teacher import load_teacher  # noqa: E402
from inficond.export.graph import run_cpu  # noqa: E402
from inficond.export.teacher import TeacherOptions, export_teacher  # noqa: E402

KINDS = ["vit", "convnext", "resnet", "swin"]
FUSED = {"vit": 2, "convnext": 0, "resnet": 0, "swin": 4}


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_torch(tiny_classifier, tmp_path, noise, kind, size):
    source = tiny_classifier(kind)
    out = export_teacher(str(source), tmp_path / "out", TeacherOptions(size=size))
    model = transformers.AutoModelForImageClassification.from_pretrained(source).eval()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["verification"]["fused_attention_nodes"] == FUSED[kind]
    mean, std = (torch.tensor(manifest["image"][k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    teacher = load_teacher(out)
    for batch in (1, 7):
        pixels = noise(batch, size, seed=batch)
        x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - mean) / std
        extra = {"interpolate_pos_encoding": True} if kind == "vit" else {}
        with torch.no_grad():
            logits = model(pixel_values=x, **extra).logits
        got = run_cpu(out / "model.onnx", {"pixels": pixels})["logits"]
        assert abs(got - logits.numpy()).max() <= 1e-4
        assert abs(teacher.respond(pixels) - logits.softmax(-1).numpy()).max() <= 1e-4
    assert list(teacher.labels) == [f"label {i}" for i in range(5)]


def test_a_multi_label_model_answers_through_sigmoids(tiny_classifier, tmp_path):
    source = tmp_path / "model"
    shutil.copytree(tiny_classifier("vit"), source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    assert load_teacher(export_teacher(str(source), tmp_path / "a")).link == "sigmoid"
    assert (
        load_teacher(export_teacher(str(source), tmp_path / "b", TeacherOptions(link="softmax"))).link
        == "softmax"
    )


def own_classifier(folder, labels=("cat", "dog", "cow"), logits=3, bias=0.0):
    """A user's folder: an ONNX file that takes normalised floats, and the small JSON."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(0).standard_normal((3, logits)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["y"]),
        ],
        "own",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", logits])],
        [
            numpy_helper.from_array(weight, "w"),
            numpy_helper.from_array(np.full(logits, bias, np.float32), "b"),
        ],
    )
    folder.mkdir()
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "model.onnx",
    )
    manifest = {
        "format": 1,
        "kind": "teacher",
        "name": "mine",
        "labels": list(labels),
        "link": "softmax",
        "image": {
            "file": "model.onnx", "size": [24, 24], "resize": 28, "crop": 24, "interpolation": "bilinear",
            "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "input_layout": "float_bchw",
        },
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder, weight


def test_a_users_own_onnx_classifier_is_checked_and_gets_checksums(tmp_path, noise):
    folder, weight = own_classifier(tmp_path / "mine")
    out = export_teacher(str(folder), tmp_path / "out")
    assert set(json.loads((out / "manifest.json").read_text())["files"]) == {"model.onnx"}
    pixels = noise(4, 24)
    logits = ((pixels / 255 - 0.5) / 0.25).mean((1, 2)) @ weight
    want = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert abs(load_teacher(out).respond(pixels) - want).max() < 1e-5


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("label count", "labels"),
        ("nan", "NaN"),
        ("no graph", "has no model.onnx"),
        ("custom operator", "custom operator"),
    ],
)
def test_a_users_own_classifier_that_is_wrong_is_refused(tmp_path, damage, message):
    folder, _ = own_classifier(
        tmp_path / "mine",
        labels=("cat", "dog") if damage == "label count" else ("cat", "dog", "cow"),
        bias=float("nan") if damage == "nan" else 0.0,
    )
    graph = folder / "model.onnx"
    if damage == "no graph":
        graph.unlink()
    elif damage == "custom operator":
        model = onnx.load(graph)
        model.graph.node[0].domain = "evil.example"
        onnx.save(model, graph)
    with pytest.raises(InputError, match=message):
        export_teacher(str(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("encoder", "no image classifier"),
        ("label count", "5 logits but 4 labels"),
        ("label numbers", "not numbered"),
        ("no head", "no classification head"),
    ],
)
def test_bad_classifiers_are_refused_and_nothing_is_written(
    tiny_encoder, tiny_classifier, tmp_path, monkeypatch, damage, message
):
    source = tmp_path / "model"
    shutil.copytree(tiny_encoder("siglip2") if damage == "encoder" else tiny_classifier("vit"), source)
    path = source / "config.json"
    config = json.loads(path.read_text())
    if damage == "encoder":
        config["model_type"] = "clip_text_model"
    elif damage == "label numbers":
        config["id2label"] = {str(i + 3): f"label {i}" for i in range(5)}
    elif damage == "no head":
        config["architectures"] = ["ViTModel"]
    path.write_text(json.dumps(config))
    if damage == "label count":
        from inficond.export import teacher

        monkeypatch.setattr(teacher, "read_labels", lambda config, name: ["a", "b", "c", "d"])
    with pytest.raises(InputError, match=message):
        export_teacher(str(source), tmp_path / "out")
    assert not (tmp_path / "out").exists()
