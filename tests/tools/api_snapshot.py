"""The public Python API as text: `python -m tests.tools.api_snapshot` writes tests/repo/api.txt.

Each line is a public class, function or attribute with its signature, read from the sources by griffe. The
file is reviewed like code: a removed or changed line breaks programs of users.
"""

from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[2]
PREFIXES = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}
INTERFACES = {
    "core.extensions": ("SOURCES", "COMMANDS", "BENCHMARKS", "EXPORTERS", "ENGINES", "VIEWS"),
    "core.pipeline.engines": ("Engine", "EncodingJob", "WorkerSettings"),
    "core.cli.command": ("Command",),
    "core.cli.output": ("Output",),
    "core.images.sources.record": ("ImageRecord", "ImageSource"),
    "gradio_app.views": ("View", "ViewPart"),
}
"""Modules without `__all__` -> names that extensions of other packages use."""
SNAPSHOT = ROOT / "tests" / "repo" / "api.txt"


def snapshot() -> list[str]:
    """Return one line per public object of the packages with `__all__`, and of `INTERFACES`."""
    loader = griffe.GriffeLoader(search_paths=[ROOT / "src"])
    package = loader.load("inficond")
    loader.resolve_aliases()
    root = package["core"]
    assert isinstance(root, griffe.Module)
    lines: set[str] = set()
    for module in modules(root):
        for name in module.exports or []:
            member = module.members.get(str(name))
            if member is not None and ours(member):
                lines.update(described(f"{module.path}.{name}", member))
    for path, names in INTERFACES.items():
        for name in names:
            lines.update(described(f"inficond.{path}.{name}", package[f"{path}.{name}"]))
    return sorted(lines)


def ours(member: griffe.Object | griffe.Alias) -> bool:
    """Whether an object is defined in this project; names of other packages cannot be resolved."""
    return not member.is_alias or member.target_path.startswith("inficond.")


def modules(root: griffe.Module) -> list[griffe.Module]:
    """Return a module and all its submodules."""
    found = [root]
    for module in root.modules.values():
        if not module.is_alias:
            found += modules(module)
    return found


def described(path: str, member: griffe.Object | griffe.Alias) -> list[str]:
    """Return the lines of an object and, of a class, of its public members."""
    if member.is_function:
        return [f"{path}{signature(member)}"]
    if not member.is_class:
        return [path]
    lines = [path]
    for name, inner in member.members.items():
        if name == "__init__" and inner.is_function:
            lines.append(f"{path}{signature(inner)}")
        elif not name.startswith("_") and not inner.is_alias:
            lines += described(f"{path}.{name}", inner)
    return lines


def signature(function: griffe.Object | griffe.Alias) -> str:
    """Return the parameters of a function with defaults, without types."""
    parts = []
    keyword_only = False
    for parameter in function.parameters:
        kind = parameter.kind
        if kind is griffe.ParameterKind.keyword_only and not keyword_only:
            parts.append("*")
            keyword_only = True
        if kind is griffe.ParameterKind.var_positional:
            keyword_only = True
        prefix = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(
            kind, ""
        )
        default = "" if parameter.default is None or prefix else f"={parameter.default}"
        parts.append(f"{prefix}{parameter.name}{default}")
    return f"({', '.join(parts)})"


if __name__ == "__main__":
    SNAPSHOT.write_text("\n".join(snapshot()) + "\n", encoding="utf-8")
