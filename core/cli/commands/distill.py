"""Build a project from images and a teacher.

Images are encoded as concept vectors, the teacher classifies each image, and one linear student per class is
fitted to its responses. The result is a project folder for `inficond launch`. An interrupted run is resumed
by the same command.

examples:
  inficond distill PHOTOS --out pets
  inficond distill PHOTOS --out pets --nec 20             about 20 concepts per class
  inficond distill PHOTOS --out pets --teacher google/vit-base-patch16-224 --classes pets.json
  inficond distill PHOTOS --out pets --teacher responses.csv --labels truth.csv
"""

import argparse
import csv
import gc
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.progress import Progress
from inficond.core.report.controls import control_lines
from inficond.core.tables.options import TableOptions, Values

if TYPE_CHECKING:
    from inficond.core.pipeline.options import BuildOptions

PAPER_LAMBDA = 2.5e-3
"""λ of the paper, 1e-4 on raw concept vectors, on standardised columns."""
SUMMARY = "images and a teacher -> fitted students, a project folder"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add = parser.add_argument
    add(
        "images",
        metavar="IMAGES",
        help="a folder (class folders become labels, train/val/test folders the split), a text file or table "
        "of paths, Parquet or Arrow files with images, WebDataset archives ({000..099}.tar), a COCO .json or "
        "YOLO .yaml file, hf:ID, or a URL",
    )
    add("--out", required=True, type=given_path, metavar="DIR", help="the project folder to create")
    add(
        "--teacher",
        default="auto",
        metavar="T",
        help="`probe` (default for labelled images), `labels`, `zero-shot`, `embedded` (default for other "
        "images), a model folder, a Hugging Face id, timm/NAME, torchvision/NAME, an .onnx or .keras file, "
        "package.module:object, or a table image, class, probability",
    )
    add(
        "--labels-file",
        type=given_path,
        metavar="FILE",
        help="names of the outputs of an .onnx file or a Python teacher, one per line or as JSON",
    )
    add(
        "--temperature",
        type=float,
        default=0.02,
        metavar="X",
        help="of the zero-shot teacher (default 0.02)",
    )
    add(
        "--encoder",
        default="embedded",
        metavar="E",
        help="`embedded` (default), a preset such as `clip-b16`, a model folder, a Hugging Face id, a model "
        "of open_clip, or `text2concept`: words in the teacher's own features, by a linear map fitted here",
    )
    add(
        "--concepts",
        metavar="FILE",
        help="file of words, one per line, or `paper` for all words of the paper's corpus (default: "
        "built-in words that belong to the classes)",
    )
    add(
        "--classes",
        metavar="FILE",
        help='JSON {"class": ["teacher label", …]}, `groups` or `labels` (default: the most frequent, ≤ 20)',
    )
    add(
        "--labels",
        metavar="CSV",
        help="ground truth: image and a column of 0/1 per class, image and class, or a COCO .json file "
        "(default: the labels of IMAGES)",
    )
    add(
        "--lam",
        type=_penalty,
        metavar="L",
        help="λ: larger means fewer concepts; `paper` for the paper's value (default: chosen by "
        "cross-validated fidelity, at most 12 concepts per class)",
    )
    add(
        "--nec",
        type=float,
        metavar="N",
        help="choose λ so that students have N concepts on average",
    )
    add_table_options(parser)
    add(
        "--link",
        choices=("sigmoid", "softmax"),
        help="link function of the students (default: softmax if the classes exclude each other)",
    )
    add(
        "--all-words",
        action="store_true",
        help="keep built-in words that name nothing in the images, and own words that a class does not show",
    )
    add(
        "--words",
        type=_words,
        metavar="N|FILE",
        help="most built-in words (default: 34, or four per class if more), or a file as for --concepts",
    )
    add(
        "--name-prior",
        type=_strength,
        metavar="S",
        help="prefer words near the class names: auto (default; chosen by cross-validated fidelity), off, or "
        "a strength such as 0.4",
    )
    add("--no-grounding", action="store_true", help="use the text vectors of words as they are")
    add(
        "--provider",
        default="auto",
        metavar="P",
        help="execution provider of the models: auto (default), cpu, cuda, tensorrt, …",
    )
    add("--seed", type=int, default=0, help="seed of the parts fit, tune and exam (default 0)")
    add("--no-exam", action="store_true", help="lock no images for `inficond exam`: two parts, fit and tune")
    add("--workers", type=int, metavar="N", help="threads for decoding and encoding (default: one per core)")
    add("--no-cache", action="store_true", help="encode every image, also those in `inficond cache`")
    add(
        "--plan",
        type=given_path,
        metavar="FILE",
        help="write a plan for `inficond encode` and `inficond merge` and stop",
    )
    add("--no-baseline", action="store_true", help="leave out the random-concept baseline")  # fmt: skip
    add(
        "--engine",
        default="local",
        metavar="NAME",
        help="where images are encoded: local (default), or ray with the extra `ray`; see docs/cluster.md",
    )
    add("--address", metavar="HOST:PORT", help="of a running cluster of the engine, or auto")
    add(
        "--store",
        metavar="DIR|URL",
        help="shards of the engine, in a place that all workers share (default: in the project folder)",
    )
    add(
        "--fit-memory",
        type=float,
        metavar="GB",
        help="with --engine: training images × words above which the workers hold them during the fit "
        "(default: half of the free memory)",
    )


def _words(text: str) -> int | str:
    """Return the number of words, or the file of words, of an argument."""
    return int(text) if text.lstrip("-").isdigit() else text


def _penalty(text: str) -> float:
    """Return λ of an argument."""
    return PAPER_LAMBDA if text == "paper" else float(text)


def _strength(text: str) -> float | None:
    """Return the strength of the name prior of an argument; None for ``auto``."""
    return {"auto": None, "off": 0.0}[text] if text in ("auto", "off") else float(text)


def add_table_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of reading tables."""
    group = parser.add_argument_group("tables of images, responses and labels")
    add = group.add_argument
    add(
        "--image-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column that names the images (repeat it for tables with different names)",
    )
    add(
        "--label-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column of class names",
    )
    add(
        "--probability-column",
        action="append",
        default=[],
        metavar="NAME",
        help="the column of probabilities beside a column of class names",
    )
    add(
        "--class-columns",
        metavar="A,B,…",
        help="the columns that are classes (default: every column of numbers)",
    )
    add(
        "--values",
        default="probability",
        choices=get_args(Values),
        help="meaning of the teacher's numbers: probability (default), percent, logit (of a sigmoid), "
        "softmax (logits of a softmax)",
    )
    add("--table-encoding", metavar="E", help="text encoding, for example cp1252 (default: detected)")
    add(
        "--separator", metavar="S", help="character between columns, for example ; or tab (default: detected)"
    )


def table_options(args: argparse.Namespace) -> TableOptions:
    """Return the options that `add_table_options` added."""
    classes = next(csv.reader([args.class_columns or ""]), [])
    return TableOptions(
        image_columns=tuple(args.image_column),
        label_columns=tuple(args.label_column),
        probability_columns=tuple(args.probability_column),
        class_columns=tuple(classes),
        values=args.values,
        encoding=args.table_encoding,
        separator=args.separator,
    )


def _concepts(args: argparse.Namespace) -> str | None:
    """Return the file of words; None for the built-in words."""
    from inficond.core.concepts.corpus import ASSETS, BUILT_IN

    given = args.words if args.concepts is None and isinstance(args.words, str) else args.concepts
    return str(ASSETS / BUILT_IN) if given == "paper" and not Path(given).is_file() else given


@contextmanager
def _without_collection() -> Iterator[None]:
    """Suspend garbage collection: during imports it finds nothing and takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the project and print the quality of its students on validation images."""
    with _without_collection():
        from inficond.core.facade import Project  # noqa: F401  (used by `print_built`)
        from inficond.core.pipeline.build import build
        from inficond.core.pipeline.options import BuildOptions

    if args.workers is not None and args.workers < 1:
        from inficond.core.errors import InputError

        raise InputError(f"--workers must be at least 1, not {args.workers}")
    options = BuildOptions(
        images=args.images,
        out=args.out,
        teacher=args.teacher,
        teacher_labels=args.labels_file,
        temperature=args.temperature,
        encoder=args.encoder,
        concepts=_concepts(args),
        classes=args.classes,
        labels=args.labels,
        lam=args.lam,
        nec=args.nec,
        link=args.link,
        validity=not args.all_words,
        grounding=not args.no_grounding,
        words=args.words if isinstance(args.words, int) else None,
        name_prior=args.name_prior,
        provider=args.provider,
        seed=args.seed,
        exam=not args.no_exam,
        baseline=not args.no_baseline,
        workers=args.workers,
        cache=not args.no_cache,
        tables=table_options(args),
    )
    if args.plan is not None:
        return _plan(options, args.plan, out)
    if args.engine != "local":
        from inficond.core.pipeline.engines import build_on, open_engine

        engine = open_engine(args.engine, args.address)
        print_built(lambda progress: build_on(engine, options, args.store, progress, args.fit_memory), out)
        return 0
    if args.address is not None or args.store is not None or args.fit_memory is not None:
        from inficond.core.errors import InputError

        raise InputError("--address, --store and --fit-memory need --engine ray")
    print_built(lambda progress: build(options, progress), out)
    return 0


def _plan(options: "BuildOptions", path: Path, out: Output) -> int:
    """Write the plan of a build; print how to encode its parts."""
    from inficond.core.pipeline.plan import plan_encoding

    plan = plan_encoding(options, out.progress())
    plan.save(path)
    out.say(f"{path}: {len(plan.images):,} images in {plan.n_shards:,} shards")
    out.say(f"encode it with:  inficond encode {path} --part I/N, then  inficond merge {path}")
    out.result({"plan": str(path), "images": len(plan.images), "shards": plan.n_shards})
    return 0


def print_built(make: Callable[[Progress], Path], out: Output) -> None:
    """Build a project with a progress line and print the metrics of its students."""
    from inficond.core.facade import Project

    progress = out.progress()
    try:
        project = Project.open(make(progress))
    finally:
        clear = getattr(progress, "clear", None)
        if clear is not None:
            clear()
    summary = summarise(project)
    _print(project, summary, out)
    out.result(summary)


def summarise(project: Any) -> dict[str, Any]:
    """Return the metrics of students and random-concept baseline on validation images, by class."""
    from inficond.core.evaluation.metrics import class_metrics

    rows = project.validation_rows
    T, S = np.asarray(project.T[rows]), project.students.predict(np.asarray(project.X[rows]))
    R = _random_scores(project, rows)
    nec, thresholds = project.students.nec(), project.students.thresholds
    classes = {}
    for c, name in enumerate(project.classes):
        labels = None if project.labels is None else np.asarray(project.labels[rows, c])
        measured = class_metrics(
            T[:, c], S[:, c], threshold=float(thresholds[c]), labels=labels, nec=int(nec[c])
        )
        entry = measured.to_dict()
        if R is not None:
            entry["random"] = class_metrics(T[:, c], R[:, c], labels=labels).to_dict()
        classes[name] = entry
    source = project.config.get("source", {})
    return {
        "project": str(project.path),
        "images": len(project) + len(project.exam or ()),
        "validation": len(rows),
        "exam": len(project.exam or ()),
        "skipped": source.get("skipped", 0),
        "skipped_files": source.get("skipped_files", []),
        "notes": source.get("notes", []),
        "reused": source.get("reused", 0),
        "encoded": source.get("encoded", source.get("files", 0)),
        "concepts": len(project.concepts),
        "provider": project.config.get("encoder", {}).get("provider"),
        "seconds": project.config.get("seconds", {}),
        "classes": classes,
        "mean": _means(classes),
        "choices": project.config.get("choices", []),
        "controls": project.config.get("controls"),
        "exclusive": _exclusive(project, T, S, rows),
    }


def _exclusive(project: Any, T: np.ndarray, S: np.ndarray, rows: np.ndarray) -> dict[str, Any] | None:
    """Measure top-1 agreement and accuracy if the students share a softmax."""
    from inficond.core.evaluation.exclusive import exclusive_metrics

    if project.students.link != "softmax" or not len(rows):
        return None
    labels = None if project.labels is None else np.asarray(project.labels[rows])
    return exclusive_metrics(T, S, project.students.thresholds, labels).to_dict()


def _random_scores(project: Any, rows: np.ndarray) -> np.ndarray | None:
    """Return the probabilities (n, C) of the random-concept baseline on validation images."""
    baseline = project.baseline
    if baseline is None or baseline.embeddings is None:
        return None
    from inficond.core.concepts.vectors import concept_vectors

    regions = project.region_embeddings
    parts = [
        concept_vectors(np.asarray(regions[rows[i : i + 1024]]), np.asarray(baseline.embeddings))
        for i in range(0, len(rows), 1024)
    ]
    return baseline.predict(np.concatenate(parts))


def _means(classes: dict[str, Any]) -> dict[str, float | None]:
    """Return means over the classes for which a metric is defined."""

    def mean(*path: str) -> float | None:
        values = []
        for entry in classes.values():
            value: Any = entry
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, int | float):
                values.append(float(value))
        return float(np.mean(values)) if values else None

    return {
        "fidelity_ap": mean("ap"),
        "random_fidelity_ap": mean("random", "ap"),
        "student_ap": mean("student_accuracy", "ap"),
        "teacher_ap": mean("teacher_accuracy", "ap"),
        "random_ap": mean("random", "student_accuracy", "ap"),
        "nec": mean("nec"),
    }


def _print(project: Any, summary: dict[str, Any], out: Output) -> None:
    skipped = f", {summary['skipped']:,} skipped" if summary["skipped"] else ""
    exam = f", {summary['exam']:,} locked for the exam" if summary["exam"] else ""
    out.say(
        f"{summary['images']:,} images ({summary['validation']:,} held out{exam}{skipped}), "
        f"{summary['concepts']} concepts, {len(summary['classes'])} classes; "
        f"encoder {project.config['encoder']['name']} on {summary['provider']}"
    )
    truth = any(e.get("student_accuracy") for e in summary["classes"].values())
    width = max([5, *(len(name) for name in summary["classes"])])
    head = f"{'':{width}}  concepts  fidelity AP  random AP"
    out.say(head + ("  AP on labels: teacher  student  random" if truth else ""))
    for name, entry in summary["classes"].items():
        line = (
            f"{name:{width}}  {entry['nec']:8d}  {_n(entry['ap']):>11}  {_n(_in(entry, 'random', 'ap')):>9}"
        )
        if truth:
            line += (
                f"  {_n(_in(entry, 'teacher_accuracy', 'ap')):>21}"
                f"  {_n(_in(entry, 'student_accuracy', 'ap')):>7}"
                f"  {_n(_in(entry, 'random', 'student_accuracy', 'ap')):>6}"
            )
        out.say(line)
    m = summary["mean"]
    line = f"{'mean':{width}}  {_n(m['nec'], 1):>8}  {_n(m['fidelity_ap']):>11}"
    line += f"  {_n(m['random_fidelity_ap']):>9}"
    if truth:
        line += f"  {_n(m['teacher_ap']):>21}  {_n(m['student_ap']):>7}  {_n(m['random_ap']):>6}"
    out.say(line)
    _print_exclusive(summary, out)
    for told in control_lines(summary["controls"]):
        out.say(told)
    for told in _next_steps(summary):
        out.say(told)


def _next_steps(summary: dict[str, Any]) -> list[str]:
    """Return what a person can do with the project, one line each."""
    path = shlex.quote(str(summary["project"]))
    lines = [
        f"open it with:  inficond launch {path}",
        f"check its words:  inficond words {path} --sheet words.html",
    ]
    if summary["exam"]:
        lines.append(
            f"after your corrections, measure once on the {summary['exam']:,} locked images:  "
            f"inficond exam {path}"
        )
    return lines


def _print_exclusive(summary: dict[str, Any], out: Output) -> None:
    found = summary["exclusive"]
    if found is None:
        return
    line = (
        f"same top class as the teacher: {found['agreement']:.1%}; no class says yes: {found['no_yes']:.1%}"
    )
    if found["accuracy"] is not None:
        line += f"; accuracy: student {found['accuracy']:.1%}, teacher {found['teacher_accuracy']:.1%}"
    out.say(line)
    table = enumerate(found["confusion"])
    wrong = [(n, t, s) for t, row in table for s, n in enumerate(row) if t != s and n]
    names = list(summary["classes"])
    if wrong:
        count, t, s = max(wrong)
        out.say(f"most frequent confusion: {count} {names[t]} called {names[s]}")


def _in(entry: Any, *path: str) -> Any:
    for key in path:
        entry = entry.get(key) if isinstance(entry, dict) else None
    return entry


def _n(value: Any, digits: int = 3) -> str:
    return "–" if not isinstance(value, int | float) else f"{value:.{digits}f}"
