"""Export of an image classifier as a verified teacher folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inficond.core.errors import InputError
from inficond.core.file_access import in_home
from inficond.core.models.label_names import read_label_names
from inficond.core.models.load_failure import load_failure
from inficond.core.models.manifest import read_manifest
from inficond.core.models.teacher import apply_link
from inficond.core.models.teacher_trial import sum_to_one, trial_pictures
from inficond.core.progress import Progress, Silent
from inficond.export import attention
from inficond.export.classifier import Link, LoadedClassifier, PixelClassifier, choose_link
from inficond.export.folder import check_target, staged, write_manifest
from inficond.export.graph import OPSET, cpu_session, node_counts, serialise, to_onnx
from inficond.export.library_model import LibraryModel
from inficond.export.preprocessing import Preprocessing
from inficond.export.preprocessing_measurement import LARGEST, Process, measure, probe_pictures
from inficond.export.processor import load_processor, read_preprocessing
from inficond.export.source import find_source
from inficond.export.timm_classifier import PREFIX as TIMM
from inficond.export.timm_classifier import is_timm_layout, timm_by_name, timm_of_folder
from inficond.export.torchvision_classifier import PREFIX as TORCHVISION
from inficond.export.torchvision_classifier import torchvision_by_name
from inficond.export.verify import (
    Verification,
    compare_graph,
    random_pixels,
    real_photographs,
    synthetic_photographs,
)

PROBABILITY_TOLERANCE = 0.05
"""Largest difference of a probability to the model's own library, whose pixels may differ by one level."""

SAME = 1e-3
"""Difference of probabilities below which made-up pictures count as one."""


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """Options of an exported teacher.

    Attributes
    ----------
    size : int or None
        Input size in pixels; None: the model's own.
    link : {"sigmoid", "softmax"} or None
        None: sigmoid where the model states that it is multi-label, else softmax.
    labels : Path or None
        File of label names; None: those of the model.
    images : Path or None
        Photographs to verify on.
    fused : bool
        Export attention as one node of ONNX Runtime, where the architecture allows it.
    revision : str or None
        Branch, tag or commit at Hugging Face.
    overwrite : bool
        Replace an existing model folder.
    checkpoint : Path or None
        Weights of a model given by name, as safetensors (torchvision: also as a `.pth` file); None: those
        that its library downloads.
    """

    size: int | None = None
    link: Link | None = None
    labels: Path | None = None
    images: Path | None = None
    fused: bool = True
    revision: str | None = None
    overwrite: bool = False
    checkpoint: Path | None = None


@dataclass(kw_only=True)
class Classifier:
    """A classifier of some library, ready for export.

    Attributes
    ----------
    name, licence : str
    origin : dict
        Entries of the manifest about where it comes from.
    module : nn.Module
        Normalised pixels (B, 3, H, W) to outputs (B, L).
    preprocessing : Preprocessing
    process : Process or None
        The library's own preprocessing, where it is the one exported.
    labels : list of str
    link : {"sigmoid", "softmax"}
    notes : list of str
        Notes for the user.
    fused : bool
        Whether its attention is exported as one node.
    """

    name: str
    licence: str
    origin: dict[str, Any]
    module: nn.Module
    preprocessing: Preprocessing
    process: Process | None
    labels: list[str]
    link: Link
    notes: list[str] = field(default_factory=list)
    fused: bool = False


def export_teacher(
    spec: str, out: Path, options: TeacherOptions | None = None, progress: Progress | None = None
) -> Path:
    """Export a classifier.

    Parameters
    ----------
    spec : str
        Hugging Face id or local folder of an image classifier of transformers or timm; ``timm/NAME``;
        ``torchvision/NAME``; or a folder with an ONNX file and a `manifest.json` as docs/formats.md describes
        it.
    out : Path
        Model folder to write.
    options : TeacherOptions, optional
    progress : Progress, optional
        Receives the stages and notes.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    InputError
        The model cannot be found, is not a classifier, or fails its verification; then nothing is written.
    """
    options, progress = options or TeacherOptions(), progress or Silent()
    check_target(out, options.overwrite)
    if options.size is not None and not 8 <= options.size <= LARGEST:
        raise InputError(f"--size is {options.size:,}: give a number of pixels from 8 to {LARGEST:,}")
    labels = None
    if options.labels is not None:
        labels, read = read_label_names(options.labels)
        for note in read:
            progress.note(note)
    progress.start("exporting", 3)
    folder = in_home(spec)
    if (folder / "manifest.json").is_file():
        from inficond.export.onnx_classifier import adopt

        if options.size is not None:
            raise InputError("--size does not apply to an ONNX file: its manifest.json states the input size")
        return adopt(folder, out, options.link, labels, options.overwrite, progress)
    if spec.startswith(TIMM) and not folder.is_dir():
        model = timm_by_name(spec, options.checkpoint, labels)
        classifier = _from_library(model, options, None, {"source": spec, "revision": None})
    elif spec.startswith(TORCHVISION) and not folder.is_dir():
        model = torchvision_by_name(spec, options.checkpoint, labels)
        classifier = _from_library(model, options, None, {"source": spec, "revision": None})
    elif options.checkpoint is not None:
        raise InputError(
            f"--checkpoint gives weights to a model of {TIMM}NAME or {TORCHVISION}NAME; {spec} has its own"
        )
    else:
        classifier = _from_transformers(spec, options, labels)
    progress.advance()
    return write_teacher(classifier, out, options.images, options.overwrite, progress)


def _from_transformers(spec: str, options: TeacherOptions, labels: list[str] | None) -> Classifier:
    """Load a classifier of transformers, or of timm from a hub, with its measured preprocessing."""
    source = find_source(spec, options.revision)
    if is_timm_layout(source.config):
        model = timm_of_folder(source.folder, source.config, source.name, labels)
        return _from_library(model, options, source.licence, source.describe())
    loaded = LoadedClassifier(source, options.fused, labels)
    link, link_notes = choose_link(source.config, len(loaded.labels), options.link, source.name)
    size = None if options.size is None else (options.size, options.size)
    preprocessing, notes = read_preprocessing(source, size)
    return Classifier(
        name=source.name,
        licence=source.licence or "not stated",
        origin=source.describe(),
        module=loaded.module(preprocessing.size, asked=size is not None),
        preprocessing=preprocessing,
        process=None if notes else load_processor(source).process,
        labels=loaded.labels,
        link=link,
        notes=[*loaded.notes, *link_notes, *notes],
        fused=loaded.fused,
    )


def _from_library(
    model: LibraryModel, options: TeacherOptions, licence: str | None, origin: dict[str, Any]
) -> Classifier:
    """Combine a classifier of timm or torchvision with its measured preprocessing."""
    preprocessing = measure(model.process, model.stated, f"the transform of {model.name}")
    notes: list[str] = list(model.notes)
    process: Process | None = model.process
    if options.size is not None and preprocessing.size != (options.size, options.size):
        notes.append(f"input size {options.size}×{options.size} as asked for, not {preprocessing.size}")
        preprocessing, process = preprocessing.at((options.size, options.size)), None
    link, link_notes = choose_link({}, len(model.labels), options.link, model.name)
    return Classifier(
        name=model.name,
        licence=licence or "not stated",
        origin=origin,
        module=model.module,
        preprocessing=preprocessing,
        process=process,
        labels=model.labels,
        link=link,
        notes=[*notes, *link_notes],
    )


def write_teacher(
    classifier: Classifier, out: Path, images: Path | None, overwrite: bool, progress: Progress
) -> Path:
    """Export a loaded classifier, verify the graph, and write the teacher folder.

    Parameters
    ----------
    classifier : Classifier
    out : Path
        Model folder to write.
    images : Path or None
        Photographs to verify on.
    overwrite : bool
        Replace an existing model folder.
    progress : Progress
        Receives two stages and the notes.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    InputError
        The model cannot be written as ONNX or fails its verification; then nothing is written.
    """
    preprocessing = classifier.preprocessing
    module = PixelClassifier(classifier.module, preprocessing).eval()
    noise = random_pixels(preprocessing.size)
    try:
        graph = to_onnx(
            module, [torch.from_numpy(noise[1][:2])], ["pixels"], ["logits"], fused=classifier.fused
        )
    except InputError as error:
        raise InputError(f"{classifier.name}: {error}") from error
    progress.advance()
    session = _session(graph, classifier.name)

    def run(pixels: np.ndarray) -> np.ndarray:
        return session.run(["logits"], {"pixels": pixels})[0]

    check = Verification()
    photographs = np.stack(_photographs(preprocessing, images))
    batches = [{"pixels": x} for x in (*noise, photographs)]
    compare_graph(check, "", ["logits"], module, lambda feeds: {"logits": run(feeds["pixels"])}, batches)
    trial = run(trial_pictures(preprocessing.size))
    if np.ptp(trial, axis=0).max() <= 1e-7 * np.abs(trial).max():
        raise InputError(
            f"{classifier.name}: its outputs are the same for every picture, so nothing can be learned from "
            "them: its weights were not trained, or not saved (all of them may be zero)"
        )
    kind = "probabilities" if sum_to_one(trial) else "logits"
    notes = list(classifier.notes)
    if kind == "probabilities":
        notes.append(
            f"{classifier.name}: its outputs on {len(trial)} made-up pictures sum to 1: they are used as "
            "probabilities, without another softmax"
        )
    spread = trial if kind == "probabilities" else apply_link(trial, classifier.link)
    if np.ptp(spread, axis=0).max() < SAME:
        notes.append(
            f"{classifier.name}: its probabilities are the same within {SAME:g} on {len(trial)} very "
            "different pictures: its weights may not be trained, or pictures may be normalised in another way"
        )
    check.notes |= {
        "batches": [len(b["pixels"]) for b in batches],
        "photographs": "real" if images else "synthetic",
        "fused_attention_nodes": node_counts(graph)[attention.FUSED_OP],
    }
    if classifier.process is not None:
        check.notes["library"] = _compare_library(classifier, classifier.process, run, kind)
    with staged(out, overwrite) as stage:
        (stage / "model.onnx").write_bytes(serialise(graph))
        write_manifest(
            stage,
            {
                "kind": "teacher",
                "name": classifier.name,
                "licence": classifier.licence,
                **classifier.origin,
                "opset": OPSET,
                "precision": "float32",
                "image": preprocessing.manifest("model.onnx"),
                "labels": classifier.labels,
                "link": classifier.link,
                "output": "logits",
                "output_kind": kind,
                "notes": notes,
                "verification": check.manifest(),
            },
        )
        read_manifest(stage, "teacher")
    for note in notes:
        progress.note(note)
    progress.advance()
    return out


def _session(graph: Any, name: str) -> Any:
    """Open the exported graph; an operator that ONNX Runtime lacks is named."""
    try:
        return cpu_session(graph)
    except InputError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
        from inficond.core.models.runtime import onnxruntime

        raise InputError(
            f"{name} cannot be exported: ONNX Runtime {onnxruntime.__version__} does not run its graph "
            f"({load_failure(error)})"
        ) from None


def _photographs(preprocessing: Preprocessing, folder: Path | None) -> list[np.ndarray]:
    if folder is None:
        return synthetic_photographs(preprocessing.size, 4)
    return real_photographs(folder, preprocessing.prepare(), 8)


def _compare_library(
    classifier: Classifier, process: Process, run: Callable[[np.ndarray], np.ndarray], kind: str
) -> dict[str, Any]:
    """Compare probabilities with the model's own library, each side with its own preprocessing.

    Returns
    -------
    dict
        The number of pictures and the largest difference, for the manifest.

    Raises
    ------
    InputError
        A difference is above `PROBABILITY_TOLERANCE`.
    """
    prepare = classifier.preprocessing.prepare()
    pictures = probe_pictures(classifier.preprocessing.size)
    worst = 0.0
    for picture in pictures:
        with torch.no_grad():
            theirs = classifier.module(torch.from_numpy(process(picture)).float()[None]).numpy()
        ours = run(prepare(picture)[None])
        if kind == "logits":
            theirs, ours = (apply_link(x, classifier.link) for x in (theirs, ours))
        worst = max(worst, float(np.abs(theirs - ours).max()))
    if worst > PROBABILITY_TOLERANCE:
        raise InputError(
            f"verification failed: the exported probabilities of {classifier.name} differ from its own "
            f"library's by up to {worst:.2f}; nothing was written"
        )
    return {"pictures": len(pictures), "max_probability_difference": worst}
