"""Draw a seeded sample of docstrings and error messages for review: `python tests/tools/sample_prose.py`.

The reviewer reads each one against the language rules of CONTRIBUTING.md.
"""

import argparse
import ast
import random
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("cluster", "core", "export", "gradio_app", "spaces")


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Yield every module of the packages, parsed."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every docstring."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node)
                if text:
                    yield f"{path}:{getattr(node, 'name', 'module')}", text


def messages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every raised message."""
    for path, tree in sources():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            for argument in node.exc.args:
                parts = [
                    p for p in ast.walk(argument) if isinstance(p, ast.Constant) and isinstance(p.value, str)
                ]
                if parts and len("".join(p.value for p in parts)) > 12:
                    yield f"{path}:{node.lineno}", ast.unparse(argument)


def main() -> None:
    """Print the sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--docstrings", type=int, default=100)
    parser.add_argument("--messages", type=int, default=50)
    chosen = parser.parse_args()
    draw = random.Random(chosen.seed)
    for title, found, count in (
        ("docstrings", list(docstrings()), chosen.docstrings),
        ("messages", list(messages()), chosen.messages),
    ):
        print(f"# {count} of {len(found)} {title}")
        for i, (place, text) in enumerate(draw.sample(found, min(count, len(found))), 1):
            print(f"\n[{i}] {place}\n{text}")


if __name__ == "__main__":
    main()
