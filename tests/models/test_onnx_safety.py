"""Attacks and accidents: what an ONNX file may not hold is found before any runtime sees it."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.models.onnx_safety import MAX_UNFOLDED, check_graph

onnx = pytest.importorskip("onnx", reason="making the attacks needs the onnx package (`export` extra)")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(*nodes, constants=(), opset=17, domain=None, functions=()):
    nodes = nodes or (helper.make_node("MatMul", ["x", "w"], ["y"]),)
    opsets = [helper.make_opsetid("", opset)]
    if domain:
        opsets.append(helper.make_opsetid(domain, 1))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(WEIGHT, "w"), *constants],
    )
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions))
    made.metadata_props.add(key="classes", value='["Katze", "犬"]')
    return made


def refuse(made, message):
    data = made if isinstance(made, bytes) else made.SerializeToString()
    with pytest.raises(InputError, match=message) as caught:
        check_graph(data, "evil.onnx")
    assert "evil.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)


def answer_or_one_line(data):
    said = ""
    try:
        check_graph(data)
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_a_sound_graph_passes_and_is_described():
    facts = check_graph(model().SerializeToString())
    assert facts.opsets == {"ai.onnx": 17}
    assert facts.operators == {"MatMul": 1}
    assert facts.weights == WEIGHT.nbytes
    assert facts.inputs == {"x": (0, 3)}
    assert facts.metadata == {"classes": '["Katze", "犬"]'}


def test_a_file_is_read_like_its_bytes(tmp_path):
    path = tmp_path / "a.onnx"
    onnx.save(model(), path)
    assert check_graph(path) == check_graph(path.read_bytes())
    with pytest.raises(InputError, match="cannot read"):
        check_graph(tmp_path / "none.onnx")


@pytest.mark.parametrize("where", ["../../etc/passwd", "/etc/passwd", "weights.bin", "..\\..\\secrets", ""])
def test_data_outside_the_file_are_refused(where):
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=where)
    refuse(made, "outside itself")


def test_data_outside_are_found_in_attributes_and_subgraphs_too():
    hidden = numpy_helper.from_array(WEIGHT, "inner")
    hidden.ClearField("raw_data")
    hidden.data_location = TensorProto.EXTERNAL
    hidden.external_data.add(key="location", value="../../etc/shadow")
    refuse(model(helper.make_node("Constant", [], ["y"], value=hidden)), "etc/shadow")
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["z"], value=hidden)],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
    )
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    refuse(model(branch), "etc/shadow")


def test_custom_operators_are_refused_and_built_in_ones_are_not():
    evil = helper.make_node("Shell", ["x"], ["y"], domain="evil.example")
    refuse(model(evil, domain="evil.example"), "custom operator evil.example::Shell")
    fused = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")
    facts = check_graph(model(fused, domain="com.microsoft").SerializeToString())
    assert facts.operators == {"com.microsoft::FusedMatMul": 1}


def test_a_files_own_functions_are_checked_for_what_they_are_made_of():
    def function(operator, domain):
        return helper.make_function(
            "mine.local",
            "Twice",
            ["a"],
            ["b"],
            [helper.make_node(operator, ["a", "a"], ["b"], domain=domain)],
            [helper.make_opsetid("", 17), helper.make_opsetid("evil.example", 1)],
        )

    call = helper.make_node("Twice", ["x"], ["y"], domain="mine.local")
    check_graph(model(call, domain="mine.local", functions=[function("Add", "")]).SerializeToString())
    refuse(model(call, domain="mine.local", functions=[function("Shell", "evil.example")]), "custom operator")


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
def test_nan_among_the_weights_is_refused(kind):
    weight = np.ones((5, 7), kind)
    weight[3, 2] = np.nan
    refuse(model(constants=[numpy_helper.from_array(weight, "bad")]), r"NaN among its weights \(bad\)")
    weight[3, 2] = np.inf  # a mask may be infinite
    check_graph(model(constants=[numpy_helper.from_array(weight, "mask")]).SerializeToString())


def test_nan_is_found_in_every_way_of_storing_it():
    listed = helper.make_tensor("bad", TensorProto.FLOAT, [2], [1.0, float("nan")])
    refuse(model(constants=[listed]), "NaN")
    half = TensorProto(name="bad", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=b"\x80\x3f\xc0\x7f")
    refuse(model(constants=[half]), "NaN")
    opposite = np.array([np.inf, -np.inf, 1], np.float32)  # their sum is NaN, none of them is
    check_graph(model(constants=[numpy_helper.from_array(opposite, "mask")]).SerializeToString())


def test_a_tensor_that_lies_about_its_size_is_refused():
    made = model()
    made.graph.initializer[0].dims[0] = 1 << 40
    refuse(made, "claims")
    made = model()
    made.graph.initializer[0].dims[0] = -1
    refuse(made, "has the shape")
    made = model()
    made.graph.initializer[0].data_type = 99
    refuse(made, "unknown type")


def shape(*dims):
    return numpy_helper.from_array(np.array(dims, np.int64), "shape")


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        ([helper.make_node("ConstantOfShape", ["shape"], ["y"])], [shape(1 << 20, 1 << 20)]),
        ([helper.make_node("Expand", ["w", "shape"], ["y"])], [shape(1 << 32, 3, 4)]),
        ([helper.make_node("Tile", ["w", "shape"], ["y"])], [shape(1 << 20, 1 << 20)]),
        ([helper.make_node("RandomNormal", [], ["y"], shape=[1 << 20, 1 << 20])], []),
    ],
    ids=["ConstantOfShape", "Expand", "Tile", "RandomNormal"],
)
def test_a_small_file_that_unfolds_to_gigabytes_is_refused(nodes, constants):
    made = model(*nodes, constants=constants)
    assert made.ByteSize() < 1000
    refuse(made, "would unfold to")


def test_doubling_again_and_again_is_refused():
    nodes, name = [], "w"
    for i in range(40):
        nodes.append(helper.make_node("Concat", [name, name], [f"t{i}"], axis=0))
        name = f"t{i}"
    assert WEIGHT.nbytes * 2**40 > MAX_UNFOLDED
    refuse(model(*nodes), "would unfold to")


def test_bottomless_nesting_is_refused():
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "g", [], [])
    for _ in range(20):
        graph = helper.make_graph(
            [helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph)][:1], "g", [], []
        )
        # One branch is enough to be deep; two would double the file each time.
        del graph.node[0].attribute[1]
    refuse(model(*graph.node), "nests graphs")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"\x80\x04\x95" + bytes(100), "pickle"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed"),
        (b"GGUF" + bytes(100), "no ONNX file"),
        (b"<!DOCTYPE html>", "no ONNX file"),
        (struct.pack("<Q", 2) + b"{}", "no ONNX file"),
        (b"\x08\x09", "no ONNX file"),
    ],
)
def test_other_files_are_told_apart(data, message):
    refuse(data, message)


@given(st.integers(1, 400))
def test_every_cut_is_refused(cut):
    data = model().SerializeToString()
    cut = min(cut, len(data) - 1)
    # A cut may end exactly after the graph, which then is whole: only the metadata are lost.
    try:
        facts = check_graph(data[:-cut])
    except InputError:
        return
    assert facts.operators == {"MatMul": 1}
    assert facts.weights == WEIGHT.nbytes


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_give_an_answer_or_one_line(data):
    answer_or_one_line(data)


@settings(max_examples=300)
@given(st.data())
def test_any_damage_gives_an_answer_or_one_line(data):
    content = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    answer_or_one_line(bytes(content))
