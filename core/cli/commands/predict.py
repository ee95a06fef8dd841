"""Class probabilities of pictures from an exported student, one ONNX file.

examples:
  inficond predict student.onnx photo.jpg other.jpg
  inficond predict student.onnx PHOTOS --json > predictions.json
  inficond predict student.onnx PHOTOS --csv predictions.csv
"""

import argparse
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.file_access import in_home

if TYPE_CHECKING:
    from inficond.core.images import ImageRecord

SUMMARY = "class probabilities from an exported student"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "student", type=given_path, metavar="STUDENT", help="ONNX file of `inficond export student`"
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="image files, folders, lists of paths, or tables and archives with images",
    )
    parser.add_argument(
        "--csv",
        type=given_path,
        metavar="FILE",
        help="write a table: image, a column of probabilities per class, yes",
    )
    parser.add_argument("--provider", default="auto", help="auto, cpu, cuda, tensorrt, …")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="pictures in one call (8)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Predict, print a line a picture."""
    from inficond.core.models.predictor import load_predictor

    if not 1 <= args.batch <= 4096:
        raise InputError(f"--batch is {args.batch}; give a number from 1 to 4096")
    # Batches run side by side, so a thread each wastes no core on waiting.
    predictor = load_predictor(args.student, args.provider, threads=1)
    progress = out.progress()
    skipped: list[dict[str, str]] = []

    def skip(name: str, reason: str) -> None:
        skipped.append({"image": name, "reason": reason})
        progress.note(f"{name}: {reason}")

    named = image_files(args.images, skip)
    progress.start("predicting", len(named))
    answered: list[dict[str, Any]] = []
    names = iter(named)
    for prediction in predictor.predict_files([record for _, record in named], args.batch):
        name = next(names)[0]
        progress.advance()
        if prediction.probabilities is None:
            skip(name, prediction.reason)
            continue
        shares = dict(zip(predictor.classes, (float(p) for p in prediction.probabilities)))
        yes = [
            c for c, p, t in zip(predictor.classes, prediction.probabilities, predictor.thresholds) if p >= t
        ]
        answered.append({"image": name, "probabilities": shares, "yes": yes})
        best = sorted(shares.items(), key=lambda item: -item[1])[:5]
        out.say(name + ": " + ", ".join(f"{c} {p:.3f}" + ("*" if c in yes else "") for c, p in best))
    if not answered:
        raise InputError(f"none of the {len(named)} images can be read; the first: {skipped[0]['reason']}")
    if args.csv is not None:
        _write_table(args.csv, predictor.classes, answered)
        out.say(f"written to {args.csv}")
    out.say(f"{len(answered)} images, {len(skipped)} skipped; * is at or above the class's threshold")
    out.result(
        {
            "student": str(args.student),
            "provider": predictor.provider,
            "classes": predictor.classes,
            "link": predictor.link,
            "provenance": predictor.provenance,
            "images": answered,
            "skipped": skipped,
        }
    )
    return 0


def _write_table(path: Path, classes: Sequence[str], answered: Sequence[Mapping[str, Any]]) -> None:
    """Write predictions as CSV; the classes that are answered with yes are separated by ``|``."""
    from inficond.core.atomic_io import replacing

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", *classes, "yes"])
    for one in answered:
        shares = one["probabilities"]
        writer.writerow([one["image"], *(f"{shares[c]:.6g}" for c in classes), "|".join(one["yes"])])
    with replacing(path) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))


def image_files(given: Sequence[str], note: Callable[[str, str], None]) -> "list[tuple[str, ImageRecord]]":
    """Names and images of everything that was given.

    Raises
    ------
    InputError
        A path is missing, or a folder, list, table or archive has no image.
    """
    from inficond.core.images import ImageRecord, find_images
    from inficond.core.images.sources.open import holds_images

    found: list[tuple[str, ImageRecord]] = []
    for text in given:
        path = in_home(text)
        if not path.exists():
            raise InputError(f"{text} is not there: give image files, folders, or lists of paths")
        if path.is_dir() or holds_images(path):
            found += [(record.id, record) for record in find_images(path, note)]
        else:
            found.append((text, ImageRecord(text, path)))
    return found
