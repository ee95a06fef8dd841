"""The folder for a Space is complete and pinned, and contains no history."""

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
    subprocess.run([sys.executable, ASSEMBLE, out, "--no-compile", "--no-photographs"], check=True)
    return out


def front_matter(folder: Path) -> dict[str, str]:
    head = (folder / "README.md").read_text(encoding="utf-8").split("---")[1]
    return dict(re.findall(r"^(\w+): *\"?([^\"\n]+)\"?$", head, re.M))


def test_the_folder_contains_the_files_of_a_space(space: Path) -> None:
    assert {p.name for p in space.iterdir()} == {
        "app.py", "compiled_kernels.py", "served.py", "README.md", "requirements.txt",
        "packages.txt", "LICENSE", "inficond", "demo",
    }  # fmt: skip
    head = front_matter(space)
    assert head["sdk"] == "gradio"
    assert head["sdk_version"] == version("gradio")
    assert (space / head["app_file"]).is_file()
    assert head["python_version"] == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert not (space / "inficond" / "export").exists(), "needs torch"


def test_requirements_are_pinned_and_refer_to_no_file(space: Path) -> None:
    """A Space installs them before it copies the repository."""
    lines = (space / "requirements.txt").read_text().split()
    names = {re.split("[=<>]", line)[0] for line in lines}
    assert {"gradio", "numba", "numpy", "onnxruntime", "spaces"} <= names
    assert not {"torch", "transformers", "onnx", "onnxruntime-gpu"} & names
    assert all("==" in line or line == "spaces" for line in lines)
    assert not [line for line in lines if "/" in line or line.endswith(".whl")]
    assert f"gradio=={front_matter(space)['sdk_version']}" in lines


def test_the_packages_are_those_of_this_checkout(space: Path) -> None:
    for package in ("core", "gradio_app"):
        tracked = subprocess.run(
            ["git", "ls-files", package], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.split("\n")
        for name in filter(None, tracked):
            if (ROOT / name).is_file():
                assert (space / "inficond" / name).read_bytes() == (ROOT / name).read_bytes(), name
    assert not list(space.rglob("__pycache__"))


def test_the_demo_has_no_history(space: Path) -> None:
    assert not list(space.rglob("history.sqlite*"))
    assert (space / "demo" / "project.json").is_file()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    done = subprocess.run([sys.executable, ASSEMBLE, tmp_path], capture_output=True, text=True)
    assert done.returncode != 0
    assert "not empty" in done.stderr
    assert "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_the_app_serves_the_demo(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is that of the Space, the project is in the script's folder, and there is no owner key."""
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
