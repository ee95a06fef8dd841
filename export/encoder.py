"""Export of an image-text model of transformers or open_clip as a verified encoder folder."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from inficond.core.errors import InputError
from inficond.core.models.presets import preset_model
from inficond.core.progress import Progress, Silent
from inficond.export import attention
from inficond.export.encoder_model import EncoderModel
from inficond.export.folder import check_target, link_or_copy, staged, write_manifest
from inficond.export.graph import OPSET, cpu_session, node_counts, run_cpu, serialise, to_onnx
from inficond.export.open_clip_encoder import is_open_clip, load_open_clip_encoder
from inficond.export.preprocessing import RGB, Preprocessing
from inficond.export.quantize import Precision, reduce_precision
from inficond.export.regions import RegionFinder
from inficond.export.text import TokenizerFile, read_templates
from inficond.export.towers import Dense
from inficond.export.transformers_encoder import load_transformers_encoder
from inficond.export.verify import (
    Verification,
    compare_graph,
    random_pixels,
    real_photographs,
    synthetic_photographs,
)

IMAGE_OUTPUTS = ("regions", "assignment", "image", "dense")
IMAGE_STEPS = 3
"""Steps of progress for an input size: the graph, its verification, its files."""
REGIONS = 9
PHOTOGRAPHS = 64
PIXELS_AT_ONCE = 224 * 224 * 8


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """Options of an exported encoder.

    Attributes
    ----------
    sizes : tuple of int
        Input sizes in pixels, one model folder each; empty: the model's own size.
    precision : Precision
        "float32", "fp16" or "int8".
    dense : Dense
        Options of the reduced last block.
    images : Path or None
        Photographs to verify on, and to calibrate int8 with.
    templates : Path or None
        File of prompt templates, one per line; None: those of the architecture.
    fused : bool
        Export attention as one node of ONNX Runtime; False: standard operators only.
    revision : str or None
        Branch, tag or commit at Hugging Face.
    overwrite : bool
        Replace an existing model folder.
    """

    sizes: tuple[int, ...] = ()
    precision: Precision = "float32"
    dense: Dense = field(default_factory=Dense)
    images: Path | None = None
    templates: Path | None = None
    fused: bool = True
    revision: str | None = None
    overwrite: bool = False


class _Pipeline(torch.nn.Module):
    """Pixels to all outputs of the image graph."""

    def __init__(self, tower: Any) -> None:
        super().__init__()
        self.tower = tower
        # Regions of fewer than four cells on average would be little more than single cells.
        cells = tower.grid[0] * tower.grid[1]
        self.finder = RegionFinder(max(1, min(REGIONS, cells // 4)))

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        dense, image = self.tower(pixels)
        regions, assignment = self.finder(dense)
        return regions, assignment, image, dense.flatten(1, 2)


def export_encoder(
    spec: str, out: Path, options: EncoderOptions | None = None, progress: Progress | None = None
) -> list[Path]:
    """Export an image-text model.

    Parameters
    ----------
    spec : str
        Preset, Hugging Face id, ``open_clip:ARCH/TAG``, ``hf-hub:ORG/NAME`` or local folder.
    out : Path
        Model folder to write; with several sizes, the parent of the model folders.
    options : EncoderOptions, optional
    progress : Progress, optional
        Receives the stages and notes.

    Returns
    -------
    list of Path
        The model folders, one per size.

    Raises
    ------
    InputError
        The model cannot be found, is not an encoder, or fails its verification; then nothing is written.
    """
    options, progress = options or EncoderOptions(), progress or Silent()
    check_target(out, options.overwrite)
    if options.precision == "int8" and options.images is None:
        raise InputError("int8 is calibrated on real photographs: give a folder of them with --images")
    templates = None if options.templates is None else read_templates(options.templates)
    progress.start("loading the model", 1)
    model = _load(spec, options.revision)
    progress.advance()
    preprocessing = model.preprocessing
    if preprocessing.channels != RGB:
        raise InputError(f"{model.name} takes its colour channels in another order than RGB")
    for note in model.notes:
        progress.note(note)
    sizes = [(s, s) for s in options.sizes] or [preprocessing.size]
    templates = templates or model.templates
    tokens = model.tokens(templates)
    progress.start("exporting", 1 + IMAGE_STEPS * len(sizes))

    with staged(out, options.overwrite) as stage:
        text_check = Verification()
        text_file = stage / "text.onnx"
        _export_text(model, tokens, templates, text_file, text_check)
        tokens.save(stage / "tokenizer.json")
        progress.advance()
        folders = []
        for size in sizes:
            here = stage if len(sizes) == 1 else stage / str(size[0])
            here.mkdir(exist_ok=True)
            if here is not stage:
                for name in ("text.onnx", "tokenizer.json"):
                    link_or_copy(stage / name, here / name)
            check = Verification(errors=dict(text_check.errors))
            prepared = preprocessing.at(size)
            facts = _export_image(model, prepared, options, here / "image.onnx", check, progress)
            write_manifest(
                here,
                {
                    "kind": "encoder",
                    "name": model.name,
                    "licence": model.licence or "not stated",
                    **model.origin(),
                    "opset": OPSET,
                    "precision": options.precision,
                    "attention": "fused" if options.fused else "plain",
                    "image": prepared.manifest("image.onnx"),
                    **facts,
                    "text": {
                        "file": "text.onnx",
                        "tokenizer": "tokenizer.json",
                        "max_length": tokens.max_length,
                        "templates": list(templates),
                    },
                    "verification": check.manifest(),
                },
            )
            folders.append(out if here is stage else out / str(size[0]))
            progress.advance()
        if len(sizes) > 1:
            for name in ("text.onnx", "tokenizer.json"):
                (stage / name).unlink()
    return folders


def _load(spec: str, revision: str | None) -> EncoderModel:
    named = preset_model(spec)
    if is_open_clip(named):
        return load_open_clip_encoder(named, revision)
    return load_transformers_encoder(named, revision)


def _export_text(
    model: EncoderModel, tokens: TokenizerFile, templates: Sequence[str], path: Path, check: Verification
) -> None:
    tower = model.text_tower()
    words = ["dog", "fire hydrant", "grass", "golden retriever on a beach", "red car", "sky", "wheel"]
    texts = [templates[i % len(templates)].format(w) for i, w in enumerate(words)]

    def feeds(some: Sequence[str]) -> dict[str, np.ndarray]:
        ids = tokens.encode(some)
        return {name: ids[name] for name in tower.inputs}

    example = tuple(torch.from_numpy(x) for x in feeds(texts[:2]).values())
    dynamic = {} if tokens.fixed else {name: {1: "length"} for name in tower.inputs}
    graph = to_onnx(tower, example, tower.inputs, ["text"], dynamic)
    path.write_bytes(serialise(graph))
    del graph
    session = cpu_session(path)
    batches = [feeds(texts[:1]), feeds(texts)]
    compare_graph(check, "", ["text"], tower, lambda f: {"text": session.run(["text"], f)[0]}, batches)


def _export_image(
    model: EncoderModel,
    preprocessing: Preprocessing,
    options: EncoderOptions,
    path: Path,
    check: Verification,
    progress: Progress,
) -> dict[str, Any]:
    """Write the image graph; return its entries of the manifest."""
    size = preprocessing.size
    tower = model.image_tower(preprocessing, options.dense)
    pipeline = _Pipeline(tower).eval()
    noise = random_pixels(size)
    with attention.plain(not options.fused):
        graph = to_onnx(
            pipeline, [torch.from_numpy(noise[1][:2])], ["pixels"], IMAGE_OUTPUTS, fused=options.fused
        )
    progress.advance()
    photographs = _photographs(preprocessing, options.images)
    few = photographs[: max(2, min(7, PIXELS_AT_ONCE // (size[0] * size[1])))]
    batches = [{"pixels": x} for x in (*noise, np.stack(few))]
    session = cpu_session(graph)
    mean = torch.tensor(preprocessing.mean).view(1, 3, 1, 1)
    std = torch.tensor(preprocessing.std).view(1, 3, 1, 1)

    def reference(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the pipeline; compare its image embedding with the model's own."""
        outputs = pipeline(pixels)
        x = (pixels.permute(0, 3, 1, 2).float() * preprocessing.rescale - mean) / std
        ours = outputs[IMAGE_OUTPUTS.index("image")]
        check.compare(f"image ({model.library})", model.reference(tower, x).numpy(), ours.numpy())
        return outputs

    def run(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(IMAGE_OUTPUTS, session.run(list(IMAGE_OUTPUTS), feeds)))

    compare_graph(check, "", IMAGE_OUTPUTS, reference, run, batches)
    progress.advance()
    check.notes |= {
        "batches": [len(b["pixels"]) for b in batches],
        "photographs": "real" if options.images else "synthetic",
        "fused_attention_nodes": node_counts(graph)[attention.FUSED_OP],
    }
    first = run({"pixels": noise[1][:2]})
    if options.precision != "float32":
        graph, gate = reduce_precision(graph, options.precision, photographs)
        check.notes[options.precision] = gate
    path.write_bytes(serialise(graph))
    _check_written(path, noise[1])
    return {
        "dense": model.dense_facts(tower, options.dense),
        "dim": int(first["image"].shape[-1]),
        "grid": list(tower.grid),
        "regions": int(first["regions"].shape[1]),
    }


def _photographs(preprocessing: Preprocessing, folder: Path | None) -> list[np.ndarray]:
    if folder is None:
        return synthetic_photographs(preprocessing.size, 7)
    return real_photographs(folder, preprocessing.prepare(), PHOTOGRAPHS)


def _check_written(path: Path, pixels: np.ndarray) -> None:
    """Check that the written file loads and returns finite unit vectors."""
    got = run_cpu(path, {"pixels": pixels})
    for name in ("regions", "image"):
        length = np.linalg.norm(got[name], axis=-1)
        if not np.isfinite(length).all() or abs(length - 1).max() > 1e-2:
            raise InputError(f"verification failed: {name} of the written graph are not of unit length")
