"""The house: who may import whom. The order is the one that docs/architecture.md draws."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Arrows point down this list only: a package may import those before it.
CORE_ORDER = [
    "errors", "documents", "progress", "leftovers", "archive",
    "images", "models", "concepts", "solver", "students",
    "tuning", "history", "project", "report", "demo", "bench", "cli",
]  # fmt: skip
FORBIDDEN = {
    "core": {
        "gradio",
        "gradio_client",
        "torch",
        "transformers",
        "onnx",
        "inficond.export",
        "inficond.gradio_app",
    },
    "export": {"gradio", "inficond.gradio_app"},
    "gradio_app": {"torch", "transformers", "onnx", "onnxruntime", "numba", "inficond.export"},
}


def modules(root: str) -> list[Path]:
    return sorted(p for p in (ROOT / root).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every dotted name that a file imports, also inside functions, except for type checking only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typing_only |= {id(inner) for statement in node.body for inner in ast.walk(statement)}
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the package's name"
            yield node.module or "", node.lineno
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


@pytest.mark.parametrize("root", list(FORBIDDEN))
def test_each_package_knows_only_what_it_may(root: str) -> None:
    assert modules(root), f"no modules in {root}"
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(root)
        for name, line in imports(path)
        for banned in FORBIDDEN[root]
        if name == banned or name.startswith(banned + ".")
    ]
    assert not wrong, "\n".join(wrong)


def test_arrows_inside_core_point_one_way() -> None:
    rank = {name: i for i, name in enumerate(CORE_ORDER)}
    wrong = []
    for path in modules("core"):
        place = path.relative_to(ROOT / "core").parts[0].removesuffix(".py")
        if place in ("__init__", "assets"):
            continue
        assert place in rank, (
            f"core/{place} has no place in the order: add it to docs/architecture.md and here"
        )
        for name, line in imports(path):
            if not name.startswith("inficond.core."):
                continue
            target = name.split(".")[2]
            if target in rank and rank[target] > rank[place]:
                wrong.append(f"{path.relative_to(ROOT)}:{line}: {place} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_solver_imports_nothing_of_ours() -> None:
    ours = [
        f"{path.name}: {name}"
        for path in modules("core")
        if path.is_relative_to(ROOT / "core" / "solver")
        for name, _ in imports(path)
        if name.startswith("inficond.") and not name.startswith("inficond.core.solver")
    ]
    assert not ours


def test_importing_core_loads_nothing_heavy() -> None:
    heavy = {"gradio", "torch", "transformers", "onnx", "onnxruntime", "numba", "pyarrow", "scipy", "PIL"}
    code = f"import sys, inficond.core; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_of_core_loads_the_page_or_torch() -> None:
    names = [
        ".".join(("inficond", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
        for path in modules("core")
        if path.name != "__main__.py"
    ]
    code = (
        f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
        "print(sorted({'gradio', 'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
