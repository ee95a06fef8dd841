"""The assembled folder runs in a clean environment, started like on a Space."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from gradio_client import Client, handle_file

from inficond.core import Project
from inficond.gradio_app.bench.page_process import resident_memory

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("try_space", ROOT / "spaces" / "try_space.py")
assert spec is not None
assert spec.loader is not None
try_space = importlib.util.module_from_spec(spec)
sys.modules["try_space"] = try_space  # dataclasses look their module up
spec.loader.exec_module(try_space)
Running, install, load, running = (
    try_space.Running, try_space.install, try_space.load, try_space.running,
)  # fmt: skip
pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("space") / "out"
    subprocess.run([sys.executable, ROOT / "spaces" / "assemble.py", out, "--no-photographs"], check=True)
    return out


@pytest.fixture(scope="module")
def installed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    environment = tmp_path_factory.mktemp("clean") / "environment"
    return environment, install(folder, environment)[1]


@pytest.fixture(scope="module")
def space(
    folder: Path, installed: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with running(folder, installed[0], tmp_path_factory.mktemp("space-home")) as up:
        yield up


def test_neither_torch_nor_transformers_is_installed(installed: tuple[Path, list[str]]) -> None:
    assert {"gradio", "numba", "onnxruntime"} <= set(installed[1])
    assert not {"torch", "transformers", "onnx", "onnxruntime-gpu"} & set(installed[1])


def test_a_script_can_use_the_api(space: Running, folder: Path, tmp_path: Path) -> None:
    client = Client(space.url, verbose=False, download_files=str(tmp_path))
    answer = client.predict("", api_name="/classes")
    session, cls = answer["session"], answer["classes"][0]["name"]
    word = client.predict(cls, session, api_name="/influence")["concepts"][0]["concept"]
    actions = [{"kind": "mute", "concept": word}]
    node = client.predict(cls, actions, "", "", session, api_name="/apply")
    assert node["parent"]
    assert client.predict(session, api_name="/undo")["node"] == node["parent"]
    picture = tmp_path / "mine.jpg"
    picture.write_bytes(Project.open(folder / "demo").thumbnail_bytes(0))
    told = client.predict(handle_file(str(picture)), session, api_name="/predict")
    assert {c["name"] for c in told["classes"]} == {c["name"] for c in answer["classes"]}


def test_a_visitor_cannot_name_a_folder_of_the_server(space: Running) -> None:
    client = Client(space.url, verbose=False)
    with pytest.raises(Exception, match="no folders"):
        client.predict("/etc", "", "", "", api_name="/distill")


def test_thirty_visitors_get_correct_responses_within_1500_megabytes(
    space: Running, folder: Path, installed: tuple[Path, list[str]]
) -> None:
    found = load(folder, installed[0], space, visitors=30, seconds=45)
    assert found["problems"] == {}
    assert found["wrong_answers"] == []
    assert found["checked"] > 200
    held = resident_memory(space.pid)
    assert held is None or held < 1.5e9


def test_the_kernels_are_precompiled(space: Running, folder: Path) -> None:
    """Compiling them would take most of a minute of every cold start."""
    assert len(list(folder.rglob("*.nbi"))) >= 10
    assert not list((space.log.parent / "home").rglob("*.nbi")), "nothing had to be compiled anew"


def test_only_the_cache_is_written(space: Running, folder: Path) -> None:
    assert not list(folder.rglob("history.sqlite*"))
    assert not list(folder.rglob("*.part"))
    home = space.log.parent / "home"
    assert {p.name for p in home.iterdir()} == {".cache"}


def test_the_log_has_no_fault(space: Running) -> None:
    """Messages of asyncio about its own event loops are ignored."""
    log = space.log.read_text(errors="replace")
    assert "/inficond/" not in log, log
    assert " failed" not in log, log
