"""Embedded networks as torch modules, from pixels to the outputs that the manifests state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inficond.export.embedded.sources import load_lite
from inficond.export.regions import RegionFinder

MID_BLOCK = 10
"""The last block of Lite0 at 1/16 of the picture's size: 112 channels of texture and position."""
MID_CHANNELS, TOP_CHANNELS, CLASSES, TEXT_DIM = 112, 1280, 1000, 384
SHARING_TEMPERATURE = 0.3
"""τ of `Sharing`, chosen among 0.1, 0.2, 0.3 and 0.5 by the cells of stuff in COCO's 86 training pictures."""


def normalised(pixels: Tensor) -> Tensor:
    """Normalise uint8 (B, S, S, 3) as EfficientNet-Lite expects: (x − 127) / 128, (B, 3, S, S)."""
    return (pixels.to(torch.float32).permute(0, 3, 1, 2) - 127.0) / 128.0


def _folded(conv: Any, norm: Any) -> nn.Conv2d:
    """Return a convolution with the following batch normalisation folded in, with "same" padding."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    out = _Same(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, groups=conv.groups)
    out.weight.data = conv.weight.data * scale[:, None, None, None]
    out.bias.data = (norm.bias - norm.running_mean * scale).data  # type: ignore[union-attr]
    return out


class _Same(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: one more pixel right and below for stride 2."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        need = [max((-(-n // s) - 1) * s + k - n, 0) for n in (int(x.shape[2]), int(x.shape[3]))]
        if any(need):
            top, left = need[0] // 2, need[1] // 2
            if need[0] % 2 == 0 and need[1] % 2 == 0:
                return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
            x = F.pad(x, (left, need[1] - left, top, need[0] - top))
        return F.conv2d(x, self.weight, self.bias, self.stride, 0, 1, self.groups)


class _Block(nn.Module):
    """Inverted residual block without squeeze-and-excitation, normalisations folded."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        args = block._block_args
        self.expand = _folded(block._expand_conv, block._bn0) if args.expand_ratio != 1 else None
        self.depthwise = _folded(block._depthwise_conv, block._bn1)
        self.project = _folded(block._project_conv, block._bn2)
        self.skip = bool(
            block.id_skip
            and block._depthwise_conv.stride == (1, 1)
            and args.input_filters == args.output_filters
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.skip else y


class Lite(nn.Module):
    """EfficientNet-Lite with its normalisations folded into the convolutions.

    Parameters
    ----------
    variant : int
        0 or 2.
    size : int
        Pixels of the square picture.
    """

    def __init__(self, variant: int, size: int) -> None:
        super().__init__()
        net = load_lite(variant, size)
        self.stem = _folded(net._conv_stem, net._bn0)
        self.blocks = nn.ModuleList([_Block(b) for b in net._blocks])
        self.top = _folded(net._conv_head, net._bn1)
        self.classify = nn.Linear(TOP_CHANNELS, CLASSES)
        self.classify.load_state_dict(net._fc.state_dict())
        self.eval()

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the maps at 1/16 (B, 112, 2g, 2g; Lite0) and at 1/32 (B, 1280, g, g) of the size."""
        x = F.relu6(self.stem(normalised(pixels)))
        mid = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == MID_BLOCK:
                mid = x
        return mid, F.relu6(self.top(x))


class Projection(nn.Module):
    """Learned projection of Lite0's cells and MiniLM's sentences into one space of D dimensions.

    The inputs of a cell are its 1,280 top channels h, its class probabilities p = softmax(W h + b) by the
    network's own classifier, and its 112 middle channels m::

        z_i = h_i·A_h + p_i·A_p + m_i·A_m + b

    The projection is linear, so h and p may be interpolated to the finer grid of m. A sentence e (unit
    length, from MiniLM) becomes t = T(e − ē). Cells, pictures and sentences are compared by cosine.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        n = TOP_CHANNELS + CLASSES + MID_CHANNELS
        self.dim = dim
        self.cell = nn.Linear(n, dim)
        self.text = nn.Linear(TEXT_DIM, dim)


class Sharing(nn.Module):
    """Averaging of cells with similar texture, anywhere in the picture.

    The top channels of a classifier describe the object near a cell, its middle channels the texture of the
    cell. With unit cells u_i and middle channels m_i (mean m̄ over the training pictures)::

        W = softmax_j(cos(m_i − m̄, m_j − m̄) / τ),   dense_i = unit(Σ_j W_ij u_j)

    so all cells of grass get a similar embedding. This is attention whose weights come from features with a
    better layout than those that it averages (ProxyCLIP: Lan et al., 2024). Only the mean is learned.

    Parameters
    ----------
    mid_mean : Tensor (112,)
    """

    mid_mean: Tensor

    def __init__(self, mid_mean: Tensor) -> None:
        super().__init__()
        self.register_buffer("mid_mean", mid_mean.reshape(1, MID_CHANNELS, 1, 1).clone())

    def forward(self, z: Tensor, mid: Tensor) -> Tensor:
        """Return unit cells (B, h, w, D) for cells of any length and the middle map (B, 112, h, w)."""
        h, w = int(z.shape[1]), int(z.shape[2])
        texture = F.normalize(mid - self.mid_mean, dim=1).flatten(2)
        share = torch.softmax(texture.transpose(1, 2) @ texture / SHARING_TEMPERATURE, dim=2)
        shared = share @ F.normalize(z, dim=3).flatten(1, 2)
        return F.normalize(shared, dim=2).unflatten(1, (h, w))


class EmbeddedEncoder(nn.Module):
    """Pixels to regions, assignment, image embedding and dense map.

    Parameters
    ----------
    lite : Lite
        Lite0.
    projection : Projection
    mid_mean : Tensor (112,)
        Mean of the middle channels over the training pictures.
    finder : RegionFinder
    """

    def __init__(self, lite: Lite, projection: Projection, mid_mean: Tensor, finder: RegionFinder) -> None:
        super().__init__()
        self.lite, self.finder = lite, finder
        self.head = Head(projection, lite.classify)
        self.sharing = Sharing(mid_mean)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mid, top = self.lite(pixels)
        z = self.head(mid, top)
        image = F.normalize(z.mean(dim=(1, 2)), dim=1)
        dense = self.sharing(z, mid)
        regions, assignment = self.finder(dense)
        return regions, assignment, image, dense.flatten(1, 2)


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    assert layer.bias is not None
    return layer.bias


def _copy_bias(target: nn.Conv2d | nn.Linear, source: nn.Conv2d | nn.Linear) -> None:
    _bias(target).data = _bias(source).data.clone()


class Head(nn.Module):
    """Projection of a picture's maps to (B, 2g, 2g, D), not normalised."""

    def __init__(self, projection: Projection, classify: nn.Linear) -> None:
        super().__init__()
        self.classify = nn.Conv2d(TOP_CHANNELS, CLASSES, 1)
        self.classify.weight.data = classify.weight.data[:, :, None, None].clone()
        _copy_bias(self.classify, classify)
        top, classes, mid = projection.cell.weight.data.split([TOP_CHANNELS, CLASSES, MID_CHANNELS], dim=1)
        self.top, self.mid = (
            nn.Conv2d(TOP_CHANNELS, projection.dim, 1),
            nn.Conv2d(MID_CHANNELS, projection.dim, 1),
        )
        self.top.weight.data, self.mid.weight.data = (
            top[:, :, None, None].clone(),
            mid[:, :, None, None].clone(),
        )
        _copy_bias(self.top, projection.cell)
        nn.init.zeros_(_bias(self.mid))
        self.classes = nn.Parameter(classes.T.contiguous())

    def forward(self, mid: Tensor, top: Tensor) -> Tensor:
        h, w = int(top.shape[2]), int(top.shape[3])
        p = torch.softmax(self.classify(top).flatten(2).transpose(1, 2), dim=2)
        coarse = self.top(top) + (p @ self.classes).transpose(1, 2).unflatten(2, (h, w))
        fine = F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return (fine + self.mid(mid)).permute(0, 2, 3, 1)


class EmbeddedTeacher(nn.Module):
    """Pixels to the 1,000 ImageNet logits of EfficientNet-Lite2."""

    def __init__(self, lite: Lite) -> None:
        super().__init__()
        self.lite = lite

    def forward(self, pixels: Tensor) -> Tensor:
        return self.lite.classify(self.lite(pixels)[1].mean(dim=(2, 3)))


class SentenceTower(nn.Module):
    """Token ids to a unit vector of the joint space: MiniLM, mean over tokens, learned projection.

    Parameters
    ----------
    minilm : transformers model
    projection : nn.Linear, optional
        384 → D; without it the sentence embedding itself.
    centre : Tensor (384,), optional
        ē, the mean over the training captions.
    """

    centre: Tensor

    def __init__(
        self, minilm: Any, projection: nn.Linear | None = None, centre: Tensor | None = None
    ) -> None:
        super().__init__()
        self.minilm, self.projection = minilm, projection
        if centre is not None:
            self.register_buffer("centre", centre)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.minilm(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(2).to(hidden.dtype)
        sentence = F.normalize((hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0), dim=1)
        if self.projection is None:
            return sentence
        return F.normalize(self.projection(sentence - self.centre), dim=1)
