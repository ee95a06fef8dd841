"""Trust ONNX models from elsewhere, so that they run without limits of memory and time.

A model that neither came with InFiConD nor was exported on this machine runs in a child process with
little memory and a time limit. Trust a model only if you know its author.

examples:
  inficond trust student.onnx
  inficond trust MODEL_FOLDER
"""

import argparse
from pathlib import Path

from inficond.core.cli.command import given_path
from inficond.core.cli.output import Output
from inficond.core.errors import InputError

SUMMARY = "trust ONNX models from elsewhere"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "models",
        nargs="+",
        type=given_path,
        metavar="MODEL",
        help="an ONNX file, or a model folder with ONNX files",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Check the graphs and add them to the register of trusted graphs."""
    from inficond.core.models.graph_file import read_graph
    from inficond.core.models.trust import register_file, trust

    graphs = [read_graph(path) for model in args.models for path in onnx_files(model)]
    for graph in graphs:
        trust(graph.sha256)
        out.say(f"{graph.path}: trusted (sha256 {graph.sha256})")
    out.say(f"The register is {register_file()}; delete a line of it to undo.")
    trusted = [{"path": str(graph.path), "sha256": graph.sha256} for graph in graphs]
    out.result({"register": str(register_file()), "trusted": trusted})
    return 0


def onnx_files(model: Path) -> list[Path]:
    """Return the ONNX files that an argument names.

    Raises
    ------
    InputError
        There is no model.
    """
    if not model.is_dir():
        return [model]
    found = sorted(model.glob("*.onnx"))
    if not found:
        raise InputError(f"{model} contains no .onnx file: name a model folder or an ONNX file")
    return found
