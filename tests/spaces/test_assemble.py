"""The folder that is pushed to a Space: complete, pinned, and nothing in it belongs to somebody."""

import importlib.util
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ASSEMBLE = ROOT / "spaces" / "assemble.py"


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("space") / "out"
    subprocess.run([sys.executable, ASSEMBLE, out, "--no-compile"], check=True)
    return out


def front_matter(folder: Path) -> dict[str, str]:
    head = (folder / "README.md").read_text(encoding="utf-8").split("---")[1]
    return dict(re.findall(r"^(\w+): *\"?([^\"\n]+)\"?$", head, re.M))


def test_it_holds_what_a_space_needs(space: Path) -> None:
    assert {p.name for p in space.iterdir()} == {
        "app.py", "compiled_kernels.py", "README.md", "requirements.txt", "packages.txt", "LICENSE",
        "inficond", "demo",
    }  # fmt: skip
    head = front_matter(space)
    assert head["sdk"] == "gradio"
    assert head["sdk_version"] == version("gradio")
    assert (space / head["app_file"]).is_file()
    assert head["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert not (space / "inficond" / "export").exists(), "needs torch"


def test_requirements_are_pinned_and_need_no_other_file(space: Path) -> None:
    """A Space installs them before it copies the repository."""
    lines = (space / "requirements.txt").read_text().split()
    names = {re.split("[=<>]", line)[0] for line in lines}
    assert {"gradio", "numba", "numpy", "onnxruntime", "spaces"} <= names
    assert not {"torch", "transformers", "onnx", "onnxruntime-gpu"} & names
    assert all("==" in line or line == "spaces" for line in lines)
    assert not [line for line in lines if "/" in line or line.endswith(".whl")]
    assert f"gradio=={front_matter(space)['sdk_version']}" in lines


def test_the_packages_are_the_ones_of_this_checkout(space: Path) -> None:
    for package in ("core", "gradio_app"):
        tracked = subprocess.run(
            ["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        for name in filter(None, tracked):
            if (ROOT / name).is_file():
                assert (space / "inficond" / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert not list(space.rglob("__pycache__"))


def test_nobodys_tuning_goes_along(space: Path) -> None:
    assert not list(space.rglob("history.sqlite*"))
    assert (space / "demo" / "project.json").is_file()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([sys.executable, ASSEMBLE, tmp_path], capture_output=True, text=True)
    assert done.returncode != 0
    assert "not empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_app_serves_the_demo_to_strangers(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes from the Space and the project from the script's folder; there is no owner key."""
    from inficond.gradio_app import space as serving

    served: dict[str, object] = {}
    monkeypatch.setattr(
        serving.Page, "start", lambda page, host, port: served.update(page=page, host=host, port=port)
    )
    monkeypatch.setattr(serving.threading.Event, "wait", lambda event: None)
    monkeypatch.setattr(serving.Page, "close", lambda page: None)
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7123")
    monkeypatch.syspath_prepend(str(space))
    spec = importlib.util.spec_from_file_location("app", space / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.serve_space(space / "demo")
    assert (served["host"], served["port"]) == ("0.0.0.0", 7123)
    page = served["page"]
    assert not page.owner_key.value  # type: ignore[attr-defined]
