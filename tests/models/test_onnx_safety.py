"""The static safety check refuses malicious and damaged ONNX files."""

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inficond.core.errors import InputError
from inficond.core.models.graph_file import read_graph
from inficond.core.models.onnx_safety import MAX_CONSTANT, check_graph

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


def accepted_or_one_line(data):
    message = ""
    try:
        check_graph(data)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


def test_a_sound_graph_passes_with_its_facts():
    facts = check_graph(model().SerializeToString())
    assert facts.opsets == {"ai.onnx": 17}
    assert facts.operators == {"MatMul": 1}
    assert facts.weights == WEIGHT.nbytes
    assert facts.inputs == {"x": (0, 3)}
    assert facts.metadata == {"classes": '["Katze", "犬"]'}


def test_a_file_is_checked_like_its_bytes(tmp_path):
    path = tmp_path / "a.onnx"
    onnx.save(model(), path)
    content = path.read_bytes()
    graph = read_graph(path, trailer=10)
    assert graph.facts == check_graph(content)
    assert graph.sha256 == hashlib.sha256(content).hexdigest()
    assert graph.body_sha256 == hashlib.sha256(content[:-10]).hexdigest()
    with pytest.raises(InputError, match="cannot read"):
        read_graph(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="cannot read"):
        read_graph(tmp_path)
    with pytest.raises(InputError, match="does not match its manifest"):
        read_graph(path, {"sha256": graph.sha256, "bytes": len(content) + 1})


@pytest.mark.parametrize("where", ["../../etc/passwd", "/etc/passwd", "weights.bin", "..\\..\\secrets", ""])
def test_data_outside_the_file_is_refused(where):
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=where)
    refuse(made, "outside the file")


def test_data_outside_the_file_is_found_in_attributes_and_subgraphs():
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


def test_custom_operators_are_refused_but_not_the_built_in_ones():
    evil = helper.make_node("Shell", ["x"], ["y"], domain="evil.example")
    refuse(model(evil, domain="evil.example"), "custom operator evil.example::Shell")
    fused = helper.make_node("FusedMatMul", ["x", "w"], ["y"], domain="com.microsoft")
    facts = check_graph(model(fused, domain="com.microsoft").SerializeToString())
    assert facts.operators == {"com.microsoft::FusedMatMul": 1}


def test_the_nodes_of_functions_are_checked():
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
def test_nan_weights_are_refused(kind):
    weight = np.ones((5, 7), kind)
    weight[3, 2] = np.nan
    refuse(model(constants=[numpy_helper.from_array(weight, "bad")]), r"NaN among its weights \(bad\)")
    weight[3, 2] = np.inf  # a mask may be infinite
    check_graph(model(constants=[numpy_helper.from_array(weight, "mask")]).SerializeToString())


def test_nan_is_found_in_every_storage_form():
    listed = helper.make_tensor("bad", TensorProto.FLOAT, [2], [1.0, float("nan")])
    refuse(model(constants=[listed]), "NaN")
    half = TensorProto(name="bad", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=b"\x80\x3f\xc0\x7f")
    refuse(model(constants=[half]), "NaN")
    opposite = np.array([np.inf, -np.inf, 1], np.float32)  # their sum is NaN, none of them is
    check_graph(model(constants=[numpy_helper.from_array(opposite, "mask")]).SerializeToString())


def test_a_tensor_with_a_wrong_size_or_type_is_refused():
    made = model()
    made.graph.initializer[0].dims[0] = 1 << 40
    refuse(made, "declares")
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
def test_a_small_file_that_expands_to_gigabytes_is_refused(nodes, constants):
    made = model(*nodes, constants=constants)
    assert made.ByteSize() < 1000
    refuse(made, "would expand to")


def test_repeated_doubling_is_refused():
    nodes, name = [], "w"
    for i in range(40):
        nodes.append(helper.make_node("Concat", [name, name], [f"t{i}"], axis=0))
        name = f"t{i}"
    assert WEIGHT.nbytes * 2**40 > MAX_CONSTANT
    refuse(model(*nodes), "would expand to")


def test_deep_nesting_is_refused():
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["z"])], "g", [], [])
    for _ in range(20):
        graph = helper.make_graph(
            [helper.make_node("If", ["c"], ["z"], then_branch=graph, else_branch=graph)][:1], "g", [], []
        )
        # One branch is enough to be deep; two would double the file each time.
        del graph.node[0].attribute[1]
    refuse(model(*graph.node), "nests graphs")


def function(name, *called, domain="mine.local"):
    """A function that calls others one after another."""
    names = ["a", *(f"t{i}" for i in range(len(called) - 1)), "b"]
    nodes = [
        helper.make_node(operator, [before], [after], domain=domain if operator.startswith("F") else "")
        for operator, before, after in zip(called, names, names[1:], strict=False)
    ]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(domain, 1)]
    return helper.make_function(domain, name, ["a"], ["b"], nodes, opsets)


def test_functions_that_multiply_are_refused():
    call = helper.make_node("F0", ["x"], ["y"], domain="mine.local")
    chain = [function(f"F{i}", f"F{i + 1}", f"F{i + 1}") for i in range(15)]
    last = function("F15", "Abs", "Neg")
    made = model(call, domain="mine.local", functions=[*chain, last])
    assert made.ByteSize() < 4000
    refuse(made, "nodes once its functions are inlined")
    shorter = helper.make_node("F8", ["x"], ["y"], domain="mine.local")
    check_graph(model(shorter, domain="mine.local", functions=[*chain, last]).SerializeToString())


def test_functions_that_call_each_other_are_refused():
    call = helper.make_node("F0", ["x"], ["y"], domain="mine.local")
    functions = [function("F0", "F1"), function("F1", "F0")]
    refuse(model(call, domain="mine.local", functions=functions), "nests functions")


def test_a_long_list_of_numbers_is_not_decoded():
    tensor = TensorProto(name="w", data_type=TensorProto.INT32, dims=[10**6], int32_data=[1] * 10**6)
    made = model(constants=[tensor]).SerializeToString()
    tracemalloc.start()
    check_graph(made)
    assert tracemalloc.get_traced_memory()[1] < 2 * len(made)
    tracemalloc.stop()
    refuse(
        model(constants=[TensorProto(name="w", data_type=TensorProto.INT8, dims=[1] * 1000)]), "dimensions"
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + bytes(100), "zip archive"),
        (b"\x80\x04\x95" + bytes(100), "pickle"),
        (b"\x1f\x8b\x08" + bytes(100), "compressed"),
        (b"GGUF" + bytes(100), "not an ONNX file"),
        (b"<!DOCTYPE html>", "HTML or XML document, not an ONNX file.*download"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer.*git lfs pull"),
        (struct.pack("<Q", 2) + b"{}", "not an ONNX file"),
        (b"\x08\x09", "not an ONNX file"),
    ],
)
def test_files_of_other_formats_are_named(data, message):
    refuse(data, message)


@given(st.integers(1, 400))
def test_a_truncated_file_is_refused(cut):
    data = model().SerializeToString()
    cut = min(cut, len(data) - 1)
    # A file that ends after the graph lacks only its metadata.
    try:
        facts = check_graph(data[:-cut])
    except InputError:
        return
    assert facts.operators == {"MatMul": 1}
    assert facts.weights == WEIGHT.nbytes


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_any_bytes_pass_or_raise_one_line(data):
    accepted_or_one_line(data)


@settings(max_examples=300)
@given(st.data())
def test_any_damage_passes_or_raises_one_line(data):
    content = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    accepted_or_one_line(bytes(content))
