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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from inficond.core.cli.built_project import print_built
from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output, progress_line
from inficond.core.cli.table_options import add_table_options, table_options
from inficond.core.errors import InputError

if TYPE_CHECKING:
    from inficond.core.pipeline.options import BuildOptions

PAPER_LAMBDA = 2.5e-3
"""λ of the paper, 1e-4 on raw concept vectors, on standardised columns."""
SUMMARY = "images and a teacher -> fitted students, a project folder"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    from inficond.core.students.proposals import MOST_WORDS

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
        help=f"most built-in words (default: {MOST_WORDS}, or four per class if more), or a file as for "
        "--concepts",
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


def _concepts(args: argparse.Namespace) -> str | None:
    """Return the file of words; None for the built-in words."""
    from inficond.core.concepts.corpus import ASSETS, BUILT_IN

    given = args.words if args.concepts is None and isinstance(args.words, str) else args.concepts
    return str(ASSETS / BUILT_IN) if given == "paper" and not Path(given).is_file() else given


def run(args: argparse.Namespace, out: Output) -> int:
    """Build the project and print the quality of its students on validation images."""
    from inficond.core.pipeline.options import BuildOptions

    if args.workers is not None and args.workers < 1:
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
        with progress_line(out) as progress:
            path = build_on(engine, options, args.store, progress, args.fit_memory)
    elif args.address is not None or args.store is not None or args.fit_memory is not None:
        raise InputError("--address, --store and --fit-memory need --engine ray")
    else:
        path = _build(options, out)
    print_built(path, out)
    return 0


def _build(options: "BuildOptions", out: Output) -> Path:
    """Build on this machine; the inputs are opened while Numba and the solver are loaded."""
    from inficond.core.pipeline.inputs import open_inputs
    from inficond.core.teachers.text2concept import TEXT2CONCEPT

    with ThreadPoolExecutor(1, thread_name_prefix="inputs") as background:
        own = str(options.encoder) == TEXT2CONCEPT  # its encoder is made during the build
        inputs = None if own else background.submit(open_inputs, options)
        from inficond.core.pipeline.build import build
        from inficond.core.solver.warmup import load_kernels

        load_kernels(options.link or "softmax")
        with progress_line(out) as progress:
            return build(options, progress, inputs=inputs)


def _plan(options: "BuildOptions", path: Path, out: Output) -> int:
    """Write the plan of a build; print how to encode its parts."""
    from inficond.core.pipeline.plan import plan_encoding

    plan = plan_encoding(options, out.progress())
    plan.save(path)
    out.say(f"{path}: {len(plan.images):,} images in {plan.n_shards:,} shards")
    out.say(f"encode it with:  inficond encode {path} --part I/N, then  inficond merge {path}")
    out.result({"plan": str(path), "images": len(plan.images), "shards": plan.n_shards})
    return 0
