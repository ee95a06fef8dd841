"""Installation of the wheel, of the lowest allowed versions and of the lock, in fresh environments.

Each has an empty home and is outside of the repository. Only the package index is needed.
"""

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.tools.distributions import SDIST
from tests.tools.floors import floors

from inficond.gradio_app.bench.page_client import PageClient

ROOT = Path(__file__).resolve().parents[2]
nightly = pytest.mark.nightly


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the source archive."""
    place = tmp_path_factory.mktemp("built")
    subprocess.run([sys.executable, "-c", SDIST, place], cwd=ROOT, check=True, capture_output=True)
    archive = next(place.glob("*.tar.gz"))
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", place, archive]
    subprocess.run(pip, check=True, capture_output=True)
    return next(place.glob("*.whl"))


def environment(place: Path, *wanted: str | Path) -> Path:
    """Create a virtual environment with these packages; return its `bin` folder."""
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted], check=True)
    return place / "bin"


def packages(bin_: Path) -> set[str]:
    told = subprocess.run(
        [bin_ / "python", "-m", "pip", "list", "--format", "json"], capture_output=True, text=True, check=True
    )
    return {p["name"].lower() for p in json.loads(told.stdout)}


def check_demo(bin_: Path, home: Path) -> None:
    """Start `inficond demo` from an empty home, load its first view and take a step."""
    home.mkdir()
    variables = {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(home), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [bin_ / "inficond", "demo", "--no-browser", "--json"],
        cwd=home, env=variables, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"].rstrip("/")
        with urllib.request.urlopen(url, timeout=60) as page:
            assert page.status == 200
        client = PageClient(url, timeout=180)
        client.enter()
        answer = client.call("hello", {"selection": {}})
        assert answer["failed"] == {}
        cls, word = answer["selection"]["cls"], answer["parts"]["tuning.state"]["rows"][0]["name"]
        step = {"token": answer["token"], "cls": cls, "actions": [{"kind": "mute", "concept": word}]}
        assert "error" not in client.call("apply", step)
        client.close()
    finally:
        process.terminate()
        process.wait(60)


@nightly
def test_the_wheel_installs_without_torch_and_opens_the_demo(wheel: Path, tmp_path: Path) -> None:
    bin_ = environment(tmp_path / "environment", wheel)
    assert not packages(bin_) & {"torch", "transformers", "onnx", "onnxscript"}
    check_demo(bin_, tmp_path / "home")


@nightly
def test_the_lowest_allowed_versions_work(wheel: Path, tmp_path: Path) -> None:
    """They can be installed together, and all commands from distillation to prediction run."""
    (tmp_path / "floors.txt").write_text("\n".join(floors()))
    bin_ = environment(tmp_path / "environment", "-c", tmp_path / "floors.txt", wheel)
    check_demo(bin_, tmp_path / "home")
    variables = {**os.environ, "PATH": f"{bin_}:/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    variables.pop("PYTHONPATH", None)
    photos = next((tmp_path / "home").rglob("thumbnails"))
    script = (
        f"inficond distill '{photos}' --out mine && inficond report mine --html r.html && "
        "inficond export student mine --out s.onnx && "
        f"inficond predict s.onnx '{photos}' --json > p.json && inficond pack mine --out m.inficond && "
        "inficond doctor"
    )
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=variables, check=True)
    assert (tmp_path / "p.json").stat().st_size > 1000


def test_every_dependency_has_a_lowest_version() -> None:
    """`floors` raises an error for a dependency without one."""
    lowest = dict(line.split(" ;")[0].split("==") for line in floors(("export",)))
    assert {"gradio", "pillow", "onnx", "numpy", "numba"} <= set(lowest)
    assert tuple(map(int, lowest["gradio"].split("."))) >= (6, 31)


def test_the_tool_prints_constraints() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tests.tools.floors"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    assert [line for line in told if line] == floors()


@nightly
def test_the_lock_installs_by_its_hashes_and_opens_the_demo(wheel: Path, tmp_path: Path) -> None:
    bin_ = environment(tmp_path / "environment", "--require-hashes", "-r", ROOT / "requirements.lock")
    alone = packages(bin_) - {"pip", "setuptools"}
    pip = [bin_ / "python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    subprocess.run([bin_ / "python", "-m", "pip", "check"], check=True)
    assert {"gradio", "numba", "pillow"} <= alone
    check_demo(bin_, tmp_path / "home")
