"""A user's own ONNX classifier, checked and written as a teacher folder."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inficond.core.errors import InputError
from inficond.core.models.manifest import read_manifest
from inficond.core.models.onnx_safety import check_graph
from inficond.core.models.teacher import load_teacher
from inficond.core.progress import Progress
from inficond.export.folder import staged, write_manifest
from inficond.export.graph import serialise
from inficond.export.labels import label_notes
from inficond.export.verify import Verification, random_pixels


def adopt(
    folder: Path, out: Path, link: str | None, labels: list[str] | None, overwrite: bool, progress: Progress
) -> Path:
    """Check a folder with an ONNX classifier and write it with checksums.

    Weights in files beside the graph are moved into it. There is no other model to compare with, so the
    probabilities of a picture are compared between batch sizes.

    Parameters
    ----------
    folder : Path
        Holds an ONNX file and a `manifest.json` as docs/formats.md describes it.
    out : Path
        Model folder to write.
    link, labels
        Replace what the manifest states, where they are not None.
    overwrite : bool
        Replace an existing model folder.
    progress : Progress
        Receives three stages and the notes.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    InputError
        The folder or the graph is unsafe or unsound; then nothing is written.
    """
    manifest = read_manifest(folder, "teacher")
    said: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8-sig"))
    graph = folder / manifest.image.file
    if not graph.is_file():
        raise InputError(f"{folder} has no {manifest.image.file}, which its manifest.json names")
    content = graph_in_one_file(graph)
    check_graph(content, str(graph))
    progress.advance()
    said |= {"verification": {}} | ({"link": link} if link else {}) | ({"labels": labels} if labels else {})
    for key in ("files", "format", "checksum"):
        said.pop(key, None)
    with staged(out, overwrite, trusted=False) as stage:
        (stage / manifest.image.file).write_bytes(content)
        write_manifest(stage, said)
        teacher = load_teacher(stage, "cpu")
        teacher.check_outputs()
        check = Verification()
        pixels = random_pixels(manifest.image.size)[1]
        one_by_one = np.concatenate([teacher.respond(p[None]) for p in pixels])
        check.compare("probabilities (one by one)", teacher.respond(pixels), one_by_one)
        check.notes |= {
            "batches": [1, len(pixels)],
            "photographs": "none",
            "compared": "batch against single pictures",
        }
        progress.advance()
        notes = [*teacher.notes, *label_notes(said["labels"], manifest.name)]
        said |= {"output_kind": teacher.output_kind, "notes": notes, "verification": check.manifest()}
        write_manifest(stage, said)
    for note in notes:
        progress.note(note)
    progress.advance()
    return out


def graph_in_one_file(path: Path) -> bytes:
    """Return an ONNX graph with the weights that lie in files beside it.

    Parameters
    ----------
    path : Path
        The ONNX file.

    Raises
    ------
    InputError
        The file is not ONNX, a file of weights is missing or lies outside its folder, or all together they
        exceed 2 GiB.
    """
    content = path.read_bytes()
    try:
        model = onnx.load_from_string(content)
    except Exception:  # the caller's safety check says what the file is
        return content
    beside = sorted(
        {
            entry.value
            for tensor in model.graph.initializer
            if tensor.data_location == onnx.TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
    )
    if not beside:
        return content
    for name in beside:
        if not re.fullmatch(r"[\w][\w.+-]*", name):
            raise InputError(f"{path} keeps weights in {name!r}, outside its folder: save it as one file")
        if not (path.parent / name).is_file() or (path.parent / name).is_symlink():
            raise InputError(
                f"{path} keeps its weights in {name!r}, which is missing beside it: copy that file too, or "
                "save "
                "the model as one file"
            )
    try:
        return serialise(onnx.load(str(path)))
    except InputError:
        raise
    except Exception as error:  # a file of weights that is too short
        raise InputError(
            f"the weights of {path} in {beside[0]!r} cannot be read ({str(error).splitlines()[0][:150]}): "
            "copy "
            "the file again"
        ) from None
