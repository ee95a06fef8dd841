"""Compare two students, teachers or projects on the same images.

A and B are: a project folder (its current student), `DIR#STEP` (the student of a step, by id or name),
`DIR#teacher`, an exported student (.onnx or .safetensors) that answers the images of the other side's
project, or a table of answers such as `inficond predict --csv` writes. `inficond compare DIR A B` compares
two steps of one project. Images of two projects are matched by their content, else by name. Exam images stay
locked. Differences have paired 95 % intervals, by bootstrap over the images.

examples:
  inficond compare boats 3f2a "without water"
  inficond compare boats boats#teacher
  inficond compare boats other-boats --html compared.html
  inficond compare first.onnx second.onnx --images PHOTOS --labels labels.csv
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.comparison.measure import SideBySide

SUMMARY = "compare two steps, students, teachers or projects on the same images"
MOST_WEIGHTS = 8
"""Weights of a class that are printed."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "sides", nargs="+", metavar="A B", help="two sides; or a project folder and two of its steps"
    )
    parser.add_argument(
        "--html", type=given_path, metavar="FILE", help="write a page with pictures, for offline use"
    )
    parser.add_argument(
        "--images", nargs="+", metavar="IMAGES", help="image files or folders for two .onnx students"
    )
    parser.add_argument(
        "--labels", type=given_path, metavar="FILE", help="table of labels, where projects have none"
    )
    parser.add_argument("--provider", default="auto", help="of .onnx students: auto, cpu, cuda, …")


def run(args: argparse.Namespace, out: Output) -> int:
    """Compare and print."""
    from inficond.core.comparison.files import open_sides
    from inficond.core.comparison.measure import side_by_side

    target: Path | None = args.html
    if target is not None and (target.is_dir() or not target.absolute().parent.is_dir()):
        raise InputError(f"--html {target}: name a file in an existing folder")
    nodes: dict[str, Any] = {}
    if len(args.sides) == 3:
        folder, *steps = args.sides
        a, b = (f"{folder}#{step}" for step in steps)
        nodes = _nodes(folder, *steps)
    elif len(args.sides) == 2:
        a, b = args.sides
    else:
        raise InputError("name two sides, as in `inficond compare A B`, or a project and two of its steps")
    images = None
    if args.images:
        from inficond.core.cli.commands.predict import image_files

        images = image_files(args.images, lambda name, reason: out.warn(f"{name}: {reason}"))
    sides = open_sides(
        a, b, images=images, labels=args.labels, provider=args.provider, progress=out.progress()
    )
    found = side_by_side(*sides)
    for line in comparison_lines(found):
        out.say(line)
    if target is not None:
        from inficond.core.atomic_io import replacing
        from inficond.core.comparison.page import render_comparison

        text = render_comparison(found).encode("utf-8")
        with replacing(target) as file:
            file.write(text)
        out.say(f"page: {target} ({len(text) / 2**20:.1f} MB, opens offline)")
    html = {} if target is None else {"html": str(target)}
    if nodes:
        out.result({**nodes, "side_by_side": found.to_json(), **html})
    else:
        out.result({**found.to_json(), **html})
    return 0


def _nodes(folder: str, a: str, b: str) -> dict[str, Any]:
    """Return the ids of two steps, and what changed between them in the classes that differ."""
    from inficond.core.facade import Project

    session = Project.open(folder).session("main")
    found = session.compare(a, b)
    ids = session.image_ids
    return {
        "a": found.a.id,
        "b": found.b.id,
        "classes": {
            cls: {
                **change.to_json(),
                "fixed": [ids[r] for r in change.fixed],
                "broken": [ids[r] for r in change.broken],
            }
            for cls, change in found.classes.items()
        },
    }


def comparison_lines(found: "SideBySide") -> list[str]:
    """Return the lines that the command prints."""
    from inficond.core.comparison.wording import (
        CHANGE_LABELS,
        difference,
        headline,
        measured,
    )
    from inficond.core.report.wording import figure

    lines = headline(found)
    rows = [("measure", "A", "B", "difference, 95 % interval")]
    rows += [(title, figure(c.before, 3), figure(c.after, 3), difference(c)) for title, c in measured(found)]
    if len(rows) > 1:
        lines += ["", *_columns(rows)]
    kinds = found.kinds
    counts = [("images that changed", *(CHANGE_LABELS[kind] for kind in kinds), "same answer")]
    counts += [
        (cls, *(str(len(one.changed[kind])) for kind in kinds), f"{100 * one.same_answer.value:.1f} %")
        for cls, one in found.classes.items()
    ]
    lines += ["", *_columns(counts)]
    for cls, one in found.classes.items():
        moved = [w for w in one.weights if w.a != w.b][:MOST_WEIGHTS]
        if moved:
            table = [("weight", "A", "B")]
            table += [(w.concept, figure(w.a, 3), figure(w.b, 3)) for w in moved]
            more = sum(w.a != w.b for w in one.weights) - len(moved)
            lines += [
                "",
                f"{cls}" + (f" ({more} more weights differ)" if more else ""),
                *_columns(table, "  "),
            ]
    return lines


def _columns(rows: list[Any], indent: str = "") -> list[str]:
    """Return a table as lines: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        indent
        + row[0].ljust(widths[0])
        + "".join(f"  {cell.rjust(width)}" for cell, width in zip(row[1:], widths[1:]))
        for row in rows
    ]
