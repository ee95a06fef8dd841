"""A classifier as a verified teacher folder: from transformers, or a user's own ONNX file with a small
JSON."""

import inspect
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from inficond.core.errors import InputError
from inficond.core.models.onnx_safety import check_graph
from inficond.core.progress import Progress, Silent
from inficond.export import attention
from inficond.export.folder import check_target, staged, write_manifest
from inficond.export.graph import OPSET, cpu_session, node_counts, serialise, to_onnx
from inficond.export.preprocessing import Preprocessing, prepare, read_preprocessing
from inficond.export.source import Source, find_source, load_model
from inficond.export.verify import (
    Verification,
    compare_graph,
    random_pixels,
    real_photographs,
    synthetic_photographs,
)

Link = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, kw_only=True)
class TeacherOptions:
    """What can be chosen about an exported teacher.

    Attributes
    ----------
    size : int or None
        Input size in pixels; None: the model's own.
    link : {"sigmoid", "softmax"} or None
        None: sigmoid where the model says it is multi-label, else softmax.
    images : Path or None
        Photographs to verify on.
    fused : bool
        Attention as one node of ONNX Runtime's, where the architecture allows.
    revision : str or None
        Branch, tag or commit at Hugging Face.
    overwrite : bool
        Replace a model folder that is there.
    """

    size: int | None = None
    link: Link | None = None
    images: Path | None = None
    fused: bool = True
    revision: str | None = None
    overwrite: bool = False


class _Classifier(torch.nn.Module):
    """uint8 pixels (B, H, W, 3) to logits (B, L), normalisation inside."""

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(self, model: Any, preprocessing: Preprocessing, interpolate: bool) -> None:
        super().__init__()
        self.model, self.interpolate = model, interpolate
        scale = torch.tensor(preprocessing.std, dtype=torch.float64).reciprocal()
        shift = -torch.tensor(preprocessing.mean, dtype=torch.float64) * scale
        self.register_buffer("gain", (scale * preprocessing.rescale).float().view(1, 3, 1, 1))
        self.register_buffer("shift", shift.float().view(1, 3, 1, 1))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = pixels.permute(0, 3, 1, 2).float() * self.gain + self.shift
        extra = {"interpolate_pos_encoding": True} if self.interpolate else {}
        return self.model(pixel_values=x, **extra).logits


def export_teacher(
    spec: str, out: Path, options: TeacherOptions | None = None, progress: Progress | None = None
) -> Path:
    """Export a classifier.

    Parameters
    ----------
    spec : str
        Hugging Face id or local folder of any `AutoModelForImageClassification`; or a folder with an ONNX
        file and a `manifest.json` as docs/formats.md describes it.
    out : Path
        Where the model folder shall be.
    options : TeacherOptions, optional
        Size, link and so on.
    progress : Progress, optional
        Told of the stages.

    Returns
    -------
    Path
        The model folder.

    Raises
    ------
    InputError
        If the model cannot be had, is no classifier, or fails its verification; then nothing is written.
    """
    options, progress = options or TeacherOptions(), progress or Silent()
    check_target(out, options.overwrite)
    progress.start("exporting", 3)
    if (Path(spec).expanduser() / "manifest.json").is_file():
        return _adopt(Path(spec).expanduser(), out, options, progress)
    source = find_source(spec, options.revision)
    model, implementation = _load(source, options.fused)
    progress.advance()
    labels = read_labels(model.config, source.name)
    native = getattr(model.config, "image_size", None)
    fallback = (native, native) if isinstance(native, int) else None
    preprocessing = read_preprocessing(source, fallback)
    if options.size is not None:
        preprocessing = preprocessing.at((options.size, options.size))
    link = options.link or _link(model.config)
    classifier = _Classifier(model, preprocessing, _interpolates(model, preprocessing.size)).eval()
    noise = random_pixels(preprocessing.size)
    check_label_count(_logits(classifier, noise[0], source), labels, source.name)
    fused = implementation == attention.IMPLEMENTATION
    graph = to_onnx(classifier, [torch.from_numpy(noise[1][:2])], ["pixels"], ["logits"], fused=fused)
    progress.advance()
    check = Verification()
    session = cpu_session(graph)
    photographs = _photographs(preprocessing, options.images)
    compare_graph(
        check,
        "",
        ["logits"],
        classifier,
        lambda feeds: {"logits": session.run(["logits"], feeds)[0]},
        [{"pixels": x} for x in (*noise, np.stack(photographs))],
    )
    check.notes |= {
        "batches": [len(x) for x in noise] + [len(photographs)],
        "photographs": "real" if options.images else "synthetic",
        "fused_attention_nodes": node_counts(graph)[attention.FUSED_OP],
    }
    with staged(out, options.overwrite) as stage:
        (stage / "model.onnx").write_bytes(serialise(graph))
        write_manifest(
            stage,
            {
                "kind": "teacher",
                "name": source.name,
                "licence": source.licence or "not stated",
                **source.describe(),
                "opset": OPSET,
                "precision": "float32",
                "image": preprocessing.manifest("model.onnx"),
                "labels": labels,
                "link": link,
                "output": "logits",
                "output_kind": "logits",
                "verification": check.manifest(),
            },
        )
    progress.advance()
    return out


def _load(source: Source, fused: bool) -> tuple[Any, str]:
    """The classifier and the attention implementation it was loaded with."""
    from transformers import AutoConfig, AutoModelForImageClassification
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    try:
        config = AutoConfig.from_pretrained(source.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{source.name} is of no architecture that transformers knows: {first}") from None
    if type(config) not in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING:
        raise InputError(
            f"{source.name} is a {config.model_type} model, no image classifier;"
            " an image-text model is exported with `inficond export encoder`"
        )
    said = config.architectures or []
    if said and not any(name.endswith("ForImageClassification") or "WithTeacher" in name for name in said):
        raise InputError(
            f"{source.name} holds a {said[0]}, which has no classification head: name a model "
            "trained as a classifier"
        )
    kind: Any = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]
    kind = kind[0] if isinstance(kind, tuple) else kind
    implementation = "eager"
    if fused and getattr(kind, "_supports_attention_backend", False):
        implementation = attention.register()
    return load_model(
        source, AutoModelForImageClassification, attn_implementation=implementation
    ), implementation


def read_labels(config: Any, name: str) -> list[str]:
    """Label names of a transformers configuration, in the order of its logits.

    Raises
    ------
    InputError
        If the numbers are not 0 … L−1.
    """
    table = {int(k): str(v) for k, v in (config.id2label or {}).items()}
    if sorted(table) != list(range(len(table))) or not table:
        raise InputError(
            f"the labels of {name} are not numbered 0 to {max(len(table) - 1, 0)} (id2label in config.json)"
        )
    return [table[i] for i in range(len(table))]


def _link(config: Any) -> Link:
    return "sigmoid" if getattr(config, "problem_type", None) == "multi_label_classification" else "softmax"


def _interpolates(model: Any, size: tuple[int, int]) -> bool:
    """Whether the model must be told to interpolate its position embeddings for this size."""
    native = getattr(model.config, "image_size", None)
    if native in (size[0], list(size), size, None):
        return False
    return "interpolate_pos_encoding" in inspect.signature(model.forward).parameters


def _logits(classifier: _Classifier, pixels: np.ndarray, source: Source) -> np.ndarray:
    try:
        with torch.no_grad():
            return classifier(torch.from_numpy(pixels)).numpy()
    except (RuntimeError, ValueError) as error:
        size = "×".join(map(str, pixels.shape[1:3]))
        first = str(error).strip().splitlines()[0]
        raise InputError(
            f"{source.name} cannot run on {size} pixels: {first}; choose another --size"
        ) from None


def check_label_count(logits: np.ndarray, labels: list[str], name: str) -> None:
    """Refuse a classifier whose labels and logits differ in number.

    Raises
    ------
    InputError
        Naming both numbers.
    """
    if logits.ndim != 2:
        raise InputError(
            f"{name} returns an output of shape {logits.shape}; a classifier returns (images, labels)"
        )
    if logits.shape[1] != len(labels):
        raise InputError(
            f"{name} has {logits.shape[1]} logits but {len(labels)} labels: correct the list of labels"
        )


def _photographs(preprocessing: Preprocessing, folder: Path | None) -> list[np.ndarray]:
    if folder is None:
        return synthetic_photographs(preprocessing.size, 4)
    return real_photographs(folder, prepare(preprocessing), 8)


def _adopt(folder: Path, out: Path, options: TeacherOptions, progress: Progress) -> Path:
    """Check a user's own ONNX classifier and write it with checksums.

    What there is to compare with is the graph itself: a picture's logits must not depend on the batch it
    is in.
    """
    from inficond.core.models.manifest import read_manifest
    from inficond.core.models.teacher import load_teacher

    manifest = read_manifest(folder, "teacher")
    graph = folder / manifest.image.file
    if not graph.is_file():
        raise InputError(f"{folder} has no {manifest.image.file}, which its manifest.json names")
    check_graph(graph)
    progress.advance()
    teacher = load_teacher(str(folder))
    pixels = random_pixels(manifest.image.size)[1]
    together = teacher.respond(pixels)
    check_label_count(together, list(manifest.labels), manifest.name)
    check = Verification()
    check.compare(
        "probabilities (one by one)", together, np.concatenate([teacher.respond(p[None]) for p in pixels])
    )
    check.notes |= {
        "batches": [1, len(pixels)],
        "photographs": "none",
        "compared": "batch against single pictures",
    }
    progress.advance()
    with staged(out, options.overwrite) as stage:
        shutil.copyfile(graph, stage / manifest.image.file)
        said = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        said |= {"verification": check.manifest()}
        said.pop("files", None)
        said.pop("format", None)
        write_manifest(stage, said)
    progress.advance()
    return out
