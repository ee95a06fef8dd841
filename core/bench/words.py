"""Benchmark of words: fidelity at equal numbers of concepts against controls, on labelled folders.

For each folder, a probe is cross-fitted as the teacher. Students are fitted on several splits to words as a
build chooses them, to a person's own words, and to controls: random directions (as many as there are words,
and many at equal concepts per class), random regions of training images, random words. Encodings are cached.

  inficond bench words FLOWERS=docs/words/flowers.txt SCENES=docs/words/intel.txt --write docs/words.md
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.bench.recorded import parts_around, replace_table
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.bench.words_variants import Measured
    from inficond.core.cli.output import Output

SUMMARY = "fidelity of words, of a person's own words and of controls, on labelled folders"
BEGIN, END = "<!-- table of inficond bench words -->", "<!-- end of the table -->"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument(
        "folders",
        nargs="+",
        metavar="FOLDER[=WORDS]",
        help="a folder with a folder per class, or with images/ and labels.csv, and a file of own words",
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="splits (default 5)")
    parser.add_argument(
        "--nec", type=float, default=10.0, metavar="N", help="concepts per class (default 10)"
    )
    parser.add_argument(
        "--link",
        choices=("sigmoid", "softmax"),
        help="link of the students (default: softmax if the classes exclude each other)",
    )
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="put the table into a Markdown file, between its markers"
    )


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure, print, and write the table."""
    from inficond.core.bench.words_sets import labelled_images, load_set, parse_sets
    from inficond.core.bench.words_variants import Split
    from inficond.core.concepts.candidates import candidate_words
    from inficond.core.concepts.corpus import load_corpus
    from inficond.core.concepts.neutral import neutral_regions
    from inficond.core.concepts.odd_words import without_odd_words
    from inficond.core.evaluation.split import stratified_split
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.teacher import load_teacher

    if args.seeds < 1 or not args.nec > 0:
        raise InputError("--seeds must be at least 1 and --nec above 0")
    # A folder without labels is found before minutes of work on others.
    folders = [(labelled_images(folder), own) for folder, own in parse_sets(args.folders)]
    if args.write is not None:
        parts_around(args.write, (BEGIN, END))  # a missing marker is found before minutes of work
    encoder = load_encoder("embedded", threads=1)
    teacher = load_teacher("embedded", threads=1)
    candidates = without_odd_words(candidate_words(load_corpus(None, encoder), encoder))
    found: dict[str, dict[str, list[Measured]]] = {}
    for images, own in folders:
        photos = load_set(images, own, encoder, teacher, out.progress())
        if args.link is not None:
            photos = replace(photos, link=args.link)
        name = f"{photos.name} ({photos.link})"
        if name in found:
            raise InputError(f"two folders have the name {photos.name}: measure them one by one")
        rows = found.setdefault(name, {})
        for seed in range(args.seeds):
            validation = stratified_split(photos.T, seed=seed)
            neutral = neutral_regions("embedded", photos.regions[~validation])
            split = Split(photos, validation, candidates, encoder, neutral, args.nec, seed)
            for variant, measured in split.variants():
                rows.setdefault(variant, []).append(measured)
    lines = table(found, args.seeds, args.nec)
    for line in lines:
        out.say(line)
    if args.write is not None:
        replace_table(args.write, (BEGIN, END), lines)
        out.say(f"written to {args.write}")
    out.result({"seeds": args.seeds, "nec": args.nec, "sets": {k: _plain(v) for k, v in found.items()}})
    return 0


def table(found: Mapping[str, Mapping[str, Sequence["Measured"]]], seeds: int, nec: float) -> list[str]:
    """Return the lines of a Markdown table: variants by sets, mean AP ± standard deviation over splits."""
    variants = list(dict.fromkeys(v for rows in found.values() for v in rows))
    head = " | ".join(found)
    lines = [
        f"Mean fidelity AP on validation images ± standard deviation over {seeds} splits, at most {nec:g} "
        "concepts per class; in brackets the number of words, and the share of yes answers whose largest "
        "contribution is an absent concept.",
        "",
        f"| vectors | {head} |",
        "|---|" + "---|" * len(found),
    ]
    for variant in variants:
        cells = [_cell(rows.get(variant, [])) for rows in found.values()]
        lines.append(f"| {variant} | {' | '.join(cells)} |")
    return lines


def _cell(measured: Sequence["Measured"]) -> str:
    if not measured:
        return "–"
    aps = [m.ap for m in measured]
    absent = [m.absent for m in measured if m.absent is not None]
    share = f", absent {np.mean(absent):.2f}" if absent else ""
    return f"{np.mean(aps):.3f} ± {np.std(aps):.3f} ({np.mean([m.count for m in measured]):.0f}{share})"


def _plain(rows: Mapping[str, Sequence["Measured"]]) -> dict[str, Any]:
    return {
        variant: {
            "ap": [m.ap for m in measured],
            "nec": [m.nec for m in measured],
            "absent": [m.absent for m in measured],
            "count": [m.count for m in measured],
            "words": measured[0].words,
        }
        for variant, measured in rows.items()
    }
