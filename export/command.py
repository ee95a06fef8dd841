"""Command `inficond export`: an encoder, a teacher or a student as ONNX, or a student as an HTML page.

examples:
  inficond export encoder openai/clip-vit-base-patch16 --out clip
  inficond export encoder ./my-siglip --out siglip-int8 --precision int8 --images PHOTOS
  inficond export teacher google/vit-base-patch16-224 --out vit
  inficond export student PROJECT --out student.onnx
  inficond export page PROJECT --out student.html
"""

import argparse
import os
from pathlib import Path
from typing import Any

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError
from inficond.core.models.presets import ENCODERS, OPEN_CLIP_ADVICE

SUMMARY = "export an encoder, a teacher or a student"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands."""
    kinds = parser.add_subparsers(dest="what", metavar="encoder|teacher|student|page", required=True)
    presets = "\n".join(f"  {name:14} {preset.advice}" for name, preset in ENCODERS.items())
    encoder = kinds.add_parser(
        "encoder",
        help="an image-text model (CLIP, SigLIP, SigLIP 2, TIPSv2, Chinese-CLIP, open_clip, …)",
        epilog=f"presets:\n{presets}\n\nof open_clip (inficond[open-clip]): {OPEN_CLIP_ADVICE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _model_arguments(encoder)
    encoder.add_argument(
        "--size", type=int, action="append", default=[], metavar="PIXELS", help="input size; may be repeated"
    )
    encoder.add_argument("--precision", choices=["float32", "fp16", "int8"], default="float32")
    encoder.add_argument(
        "--sigma",
        type=float,
        default=5.0,
        help="standard deviation of the dense features' neighbourhood, in patches (default 5)",
    )
    encoder.add_argument(
        "--window",
        type=int,
        metavar="PATCHES",
        help="largest distance of a neighbour, in patches (default: no limit)",
    )
    encoder.add_argument(
        "--templates", type=given_path, metavar="FILE", help="prompt templates, one per line, {} for the word"
    )

    teacher = kinds.add_parser(
        "teacher",
        help="an image classifier of transformers, timm or torchvision, or an ONNX file with a manifest.json",
    )
    _model_arguments(teacher)
    teacher.add_argument("--size", type=int, metavar="PIXELS", help="input size")
    teacher.add_argument("--link", choices=["sigmoid", "softmax"], help="default: what the model states")
    teacher.add_argument(
        "--checkpoint",
        type=given_path,
        metavar="FILE",
        help="weights of a timm/NAME or torchvision/NAME model, as safetensors",
    )
    teacher.add_argument(
        "--labels-file", type=given_path, metavar="FILE", help="label names, one per line or as JSON"
    )

    student = kinds.add_parser("student", help="one ONNX file from pixels to probabilities")
    student.add_argument("project", type=given_path, metavar="DIR", help="a project")
    student.add_argument("--out", type=given_path, required=True, metavar="FILE.onnx")
    student.add_argument("--node", metavar="NODE", help="node of the history (default: the current one)")
    student.add_argument("--overwrite", action="store_true")

    page = kinds.add_parser("page", help="one HTML file that runs a student in a browser, offline")
    page.add_argument(
        "source", type=given_path, metavar="DIR|STUDENT", help="a project, or an exported student"
    )
    page.add_argument("--out", type=given_path, required=True, metavar="FILE.html")
    page.add_argument("--node", metavar="NODE", help="node of the history (default: the current one)")
    page.add_argument(
        "--encoder",
        default="embedded",
        metavar="DIR",
        help="encoder of an exported student (embedded)",
    )
    page.add_argument("--overwrite", action="store_true")
    for sub in (encoder, teacher, student, page):
        sub.add_argument(
            "--json", action="store_true", default=argparse.SUPPRESS, help="print one JSON object"
        )


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="Hugging Face id, local folder, clip-b16, open_clip:ARCH/TAG, … (encoder), timm/NAME, "
        "torchvision/NAME (teacher)",
    )
    parser.add_argument("--out", type=given_path, required=True, metavar="DIR")
    parser.add_argument("--revision", help="branch, tag or commit")
    parser.add_argument(
        "--images", type=given_path, metavar="FOLDER", help="photographs to verify (and calibrate int8) on"
    )
    parser.add_argument(
        "--plain-attention", action="store_true", help="standard operators only, for other runtimes"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing model in DIR")


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the chosen subcommand."""
    if args.what in ("encoder", "teacher"):  # students need no torch
        need_extra()
    commands = {"encoder": _encoder, "teacher": _teacher, "student": _student, "page": _page}
    return commands[args.what](args, out)


def need_extra(extra: str = "export") -> None:
    """Check that an extra is installed, and silence the messages of its libraries.

    Raises
    ------
    InputError
        A library is missing.
    """
    try:
        import onnx  # noqa: F401
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise InputError(f"exporting needs {error.name}: pip install 'inficond[{extra}]'") from None
    # Progress bars and warnings of transformers would mix with the command's own lines.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def _encoder(args: argparse.Namespace, out: Output) -> int:
    from inficond.export.encoder import EncoderOptions, export_encoder
    from inficond.export.towers import Dense

    for size in args.size:
        _check_size(size)
    folders = export_encoder(
        args.model,
        args.out,
        EncoderOptions(
            sizes=tuple(dict.fromkeys(args.size)),
            precision=args.precision,
            dense=Dense(sigma=args.sigma, window=args.window),
            images=args.images,
            templates=args.templates,
            fused=not args.plain_attention,
            revision=args.revision,
            overwrite=args.overwrite,
        ),
        out.progress(),
    )
    _report(folders, out)
    return 0


def _teacher(args: argparse.Namespace, out: Output) -> int:
    from inficond.export.teacher import TeacherOptions, export_teacher

    if args.size is not None:
        _check_size(args.size)
    options = TeacherOptions(
        size=args.size,
        link=args.link,
        labels=args.labels_file,
        checkpoint=args.checkpoint,
        images=args.images,
        fused=not args.plain_attention,
        revision=args.revision,
        overwrite=args.overwrite,
    )
    _report([export_teacher(args.model, args.out, options, out.progress())], out)
    return 0


def _student(args: argparse.Namespace, out: Output) -> int:
    from inficond.core.onnx_student.export import export_student

    said = export_student(
        args.project, args.out, node=args.node, overwrite=args.overwrite, progress=out.progress()
    )
    out.say(
        f"{args.out}: {said['bytes'] / 2**20:.1f} MiB, {len(said['classes'])} classes, "
        f"{said['concepts']} concepts"
    )
    out.say(
        f"largest difference to the project's probabilities: {said['max_error']:.1e} on "
        f"{said['images']} images"
    )
    out.say(f"use it: inficond predict {args.out} IMAGES")
    out.result(said)
    return 0


def _page(args: argparse.Namespace, out: Output) -> int:
    from inficond.core.student_page import export_student_page

    said = export_student_page(
        args.source,
        args.out,
        node=args.node,
        encoder=args.encoder,
        overwrite=args.overwrite,
        progress=out.progress(),
    )
    out.say(
        f"{args.out}: {said['bytes'] / 2**20:.1f} MiB, {len(said['classes'])} classes, "
        f"{said['concepts']} concepts"
    )
    out.say(
        f"largest difference to the project's probabilities: {said['max_error']:.1e} on "
        f"{said['images']} images"
    )
    out.say(f"open {args.out} in a browser and drop a photograph on it")
    out.result(said)
    return 0


def _check_size(size: int) -> None:
    if not 16 <= size <= 4096:
        raise InputError(f"--size is {size}: give a number of pixels from 16 to 4096")


def _report(folders: list[Path], out: Output) -> None:
    """Print each model folder with its largest difference to torch."""
    import json

    found: list[dict[str, Any]] = []
    for folder in folders:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        size = sum(f["bytes"] for f in manifest["files"].values())
        errors = manifest["verification"]["max_error"]
        worst = max(errors, key=errors.__getitem__)
        height, width = manifest["image"]["size"]
        out.say(
            f"{folder}: {manifest['kind']} {manifest['name']}, {width}×{height} pixels, "
            f"{size / 2**20:.1f} MiB"
        )
        out.say(f"  verified against torch: largest difference {errors[worst]:.1e} ({worst})")
        found.append(
            {
                "folder": str(folder),
                "bytes": size,
                **{k: manifest[k] for k in ("kind", "name", "verification")},
            }
        )
    out.result({"folders": found})
