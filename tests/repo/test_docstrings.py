"""Docstrings, held against the code by numpydoc: nothing public without one, and none says what is not so.

A short function may say all in prose. Where a docstring has a list of parameters, it names every one and none
that is not there. What the packages of core export by name has its lists whatever its length.
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
"""A docstring that is missing, without a summary, or whose sections numpydoc cannot read."""
TRUE = {"PR01", "PR02"}
"""Parameters that are missing or unknown: only where there is a list of them."""
COMPLETE = TRUE | {"RT01", "YD01"}
"""For what is exported: the lists themselves."""
EXPORTING = ("", ".images", ".models", ".concepts", ".solver", ".students", ".report", ".demo")


def modules() -> list[str]:
    """Every module of the packages; what measures, what rebuilds and the inner loops are left out."""
    found = []
    for root in ("core", "export", "gradio_app"):
        for path in sorted((ROOT / root).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if {"bench", "embedded", "__main__"} & set(parts) or any("kernels" in p for p in parts):
                continue
            found.append(".".join(("inficond", *parts)).removesuffix(".__init__"))
    return found


def public(module: str) -> Iterator[str]:
    """Dotted names of the public functions, classes and methods that a module defines."""
    path = ROOT / Path(*module.split(".")[1:])
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{module}.{node.name}"
        if isinstance(node, ast.FunctionDef) or "Protocol" in map(ast.unparse, node.bases):
            continue  # a protocol's methods are described where they are implemented
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                yield f"{module}.{node.name}.{inner.name}"


def complaints(name: str, codes: set[str]) -> list[str]:
    """What numpydoc says of one docstring, of these kinds."""
    found = []
    for code, text in validate(name)["errors"]:
        if code in codes and not (code in TRUE and _excused(text)):
            found.append(f"{name}: {code} {text}")
    return found


def _excused(text: str) -> bool:
    """Private fields of a record are nobody's parameters; numpydoc takes any `cls` for a class method's."""
    names = set(ast.literal_eval(text[text.index("{") : text.index("}") + 1]))
    return all(name.startswith("_") or name == "cls" for name in names)


def found_in(module: str) -> list[str]:
    """Complaints of everything public in a module."""
    loaded, wrong = importlib.import_module(module), []
    names = public(module) if module.startswith("inficond") else [f"{module}.{n}" for n in loaded.__all__]
    for name in names:
        thing: Any = loaded
        for part in name.removeprefix(module + ".").split("."):
            thing = getattr(thing, part)
        lists = "\nParameters\n" in inspect.cleandoc(thing.__doc__ or "")
        wrong += complaints(name, ALWAYS | (TRUE if lists else set()))
    return wrong


@pytest.mark.parametrize("module", modules())
def test_what_a_docstring_says_is_so(module: str) -> None:
    wrong = found_in(module)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", EXPORTING)
def test_exported_functions_have_their_lists(package: str) -> None:
    loaded = importlib.import_module(f"inficond.core{package}")
    wrong = []
    for exported in loaded.__all__:
        thing = getattr(loaded, exported)
        if inspect.isfunction(thing):
            wrong += complaints(f"{thing.__module__}.{thing.__qualname__}", COMPLETE)
    assert not wrong, "\n".join(wrong)


def test_a_wrong_docstring_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules above do find what they are for."""
    (tmp_path / "sample_of_docstrings.py").write_text(
        '__all__ = ["silent", "untrue", "prose"]\n\n\n'
        "def silent(x):\n    return x\n\n\n"
        'def untrue(kept, forgotten):\n    """Keep.\n\n    Parameters\n    ----------\n'
        '    kept : int\n        A number.\n    invented : int\n        Another.\n    """\n\n\n'
        'def prose(x):\n    """Twice `x`."""\n    return 2 * x\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    said = found_in("sample_of_docstrings")
    assert [s.split()[:2] for s in said] == [
        ["sample_of_docstrings.silent:", "GL08"],
        ["sample_of_docstrings.untrue:", "PR01"],
        ["sample_of_docstrings.untrue:", "PR02"],
    ]
