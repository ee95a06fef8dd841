"""Classifiers written by hand: fixed batch sizes, probabilities as outputs, labels of one name."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inficond.core.errors import InputError
from inficond.core.models.class_sets import class_set
from inficond.core.models.manifest import numbered
from inficond.core.models.teacher import Teacher, apply_link, load_teacher

SIZE = 24
WEIGHTS = np.random.default_rng(3).standard_normal((3, 3)).astype(np.float32) * 4


def write_classifier(
    folder: Path, ending: str | None = None, batch: int | str = "n", scale: float = 1.0, **manifest: object
) -> Path:
    """A classifier of mean colours, `ending` in Softmax or Sigmoid, with a manifest written by hand."""
    folder.mkdir()
    last = "logits" if ending else "y"
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], [last]),
    ]
    if ending == "over the batch":
        nodes.append(helper.make_node("Softmax", ["logits"], ["y"], axis=0))
    elif ending:
        nodes.append(helper.make_node(ending, ["logits"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 3])],
        [numpy_helper.from_array(WEIGHTS * np.float32(scale), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    said = {
        "format": 1, "kind": "teacher", "name": "by-hand", "labels": ["a", "b", "c"], "link": "softmax",
        "image": {"file": "model.onnx", "size": [SIZE, SIZE], "input_layout": "float_bchw"},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(said | manifest))
    return folder


def pictures(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, SIZE, SIZE, 3), np.uint8)


def logits_of(pixels: np.ndarray) -> np.ndarray:
    return (pixels.astype(np.float32) / 255).mean((1, 2)) @ WEIGHTS


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_fixed_batch_size_gives_the_same_probabilities(tmp_path: Path, batch: int) -> None:
    teacher = load_teacher(write_classifier(tmp_path / "t", batch=batch), "cpu")
    for n in (1, 2, 7):
        want = apply_link(logits_of(pictures(n)), "softmax")
        np.testing.assert_allclose(teacher.respond(pictures(n)), want, atol=1e-5)
    assert f"batch size of {batch}" in " ".join(teacher.notes)


@pytest.mark.parametrize("ending", ["Softmax", None])
def test_a_softmax_in_the_graph_is_recognised(tmp_path: Path, ending: str | None) -> None:
    teacher = load_teacher(write_classifier(tmp_path / "t", ending), "cpu")
    want = apply_link(logits_of(pictures(5)), "softmax")
    np.testing.assert_allclose(teacher.respond(pictures(5)), want, atol=1e-5)
    assert teacher.output_kind == ("probabilities" if ending else "logits")
    assert any("sum to 1" in note for note in teacher.notes) == bool(ending)


@pytest.mark.parametrize(
    ("ending", "scale", "stated", "message"),
    [
        ("Softmax", 1.0, "logits", 'set `output_kind` to "probabilities"'),
        ("Sigmoid", 1.0, None, "may be logits or the probabilities of a sigmoid"),
        (None, 1.0, "probabilities", 'set `output_kind` to "logits"'),
        ("over the batch", 1.0, "probabilities", "differently if others are in its batch.*axis 1"),
    ],
)
def test_outputs_that_contradict_the_manifest_are_refused(
    tmp_path: Path, ending: str | None, scale: float, stated: str | None, message: str
) -> None:
    more = {"output_kind": stated} if stated else {}
    folder = write_classifier(tmp_path / "t", ending, scale=scale, **more)
    with pytest.raises(InputError, match=message):
        load_teacher(folder, "cpu")


@pytest.mark.parametrize(("ending", "kind"), [("Sigmoid", "probabilities"), ("Sigmoid", "logits")])
def test_outputs_of_a_sigmoid_are_what_the_manifest_states(tmp_path: Path, ending: str, kind: str) -> None:
    folder = write_classifier(tmp_path / "t", ending, output_kind=kind, link="sigmoid")
    teacher = load_teacher(folder, "cpu")
    once = apply_link(logits_of(pictures(4)), "sigmoid")
    want = once if kind == "probabilities" else apply_link(once, "sigmoid")
    np.testing.assert_allclose(teacher.respond(pictures(4)), want, atol=1e-5)


def test_a_single_label_needs_a_sigmoid(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path / "t", labels=["score"])
    with pytest.raises(InputError, match=r"single label, whose softmax is always 1.*sigmoid"):
        load_teacher(folder, "cpu")


@pytest.mark.parametrize("field", [{"crop_offset": "up"}, {"reducing_gap": 0}, {"reducing_gap": True}])
def test_wrong_rounding_fields_are_refused(tmp_path: Path, field: dict[str, object]) -> None:
    image = {"file": "model.onnx", "size": [SIZE, SIZE], "input_layout": "float_bchw"} | field
    folder = write_classifier(tmp_path / "t", image=image)
    with pytest.raises(InputError, match=f"image.{next(iter(field))}"):
        load_teacher(folder, "cpu")


LIKE_NAMED = numbered(["crane", "tench", "crane", "Crow", "crow", "crane"])


@pytest.mark.parametrize(
    ("wanted", "members"),
    [
        (["crane (1)"], (0,)),
        (["crane (2)"], (2,)),
        (["crane (1)", "crane (2)", "crane (3)"], (0, 2, 5)),
        (["Crow"], (3,)),
        (["TENCH"], (1,)),
    ],
)
def test_like_named_labels_are_told_apart_by_number(wanted: list[str], members: tuple[int, ...]) -> None:
    assert class_set({"bird": wanted}, LIKE_NAMED, None).members == (members,)


@pytest.mark.parametrize("wanted", ["crane", "CROW"])
def test_a_name_of_several_labels_is_refused(wanted: str) -> None:
    with pytest.raises(InputError, match=f"labels named '{wanted}'.*write "):
        class_set({"bird": [wanted]}, LIKE_NAMED, None)


def test_the_teachers_own_groups_may_name_the_first_of_several() -> None:
    groups = {"bird": ["crane"], "machine": ["crane (2)"]}
    assert class_set(None, LIKE_NAMED, groups).members == ((0,), (2,))


def test_a_batch_axis_that_is_dynamic_is_run_at_once(tmp_path: Path) -> None:
    teacher = load_teacher(write_classifier(tmp_path / "t"), "cpu")
    assert isinstance(teacher, Teacher)
    assert teacher.notes == []
    assert teacher.outputs(pictures(9)).shape == (9, 3)
