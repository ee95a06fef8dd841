"""Docstrings agree with the code, by numpydoc's validation.

Everything public has a docstring. A list of parameters is complete; short functions may have none, except
functions that the packages of core export by name.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpydoc.validate import validate

ROOT = Path(__file__).resolve().parents[2]
ALWAYS = {"GL03", "GL06", "GL07", "GL08", "GL09", "SS01", "PR05", "PR10"}
"""The docstring or its summary is missing, or its sections cannot be parsed."""
TRUE = {"PR01", "PR02"}
"""Parameters are missing or unknown; checked if there is a list of parameters."""
COMPLETE = TRUE | {"RT01", "YD01"}
"""The lists themselves are missing; checked for exported functions."""
EXPORTING = ("", ".images", ".models", ".concepts", ".solver", ".students", ".report", ".demo")


def modules() -> list[str]:
    """Return the modules of the packages, without benchmarks, builds of embedded models and kernels."""
    found = []
    for root in ("cluster", "core", "export", "gradio_app"):
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if {"bench", "embedded", "__main__"} & set(parts) or any("kernels" in p for p in parts):
                continue
            found.append(".".join(("inficond", *parts)).removesuffix(".__init__"))
    return found


def public(module: str) -> Iterator[str]:
    """Yield the dotted names of the public functions, classes and methods of a module."""
    path = ROOT / Path(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{module}.{node.name}"
        if isinstance(node, ast.FunctionDef) or "Protocol" in map(ast.unparse, node.bases):
            continue  # methods of a protocol are described in its implementations
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                yield f"{module}.{node.name}.{inner.name}"


def problems(name: str, codes: set[str]) -> list[str]:
    """Return numpydoc's errors with these codes in one docstring."""
    found = []
    for code, text in validate(name)["errors"]:
        if code in codes and not (code in TRUE and _excused(text)):
            found.append(f"{name}: {code} {text}")
    return found


def _excused(text: str) -> bool:
    """Return whether an error is about private fields, or about `cls`, which numpydoc ignores."""
    names = set(ast.literal_eval(text[text.index("{") : text.index("}") + 1]))
    return all(name.startswith("_") or name == "cls" for name in names)


def problems_of_module(module: str) -> list[str]:
    """Return the errors of all public docstrings of a module."""
    loaded, wrong = importlib.import_module(module), []
    names = public(module) if module.startswith("inficond") else [f"{module}.{n}" for n in loaded.__all__]
    for name in names:
        thing: Any = loaded
        for part in name.removeprefix(module + ".").split("."):
            thing = getattr(thing, part)
        lists = "\nParameters\n" in inspect.cleandoc(thing.__doc__ or "")
        wrong += problems(name, ALWAYS | (TRUE if lists else set()))
    return wrong


@pytest.mark.parametrize("module", modules())
def test_docstrings_match_the_code(module: str) -> None:
    wrong = problems_of_module(module)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", EXPORTING)
def test_exported_functions_have_parameter_lists(package: str) -> None:
    loaded = importlib.import_module(f"inficond.core{package}")
    wrong = []
    for exported in loaded.__all__:
        thing = getattr(loaded, exported)
        if inspect.isfunction(thing):
            wrong += problems(f"{thing.__module__}.{thing.__qualname__}", COMPLETE)
    assert not wrong, "\n".join(wrong)


def test_a_wrong_docstring_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing docstring, and missing and unknown parameters, are found."""
    (tmp_path / "sample_of_docstrings.py").write_text(
        '__all__ = ["silent", "untrue", "prose"]\n\n\n'
        "def silent(x):\n    return x\n\n\n"
        'def untrue(kept, forgotten):\n    """Keep.\n\n    Parameters\n    ----------\n'
        '    kept : int\n        A number.\n    invented : int\n        Another.\n    """\n\n\n'
        'def prose(x):\n    """Twice `x`."""\n    return 2 * x\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = problems_of_module("sample_of_docstrings")
    assert [s.split()[:2] for s in said] == [
        ["sample_of_docstrings.silent:", "GL08"],
        ["sample_of_docstrings.untrue:", "PR01"],
        ["sample_of_docstrings.untrue:", "PR02"],
    ]
