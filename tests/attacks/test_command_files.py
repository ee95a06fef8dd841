"""Files of others given to commands; see `attacked_build` for how to run these attacks on another version."""

import hashlib
import json
import os
import shutil
import sqlite3
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.attacks.attacked_build import OTHER_PROJECT, inficond, run

from inficond.core import Project
from inficond.core.project.files import with_checksum

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory and pipes need Linux")
MB = 1 << 20


@pytest.fixture
def project(small_project: Project, tmp_path: Path) -> Path:
    """A copy of a project without a history."""
    folder = tmp_path / "project"
    shutil.copytree(OTHER_PROJECT or small_project.path, folder)
    for file in folder.glob("history*"):
        file.unlink()
    return folder


def reseal(folder: Path, **changes: Any) -> None:
    """Change the description of a project and make all checksums agree, as an attacker would."""
    path = folder / "project.json"
    document = json.loads(path.read_text(encoding="utf-8")) | changes
    for name, facts in document["files"].items():
        data = (folder / name).read_bytes()
        facts |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    path.write_text(json.dumps(with_checksum(document)), encoding="utf-8")


def test_a_history_with_a_trigger_is_refused(project: Path) -> None:
    """Finding 9: each step reported success, then the history was empty."""
    tune = ("tune", project, "--class", "boat", "--mute")
    assert inficond(*tune, "c1").code == 0
    with closing(sqlite3.connect(project / "history.sqlite")) as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        at = "head" if "head" in names else "node"
        database.execute(f"CREATE TRIGGER t AFTER INSERT ON {at} BEGIN DELETE FROM node; END")
        database.commit()
    assert "history.sqlite" in inficond(*tune, "c2").refused()


@pytest.mark.parametrize("name", ["history.sqlite", "images.parquet"])
def test_a_pipe_instead_of_a_file_does_not_stop_a_command(name: str, project: Path) -> None:
    """Finding 16: `report` waited for the pipe without end."""
    (project / name).unlink(missing_ok=True)
    os.mkfifo(project / name)
    assert name in inficond("report", project, timeout=30).refused()


def test_a_table_that_expands_is_refused(project: Path) -> None:
    """Finding 17: 245 kB of Parquet became 4.3 GB."""
    table = pq.read_table(project / "images.parquet")
    at = table.column_names.index("path")
    texts = pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), pa.array(["a" * 8_000_000]))
    pq.write_table(
        table.set_column(at, "path", texts),
        project / "images.parquet",
        store_schema=False,
        compression={"path": "zstd"} | dict.fromkeys(set(table.column_names) - {"path"}, "snappy"),
    )
    assert (project / "images.parquet").stat().st_size < 200_000
    reseal(project)
    assert "images.parquet" in inficond("report", project).refused()


ANSWER = """
import sys
from pathlib import Path
import numpy as np
from inficond.core.errors import InputError
from inficond.core.models.sessions import open_session
try:
    open_session(Path(sys.argv[1]), "cpu", 1).run({"x": np.ones((1, 3), np.float32)})
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def graph_file(path: Path, nodes: list[Any], functions: tuple[Any, ...] = (), **constants: Any) -> Path:
    """Write an ONNX file with the input x (n, 3) and the output y."""
    onnx = pytest.importorskip("onnx", reason="making the graphs needs the onnx package (`export` extra)")
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), *[helper.make_opsetid("own", 1)] * bool(functions)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9, functions=list(functions)), path)
    return path


def broadcast(path: Path) -> Path:
    onnx = pytest.importorskip("onnx", reason="making the graphs needs the onnx package (`export` extra)")
    node = onnx.helper.make_node
    nodes = [
        node("Add", ["column", "row"], ["z"]),
        node("ReduceSum", ["z"], ["sum"], keepdims=0),
        node("Add", ["x", "sum"], ["y"]),
    ]
    return graph_file(
        path, nodes, column=np.ones((1 << 15, 1), np.float32), row=np.ones((1, 1 << 15), np.float32)
    )


def nested_functions(path: Path) -> Path:
    """Thirty functions of which each calls the next one twice: 2^30 nodes."""
    onnx = pytest.importorskip("onnx", reason="making the graphs needs the onnx package (`export` extra)")
    helper = onnx.helper
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]

    def function(i: int) -> Any:
        inner = [helper.make_node(f"F{i + 1}", [a], [b], domain="own") for a, b in (("a", "m"), ("m", "b"))]
        last = [helper.make_node("Neg", ["a"], ["b"])]
        return helper.make_function("own", f"F{i}", ["a"], ["b"], inner if i < 30 else last, opsets)

    call = helper.make_node("F0", ["x"], ["y"], domain="own")
    return graph_file(path, [call], tuple(function(i) for i in range(31)))


@pytest.mark.parametrize("make", [broadcast, nested_functions])
def test_a_graph_that_expands_is_refused(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Finding 18: files of 2 to 258 kB took 3.6 GB and more, or loading them did not end."""
    path = make(tmp_path / "evil.onnx")
    assert path.stat().st_size < 300_000
    assert "evil.onnx" in run("-c", ANSWER, path).refused(1_300)


def archive(path: Path, members: dict[str, bytes]) -> Path:
    """Write an archive as `inficond pack` does, with any names."""
    facts = {n: {"sha256": hashlib.sha256(b).hexdigest(), "bytes": len(b)} for n, b in members.items()}
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive.json", json.dumps({"format": 1, "members": facts}))
        for name, data in members.items():
            z.writestr(zipfile.ZipInfo(name), data)
    return path


UNSAFE = {
    "keys of a user": ".ssh/authorized_keys",
    "a script of the shell": ".bashrc",
    "escapes": "p/\x1b[2J\x1b]0;owned\x07",
    "1,500 folders": "/".join(["d"] * 1500) + "/f",
}


@pytest.mark.parametrize("name", UNSAFE.values(), ids=UNSAFE.keys())
def test_an_archive_with_an_unsafe_name_is_not_unpacked(name: str, tmp_path: Path) -> None:
    """Finding 20: hidden files were written, escapes printed, and deep folders ended in a traceback."""
    file = archive(tmp_path / "evil.inficond", {"p/ok": b"y", name: b"x"})
    outcome = inficond("unpack", file, "--out", tmp_path / "out")
    assert "evil.inficond" in outcome.refused()
    assert not (tmp_path / "out").exists()


def test_members_that_share_bytes_are_not_unpacked(tmp_path: Path) -> None:
    """Finding 20: 2 MB became 1,000 MB."""
    names = [f"p/{i:04d}" for i in range(100)]
    entry = {"sha256": hashlib.sha256(bytes(2 * MB)).hexdigest(), "bytes": 2 * MB}
    file = tmp_path / "evil.inficond"
    with zipfile.ZipFile(file, "w") as z:
        z.writestr(zipfile.ZipInfo(names[0]), bytes(2 * MB))
        first = z.getinfo(names[0])
        for name in names[1:]:
            info = zipfile.ZipInfo(name)
            info.header_offset, info.CRC = first.header_offset, first.CRC
            info.file_size = info.compress_size = 2 * MB
            z.filelist.append(info)
        z.writestr("archive.json", json.dumps({"format": 1, "members": dict.fromkeys(names, entry)}))
    assert "evil.inficond" in inficond("unpack", file, "--out", tmp_path / "out").refused()
    assert not (tmp_path / "out").exists()


def test_the_name_of_a_project_cannot_control_the_terminal(project: Path) -> None:
    """Finding 31: escapes in a project's name were printed."""
    reseal(project, name="\x1b[2J\x1b]0;owned\x07 a\u202eb \x9b31m")
    outcome = inficond("report", project)
    printed = (outcome.output + outcome.errors).replace("\n", "")
    assert printed.isprintable(), ascii(printed[:300])


def test_a_full_output_device_is_one_line(project: Path) -> None:
    """Finding 30: a traceback after the step was done."""
    code = (
        "import sys; sys.stdout = open('/dev/full', 'w'); from inficond.core.cli.main import main;"
        f"sys.exit(main(['tune', {str(project)!r}, '--class', 'boat', '--mute', 'c1']))"
    )
    assert "output" in run("-c", code).refused()
