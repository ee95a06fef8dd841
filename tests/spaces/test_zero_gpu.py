"""Projects from uploads are built on a ZeroGPU GPU, and only on a ZeroGPU Space."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inficond.core import Project
from inficond.core.demo import demo_project
from inficond.core.errors import InputError
from inficond.core.pipeline.build import BuildOptions
from inficond.core.progress import Silent
from inficond.gradio_app import zero_gpu


@pytest.fixture
def options(tmp_path: Path) -> BuildOptions:
    """Options of a project with sixteen uploads."""
    demo = Project.open(demo_project())
    (tmp_path / "uploads").mkdir()
    for row in range(0, 160, 10):
        (tmp_path / "uploads" / f"{row}.jpg").write_bytes(demo.thumbnail_bytes(row))
    return BuildOptions(images=tmp_path / "uploads", out=tmp_path / "made", baseline=False)


class Lender(ModuleType):
    """Substitute of the package `spaces` on ZeroGPU, which counts the calls of marked functions."""

    def __init__(self, refuses: bool = False) -> None:
        super().__init__("spaces")
        self.asked: list[int] = []
        self.calls = 0
        self.refuses = refuses

    def GPU(self, duration: int) -> Callable[..., Any]:
        self.asked.append(duration)

        def decorate(fn: Callable[..., Any]) -> Callable[..., Any]:
            def gpu_function(*args: Any) -> Any:
                self.calls += 1
                if self.refuses:
                    raise RuntimeError("GPU quota exceeded")
                return fn(*args)

            return gpu_function

        return decorate


@pytest.fixture
def reload_after(monkeypatch: pytest.MonkeyPatch) -> Any:
    yield
    monkeypatch.undo()
    importlib.reload(zero_gpu)


def reload_on_zero_gpu(monkeypatch: pytest.MonkeyPatch, spaces: ModuleType | None) -> ModuleType:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    return importlib.reload(zero_gpu)


def test_outside_of_zero_gpu_the_function_is_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACES_ZERO_GPU", raising=False)
    monkeypatch.setitem(sys.modules, "spaces", Lender())
    assert zero_gpu.gpu_function(len) is len


def test_a_space_without_the_package_starts(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, reload_after: None
) -> None:
    page = reload_on_zero_gpu(monkeypatch, None)
    assert page.gpu_build is page.build_folder
    assert "spaces" in caplog.text


def test_a_project_from_uploads_is_built_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, options: BuildOptions, reload_after: None
) -> None:
    lender = Lender()
    page = reload_on_zero_gpu(monkeypatch, lender)
    assert lender.asked == [zero_gpu.GPU_SECONDS], "declared when the module is imported, as ZeroGPU demands"
    made = page.build_project(options, Silent())
    assert lender.calls == 1
    assert len(Project.open(made)) == 16


def test_without_a_free_gpu_the_processor_builds(
    monkeypatch: pytest.MonkeyPatch, options: BuildOptions, reload_after: None
) -> None:
    lender, progress = Lender(refuses=True), Silent()
    made = reload_on_zero_gpu(monkeypatch, lender).build_project(options, progress)
    assert lender.calls == 1
    assert len(Project.open(made)) == 16
    assert any("processor" in line for line in progress.notes)


def test_invalid_input_is_reported_without_a_second_try(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reload_after: None
) -> None:
    lender = Lender()
    page = reload_on_zero_gpu(monkeypatch, lender)
    with pytest.raises(InputError, match="nowhere"):
        page.build_project(BuildOptions(images=tmp_path / "nowhere", out=tmp_path / "made"), Silent())
    assert lender.calls == 1
