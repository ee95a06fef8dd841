"""Region finder: groups the cells of a dense map by similarity and position, inside an encoder's graph.

Soft k-means with a fixed number of steps, after SLIC (Achanta et al., 2012) and the differentiable
superpixels of SSN (Jampani et al., 2018). With unit cell embeddings z_i at positions p_i ∈ [0, 1]², and
centres c_r at positions q_r::

    d(i, r)  = ‖z_i − c_r‖² / v + m ‖p_i − q_r‖² / a,     v = mean_i ‖z_i − z̄‖²,   a = 1 / R
    A[i, r]  = softmax_r(−d(i, r) / τ)
    c_r, q_r = means of z and p weighted by A[·, r]

It starts from a regular grid of windows; τ decreases from `temperature[0]` to `temperature[1]`. The division
by v, the spread of this image's own cells, makes the same settings fit any encoder: cells of CLIP differ much
less from one another than cells of a convolutional network. The regions are smooth functions of z, so
rounding changes them little; only `assignment`, which is for display, takes an arg max.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class RegionFinder(nn.Module):
    """Groups the cells of a dense map into R regions.

    Parameters
    ----------
    n_regions : int
        R.
    steps : int
        Number of assignments; the centres are updated before each but the first.
    place : float
        m, the weight of position relative to appearance.
    temperature : (float, float)
        τ of the first and of the last step, geometric in between.
    """

    def __init__(
        self,
        n_regions: int = 9,
        steps: int = 5,
        place: float = 0.6,
        temperature: tuple[float, float] = (0.3, 0.08),
    ) -> None:
        super().__init__()
        if n_regions < 1 or steps < 1:
            raise ValueError("n_regions and steps must be at least 1")
        self.n_regions, self.steps, self.place, self.temperature = n_regions, steps, place, temperature

    def forward(self, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Return the regions of dense maps.

        Parameters
        ----------
        dense : Tensor, float32 (B, h, w, D)
            Cell embeddings, unit length.

        Returns
        -------
        regions : Tensor, float32 (B, R, D)
            Unit length.
        assignment : Tensor, uint8 (B, h·w)
            The region with the largest weight for each cell.
        """
        soft, cells = self.soft(dense)
        share = soft / (soft.sum(dim=1, keepdim=True) + 1e-6)
        regions = nn.functional.normalize(share.transpose(1, 2) @ cells, dim=2)
        return regions, soft.argmax(dim=2).to(torch.uint8)

    def soft(self, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Return the soft assignment (B, h·w, R) and the flattened cells (B, h·w, D)."""
        h, w = int(dense.shape[1]), int(dense.shape[2])
        cells = dense.flatten(1, 2)
        places = _places(h, w)
        share = _windows(places, self.n_regions)
        share = share / share.sum(dim=0, keepdim=True)
        centred = cells - cells.mean(dim=1, keepdim=True)
        square = (centred * centred).sum(dim=2, keepdim=True)
        spread = square.mean(dim=1, keepdim=True) + 1e-6
        # With z divided by its spread and p by the size of a region, d is one matrix product.
        scale_p = math.sqrt(self.place * self.n_regions)
        # `expand` and `zeros_like` would make the batch size a constant of the graph.
        spots = scale_p * places + 0.0 * centred[:, :, :1]
        points = torch.cat([centred / spread.sqrt(), spots], dim=2)
        length = (points * points).sum(dim=2, keepdim=True)
        weights = share.unsqueeze(0)
        soft = weights
        for step in range(self.steps):
            centres = weights.transpose(1, 2) @ points
            distance = (
                length - 2 * points @ centres.transpose(1, 2) + (centres * centres).sum(dim=2).unsqueeze(1)
            )
            soft = torch.softmax(distance / -self._tau(step), dim=2)
            weights = soft / (soft.sum(dim=1, keepdim=True) + 1e-6)
        return soft, cells

    def _tau(self, step: int) -> float:
        first, last = self.temperature
        return first if self.steps == 1 else first * (last / first) ** (step / (self.steps - 1))


def _places(h: int, w: int) -> Tensor:
    """Return the centres of the cells, (h·w, 2) as (y, x) in [0, 1]."""
    y = (torch.arange(h, dtype=torch.float32) + 0.5) / h
    x = (torch.arange(w, dtype=torch.float32) + 0.5) / w
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), dim=-1).reshape(h * w, 2)


def _windows(places: Tensor, n: int) -> Tensor:
    """Return Gaussian windows around n regularly placed seeds, (h·w, n)."""
    rows = max(1, round(math.sqrt(n)))
    counts = [n // rows + (1 if r < n % rows else 0) for r in range(rows)]
    seeds = torch.tensor(
        [((r + 0.5) / rows, (c + 0.5) / k) for r, k in enumerate(counts) for c in range(k)],
        dtype=torch.float32,
    )
    away = ((places[:, None, :] - seeds[None]) ** 2).sum(dim=2)
    return torch.exp(-away * n)
