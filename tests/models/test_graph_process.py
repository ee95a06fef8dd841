"""Graphs from elsewhere run in a child process with limits of memory and time."""

import gc
import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inficond.core.cli.main import main
from inficond.core.errors import InputError
from inficond.core.models import array_messages, graph_process, trust
from inficond.core.models.batching import is_out_of_memory
from inficond.core.models.graph_file import read_graph
from inficond.core.models.local_session import LocalSession
from inficond.core.models.sessions import GraphSession, open_session

onnx = pytest.importorskip("onnx", reason="making the graphs needs the onnx package (`export` extra)")
from onnx import TensorProto as T  # noqa: E402
from onnx import helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces limits of memory")
WIDE, COLUMNS = 1 << 15, 1 << 21
SMALL = np.ones((2, 3), np.float32)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFICOND_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(path: Path, nodes: list, **constants: np.ndarray) -> Path:
    """An ONNX file with the input x (n, 3) and the output y."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", T.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", T.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


def node(operator: str, inputs: str, output: str, **attributes: object) -> object:
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(operator, names, [output], **attributes)


def product(path: Path) -> Path:
    return write(path, [node("MatMul", "x w", "y")], w=np.arange(12, dtype=np.float32).reshape(3, 4))


TO_Y = [node("ReduceSum", "z", "sum", keepdims=0), node("Add", "x sum", "y")]
COMPUTED_SHAPE = [node("Shape", "x", "rows"), node("Mul", "rows factor", "shape")]
COLUMN, ROW = np.ones((WIDE, 1), np.float32), np.ones((1, WIDE), np.float32)
AMPLIFIERS = {
    "broadcast": ([node("Add", "column row", "z"), *TO_Y], {"column": COLUMN, "row": ROW}),
    "product": ([node("MatMul", "column row", "z"), *TO_Y], {"column": COLUMN, "row": ROW}),
    "range": (
        [node("Range", "start stop step", "all"), node("Cast", "all", "z", to=T.FLOAT), *TO_Y],
        {"start": np.int64(0), "stop": np.int64(1 << 29), "step": np.int64(1)},
    ),
    "pad": ([node("Pad", "x pads", "z"), *TO_Y], {"pads": np.array([0, 0, WIDE, WIDE], np.int64)}),
    "resize": (
        [node("Resize", "x - - size", "z", mode="nearest"), *TO_Y],
        {"size": np.array([WIDE, WIDE], np.int64)},
    ),
    "constant of a computed shape": (
        [*COMPUTED_SHAPE, node("ConstantOfShape", "shape", "z"), *TO_Y],
        {"factor": np.array([WIDE, WIDE // 4], np.int64)},
    ),
    "expand to a computed shape": (
        [*COMPUTED_SHAPE, node("ReduceSum", "x", "one", keepdims=0), node("Expand", "one shape", "z"), *TO_Y],
        {"factor": np.array([WIDE, WIDE // 4], np.int64)},
    ),
    "tile by computed repeats": (
        [*COMPUTED_SHAPE, node("Tile", "x shape", "z"), *TO_Y],
        {"factor": np.array([WIDE, WIDE // 32], np.int64)},
    ),
    "one-hot": (
        [node("OneHot", "indices depth values", "z", axis=-1), *TO_Y],
        {"indices": np.zeros(WIDE, np.int64), "depth": np.int64(WIDE), "values": np.float32([0, 1])},
    ),
    "powers of an output": (
        [node("Transpose", "column", "row", perm=[1, 0]), node("MatMul", "column row", "z"), *TO_Y],
        {"column": COLUMN},
    ),
}  # fmt: skip


RUN = """
import resource, sys
from pathlib import Path
import numpy as np
from inficond.core.errors import InputError
from inficond.core.models.sessions import GraphSession, open_session
try:
    open_session(Path(sys.argv[1]), "cpu", 1).run({"x": np.ones((1, 3), np.float32)})
except InputError as error:
    print(error)
print(max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""
FORK = """
import os, sys
from pathlib import Path
import numpy as np
from inficond.core.models.resolve import embedded_folder
from inficond.core.models.sessions import GraphSession, open_session
limited = open_session(Path(sys.argv[1]), "cpu", 2)
trusted, unused = (open_session(embedded_folder("teacher") / "model.onnx", "cpu", 2) for _ in range(2))
x, pixels = np.ones((2, 3), np.float32), np.zeros((2, 260, 260, 3), np.uint8)
def total():
    return limited.run({"x": x})[0].sum() + trusted.run({"pixels": pixels})[0].sum()
before, pid = total(), os.fork()
if pid == 0:
    sys.exit(0 if total() == before else 3)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
sys.exit(code if total() == before else 4)
"""


@pytest.mark.parametrize("kind", list(AMPLIFIERS))
def test_a_graph_that_expands_is_refused_and_leaves_this_process_alone(kind: str, tmp_path: Path) -> None:
    nodes, constants = AMPLIFIERS[kind]
    path = write(tmp_path / "evil.onnx", nodes, **constants)
    assert path.stat().st_size < 300_000
    # A shell starts the process, since a child inherits the peak memory of its parent.
    run = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", RUN, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    message, kilobytes = done.stdout.splitlines()
    assert f"{path}" in message
    assert "needs more than 1." in message
    assert f"`inficond trust {path}`" in message
    assert int(kilobytes) < 1_300_000


def test_a_graph_from_elsewhere_gives_the_same_results_as_in_this_process(tmp_path: Path) -> None:
    graph = read_graph(product(tmp_path / "g.onnx"))
    limited = GraphSession(graph, "cpu", 1)
    local = LocalSession(graph.content, "g", "cpu", 1, graph.facts.inputs)
    assert not limited.trusted
    assert (limited.inputs, limited.outputs) == (local.inputs, local.outputs)
    with ThreadPoolExecutor(8) as pool:
        batches = [np.random.default_rng(i).normal(size=(i + 1, 3)).astype(np.float32) for i in range(40)]
        results = list(pool.map(lambda batch: limited.run({"x": batch}), batches))
    for batch, (result,) in zip(batches, results, strict=True):
        np.testing.assert_array_equal(result, local.run({"x": batch}, None)[0])


def test_an_error_in_one_call_does_not_end_the_process(tmp_path: Path) -> None:
    session = open_session(product(tmp_path / "g.onnx"), "cpu", 1)
    with pytest.raises(InputError, match="g.onnx failed on cpu"):
        session.run({"x": np.ones((2, 5), np.float32)})
    assert session.run({"x": SMALL})[0].shape == (2, 4)


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_batch_that_does_not_fit_is_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
) -> None:
    """Each row needs 8 MiB twice, so 200 rows exceed the limit and 20 do not."""
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    nodes = [
        node("ReduceSum", "x one", "sums", keepdims=1), node("MatMul", "sums row", "z"),
        node("Neg", "z", "negative"), node("ReduceSum", "negative one", "y", keepdims=1),
    ]  # fmt: skip
    path = write(
        tmp_path / "g.onnx", nodes, one=np.array([1], np.int64), row=np.ones((1, COLUMNS), np.float32)
    )
    session = open_session(path, "cpu", 1)
    rows = np.ones((200, 3), np.float32)
    np.testing.assert_allclose(session.run({"x": rows})[0], np.full((200, 1), -3.0 * COLUMNS))


def endless(path: Path, when: str = "") -> Path:
    """A loop that never ends, for every input or only where a condition on the input holds."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "go", "on"), node("Mul", "value value", "next")],
        "body",
        [
            info("i", T.INT64, []),
            info("go", T.BOOL, []),
            info("value", T.FLOAT, []),
        ],
        [info("on", T.BOOL, []), info("next", T.FLOAT, [])],
    )
    condition = [node("ReduceMax", "x", "most", keepdims=0), node("Greater", "most five", "start")]
    loop = [*condition, helper.make_node("Loop", ["", "start", "five"], ["z"], body=body)]
    return write(path, [*loop, node("Add", "x z", "y")], five=np.float32(5))


def test_a_loop_that_depends_on_the_input_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_process, "CALL_SECONDS", 1.0)
    session = open_session(endless(tmp_path / "g.onnx"), "cpu", 1)
    np.testing.assert_array_equal(session.run({"x": SMALL})[0], SMALL + 5)
    for _ in range(2):
        with pytest.raises(InputError, match="did not answer within .* s and was stopped"):
            session.run({"x": 9 * SMALL})


def test_a_process_that_dies_is_reported_in_one_line(tmp_path: Path) -> None:
    session = open_session(product(tmp_path / "g.onnx"), "cpu", 1)
    assert isinstance(session.runner, graph_process.GraphProcess)
    child = session.runner.pid
    os.kill(child, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(InputError, match="ended the process that ran it") as caught:
            session.run({"x": SMALL})
        assert "\n" not in str(caught.value)


def children() -> list[int]:
    """Processes that this one started and that still run."""
    found = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in found if b"graph_worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_the_process_ends_with_its_session(tmp_path: Path) -> None:
    others = children()
    session = open_session(product(tmp_path / "g.onnx"), "cpu", 1)
    (child,) = set(children()) - set(others)
    del session
    gc.collect()
    assert child not in children()


def test_a_forked_process_can_use_the_session_of_its_parent(tmp_path: Path) -> None:
    arguments = [sys.executable, "-W", "ignore", "-c", FORK, str(product(tmp_path / "g.onnx"))]
    assert subprocess.run(arguments, timeout=120).returncode == 0


def test_without_limits_a_graph_from_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """A system whose limits have no effect, as on macOS: the module `resource` accepts and ignores them."""
    (tmp_path / "resource.py").write_text(
        "RLIMIT_CORE = RLIMIT_DATA = RLIMIT_AS = RUSAGE_SELF = 0\ndef setrlimit(kind, limits): pass\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = product(tmp_path / "g.onnx")
    with pytest.raises(InputError, match="cannot limit the memory .* `inficond trust"):
        open_session(path, "cpu", 1)
    assert main(["trust", str(path)]) == 0
    assert open_session(path, "cpu", 1).run({"x": SMALL})[0].shape == (2, 4)


def test_a_model_is_trusted_by_its_content(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    path = product(folder / "g.onnx")
    assert main(["trust", str(folder)]) == 0
    session = open_session(path, "cpu", 1)
    assert session.trusted
    assert isinstance(session.runner, LocalSession)
    path.write_bytes(path.read_bytes() + b"\xa2\x06\x00")  # an unknown field
    assert not open_session(path, "cpu", 1).trusted


def test_a_register_that_others_can_write_is_ignored(tmp_path: Path, cache: Path) -> None:
    path = product(tmp_path / "g.onnx")
    trust.trust(read_graph(path).sha256)
    assert stat.S_IMODE(trust.register_file().stat().st_mode) == 0o600
    trust.register_file().chmod(0o666)
    assert not open_session(path, "cpu", 1).trusted


def test_embedded_models_are_trusted_and_others_are_not() -> None:
    from inficond.core.models.resolve import embedded_folder

    assert open_session(embedded_folder("encoder") / "image.onnx", "cpu", 1).trusted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["nowhere.onnx"], "cannot read"), (["."], "contains no .onnx file")],
)
def test_trust_needs_a_model(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trust", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_messages_hold_arrays_of_every_numeric_type() -> None:
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 2, (3, 2)).astype(name)
        for name in ("bool", "uint8", "int64", "float16", "float32", "float64")
    }
    arrays |= {"empty": np.zeros((0, 4), np.float32), "scalar": np.float32(2).reshape(())}
    header, back = array_messages.decode(array_messages.encode({"id": 7, "text": "ä\n"}, arrays))
    assert header == {"id": 7, "text": "ä\n"}
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


@pytest.mark.parametrize(
    "message",
    [
        b"", b"[]\n", b"{}\n", b'{"arrays": [["a", "<f4", [2]]]}\n1234',
        b'{"arrays": [["a", "O", [1]]]}\n12345678',
        b'{"arrays": [["a", "<f4", [-1]]]}\n1234', b'{"arrays": [["a", "<f4", [true]]]}\n1234',
        b'{"arrays": [["a", "zzz", [1]]]}\n1234',
    ],
)  # fmt: skip
def test_a_malformed_message_is_refused(message: bytes) -> None:
    with pytest.raises((ValueError, TypeError)):
        array_messages.decode(message)


def test_objects_are_not_sent() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        array_messages.encode({}, {"a": np.array(["text"], object)})


def test_memory_errors_are_recognized() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("BFCArena::AllocateRawInternal Failed to allocate memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
