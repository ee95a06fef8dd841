"""Lowest versions that pyproject.toml allows: `python -m tests.tools.floors > floors.txt`."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def floors(extras: tuple[str, ...] = ()) -> list[str]:
    """One line ``name==lowest`` for each requirement.

    Parameters
    ----------
    extras : tuple of str
        Extras whose requirements are taken too; those that an extra takes from another are not.

    Returns
    -------
    list of str
        With the environment marker, where the requirement has one.

    Raises
    ------
    ValueError
        A requirement of the package itself has no lowest version.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(d for e in extras for d in project["optional-dependencies"][e])]
    lines = []
    for requirement in wanted:
        spec, _, marker = requirement.partition(";")
        found = re.fullmatch(r"\s*([\w-]+)(?:\[[\w,]+\])?\s*>=([\d.]+)[^;]*", spec)
        if found is None:
            if requirement in project["dependencies"]:
                raise ValueError(f"{requirement!r} has no lowest version")
            continue
        lines.append(f"{found[1]}=={found[2]}" + (f" ;{marker}" if marker else ""))
    return lines


if __name__ == "__main__":
    print("\n".join(floors(tuple(sys.argv[1:]))))
