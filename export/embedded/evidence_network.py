"""Network of evidence: a unit vector for each cell of a picture of 448 pixels, in the encoder's space.

It shows where a word is; regions, concept values and students do not use it. It has Lite0 and the projection
of the embedded encoder at twice the width and height. With its cells z_i (14 × 14, mean of 2 × 2), the shared
cells s_i of `Sharing`, the middle channels m_i, the channels l_i of the last block, and the mean cell z̄::

    u_i = unit(z_i + V [m_i, l_i, z_i, s_i, z̄] + v)
    W   = softmax_j(cos(K x_i, K x_j) / τ),   x_i = [channels at 1/8 of the picture's size, m_i, l_i]
    cell_i = unit(Σ_j W_ij u_j)

V corrects cells that show their surroundings instead of their own place. K is a likeness of cells: cells of
one thing share their vectors. Both are learned from pictures with outlined labels (`evidence_training`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inficond.export.embedded.network import (
    MID_BLOCK,
    MID_CHANNELS,
    Head,
    Lite,
    Projection,
    Sharing,
    normalised,
)

EVIDENCE_SIZE = 448
"""Pixels of the square picture."""
GRID = EVIDENCE_SIZE // 32
FINE_BLOCK, FINE_CHANNELS = 4, 40
"""The last block of Lite0 at 1/8 of the picture's size."""
LAST_CHANNELS = 320
LIKENESS_DIM = 48
LIKENESS_TEMPERATURE = 0.25


class EvidenceInputs(nn.Module):
    """Pixels to what the learned parts read.

    Parameters
    ----------
    lite : Lite
        Lite0 for pictures of `EVIDENCE_SIZE`.
    projection : Projection
    mid_mean : Tensor (112,)
    """

    def __init__(self, lite: Lite, projection: Projection, mid_mean: Tensor) -> None:
        super().__init__()
        self.lite = lite
        self.head = Head(projection, lite.classify)
        self.sharing = Sharing(mid_mean)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return cells (B, n, D), the inputs of V (B, n, ·) and of K (B, n, ·)."""
        x = F.relu6(self.lite.stem(normalised(pixels)))
        fine = mid = x
        for i, block in enumerate(self.lite.blocks):
            x = block(x)
            if i == FINE_BLOCK:
                fine = x
            if i == MID_BLOCK:
                mid = x
        z = self.head(mid, F.relu6(self.lite.top(x)))
        cells, shared = _pooled(F.normalize(z, dim=3)), _pooled(self.sharing(z, mid))
        middle, last = _listed(F.avg_pool2d(mid, 2)), _listed(x)
        mean = cells.mean(dim=1, keepdim=True) + 0.0 * cells
        correction = torch.cat([middle, last, cells, shared, mean], dim=2)
        return cells, correction, torch.cat([_listed(F.avg_pool2d(fine, 4)), middle, last], dim=2)


class EvidenceParts(nn.Module):
    """The learned parts: V, v and K, with the standardisation of their inputs folded in."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.correction = nn.Linear(MID_CHANNELS + LAST_CHANNELS + 3 * dim, dim)
        self.likeness = nn.Linear(FINE_CHANNELS + MID_CHANNELS + LAST_CHANNELS, LIKENESS_DIM)

    def forward(self, cells: Tensor, correction: Tensor, likeness: Tensor) -> Tensor:
        """Return the cells (B, n, D), unit length."""
        own = F.normalize(cells + self.correction(correction), dim=2)
        key = F.normalize(self.likeness(likeness), dim=2)
        share = torch.softmax(key @ key.transpose(1, 2) / LIKENESS_TEMPERATURE, dim=2)
        return F.normalize(share @ own, dim=2)


class EvidenceEncoder(nn.Module):
    """Pixels to the outputs of an encoder whose regions are the single cells."""

    def __init__(self, inputs: EvidenceInputs, parts: EvidenceParts) -> None:
        super().__init__()
        self.inputs, self.parts = inputs, parts

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return regions (B, n, D), assignment (B, n) and the image embedding (B, D)."""
        cells = self.parts(*self.inputs(pixels))
        number = torch.arange(GRID * GRID, dtype=torch.int32) + (0.0 * cells[:, :, 0]).to(torch.int32)
        return cells, number.to(torch.uint8), F.normalize(cells.mean(dim=1), dim=1)


def _listed(maps: Tensor) -> Tensor:
    return maps.flatten(2).transpose(1, 2)


def _pooled(cells: Tensor) -> Tensor:
    return _listed(F.avg_pool2d(cells.permute(0, 3, 1, 2), 2))
