"""Training features: maps of Lite0 in float32, computed once and cached on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from inficond.export.embedded.network import Lite
from inficond.export.embedded.photographs import read_picture
from inficond.export.graph import cpu_session, to_onnx

BATCH = 16


class _Maps(torch.nn.Module):
    """The middle map averaged over 2 × 2 cells, and the top map."""

    def __init__(self, lite: Lite) -> None:
        super().__init__()
        self.lite = lite

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mid, top = self.lite(pixels)
        cells = top.flatten(2).transpose(1, 2)
        return F.avg_pool2d(mid, 2).flatten(2).transpose(1, 2), cells


def maps(
    lite: Lite, paths: Sequence[Path], size: int, view: str, cache: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return middle (N, g², 112) and top (N, g², 1280) channels, float16, from the cache if possible."""
    key = hashlib.sha256("\n".join([str(size), view, *(p.name for p in paths)]).encode()).hexdigest()[:16]
    files = [cache / f"{key}-{part}.npy" for part in ("mid", "top")]
    if not all(f.is_file() for f in files):
        cache.mkdir(parents=True, exist_ok=True)
        example = torch.zeros((2, size, size, 3), dtype=torch.uint8)
        session = cpu_session(to_onnx(_Maps(lite), [example], ["pixels"], ["mid", "top"]))
        parts: list[list[np.ndarray]] = []
        for i in range(0, len(paths), BATCH):
            pixels = np.stack([read_picture(p, size, view) for p in paths[i : i + BATCH]])
            parts.append([a.astype(np.float16) for a in session.run(["mid", "top"], {"pixels": pixels})])
        for file, values in zip(files, zip(*parts)):
            np.save(file, np.concatenate(values))
    mid, top = (np.load(f, mmap_mode="r") for f in files)
    return mid, top
