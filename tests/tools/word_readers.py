"""Sheets for readers who judge the words of students blind, and the score of their judgements.

    python -m tests.tools.word_readers sheets OUT DATA/METHOD=PROJECT …
    python -m tests.tools.word_readers score OUT READER.csv …

docs/words/README.md describes the protocol.
"""

import argparse
import base64
import csv
import io
import json
import random
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core import Project
from inficond.core.report.pictures import ReportPictures
from inficond.core.sessions.examples import example_images

LARGEST, CROPS, PER_SHEET = 5, 6, 10


def largest_words(session: Any, cls: int) -> list[int]:
    """Return the columns of a class's largest positive weights."""
    weights = session.students.weights[cls]
    return [k for k in np.argsort(-weights, kind="stable")[:LARGEST].tolist() if weights[k] > 0]


def example_rows(session: Any, cls: str, word: str, pictures: ReportPictures) -> list[int]:
    """Return the images of a class that the page shows as examples of a word with lit evidence."""
    rows = example_images(session, word, CROPS, cls)
    return [row for row in rows if pictures.is_clear(row, word)]


def write_sheets(out: Path, projects: dict[str, Path], seed: int = 0) -> None:
    """Write the sheets as pictures, the empty form, and the key that the readers do not see."""
    from PIL import Image, ImageDraw, ImageFont

    items: dict[tuple[str, str, str], dict[str, Any]] = {}
    for name, folder in projects.items():
        data, method = name.split("/")
        session = Project.open(folder).session("main")
        pictures = ReportPictures.of(session.context)
        for cls, label in enumerate(session.students.classes):
            for column in largest_words(session, cls):
                word = session.students.concepts[column]
                item = items.setdefault((data, label, word), {"methods": []})
                item["methods"].append(method)
                if "crops" not in item:
                    rows = example_rows(session, label, word, pictures)
                    item["crops"] = [pictures.evidence(row, word) for row in rows]
    order = sorted(items)
    random.Random(seed).shuffle(order)
    out.mkdir(parents=True, exist_ok=True)
    font = ImageFont.load_default(18)
    key, side = [], 136
    for start in range(0, len(order), PER_SHEET):
        sheet = Image.new("RGB", (330 + CROPS * (side + 6), PER_SHEET * (side + 8)), "white")
        draw = ImageDraw.Draw(sheet)
        for i, (data, label, word) in enumerate(order[start : start + PER_SHEET]):
            item, top = items[data, label, word], i * (side + 8)
            draw.text((8, top + 30), f"{start + i + 1}.  class: {label}\n      word: {word}", "black", font)
            for j, uri in enumerate(item["crops"]):
                crop = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
                sheet.paste(crop, (330 + j * (side + 6), top))
            key.append(
                {
                    "item": start + i + 1,
                    "data": data,
                    "class": label,
                    "word": word,
                    "methods": item["methods"],
                    "crops": len(item["crops"]),
                }
            )
        sheet.save(out / f"sheet-{start // PER_SHEET + 1:02}.png")
    (out / "key.json").write_text(json.dumps(key, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    with open(out / "form.csv", "w", newline="", encoding="utf-8") as file:
        form = csv.writer(file)
        form.writerow(["item", "class", "word", "crops", "accepted", "crops_shown"])
        form.writerows([k["item"], k["class"], k["word"], k["crops"], "", ""] for k in key)


def score(key: list[dict[str, Any]], readers: list[Path]) -> str:
    """Return the table of accepted words and crops, by data and method.

    A class may have fewer than five words with a positive weight: the share of accepted words is multiplied
    by five.
    """
    accepted: dict[tuple[str, str], list[int]] = defaultdict(list)
    shown: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    single: list[list[int]] = []
    for reader in readers:
        with open(reader, newline="", encoding="utf-8") as file:
            rows = {int(row["item"]): row for row in csv.DictReader(file)}
        single.append([int(rows[k["item"]]["accepted"]) for k in key])
        for k in key:
            row = rows[k["item"]]
            for method in k["methods"]:
                accepted[k["data"], method].append(int(row["accepted"]))
                shown[k["data"], method].append((int(row["crops_shown"]), k["crops"]))
    lines = ["| data | words | judged | accepted of five | crops accepted |", "|---|---|---|---|---|"]
    for data, method in sorted(accepted):
        crops = shown[data, method]
        share = sum(a for a, _ in crops) / sum(b for _, b in crops)
        mean = LARGEST * statistics.mean(accepted[data, method])
        number = len(crops) // len(readers)
        lines.append(f"| {data} | {method} | {number} | {mean:.1f} | {100 * share:.0f} % |")
    pairs = [(a, b) for i, a in enumerate(single) for b in single[i + 1 :]]
    agreement = statistics.mean(statistics.mean(x == y for x, y in zip(a, b)) for a, b in pairs)
    same = f"two readers agree on {100 * agreement:.0f} % of the words"
    lines += ["", f"{len(readers)} readers, {len(key)} items; {same}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write sheets, or score judgements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["sheets", "score"])
    parser.add_argument("out", type=Path, help="folder of the sheets")
    parser.add_argument("inputs", nargs="+", help="projects as DATA/METHOD=FOLDER, or forms of readers")
    args = parser.parse_args()
    if args.what == "sheets":
        pairs = (text.partition("=") for text in args.inputs)
        write_sheets(args.out, {name: Path(folder) for name, _, folder in pairs})
    else:
        key = json.loads((args.out / "key.json").read_text(encoding="utf-8"))
        print(score(key, [Path(path) for path in args.inputs]), end="")


if __name__ == "__main__":
    main()
