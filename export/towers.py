"""Image and text tower of a CLIP-like model as torch modules.

The image tower keeps the model's own image embedding and adds a dense one by NACLIP's reduced last block
(Hajimiri, Ben Ayed & Dolz, "Pay Attention to Your Neighbours", WACV 2025, arXiv 2404.08181): keys attend to
keys, near patches have more weight, without residual and MLP::

    A = softmax(k·kᵀ/√d + Ω),   Ω_ij = exp(−‖p_i − p_j‖² / 2σ²)   (0 for the class token)
    dense = normalise(project(norm(out_proj(A·v))))

The parts of an architecture are found in its modules, not by its name: a class token, a norm before the
blocks, a linear projection (CLIP, Chinese-CLIP, MetaCLIP 2, AltCLIP) or an attention-pooling head (SigLIP,
SigLIP 2). Such a head is applied to each patch alone, which embeds the patch in the joint space.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inficond.core.errors import InputError
from inficond.export.attention import attend

BLOCK_PARTS = ("layer_norm1", "self_attn", "layer_norm2", "mlp")
ATTENTION_PARTS = ("q_proj", "k_proj", "v_proj", "out_proj")


@dataclass(frozen=True, kw_only=True)
class Dense:
    """Options of the reduced last block.

    Attributes
    ----------
    sigma : float
        Standard deviation of the neighbourhood Ω, in patches.
    window : int, optional
        Largest distance of a neighbour along each axis, in patches; None: no limit.
    """

    sigma: float = 5.0
    window: int | None = None

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise InputError(f"sigma is {self.sigma}: give a number of patches above 0")
        if self.window is not None and self.window < 1:
            raise InputError(f"window is {self.window}: give a number of patches from 1")


def neighbourhood(grid: tuple[int, int], dense: Dense, class_token: bool) -> Tensor:
    """Return Ω of NACLIP for a patch grid.

    Parameters
    ----------
    grid : tuple of int
        Patches down and across, (h, w).
    dense : Dense
        σ and window.
    class_token : bool
        Whether a class token precedes the patches; its row and column are 0.

    Returns
    -------
    Tensor
        (S, S) float32 with S = h·w, one more with a class token.
    """
    h, w = grid
    rows, cols = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    place = torch.stack([rows.flatten(), cols.flatten()], dim=1).double()
    gap = place[:, None] - place[None]
    omega = torch.exp(-gap.square().sum(-1) / (2 * dense.sigma**2))
    if dense.window is not None:
        omega = torch.where(gap.abs().amax(-1) <= dense.window, omega, 0.0)
    return F.pad(omega, (1, 0, 1, 0)).float() if class_token else omega.float()


def positions_for(table: Tensor, grid: tuple[int, int], class_token: bool, antialias: bool) -> Tensor:
    """Interpolate position embeddings to another patch grid.

    Parameters
    ----------
    table : Tensor
        Learned positions (S, D) of a square grid; the class token's, if any, is the first.
    grid : tuple of int
        The wanted grid, (h, w).
    class_token : bool
        Whether the first row belongs to a class token.
    antialias : bool
        Bilinear with antialiasing, as SigLIP 2 was trained; otherwise bicubic, as the others.

    Returns
    -------
    Tensor
        (1, h·w, D), one row more with a class token.
    """
    first, patches = (table[:1], table[1:]) if class_token else (table[:0], table)
    side = round(len(patches) ** 0.5)
    if side * side != len(patches):
        raise InputError(f"the model has {len(patches)} patch positions, which are not a square grid")
    if (side, side) != grid:
        square = patches.reshape(1, side, side, -1).permute(0, 3, 1, 2).float()
        mode = "bilinear" if antialias else "bicubic"
        square = F.interpolate(square, size=grid, mode=mode, align_corners=False, antialias=antialias)
        patches = square.permute(0, 2, 3, 1).reshape(grid[0] * grid[1], -1).to(table.dtype)
    return torch.cat([first, patches])[None]


def token_grid(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """Return the patches of an input size, down and across.

    Raises
    ------
    InputError
        The size is not a multiple of the patch size.
    """
    if size[0] % patch or size[1] % patch:
        raise InputError(
            f"input size {size[1]}×{size[0]} is not a multiple of the model's patch size {patch}: "
            f"give --size as a multiple of {patch}"
        )
    return size[0] // patch, size[1] // patch


def pixel_affine(mean: list[float], std: list[float], rescale: float) -> tuple[Tensor, Tensor]:
    """Return gain and shift, (1, 3, 1, 1) each, with ``(x·rescale − mean) / std = x·gain + shift``."""
    scale = torch.tensor(std, dtype=torch.float64).reciprocal()
    shift = -torch.tensor(mean, dtype=torch.float64) * scale
    return (scale * rescale).float().view(1, 3, 1, 1), shift.float().view(1, 3, 1, 1)


class LinearHead(nn.Module):
    """Linear projection into the joint space (CLIP), of the class token or of every token."""

    def __init__(self, projection: nn.Module) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, tokens: Tensor, pooled: bool) -> Tensor:
        """Return the outputs of the module."""
        return self.projection(tokens[:, 0] if pooled else tokens)


class PoolingHead(nn.Module):
    """Attention pooling into the joint space (SigLIP), over all patches or of each patch alone."""

    query: Tensor
    out: nn.Module
    layernorm: nn.Module
    mlp: nn.Module

    def __init__(self, head: Any) -> None:
        super().__init__()
        inner = head.attention
        width = inner.embed_dim
        w, b = inner.in_proj_weight.detach(), inner.in_proj_bias.detach()
        self.register_buffer("query", F.linear(head.probe.detach(), w[:width], b[:width]))
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.key.weight.data, self.key.bias.data = w[width : 2 * width].clone(), b[width : 2 * width].clone()
        self.value.weight.data, self.value.bias.data = w[2 * width :].clone(), b[2 * width :].clone()
        self.out, self.heads = inner.out_proj, inner.num_heads
        self.layernorm, self.mlp = head.layernorm, head.mlp

    def _finish(self, mixed: Tensor) -> Tensor:
        x = self.out(mixed)
        return x + self.mlp(self.layernorm(x))

    def forward(self, tokens: Tensor, pooled: bool) -> Tensor:
        """Return the outputs of the module."""
        value = self.value(tokens)
        if not pooled:
            return self._finish(value)
        query = self.query.expand(tokens.shape[0], -1, -1)
        return self._finish(attend(query, self.key(tokens), value, self.heads))[:, 0]


class ImageTower(nn.Module):
    """Image tower: pixels to the image's embedding and to one embedding per patch, both of unit length.

    Parameters
    ----------
    model : nn.Module
        A transformers model with `vision_model` and `get_image_features`.
    size : tuple of int
        Input height and width in pixels; multiples of the patch size.
    mean, std : sequence of float
        Per channel: pixels are normalised as ``(x·rescale − mean) / std``.
    rescale : float
        Usually 1/255.
    dense : Dense
        Options of the reduced last block.
    """

    gain: Tensor
    shift: Tensor
    class_token: Tensor
    positions: Tensor
    omega: Tensor

    def __init__(
        self,
        model: nn.Module,
        size: tuple[int, int],
        mean: list[float],
        std: list[float],
        rescale: float = 1 / 255,
        dense: Dense | None = None,
    ) -> None:
        super().__init__()
        vision: Any = model.vision_model
        embeddings = vision.embeddings
        self.patch = int(embeddings.patch_size)
        self.grid = token_grid(size, self.patch)
        has_class = hasattr(embeddings, "class_embedding")
        self.skip = int(has_class)
        gain, shift = pixel_affine(mean, std, rescale)
        self.register_buffer("gain", gain)
        self.register_buffer("shift", shift)
        self.stem = _as_convolution(embeddings.patch_embedding, self.patch)
        positions = positions_for(
            embeddings.position_embedding.weight.detach(),
            self.grid,
            has_class,
            antialias=isinstance(embeddings.patch_embedding, nn.Linear),
        )
        if has_class:
            # The class token does not depend on the image: its embedding and position are added once.
            token = embeddings.class_embedding.detach().reshape(1, 1, -1) + positions[:, :1]
            self.register_buffer("class_token", token)
        self.register_buffer("positions", positions[:, self.skip :])
        self.first_norm = getattr(vision, "pre_layrnorm", None) or nn.Identity()
        self.blocks = vision.encoder.layers
        self.last_norm = vision.post_layernorm
        if hasattr(model, "visual_projection"):
            self.head: nn.Module = LinearHead(model.visual_projection)  # type: ignore[arg-type]
        else:
            self.head = PoolingHead(vision.head)
        self.register_buffer("omega", neighbourhood(self.grid, dense or Dense(), has_class)[None, None])

    def _attend(self, block: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        attention = block.self_attn
        return attention.out_proj(attend(q, k, v, attention.num_heads, attention.scale, bias))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Embed a batch.

        Parameters
        ----------
        pixels : Tensor
            uint8 (B, H, W, 3), RGB.

        Returns
        -------
        dense : Tensor
            float32 (B, h, w, D), unit length.
        image : Tensor
            float32 (B, D), unit length.
        """
        x = pixels.permute(0, 3, 1, 2).to(self.stem.weight.dtype)
        x = self.stem(x * self.gain + self.shift).flatten(2).transpose(1, 2) + self.positions
        if self.skip:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1)  # type: ignore[operator]
        x = self.first_norm(x)
        last = len(self.blocks) - 1  # type: ignore[arg-type]
        near = x
        for i, block in enumerate(self.blocks):  # type: ignore[arg-type, var-annotated]
            y = block.layer_norm1(x)
            attention = block.self_attn
            k, v = attention.k_proj(y), attention.v_proj(y)
            if i == last:
                near = self._attend(block, k, k, v, self.omega)  # type: ignore[arg-type]
                if self.skip:  # the last unchanged block is needed for the class token only
                    x, y = x[:, :1], y[:, :1]
            x = x + self._attend(block, attention.q_proj(y), k, v)
            x = x + block.mlp(block.layer_norm2(x))
        image = F.normalize(self.head(self.last_norm(x), True).float(), dim=-1)
        dense = F.normalize(self.head(self.last_norm(near[:, self.skip :]), False).float(), dim=-1)
        return dense.reshape(-1, *self.grid, int(dense.shape[-1])), image

    @torch.no_grad()
    def reference(self, model: Any, x: Tensor) -> Tensor:
        """Return the model's own image embedding of normalised pixels (B, 3, H, W), unit length."""
        if isinstance(model.vision_model.embeddings.patch_embedding, nn.Linear):
            (h, w), p = self.grid, self.patch
            patches = x.unflatten(2, (h, p)).unflatten(4, (w, p)).permute(0, 2, 4, 3, 5, 1)
            patches = patches.reshape(len(x), h * w, -1)
            out = model.get_image_features(
                pixel_values=patches,
                pixel_attention_mask=torch.ones(patches.shape[:2], dtype=torch.long),
                spatial_shapes=torch.tensor([[h, w]] * len(x)),
            )
        else:
            out = model.get_image_features(pixel_values=x, interpolate_pos_encoding=True)
        return F.normalize(getattr(out, "pooler_output", out), dim=-1)


def _as_convolution(patch_embedding: nn.Module, patch: int) -> nn.Conv2d:
    """Return SigLIP 2's linear layer over flattened patches (rows, columns, channels) as a convolution."""
    if isinstance(patch_embedding, nn.Conv2d):
        return patch_embedding
    if not isinstance(patch_embedding, nn.Linear):
        raise InputError(
            f"the patch embedding is a {type(patch_embedding).__name__}; only Conv2d and Linear can be "
            "exported"
        )
    width = patch_embedding.out_features
    conv = nn.Conv2d(3, width, patch, stride=patch)
    weight = patch_embedding.weight.detach().view(width, patch, patch, 3)
    conv.weight.data = weight.permute(0, 3, 1, 2).contiguous()
    assert conv.bias is not None
    conv.bias.data = patch_embedding.bias.detach().clone()
    return conv


class TextTower(nn.Module):
    """Text tower: token ids to an embedding in the joint space.

    The attention mask is an input only where the model was trained with one (a BERT-like text tower, or
    TIPSv2, which averages the tokens). CLIP pools the end token under a causal mask, and SigLIP the last
    token of padded texts.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        embeddings = getattr(model.text_model, "embeddings", None)
        averaged = hasattr(getattr(model.config, "text_config", None), "pooling_epsilon")
        self.masked = averaged or not hasattr(embeddings, "token_embedding")

    @property
    def inputs(self) -> list[str]:
        """The names of the graph's inputs, each int64 (B, L)."""
        return ["input_ids", "attention_mask"] if self.masked else ["input_ids"]

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return float32 (B, D), unit length, for int64 (B, L) ids."""
        kwargs = {"attention_mask": attention_mask} if self.masked else {}
        out = self.model.get_text_features(input_ids=input_ids, **kwargs)  # type: ignore[operator]
        return F.normalize(getattr(out, "pooler_output", out).float(), dim=-1)


def check_architecture(model: Any, name: str) -> None:
    """Check that a model has the parts that the towers use.

    Raises
    ------
    InputError
        A part is missing; the message names the first.
    """
    vision: Any = getattr(model, "vision_model", None)
    missing = [
        m
        for m in ("get_image_features", "get_text_features", "vision_model", "text_model")
        if not hasattr(model, m)
    ]
    if not missing:
        parts = {"embeddings": vision, "encoder": vision, "post_layernorm": vision}
        missing = [f"vision_model.{p}" for p, owner in parts.items() if not hasattr(owner, p)]
    if not missing:
        block = vision.encoder.layers[0]
        missing = [f"block.{p}" for p in BLOCK_PARTS if not hasattr(block, p)]
        missing += [
            f"self_attn.{p}" for p in ATTENTION_PARTS if not hasattr(getattr(block, "self_attn", None), p)
        ]
        if not hasattr(model, "visual_projection") and not hasattr(vision, "head"):
            missing.append("visual_projection (or vision_model.head)")
    if missing:
        raise InputError(
            f"{name} is a {type(model).__name__}, which has no {missing[0]}: only models with the parts of "
            "CLIP "
            "can be exported as an encoder"
        )
