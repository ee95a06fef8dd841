"""The examples in docstrings: all of them run, and everything in the Python reference has one.

Examples of methods continue the example of their class. They see a copy of the demo project.
"""

import ast
import doctest
import importlib
import inspect
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docs.documents import ROOT

from inficond.core.demo import demo_project

WITH_METHODS = ("Project", "Session")
"""Classes whose public methods all need examples."""
INCLUDED = (
    "ProjectFolder", "ConceptSteps", "ImageQueries", "SessionHistory", "SessionQueries", "SessionSuggestions",
)  # fmt: skip
"""Classes whose methods the others have too; their examples run there."""


def reference() -> list[str]:
    """Return the modules of the Python reference; read as text, since `docs/site.py` needs MkDocs."""
    for node in ast.parse((ROOT / "docs" / "site.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PACKAGES":
            return [f"inficond.{name}" for name in ast.literal_eval(node.value)]
    raise LookupError("PACKAGES")


def public(module: str) -> dict[str, Any]:
    """Return the functions and classes that a module lists, or defines if it has no list, by name."""
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [
            name
            for name, value in vars(loaded).items()
            if not name.startswith("_") and getattr(value, "__module__", "") == module
        ]
    found = {f"{module}.{name}": getattr(loaded, name) for name in names}
    return {
        name: value
        for name, value in found.items()
        if inspect.isfunction(value) or (inspect.isclass(value) and not getattr(value, "_is_protocol", False))
    }


def members(name: str, cls: type) -> dict[str, Any]:
    """Return the public methods and properties of a class, inherited ones included, by name."""
    return {
        f"{name}.{member}": value
        for member, value in inspect.getmembers(cls)
        if not member.startswith("_") and getattr(value, "__doc__", None)
    }


def without_example(module: str) -> list[str]:
    """Return the public names that have no section of examples."""
    wanted = public(module)
    for name, value in list(wanted.items()):
        if name.rpartition(".")[2] in WITH_METHODS:
            methods = members(name, value)
            wanted |= {n: v for n, v in methods.items() if inspect.isfunction(v) or inspect.ismethod(v)}
    return [
        name
        for name, value in wanted.items()
        if "Examples\n--------\n" not in (text := inspect.getdoc(value) or "") or ">>> " not in text
    ]


def examples(name: str, value: Any) -> Iterator[list[doctest.DocTest]]:
    """Yield the tests of a function or class: its own, and those of its members after its own."""
    finder = doctest.DocTestFinder(recurse=False)

    def found(name: str, value: Any) -> list[doctest.DocTest]:
        return finder.find(value, name, module=False, globs={})

    own = found(name, value)
    yield own
    continued = inspect.isclass(value) and name.rpartition(".")[2] not in INCLUDED
    for member, inner in members(name, value).items() if continued else ():
        if tests := found(member, inner):
            yield own + tests


def failures(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run all examples of a module, each in an empty folder, and return the report of those that fail.

    Names that another module of the reference defines are left to that module.
    """
    lines: list[str] = []
    elsewhere = set(reference()) - {module}
    for name, value in public(module).items():
        if value.__module__ in elsewhere:
            continue
        for number, tests in enumerate(examples(name, value)):
            place = folder / f"{name} {number}"
            place.mkdir()
            monkeypatch.chdir(place)
            globs: dict[str, Any] = {"__name__": "__main__"}
            for test in tests:
                test.globs = globs
                doctest.DocTestRunner(verbose=False).run(test, out=lines.append, clear_globs=False)
    return "".join(lines)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder with a copy of the demo's project."""
    folder, demo = tmp_path_factory.mktemp("cache"), demo_project()
    shutil.copytree(demo, folder / demo.name, ignore=shutil.ignore_patterns("history.sqlite*"))
    return folder


@pytest.mark.parametrize("module", reference())
def test_the_examples_run(module: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFICOND_CACHE", str(cache))
    report = failures(module, tmp_path, monkeypatch)
    assert not report, report


@pytest.mark.parametrize("module", reference())
def test_everything_in_the_reference_has_an_example(module: str) -> None:
    assert without_example(module) == []


def test_every_package_that_exports_names_is_in_the_reference() -> None:
    packages = [f"inficond.core.{path.parent.name}" for path in sorted((ROOT / "core").glob("*/__init__.py"))]
    exporting = [name for name in packages if hasattr(importlib.import_module(name), "__all__")]
    assert len(exporting) > 5
    assert set(exporting) <= set(reference())


def test_a_missing_and_a_wrong_example_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sample_of_examples.py").write_text(
        '__all__ = ["Pair", "bare", "wrong"]\n\n\n'
        'def bare():\n    """Return nothing."""\n\n\n'
        'def wrong():\n    """Return 2.\n\n    Examples\n    --------\n'
        "    >>> from sample_of_examples import wrong\n    >>> wrong()\n    2\n"
        '    """\n    return 3\n\n\n'
        'class Pair(list):\n    """A list.\n\n    Examples\n    --------\n'
        '    >>> from sample_of_examples import Pair\n    >>> pair = Pair([1, 2])\n    """\n\n'
        '    def first(self):\n        """Return the first.\n\n        >>> pair.first(), pair.pop()\n'
        '        (1, 2)\n        """\n        return self[0]\n\n'
        '    def last(self):\n        """Return the last.\n\n        >>> pair.last()\n'
        '        2\n        """\n        return self[-1]\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert without_example("sample_of_examples") == ["sample_of_examples.bare"]
    report = failures("sample_of_examples", tmp_path, monkeypatch)
    assert report.count("Failed example:") == 1
    assert "wrong()" in report
