"""Meaning of a classifier's outputs in an ONNX file: found, asked for, or refused by name."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from PIL import Image

from inficond.core.errors import InputError
from inficond.core.models.teacher import apply_link, load_teacher
from inficond.core.teachers.onnx_file import TrialPictures, write_onnx_teacher

SIDE = 24
NAMES = ("red", "green", "blue")
NODE = helper.make_node


def _pictures() -> TrialPictures:
    """24 pictures of one colour; the brightest channel is the label."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 60, (24, 3))
    colours[np.arange(24), np.arange(24) % 3] += 180
    images = [Image.new("RGB", (50, 40), tuple(int(v) for v in colour)) for colour in colours]
    return TrialPictures(images, [NAMES[i % 3] for i in range(24)])


PICTURES = _pictures()
SCORES = ("scores", T.FLOAT, ["B", 3])


@dataclass
class Graph:
    """A classifier of the mean colour; `tail` follows its logits, named ``scores``."""

    tail: Sequence[Any] = ()
    outputs: Sequence[tuple[str, int, list[Any]]] = (SCORES,)
    shape: Sequence[Any] = ("B", 3, SIDE, SIDE)
    kind: int = T.FLOAT
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    opset: int = 17
    ir: int = 9
    metadata: dict[str, str] = field(default_factory=dict)
    more_inputs: Sequence[Any] = ()

    def write(self, path: Path) -> Path:
        axes = [len(self.shape) - 2, len(self.shape) - 1]
        nodes = [
            NODE("Cast", ["x"], ["float"], to=T.FLOAT),
            NODE("ReduceMean", ["float"], ["colour"], axes=axes, keepdims=0),
            NODE("Mul", ["colour", "eight"], ["scores"]),
            *self.tail,
        ]
        graph = helper.make_graph(
            nodes,
            "classifier",
            [helper.make_tensor_value_info("x", self.kind, self.shape), *self.more_inputs],
            [
                helper.make_tensor_sequence_value_info(*output)
                if output[0] == "parts"
                else helper.make_tensor_value_info(*output)
                for output in self.outputs
            ],
            [
                numpy_helper.from_array(np.asarray(value), name)
                for name, value in {"eight": np.float32(8), **self.constants}.items()
            ],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=self.ir
        )
        helper.set_model_props(model, self.metadata)
        path.write_bytes(model.SerializeToString())
        return path


def convert(graph: Graph, folder: Path, names: Sequence[str] = NAMES) -> tuple[dict[str, Any], str]:
    """Write the graph as a teacher; return its manifest and what was said."""
    path = graph.write(folder / "mine.onnx")
    notes = write_onnx_teacher(folder / "teacher", path, PICTURES, list(names), "cpu")
    return json.loads((folder / "teacher" / "manifest.json").read_text()), " ".join(notes)


SOFTMAX = NODE("Softmax", ["scores"], ["p"], axis=1)
PROBABILITIES = ("p", T.FLOAT, ["B", 3])
BEST = NODE("ArgMax", ["scores"], ["best"], axis=1, keepdims=0)
SUM = NODE("ReduceSum", ["scores", "one"], ["sum"], keepdims=1)
ONE = {"one": np.array([1])}


@pytest.mark.parametrize(
    ("graph", "output", "kind"),
    [
        (
            Graph(
                [NODE("Concat", ["colour", "colour"], ["features"], axis=1)],
                [("features", T.FLOAT, ["B", 6]), SCORES],
            ),
            "scores",
            "logits",
        ),
        (Graph([SOFTMAX], [SCORES, PROBABILITIES]), "p", "probabilities"),
        (Graph([BEST, SOFTMAX], [("best", T.INT64, ["B"]), PROBABILITIES]), "p", "probabilities"),
        (
            Graph(
                [NODE("Neg", ["scores"], ["other"])],
                [("other", T.FLOAT, ["B", 3]), SCORES],
                metadata={"output": "scores"},
            ),
            "scores",
            "logits",
        ),
        (
            Graph(
                [NODE("Unsqueeze", ["scores", "axes"], ["map"])],
                [("map", T.FLOAT, ["B", 3, 1, 1])],
                constants={"axes": np.array([2, 3])},
            ),
            "map",
            "logits",
        ),
        (Graph(kind=T.FLOAT16), "scores", "logits"),
        (Graph(kind=T.DOUBLE), "scores", "logits"),
    ],
    ids=["features first", "logits and probabilities", "class and probabilities", "named", "map of one cell",
         "half precision", "double precision"],
)  # fmt: skip
def test_the_output_of_the_scores_is_found(tmp_path: Path, graph: Graph, output: str, kind: str) -> None:
    manifest, _ = convert(graph, tmp_path)
    assert (manifest["output"], manifest["output_kind"], manifest["link"]) == (output, kind, "softmax")
    teacher = load_teacher(tmp_path / "teacher", "cpu")
    pixels = np.stack([teacher.preprocess(image) for image in PICTURES.images])
    feed = teacher.preprocess.graph_input(pixels)
    want = apply_link(8 * feed.mean(axis=(2, 3)), "softmax")
    np.testing.assert_allclose(teacher.respond(pixels), want, atol=2e-2 if graph.kind == T.FLOAT16 else 1e-5)


REFUSED: dict[str, tuple[Graph, Sequence[str], str]] = {
    "class number": (
        Graph([BEST], [("best", T.INT64, ["B"])]),
        NAMES,
        "whole numbers.*scores of all classes",
    ),
    "best classes": (
        Graph(
            [NODE("TopK", ["scores", "k"], ["best", "number"], axis=1)],
            [("best", T.FLOAT, ["B", 3]), ("number", T.INT64, ["B", 3])],
            constants={"k": np.array([3])},
        ),
        NAMES,
        "best 3 classes.*without TopK",
    ),
    "two candidates": (
        Graph([NODE("Neg", ["scores"], ["other"])], [("other", T.FLOAT, ["B", 3]), SCORES]),
        NAMES,
        "several outputs.*other .3., scores .3.*state its name as `output`",
    ),
    "map": (
        Graph([NODE("Identity", ["float"], ["map"])], [("map", T.FLOAT, ["B", 3, SIDE, SIDE])]),
        NAMES,
        "axes per picture.*one score for each class",
    ),
    "percentages": (
        Graph(
            [SOFTMAX, NODE("Mul", ["p", "hundred"], ["percent"])],
            [("percent", T.FLOAT, ["B", 3])],
            constants={"hundred": np.float32(100)},
        ),
        NAMES,
        "sum to 100, so they are percentages",
    ),
    "constant": (
        Graph(
            [NODE("Mul", ["scores", "zero"], ["flat"])],
            [("flat", T.FLOAT, ["B", 3])],
            constants={"zero": np.float32(0)},
        ),
        NAMES,
        "the same for every image",
    ),
    "quantized": (
        Graph(
            [SOFTMAX, NODE("QuantizeLinear", ["p", "step", "start"], ["q"])],
            [("q", T.UINT8, ["B", 3])],
            constants={"step": np.float32(1 / 255), "start": np.uint8(0)},
        ),
        NAMES,
        "whole numbers .uint8.*float32",
    ),
    "one score": (
        Graph([SUM], [("sum", T.FLOAT, ["B", 1])], constants=ONE),
        ["yes"],
        "one number each.*`link` as sigmoid.*regression",
    ),
    "one probability for two labels": (
        Graph([SUM, NODE("Sigmoid", ["sum"], ["p"])], [("p", T.FLOAT, ["B", 1])], constants=ONE),
        ["cat", "dog"],
        "1 outputs, but 2 labels.*name only that class",
    ),
    "unknown link": (Graph(metadata={"link": "logit"}), NAMES, "link 'logit'; it must be sigmoid or softmax"),
    "labels in another order": (
        Graph(),
        ["green", "blue", "red"],
        "output 0 is named 'green' and is highest on images of 'red'.*order of the outputs",
    ),
    "channels reversed": (
        Graph(
            [NODE("Gather", ["scores", "back"], ["bgr"], axis=1)],
            [("bgr", T.FLOAT, ["B", 3])],
            constants={"back": np.array([2, 1, 0])},
        ),
        NAMES,
        "label of 8 of 24 of your images.*label of 24 of them if the channels are blue, green, red",
    ),
    "errors instead of scores": (
        Graph([NODE("Neg", ["scores"], ["error"])], [("error", T.FLOAT, ["B", 3])]),
        NAMES,
        "label of 0 of 24 of your images; the lowest output is the label of 24 of them.*negate the outputs",
    ),
    "no batch axis": (
        Graph(shape=(3, SIDE, SIDE), outputs=[("scores", T.FLOAT, [3])]),
        NAMES,
        "3 axes .3, 24, 24.*batch axis",
    ),
    "grey": (Graph(shape=("B", 1, SIDE, SIDE)), NAMES, "repeat the channel inside the graph"),
    "two inputs": (
        Graph(more_inputs=[helper.make_tensor_value_info("training", T.BOOL, [])]),
        NAMES,
        "2 inputs .x, training.*evaluation mode",
    ),
    "other input size": (
        Graph(
            [NODE("Reshape", ["float", "flat"], ["rows"]), NODE("MatMul", ["rows", "weights"], ["y"])],
            [("y", T.FLOAT, ["B", 3])],
            shape=("B", 3, "H", "W"),
            constants={"flat": np.array([-1, 3072]), "weights": np.ones((3072, 3), np.float32)},
        ),
        NAMES,
        "returns 392×3 for 8 pictures.*input size",
    ),
    "a sequence": (
        Graph([NODE("SequenceConstruct", ["scores"], ["parts"])], [("parts", T.FLOAT, ["B", 3])]),
        NAMES,
        "'parts' is a seq.tensor.float.*without ZipMap",
    ),
    "sigmoid under a stated softmax": (
        Graph([NODE("Sigmoid", ["scores"], ["p"])], [PROBABILITIES], metadata={"link": "softmax"}),
        NAMES,
        "lie between 0 and 1 and do not sum to 1.*state `link` as sigmoid",
    ),
    "auxiliary outputs": (
        Graph(
            [NODE("Neg", ["scores"], ["aux1"]), NODE("Abs", ["scores"], ["aux2"])],
            [SCORES, ("aux1", T.FLOAT, ["B", 3]), ("aux2", T.FLOAT, ["B", 3])],
        ),
        NAMES,
        "several outputs.*state its name as `output`",
    ),
    "logits and sigmoid": (
        Graph([NODE("Sigmoid", ["scores"], ["p"])], [SCORES, PROBABILITIES]),
        NAMES,
        "several outputs.*scores .3., p .3.",
    ),
    "a background class": (
        Graph(
            [NODE("Pad", ["scores", "one_more"], ["four"])],
            [("four", T.FLOAT, ["B", 4])],
            constants={"one_more": np.array([0, 1, 0, 0])},
        ),
        NAMES,
        "4 outputs, but 3 labels",
    ),
    "a row in another axis": (
        Graph(
            [NODE("Unsqueeze", ["scores", "axes"], ["row"])],
            [("row", T.FLOAT, ["B", 1, 3])],
            constants={"axes": np.array([1])},
        ),
        NAMES,
        "2 axes per picture.*one score for each class",
    ),
    "not a number": (
        Graph(
            [NODE("Div", ["zero", "zero"], ["nan"]), NODE("Add", ["scores", "nan"], ["y"])],
            [("y", T.FLOAT, ["B", 3])],
            constants={"zero": np.float32(0)},
        ),
        NAMES,
        "NaN or infinite",
    ),
    "bfloat16": (
        Graph([NODE("Cast", ["scores"], ["half"], to=T.BFLOAT16)], [("half", T.BFLOAT16, ["B", 3])]),
        NAMES,
        "'half' is a tensor.bfloat16..*cast it to float32",
    ),
    "softmax over the batch": (
        Graph([NODE("Softmax", ["scores"], ["p"], axis=0)], [PROBABILITIES]),
        NAMES,
        r"differently if others are in its batch.*model.eval\(\).*axis 1",
    ),
    "mean that is not numbers": (
        Graph(metadata={"mean": "ImageNet", "std": "ImageNet"}),
        NAMES,
        "state mean as 'ImageNet': state three numbers",
    ),
    "mean without std": (
        Graph(metadata={"mean": "0.5,0.5,0.5"}),
        NAMES,
        "state std as '': state three numbers",
    ),
    "mean of four channels": (
        Graph(metadata={"mean": "[0.5, 0.5, 0.5, 0.5]", "std": "[1, 1, 1, 1]"}),
        NAMES,
        "state mean as .*one for each channel",
    ),
    "deviation of zero": (
        Graph(metadata={"mean": "0,0,0", "std": "0,0,0"}),
        NAMES,
        "state std as '0,0,0': state three numbers above 0",
    ),
    "newer opset": (Graph(opset=99), NAMES, "opset 99 is newer.*upgrade onnxruntime.*opset_version"),
    "newer format": (Graph(ir=99), NAMES, "IR version 99 is newer.*upgrade onnxruntime"),
    "unknown operator": (
        Graph([NODE("Frobnicate", ["scores"], ["y"])], [("y", T.FLOAT, ["B", 3])]),
        NAMES,
        "no operator Frobnicate.*upgrade onnxruntime",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_outputs_without_a_clear_meaning_are_refused_with_the_remedy(tmp_path: Path, case: str) -> None:
    graph, names, message = REFUSED[case]
    with pytest.raises(InputError, match=message) as refused:
        convert(graph, tmp_path, names)
    assert "[ONNXRuntimeError]" not in str(refused.value)
    assert not (tmp_path / "teacher").exists()


@pytest.mark.parametrize(
    ("mean", "std", "found"),
    [
        ("[0.485, 0.456, 0.406]", "[0.229, 0.224, 0.225]", ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
        ("0.5", "0.25", ([0.5] * 3, [0.25] * 3)),
        ("[-1, -1.0, -1e0]", "[2, 2, 2]", ([-1.0] * 3, [2.0] * 3)),
        ("[127.5, 127.5, 127.5]", "[127.5, 127.5, 127.5]", ([0.5] * 3, [0.5] * 3)),
        ("0", "255", ([0.0] * 3, [1.0] * 3)),
        ("(103.53, 116.28, 123.675)", "1", ([0.406, 0.456, 0.485], [1 / 255] * 3)),
    ],
)
def test_mean_and_deviation_of_the_metadata_are_read_with_sign_and_scale(
    tmp_path: Path, mean: str, std: str, found: tuple[list[float], list[float]]
) -> None:
    manifest, _ = convert(Graph(metadata={"mean": mean, "std": std}), tmp_path)
    np.testing.assert_allclose([manifest["image"]["mean"], manifest["image"]["std"]], found)


def test_names_in_the_metadata_that_leave_an_output_out_are_refused(tmp_path: Path) -> None:
    path = Graph(metadata={"names": "{0: 'red', 2: 'green', 3: 'blue'}"}).write(tmp_path / "mine.onnx")
    with pytest.raises(InputError, match=r"names in its metadata.*number 1 is missing.*--labels-file"):
        write_onnx_teacher(tmp_path / "teacher", path, PICTURES, None, "cpu")


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_the_metadata_state_the_link_of_logits(tmp_path: Path, link: str) -> None:
    manifest, said = convert(Graph(metadata={"link": link}), tmp_path)
    assert (manifest["link"], manifest["output_kind"]) == (link, "logits")
    assert f"a {link} follows, as its metadata state" in said


def _steps() -> list[Any]:
    """A softmax rounded to 8 bits, as quantized graphs return it."""
    return [
        SOFTMAX,
        NODE("QuantizeLinear", ["p", "step", "start"], ["q"]),
        NODE("DequantizeLinear", ["q", "step", "start"], ["rounded"]),
    ]


@pytest.mark.parametrize(
    ("graph", "link", "kind"),
    [
        (Graph([SOFTMAX], [PROBABILITIES]), "softmax", "probabilities"),
        (
            Graph([NODE("LogSoftmax", ["scores"], ["log"], axis=1)], [("log", T.FLOAT, ["B", 3])]),
            "softmax",
            "logits",
        ),
        (
            Graph(
                [NODE("Div", ["scores", "hot"], ["flat"]), NODE("Softmax", ["flat"], ["p"], axis=1)],
                [PROBABILITIES],
                constants={"hot": np.float32(20)},
            ),
            "softmax",
            "probabilities",
        ),
        (
            Graph(
                [SOFTMAX, NODE("Cast", ["p"], ["half"], to=T.FLOAT16)],
                [("half", T.FLOAT16, ["B", 3])],
            ),
            "softmax",
            "probabilities",
        ),
        (
            Graph(
                _steps(),
                [("rounded", T.FLOAT, ["B", 3])],
                constants={"step": np.float32(1 / 256), "start": np.uint8(0)},
            ),
            "softmax",
            "probabilities",
        ),
        (Graph([NODE("Sigmoid", ["scores"], ["p"])], [PROBABILITIES]), "sigmoid", "probabilities"),
        (
            Graph([NODE("Sigmoid", ["scores"], ["p"])], [PROBABILITIES], metadata={"link": "sigmoid"}),
            "sigmoid",
            "probabilities",
        ),
        (Graph([NODE("Neg", ["scores"], ["minus"])], [("minus", T.FLOAT, ["B", 3])]), "softmax", "logits"),
    ],
    ids=["softmax", "log-softmax", "temperature", "half precision", "8 bits", "sigmoid", "sigmoid, stated",
         "all below 0"],
)  # fmt: skip
def test_the_link_inside_a_graph_is_found(tmp_path: Path, graph: Graph, link: str, kind: str) -> None:
    names = ["c", "d", "e"]  # not those of the pictures
    manifest, _ = convert(graph, tmp_path, names)
    assert (manifest["link"], manifest["output_kind"]) == (link, kind)
    teacher = load_teacher(tmp_path / "teacher", "cpu")
    answers = teacher.respond(np.stack([teacher.preprocess(image) for image in PICTURES.images]))
    assert answers.dtype == np.float32
    assert np.ptp(answers, axis=0).max() > 0.02
    if link == "softmax":
        np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_a_yes_or_no_logit_needs_a_stated_sigmoid(tmp_path: Path) -> None:
    graph = Graph([SUM], [("sum", T.FLOAT, ["B", 1])], constants=ONE, metadata={"link": "sigmoid"})
    manifest, _ = convert(graph, tmp_path, ["yes"])
    assert (manifest["link"], manifest["output_kind"]) == ("sigmoid", "logits")


def test_decisions_instead_of_probabilities_are_said(tmp_path: Path) -> None:
    _, said = convert(Graph([NODE("Hardmax", ["scores"], ["p"], axis=1)], [PROBABILITIES]), tmp_path)
    assert "only 0 and 1, so that students learn no degrees" in said


def test_an_assumed_softmax_is_said(tmp_path: Path) -> None:
    assert "one label per picture is assumed; state `link` as sigmoid" in convert(Graph(), tmp_path)[1]
