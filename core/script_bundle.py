"""Bundling of ES modules into one inline script.

Pages are made without a build step and without Node. Bundling supports two kinds of statements, and the
modules use no others: named imports from relative paths or from `PREFIX/…`, and `export` in front of a
declaration. Each module becomes a function that returns its exports; imports become destructured constants.
"""

import re
from collections.abc import Mapping
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "([^"]+)";$', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const) (\w+))", re.MULTILINE)
STATEMENT = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


def bundle(entries: dict[str, Path], prefixes: Mapping[str, Path] | None = None) -> str:
    """Return one script that defines a constant per entry: the exports of its module.

    Raises
    ------
    ValueError
        As `bundle_with_names`.
    """
    return bundle_with_names(entries, prefixes)[0]


def bundle_with_names(
    entries: dict[str, Path],
    prefixes: Mapping[str, Path] | None = None,
    loaded: Mapping[Path, str] | None = None,
) -> tuple[str, dict[Path, str]]:
    """Return one script that defines a constant per entry, and the names of its modules.

    Parameters
    ----------
    entries : dict of str to Path
        Name of a constant → file of a module.
    prefixes : mapping of str to Path, optional
        First part of an import path → the folder that it means.
    loaded : mapping of Path to str, optional
        Modules that another script of the page has loaded → the expression for their exports.

    Returns
    -------
    script : str
        Modules stand behind those that they import.
    names : dict of Path to str
        Name of the constant that holds the exports of each module.

    Raises
    ------
    ValueError
        A module uses another form of import or export, or modules import each other in a cycle.
    """
    roots = prefixes or {}
    names: dict[Path, str] = {path.resolve(): name for path, name in (loaded or {}).items()}
    known = len(names)
    functions: list[str] = []

    def add(path: Path, importers: tuple[Path, ...]) -> str:
        path = path.resolve()
        if path in importers:
            raise ValueError(f"modules import each other in a cycle: {' → '.join(p.name for p in importers)}")
        if path not in names:
            source = path.read_text(encoding="utf-8")
            body = IMPORT.sub(lambda found: bound(found, path, importers), source)
            exported = [found[1] for found in EXPORT.finditer(body)]
            body = EXPORT.sub("", body)
            if other := STATEMENT.search(body):
                raise ValueError(f"{path.name}: the bundler does not support {other[0]!r}")
            names[path] = f"module{len(names) - known}"
            body = f"{minify(body)}\nreturn {{ {', '.join(exported)} }};"
            functions.append(f"const {names[path]} = (() => {{\n{body}\n}})();")
        return names[path]

    def bound(found: re.Match[str], path: Path, importers: tuple[Path, ...]) -> str:
        imported = " ".join(found[1].split()).replace(" as ", ": ")
        prefix, _, rest = found[2].partition("/")
        target = roots[prefix] / rest if prefix in roots else path.parent / found[2]
        return f"const {{ {imported} }} = {add(target, (*importers, path))};"

    constants = [f"const {name} = {add(path, ())};" for name, path in entries.items()]
    return "\n".join([*functions, *constants]), names


def minify(source: str) -> str:
    """Return a script or a style sheet without indentation and without comments on lines of their own.

    Nothing else is removed, so no parser is needed: the sources hold no text that spans several lines.
    """
    source = re.sub(r"^[ \t]*/\*(?:(?!\*/).)*\*/[ \t]*$", "", source, flags=re.MULTILINE | re.DOTALL)
    source = re.sub(r"^[ \t]*//.*$", "", source, flags=re.MULTILINE)
    return "\n".join(line.strip() for line in source.splitlines() if line.strip())
