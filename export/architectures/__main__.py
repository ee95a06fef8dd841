"""Command that exports tiny models of each architecture and compares them with transformers.

usage: python -m inficond.export.architectures [--only NAME] [--write docs/encoders.md]
"""

import argparse
import gc
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from inficond.core.errors import InputError
from inficond.core.models.teacher import apply_link, load_teacher
from inficond.export.architectures.models import TinyModel, pictures, save, survey
from inficond.export.classifier import classifier_outputs
from inficond.export.source import missing_library
from inficond.export.teacher import export_teacher

TOLERANCE = 1e-3
SPREAD = 0.02
BEGIN, END = "<!-- architectures: begin -->", "<!-- architectures: end -->"


@dataclass(frozen=True)
class ExportOutcome:
    """Result of one export.

    Attributes
    ----------
    name : str
    difference : float or None
        Largest difference of a probability to transformers; None where the export was refused.
    spread : float
        Largest standard deviation of a probability over the pictures: near 0, the comparison shows nothing.
    reason : str
        Why it was refused.
    """

    name: str
    difference: float | None
    reason: str = ""
    spread: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the probabilities agree and depend on the picture, or a reason is given."""
        if self.difference is None:
            return bool(self.reason)
        return self.difference <= TOLERANCE and self.spread >= SPREAD


def examine(tiny: TinyModel, folder: Path) -> ExportOutcome:
    """Save a tiny model, export it and compare its probabilities with those of transformers.

    Parameters
    ----------
    tiny : TinyModel
    folder : Path
        Where the model and its export are written.

    Returns
    -------
    ExportOutcome
        Refused where the export raises `InputError`.
    """
    source, out = folder / "tiny", folder / "teacher"
    try:
        model, processor = save(tiny, source)
    except ImportError as error:
        return ExportOutcome(tiny.name, None, f"cannot be made here: {missing_library(tiny.name, error)}")
    try:
        export_teacher(str(source), out, tiny.options)
    except InputError as error:
        return ExportOutcome(tiny.name, None, str(error))
    teacher = load_teacher(out, "cpu")
    worst, found = 0.0, []
    for picture in pictures():
        inputs = dict(processor(picture, return_tensors="pt"))
        if "pixel_values" in inputs:
            inputs[model.main_input_name] = inputs.pop("pixel_values")
        with torch.no_grad():
            logits = classifier_outputs(model(**inputs)).numpy()
        theirs = apply_link(logits, teacher.link)
        ours = teacher.respond(teacher.preprocess(picture)[None])
        worst = max(worst, float(np.abs(ours - theirs).max()))
        found.append(ours[0])
    return ExportOutcome(tiny.name, worst, spread=float(np.std(found, axis=0).max()))


def table(outcomes: Sequence[ExportOutcome]) -> str:
    """Return the Markdown table of the outcomes."""
    exported = [o for o in outcomes if o.difference is not None]
    lines = [
        f"{len(outcomes)} models: {len(exported)} exported, {len(outcomes) - len(exported)} refused.",
        "",
        "| model | largest difference of a probability, or why it is refused |",
        "|---|---|",
    ]
    for o in outcomes:
        found = (
            f"{o.difference:.0e}" if o.difference is not None else "refused: " + o.reason.replace("|", "\\|")
        )
        lines.append(f"| {o.name} | {found} |")
    return "\n".join(lines)


def write_table(path: Path, text: str) -> None:
    """Replace the text between the two markers of a document.

    Raises
    ------
    InputError
        The document lacks a marker.
    """
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InputError(f"{path} lacks the markers {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the survey; exit code 1 if a model neither agrees nor is refused with a reason."""
    import transformers

    parser = argparse.ArgumentParser(prog="python -m inficond.export.architectures")
    parser.add_argument(
        "--only", action="append", metavar="NAME", help="a model of the survey; may be repeated"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="document that receives the table")
    args = parser.parse_args(argv)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    chosen = [tiny for tiny in survey() if not args.only or tiny.name in args.only]
    outcomes = []
    for tiny in chosen:
        with tempfile.TemporaryDirectory() as folder:
            outcome = examine(tiny, Path(folder))
        outcomes.append(outcome)
        mark = "" if outcome.good else "FAILED "
        print(f"{mark}{tiny.name}: {outcome.reason or outcome.difference} {outcome.spread:.2f}", flush=True)
        gc.collect()
    if args.write:
        write_table(args.write, table(outcomes))
    return 0 if all(o.good for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
