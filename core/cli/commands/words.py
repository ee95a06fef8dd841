"""Propose words for the classes of a project; accept, reject, replace or add words.

Without options that change words, the command prints the proposals class by class, each with the number of
training images in which it names something, and writes a contact sheet with twelve crops of each word.
Accepted and rejected words are steps of the project's history.

examples:
  inficond words DIR --sheet words.html
  inficond words DIR --accept meadow --reject hedgehog --reject saw
  inficond words DIR --show "seed head" a.jpg@0.5,0.4 b.jpg@0.3,0.6 c.jpg
  inficond words DIR --add "yellow centre" --rename moss="green leaves"
  inficond words DIR --rename ball="round fruit" --by-example
  inficond words DIR --discover
  inficond words DIR --name 3="fluffy ball"
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output, progress_line
from inficond.core.errors import InputError
from inficond.core.progress import Progress

SUMMARY = "propose words class by class; accept, reject and add words; find concepts without words"
MOST_ADDED = 200
"""Most words that one command adds."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    from inficond.core.students.proposals import MOST_WORDS

    add = parser.add_argument
    add("project", metavar="DIR", help="project folder")
    add("--sheet", type=given_path, metavar="FILE", help="the contact sheet (default: words.html in DIR)")
    add("--no-sheet", action="store_true", help="print the proposals only")
    add(
        "--most",
        type=int,
        metavar="N",
        help=f"most words (default: {MOST_WORDS}, or four per class if that is more)",
    )
    add(
        "--wide",
        action="store_true",
        help="propose from 4,000 more words as well: nouns of WordNet, and pairs such as `snowy mountain`",
    )
    add("--accept", action="append", default=[], metavar="W", help="make a proposed word a concept")
    add("--reject", action="append", default=[], metavar="W", help="drop a concept, in every class")
    add(
        "--rename",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="give a concept or a proposed word your own name; its vector, evidence and weights stay",
    )
    add(
        "--by-example",
        action="store_true",
        help="with --rename: drop the concept, and make the regions that it showed a concept by example",
    )
    add("--add", action="append", default=[], metavar="W", help="make a word of your own a concept")
    add(
        "--show",
        nargs="+",
        action="append",
        default=[],
        metavar="NAME IMAGE",
        help="a concept by example: its name, then IMAGE@x,y for the region at a place (shares of width and "
        "height), or IMAGE for the whole image",
    )
    add("--not-like", nargs="+", default=[], metavar="IMAGE", help="regions that do not show the concept")
    add(
        "--discover",
        action="store_true",
        help="find groups of regions that explain what the words leave over, and write their crops "
        "(default: discovered.html in DIR)",
    )
    add(
        "--name",
        action="append",
        default=[],
        metavar="N=NAME",
        help="make the discovered concept of this number a concept under your own name",
    )
    add("--note", default="", help="a remark stored with the steps")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print proposals, or take the steps."""
    from inficond.core.facade import Project
    from inficond.core.pipeline.cached_cells import open_cell_store

    if args.most is not None and args.most < 1:
        raise InputError(f"--most must be at least 1, not {args.most}")
    project = Project.open(args.project)
    project.context.open_cell_store = open_cell_store
    changes = (args.accept, args.reject, args.add, args.rename, args.by_example)
    if any((*changes, args.show, args.not_like, args.name)):
        return _change(project, args, out)
    if args.discover:
        return _discover(project, args, out)
    from inficond.core.sessions.word_proposals import ProjectWords

    session = project.session()
    with progress_line(out) as progress:
        proposals = ProjectWords(session, progress, args.wide).proposals(args.most)
    shown = ""
    for one in proposals:
        if one.cls != shown:
            shown = one.cls
            out.say(shown)
        out.say(f"  {one.text}")
    sheet = None if args.no_sheet else args.sheet or project.path / "words.html"
    if sheet is not None:
        with progress_line(out) as progress:
            _write_sheet(session, proposals, sheet, progress)
        out.say(f"contact sheet: {sheet}")
    out.say(f'choose with:  inficond words {args.project} --accept W --reject W --add "W of your own"')
    out.result(
        {"proposals": [one.to_json() for one in proposals], "sheet": None if sheet is None else str(sheet)}
    )
    return 0


def _write_sheet(session: Any, proposals: Sequence[Any], sheet: Path, progress: Progress) -> None:
    from inficond.core.atomic_io import replacing
    from inficond.core.report.contact_sheet import contact_sheet
    from inficond.core.sessions.examples import example_images
    from inficond.core.sessions.word_proposals import CROPS

    def examples(proposal: Any) -> list[int]:
        progress.advance()
        return example_images(session, proposal.word, CROPS, proposal.cls)

    progress.start("looking for examples", len(proposals))
    text = contact_sheet(session, proposals, examples)
    with replacing(sheet) as file:
        file.write(text.encode())


def _discover(project: Any, args: argparse.Namespace, out: Output) -> int:
    """Print the concepts that regions without words would be, and write their crops."""
    from inficond.core.atomic_io import replacing
    from inficond.core.report.contact_sheet import discovery_sheet
    from inficond.core.sessions.discovery import FOUND, discover_concepts

    session = project.session("main")
    with progress_line(out) as progress:
        found = discover_concepts(session, args.most or FOUND, progress=progress)
    shown = ""
    for number, one in enumerate(found, 1):
        if one.cls != shown:
            shown = one.cls
            out.say(shown)
        out.say(f"  {number}. {one.text}")
    if not found:
        out.say("no group of regions explains what the words leave over")
    sheet = None if args.no_sheet or not found else args.sheet or project.path / "discovered.html"
    if sheet is not None:
        text = discovery_sheet(session, found)
        with replacing(sheet) as file:
            file.write(text.encode())
        out.say(f"contact sheet: {sheet}")
    if found:
        out.say(f'name with:  inficond words {args.project} --name 1="your name"')
    out.result(
        {"discovered": [one.to_json() for one in found], "sheet": None if sheet is None else str(sheet)}
    )
    return 0


def _named(session: Any, texts: Sequence[str], most: int | None) -> list[tuple[str, list[Any]]]:
    """Return name and regions of discovered concepts that are given as N=NAME."""
    from inficond.core.sessions.discovery import FOUND, discover_concepts

    wanted = []
    for text in texts:
        digits, equals, name = text.partition("=")
        if not equals or not digits.strip().isdecimal() or not name.strip():
            raise InputError(f"--name {text!r:.60} must have the form N=NAME, with a number of --discover")
        wanted.append((int(digits), name.strip()))
    found = discover_concepts(session, most or FOUND) if wanted else []
    for number, _ in wanted:
        if not 1 <= number <= len(found):
            raise InputError(f"--name {number}: --discover found {len(found)} concepts, counted from 1")
    return [(name, list(found[number - 1].examples)) for number, name in wanted]


def _change(project: Any, args: argparse.Namespace, out: Output) -> int:
    from inficond.core.sessions.shown_concepts import FEW, SUFFIX, parse_example
    from inficond.core.sessions.word_proposals import choose_words

    given = [*args.accept, *args.add]
    if len(given) > MOST_ADDED:
        raise InputError(
            f"{len(given):,} words are too many for steps of the history (at most {MOST_ADDED}): give them "
            "to `inficond distill --concepts FILE`"
        )
    renamed = []
    for text in args.rename:
        old, equals, new = text.partition("=")
        if not equals or not old.strip() or not new.strip():
            raise InputError(f"--rename {text!r:.60} must have the form OLD=NEW")
        renamed.append((old.strip(), new.strip()))
    if args.not_like and len(args.show) != 1:
        raise InputError("--not-like needs one --show NAME IMAGE")
    examples = [(name, [parse_example(project, text) for text in regions]) for name, *regions in args.show]
    unlike = [parse_example(project, text) for text in args.not_like]
    if args.by_example and not renamed:
        raise InputError("--by-example needs --rename OLD=NEW")
    session = project.session("main")
    started = time.monotonic()
    with session.exclusive():
        examples += _named(session, args.name, args.most)
        lines = choose_words(session, given, args.reject, args.note, () if args.by_example else renamed)
        for old, new in renamed if args.by_example else ():
            session.rename_concept(old, new, args.note, by_example=True)
            lines.append(f"{old}: dropped; what it showed is the concept {new + SUFFIX!r}")
        for name, shown in examples:
            session.add_example(name, shown, unlike, args.note)
            lines.append(f"{name + SUFFIX}: added from {len(shown)} region{'s' * (len(shown) != 1)}")
            if len(shown) < FEW:
                lines.append(
                    f"{name + SUFFIX}: {FEW} or more examples define a concept better; few may mean one image"
                )
    for line in lines:
        out.say(line)
    seconds = time.monotonic() - started
    out.say(f"students refitted, {seconds:.1f} s; now at node {session.node}")
    out.result({"node": session.node, "lines": lines, "seconds": seconds})
    return 0
