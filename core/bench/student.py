"""Benchmark of an exported student, compared with its encoder and its teacher: latency, size, agreement.

One thread, one picture per call. Calls of the three alternate, so that other load affects all of them, and
medians are compared. Agreement is that of the exported file on the project's validation images.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.cli.output import Output

SUMMARY = "latency, size and agreement of an exported student"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this benchmark."""
    parser.add_argument("project", metavar="DIR", help="a project")
    parser.add_argument(
        "--images", type=int, default=500, metavar="N", help="most images compared (default 500)"
    )
    parser.add_argument("--calls", type=int, default=60, metavar="N", help="timed calls of each (default 60)")


def run(args: argparse.Namespace, out: "Output") -> int:
    """Measure and print."""
    if args.images < 1 or args.calls < 3:
        raise InputError("--images must be at least 1 and --calls at least 3")
    result = measure(args)
    ms = result["milliseconds"]
    out.say(f"one picture, one thread: encoder {ms['encoder']:.1f} ms, student {ms['student']:.1f} ms"
            f" ({result['student_over_encoder']:.3f} of the encoder)"
            + (f", teacher {ms['teacher']:.1f} ms" if "teacher" in ms else ""))  # fmt: skip
    size = result["megabytes"]
    out.say("size: " + ", ".join(f"{k} {v:.2f} MB" for k, v in size.items()))
    out.say(f"largest difference to the project on {result['images']} images: {result['max_difference']:.1e}")
    for name, said in result["classes"].items():
        out.say(f"  {name:24} agreement {said['agreement']:.3f}, balanced {said['balanced_agreement']:.3f}")
    out.result(result)
    return 0


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Export, compare and time."""
    from inficond.core.facade import Project
    from inficond.core.models.encoder import load_encoder
    from inficond.core.models.predictor import load_predictor
    from inficond.core.models.teacher import load_teacher
    from inficond.core.onnx_student.export import export_student

    project = Project.open(args.project)
    rows = np.linspace(0, len(project) - 1, min(args.images, len(project))).round().astype(int)
    rows = np.array([r for r in rows if project.image_path(r) != project.thumbnail_file(r)], int)
    if not len(rows):
        raise InputError(
            f"{project.path} holds thumbnails alone, as the demo does: choose a project whose photographs "
            "are still at hand"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "student.onnx"
        export_student(project, path)
        student = load_predictor(path, "cpu", threads=1)
        size = {"student": path.stat().st_size / 1e6}
    encoder = load_encoder(project.context.encoder.manifest.folder, "cpu", threads=1)
    answers = list(student.predict_files([project.image_path(int(r)) for r in rows]))
    seen = [i for i, a in enumerate(answers) if a.probabilities is not None]
    if not seen:
        raise InputError(
            f"none of the original images of {project.path} can be read; the comparison needs them"
        )
    got = np.stack([answers[i].probabilities for i in seen])  # type: ignore[misc]
    rows = rows[seen]
    students = project.session("main").students
    own = students.predict(np.asarray(project.X[rows]))
    calls: dict[str, Any] = {
        "encoder": (lambda x: encoder.session.run({"pixels": x}, ("regions",)), encoder.size),
        "student": (student.predict, encoder.size),
    }
    said = project.config.get("teacher") or {}
    if said.get("link") != "responses":
        teacher = load_teacher(said.get("spec", "embedded"), "cpu", threads=1)
        calls["teacher"] = (teacher.respond, teacher.preprocess.size)
        size["teacher"] = (teacher.manifest.folder / teacher.manifest.image.file).stat().st_size / 1e6
    times = alternate(calls, args.calls)
    return {
        "project": str(project.path),
        "images": len(rows),
        "max_difference": float(np.abs(got - own).max()),
        "milliseconds": {name: statistics.median(t) for name, t in times.items()},
        "student_over_encoder": statistics.median(s / e for s, e in zip(times["student"], times["encoder"])),
        "megabytes": size,
        "classes": agreement(project, rows, got, np.asarray(students.thresholds)),
    }


def alternate(calls: dict[str, Any], number: int) -> dict[str, list[float]]:
    """Return the milliseconds of alternating calls; the first three of each are not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    rng = np.random.default_rng(0)
    pixels = {n: rng.integers(0, 256, (1, *size, 3), dtype=np.uint8) for n, (_, size) in calls.items()}
    for turn in range(number + 3):
        for name, (call, _) in calls.items():
            start = time.perf_counter()
            call(pixels[name])
            if turn >= 3:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def agreement(
    project: Any, rows: np.ndarray, got: np.ndarray, thresholds: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return the agreement of the file with the teacher at the thresholds, by class, on validation images."""
    held_out = project.is_validation[rows]
    teacher = np.asarray(project.T[rows])[held_out] >= 0.5
    student = got[held_out] >= thresholds
    found = {}
    for c, name in enumerate(project.classes):
        yes, no = teacher[:, c], ~teacher[:, c]
        rates = [float((student[side, c] == teacher[side, c]).mean()) for side in (yes, no) if side.any()]
        found[name] = {
            "agreement": float((student[:, c] == teacher[:, c]).mean()) if len(teacher) else float("nan"),
            "balanced_agreement": float(np.mean(rates)) if rates else float("nan"),
        }
    return found
