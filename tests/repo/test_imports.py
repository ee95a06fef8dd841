"""Modules that an import loads. Who may import whom is checked by `lint-imports` (see `pyproject.toml`)."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def loaded(code: str, packages: set[str]) -> str:
    """Return those of the packages that a new interpreter has loaded after running the code."""
    code += f"\nimport sys\nprint(sorted({packages!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_core_loads_nothing_heavy() -> None:
    heavy = {"gradio", "torch", "transformers", "onnx", "onnxruntime", "numba", "pyarrow", "scipy", "PIL"}
    assert loaded("import inficond.core", heavy) == "[]"


def test_no_module_of_core_loads_the_page_or_torch() -> None:
    names = [
        ".".join(("inficond", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in sorted((ROOT / "core").rglob("*.py"))
        if path.name != "__main__.py"
    ]
    assert "inficond.core.facade" in names
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)"
    assert loaded(code, {"gradio", "torch", "transformers", "onnx"}) == "[]"


def test_the_list_of_commands_loads_nothing_heavy() -> None:
    code = "from inficond.core.cli.main import build_parser\nbuild_parser(arguments=False).format_help()"
    heavy = {"gradio", "torch", "onnx", "onnxruntime", "numba", "pyarrow", "scipy", "PIL"}
    assert loaded(code, heavy) == "[]"
