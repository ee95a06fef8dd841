"""Build of `core/assets/evidence`: the encoder of single cells that shows where a word is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from inficond.export.embedded import sources
from inficond.export.embedded.build import Trained, compare, image_input, save_graph
from inficond.export.embedded.evidence_network import (
    EVIDENCE_SIZE,
    GRID,
    EvidenceEncoder,
    EvidenceInputs,
    EvidenceParts,
)
from inficond.export.embedded.half_tensors import load_tensors, save_half
from inficond.export.embedded.network import Lite
from inficond.export.embedded.photographs import read_picture
from inficond.export.embedded.quantise import convolutions_to_int8
from inficond.export.folder import staged, write_manifest
from inficond.export.graph import OPSET, to_onnx

PARTS = Path(__file__).with_name("evidence.safetensors")
"""The learned parts, matrices in half precision."""
FLOAT = ("/parts/", "/sharing/", "/head/top", "/head/mid")
"""Nodes that are not rounded to 8 bits."""


def save_parts(parts: EvidenceParts, path: Path = PARTS) -> None:
    """Write the learned parts."""
    save_half(parts.state_dict(), path)


def load_parts(dim: int, path: Path = PARTS) -> EvidenceParts:
    """Read the learned parts.

    Raises
    ------
    InputError
        The file is missing.
    """
    parts = EvidenceParts(dim)
    parts.load_state_dict(load_tensors(path, "python -m inficond.export.embedded train-evidence --data DIR"))
    return parts.eval()


def evidence_graph(trained: Trained, parts: EvidenceParts) -> onnx.ModelProto:
    """Return the float32 graph with outputs regions (single cells), assignment and image."""
    inputs = EvidenceInputs(Lite(0, EVIDENCE_SIZE), trained.projection, trained.mid_mean)
    pixels = torch.zeros((2, EVIDENCE_SIZE, EVIDENCE_SIZE, 3), dtype=torch.uint8)
    return to_onnx(EvidenceEncoder(inputs, parts), [pixels], ["pixels"], ["regions", "assignment", "image"])


def build_evidence(out: Path, trained: Trained, parts: EvidenceParts, pictures: Sequence[Path]) -> None:
    """Write the model folder.

    Parameters
    ----------
    out : Path
    trained : Trained
        The embedded encoder, in whose space the cells are.
    parts : EvidenceParts
    pictures : sequence of Path
        For calibration of the 8-bit graph (every second one) and comparison with float32 (the others).
    """
    pixels = [read_picture(p, EVIDENCE_SIZE) for p in pictures]
    plain = evidence_graph(trained, parts)
    small = convolutions_to_int8(plain, pixels[::2], FLOAT, keep_outputs=True)
    check: dict[str, Any] = {"pictures": len(pixels[1::2]), **compare(plain, small, np.stack(pixels[1::2]))}
    with staged(out, overwrite=True) as stage:
        save_graph(small, stage / "evidence.onnx", "embedded encoder, single cells")
        write_manifest(
            stage,
            {
                "kind": "encoder",
                "name": "embedded cells",
                "licence": "Apache-2.0",
                "source": f"{sources.LITE0.package} {sources.LITE0.version}",
                "opset": OPSET,
                "precision": "int8",
                "verification": check,
                "image": image_input("evidence.onnx", EVIDENCE_SIZE),
                "dim": int(trained.class_vectors.shape[1]),
                "grid": [GRID, GRID],
                "regions": GRID * GRID,
            },
        )
