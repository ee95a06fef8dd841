"""Export of teachers: classifiers of transformers, and a user's own ONNX file."""

import json
import shutil

import numpy as np
import pytest

from inficond.core.errors import InputError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
onnx = pytest.importorskip("onnx")

from safetensors.torch import load_file, save_file  # noqa: E402

from inficond.core.models.teacher import load_teacher  # noqa: E402
from inficond.export.classifier import LoadedClassifier, choose_link  # noqa: E402
from inficond.export.graph import run_cpu  # noqa: E402
from inficond.export.source import find_source  # noqa: E402
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


def test_a_multi_label_model_uses_the_sigmoid(tiny_classifier, tmp_path):
    source = tmp_path / "model"
    shutil.copytree(tiny_classifier("vit"), source)
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"problem_type": "multi_label_classification"}))
    assert load_teacher(export_teacher(str(source), tmp_path / "a")).link == "sigmoid"
    assert (
        load_teacher(export_teacher(str(source), tmp_path / "b", TeacherOptions(link="softmax"))).link
        == "softmax"
    )


def own_classifier(folder, labels=("cat", "dog", "cow"), logits=3, bias=0.0, softmax=False, batch="n"):
    """A user's folder: an ONNX file that takes normalised floats, and its manifest."""
    from onnx import TensorProto, helper, numpy_helper

    weight = 4 * np.random.default_rng(0).standard_normal((3, logits)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["x"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["scores" if softmax else "y"]),
            *([helper.make_node("Softmax", ["scores"], ["y"], axis=1)] if softmax else []),
        ],
        "own",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, logits])],
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
        ("label count", "3 outputs per picture for 2 labels"),
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


@pytest.mark.parametrize("batch", ["n", 1, 4])
def test_a_users_own_softmax_is_recognised(tmp_path, noise, batch):
    folder, weight = own_classifier(tmp_path / "mine", softmax=True, batch=batch)
    out = export_teacher(str(folder), tmp_path / "out")
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["output_kind"] == "probabilities"
    assert "sum to 1" in manifest["notes"][0]
    pixels = noise(5, 24)
    logits = ((pixels / 255 - 0.5) / 0.25).mean((1, 2)) @ weight
    want = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert abs(load_teacher(out).respond(pixels) - want).max() < 1e-5


def test_weights_beside_a_users_own_graph_are_moved_into_it(tmp_path, noise):
    folder, _ = own_classifier(tmp_path / "mine")
    want = load_teacher(folder).respond(noise(4, 24))
    graph = folder / "model.onnx"
    onnx.save_model(
        onnx.load(graph), graph, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    out = export_teacher(str(folder), tmp_path / "out")
    assert {p.name for p in out.iterdir()} == {"manifest.json", "model.onnx"}
    np.testing.assert_array_equal(load_teacher(out).respond(noise(4, 24)), want)
    (folder / "weights.bin").unlink()
    with pytest.raises(InputError, match="keeps its weights in 'weights.bin', which is missing"):
        export_teacher(str(folder), tmp_path / "again")


def test_options_replace_what_a_users_manifest_states(tmp_path):
    folder, _ = own_classifier(tmp_path / "mine")
    names = tmp_path / "labels.txt"
    names.write_text("x\ny\nx\n")
    out = export_teacher(str(folder), tmp_path / "out", TeacherOptions(link="sigmoid", labels=names))
    teacher = load_teacher(out)
    assert (teacher.link, teacher.labels) == ("sigmoid", ("x", "y", "x (2)"))
    with pytest.raises(InputError, match="--size does not apply"):
        export_teacher(str(folder), tmp_path / "again", TeacherOptions(size=64))


def edited(tiny_classifier, folder, kind="vit", **changes):
    """A copy of a tiny classifier whose config.json is changed; None removes an entry."""
    shutil.copytree(tiny_classifier(kind), folder)
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return folder


NAMES = {i: f"label {i}" for i in range(5)}


@pytest.mark.parametrize(
    ("changes", "labels", "note"),
    [
        ({"id2label": None}, list(NAMES.values()), "taken from its label2id"),
        (
            {"id2label": None, "label2id": None},
            [f"LABEL_{i}" for i in range(5)],
            "the weights have 5 outputs",
        ),
        ({"id2label": {v: k for k, v in NAMES.items()}}, list(NAMES.values()), "the other way round"),
        ({"id2label": list(NAMES.values()), "label2id": None}, list(NAMES.values()), ""),
        ({"id2label": {str(4 - i): f"label {i}" for i in range(5)}}, list(NAMES.values())[::-1], "label2id"),
        ({"id2label": dict.fromkeys(map(str, range(5)), "crane")}, ["crane"] * 5, "'crane (2)' (number 1)"),
        (
            {"id2label": {str(i): f"LABEL_{i}" for i in range(5)}},
            [f"LABEL_{i}" for i in range(5)],
            "no names",
        ),
        (
            {"id2label": {str(i): name if i != 1 else None for i, name in NAMES.items()}},
            ["label 0", "LABEL_1", "label 2", "label 3", "label 4"],
            "no name to label 1",
        ),
        ({"id2label": {str(i): [f"n0000000{i}", name] for i, name in NAMES.items()}}, [*NAMES.values()], ""),
        ({"id2label": {str(i): {"name": name} for i, name in NAMES.items()}}, [*NAMES.values()], ""),
        ({"architectures": "ViTForImageClassification"}, [*NAMES.values()], ""),
        ({"id2label": {str(i): i * 10 for i in range(5)}}, ["0", "10", "20", "30", "40"], "no names"),
        ({"architectures": ["ViTModel", "ViTForImageClassification"]}, [*NAMES.values()], ""),
        (
            {"architectures": ["MyViTForImageClassification"]},
            [*NAMES.values()],
            "names the class 'MyViTForImageClassification', which is not one of transformers for vit",
        ),
    ],
)
def test_labels_are_read_from_every_form_of_id2label(tiny_classifier, tmp_path, changes, labels, note):
    source = edited(tiny_classifier, tmp_path / "model", **changes)
    loaded = LoadedClassifier(find_source(str(source)), True, None)
    assert loaded.labels == labels
    assert note in " ".join(loaded.notes)


def test_two_names_of_one_output_are_refused(tiny_classifier, tmp_path):
    changes = {"id2label": None, "label2id": {"cat": 0, "dog": 1, "hound": 1, "cow": 2, "hen": 3, "ox": 4}}
    source = edited(tiny_classifier, tmp_path / "model", **changes)
    with pytest.raises(InputError, match="'dog' and 'hound' both have the number 1.*--labels-file"):
        export_teacher(str(source), tmp_path / "out")


def test_weights_that_the_model_has_no_place_for_are_named(tiny_classifier, tmp_path):
    source = edited(tiny_classifier, tmp_path / "model")
    weights = load_file(source / "model.safetensors") | {"projection.weight": torch.ones(4, 4)}
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    out = export_teacher(str(source), tmp_path / "out")
    notes = " ".join(json.loads((out / "manifest.json").read_text())["notes"])
    assert "1 of its weights are not part of a ViTForImageClassification and are not used, proj" in notes


def test_probabilities_that_hardly_differ_are_named(tiny_classifier, tmp_path):
    source = edited(tiny_classifier, tmp_path / "model")
    weights = load_file(source / "model.safetensors")
    weights["classifier.weight"] *= 1e-5
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    out = export_teacher(str(source), tmp_path / "out")
    notes = " ".join(json.loads((out / "manifest.json").read_text())["notes"])
    assert "its probabilities are the same within 0.001 on 8 very different pictures" in notes


def test_a_labels_file_names_the_labels(tiny_classifier, tmp_path):
    file = tmp_path / "labels.txt"
    file.write_text('{"1": "b", "0": "a", "2": "crane", "3": "crane", "4": "e"}', encoding="utf-8")
    source = edited(tiny_classifier, tmp_path / "model", id2label={"0": "only one"})
    out = export_teacher(str(source), tmp_path / "out", TeacherOptions(labels=file))
    assert list(load_teacher(out).labels) == ["a", "b", "crane", "crane (2)", "e"]
    assert "'crane (2)' (number 3)" in " ".join(json.loads((out / "manifest.json").read_text())["notes"])


@pytest.mark.parametrize(
    ("changes", "link", "message"),
    [
        ({"problem_type": "regression"}, None, "refused: .*regression model.*--link sigmoid"),
        ({"problem_type": "regression"}, "softmax", "refused: .*regression model.*--link sigmoid"),
        ({"problem_type": "regression"}, "sigmoid", "as asked for"),
        ({"problem_type": None}, None, "several labels can hold at once"),
        ({"problem_type": "single_label_classification"}, None, ""),
        ({"problem_type": "multi_label"}, None, "refused: .*'multi_label'.*--link sigmoid or --link softmax"),
        ({"problem_type": "multi_label"}, "sigmoid", ""),
        ({"problem_type": "multi_label_classification"}, "softmax", "as asked for, where config.json states"),
        ({"function_to_apply": "sigmoid"}, None, "sigmoid as function_to_apply"),
        ({"function_to_apply": "none"}, None, "refused: .*function_to_apply 'none'.*--link"),
        (
            {"problem_type": "single_label_classification", "function_to_apply": "sigmoid"},
            None,
            "refused: .*function_to_apply 'sigmoid' and problem_type 'single_label_classification'",
        ),
    ],
)
def test_the_link_is_stated_or_asked_for(changes, link, message):
    if message.startswith("refused: "):
        with pytest.raises(InputError, match=message.removeprefix("refused: ")):
            choose_link(changes, 5, link, "tiny")
        return
    chosen, notes = choose_link(changes, 5, link, "tiny")
    assert chosen == (link or changes.get("function_to_apply") or "softmax")
    assert message in " ".join(notes)
    assert bool(message) == bool(notes)


def test_the_link_asked_for_and_its_note_are_in_the_manifest(tiny_classifier, tmp_path):
    source = edited(tiny_classifier, tmp_path / "model", problem_type="regression")
    out = export_teacher(str(source), tmp_path / "out", TeacherOptions(link="sigmoid"))
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["link"] == "sigmoid"
    assert "as asked for" in " ".join(manifest["notes"])


def test_a_single_output_needs_a_sigmoid(tmp_path):
    from tests.export.conftest import make_classifier

    source = make_classifier("vit", tmp_path / "model", labels=1)
    for link in (None, "softmax"):
        with pytest.raises(InputError, match=r"single output, whose softmax is always 1.*--link sigmoid"):
            export_teacher(str(source), tmp_path / "out", TeacherOptions(link=link))
    teacher = load_teacher(export_teacher(str(source), tmp_path / "out", TeacherOptions(link="sigmoid")))
    pixels = np.stack([np.full((32, 32, 3), level, np.uint8) for level in (0, 128, 255)])
    assert np.ptp(teacher.respond(pixels)) > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "clip_text_model"}, "no image classifier"),
        ({"model_type": "teapot"}, "does not include the architecture 'teapot'.*upgrade"),
        ({"model_type": None}, "no model_type"),
        ({"id2label": {"0": "a", "1": "b", "2": "c", "3": "d"}}, "5 outputs but 4 labels.*--labels-file"),
        ({"id2label": {str(i + 3): f"label {i}" for i in range(5)}}, "id2label.*not numbered"),
        ({"id2label": {"one": "a", "two": "b"}}, "id2label in config.json must number"),
        ({"model_type": ["vit"]}, "model_type in config.json must be a text"),
        ({"quantization_config": "bitsandbytes"}, "quantized with bitsandbytes"),
        (
            {"image_size": "32"},
            "does not fit a vit model .Validation error for field 'image_size': TypeError",
        ),
        ({"architectures": ["ViTModel"]}, "holds a ViTModel, which has no classification head"),
        ({"auto_map": {"AutoConfig": "own.Config"}}, "its own Python code"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized with gptq"),
        ({"hidden_size": 24}, "does not describe these weights"),
        ({"num_hidden_layers": 4}, "lacks 32 of the weights"),
        ({"hidden_act": "no such function"}, "config.json"),
        ({"num_attention_heads": 5}, "config.json"),
    ],
)
def test_bad_classifiers_are_refused_and_nothing_is_written(tiny_classifier, tmp_path, changes, message):
    source = edited(tiny_classifier, tmp_path / "model", **changes)
    with pytest.raises(InputError, match=message) as refused:
        export_teacher(str(source), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_model_that_reads_a_palette_is_refused(tmp_path):
    config = transformers.ImageGPTConfig(n_positions=64, n_embd=16, n_layer=1, n_head=2, vocab_size=9)
    transformers.ImageGPTForImageClassification(config).save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match=r"reads input_ids.*not pixels"):
        export_teacher(str(tmp_path / "model"), tmp_path / "out")


def test_half_precision_weights_in_shards_are_read(tiny_classifier, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(tiny_classifier("vit"), folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).to(torch.bfloat16)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10KB")
    assert len(list(folder.glob("*.safetensors"))) > 2
    teacher = load_teacher(export_teacher(str(folder), tmp_path / "out"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    x = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        want = model.float()(pixel_values=x).logits.softmax(-1).numpy()
    assert np.abs(teacher.respond(pixels) - want).max() < 1e-4


def test_a_processor_that_contradicts_the_model_names_both_sizes(tiny_classifier, tmp_path):
    source = edited(tiny_classifier, tmp_path / "model")
    transformers.ViTImageProcessorPil(size={"height": 40, "width": 40}).save_pretrained(source)
    with pytest.raises(InputError, match=r"cannot run on 40×40 pixels; it is made for 32×32.*--size 32"):
        export_teacher(str(source), tmp_path / "out")
    out = export_teacher(str(source), tmp_path / "out", TeacherOptions(size=32))
    assert json.loads((out / "manifest.json").read_text())["image"]["size"] == [32, 32]


def test_siglip2_stretches_to_the_size_asked_for(tmp_path):
    tiny = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.Siglip2Config(
        vision_config={"num_patches": 16, "patch_size": 8, **tiny},
        text_config={"vocab_size": 50, **tiny},
        id2label={0: "a", 1: "b", 2: "c"},
        label2id={"a": 0, "b": 1, "c": 2},
    )
    torch.manual_seed(0)
    model = transformers.Siglip2ForImageClassification(config).eval()
    model.classifier.weight.data.mul_(50)
    model.save_pretrained(tmp_path / "model")
    processor = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    processor.save_pretrained(tmp_path / "model")
    with pytest.raises(InputError, match="--size N"):
        export_teacher(str(tmp_path / "model"), tmp_path / "out")
    with pytest.raises(InputError, match="multiple of 8"):
        export_teacher(str(tmp_path / "model"), tmp_path / "out", TeacherOptions(size=36))
    teacher = load_teacher(export_teacher(str(tmp_path / "model"), tmp_path / "out", TeacherOptions(size=32)))
    square = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    with torch.no_grad():
        want = model(**processor(square, return_tensors="pt")).logits.softmax(-1).numpy()
    assert np.abs(teacher.respond(teacher.preprocess(square)[None]) - want).max() < 1e-3


@pytest.mark.parametrize("size", [-1, 0, 7, 5000])
def test_a_size_that_no_input_can_have_is_refused(tiny_classifier, tmp_path, size):
    with pytest.raises(InputError, match="give a number of pixels from 8 to 4,096"):
        export_teacher(str(tiny_classifier("vit")), tmp_path / "out", TeacherOptions(size=size))
