"""Image tower of TIPSv2 as a torch module.

TIPSv2 (google/tipsv2-b14 and larger) is a DINOv2-like tower with class and register tokens and layer scale,
trained with texts on patches. Its dense embedding needs no neighbourhood: the last block is computed without
attention, as its authors do, so that every patch keeps its own value::

    x' = x + γ₁·out_proj(v_proj(norm₁(x)))
    dense = normalise(norm(x' + γ₂·mlp(norm₂(x'))))

The parts are found in the modules, not by the name of the model.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inficond.export.attention import attend
from inficond.export.towers import pixel_affine, positions_for, token_grid

BLOCK_PARTS = ("norm1", "attention", "layer_scale1", "norm2", "mlp", "layer_scale2")
ATTENTION_PARTS = ("q_proj", "k_proj", "v_proj", "o_proj")


def is_tips(model: Any) -> bool:
    """Whether the image tower of a model has the parts of TIPSv2."""
    vision: Any = getattr(model, "vision_model", None)
    if not hasattr(getattr(vision, "embeddings", None), "register_tokens") or not hasattr(
        vision, "layernorm"
    ):
        return False
    block = vision.encoder.layer[0]
    return all(hasattr(block, part) for part in BLOCK_PARTS) and all(
        hasattr(block.attention, part) for part in ATTENTION_PARTS
    )


class TipsTower(nn.Module):
    """Image tower: pixels to the image's embedding and to one embedding per patch, both of unit length.

    Parameters
    ----------
    model : nn.Module
        A transformers model for which `is_tips` holds.
    size : tuple of int
        Input height and width in pixels; multiples of the patch size.
    mean, std : sequence of float
        Per channel: pixels are normalised as ``(x·rescale − mean) / std``.
    rescale : float
        Usually 1/255.

    Raises
    ------
    InputError
        The size is not a multiple of the patch size.
    """

    gain: Tensor
    shift: Tensor
    first: Tensor
    positions: Tensor

    def __init__(
        self, model: Any, size: tuple[int, int], mean: list[float], std: list[float], rescale: float = 1 / 255
    ) -> None:
        super().__init__()
        vision = model.vision_model
        embeddings = vision.embeddings
        self.stem = embeddings.patch_embeddings.projection
        self.patch = int(self.stem.kernel_size[0])
        self.grid = token_grid(size, self.patch)
        gain, shift = pixel_affine(mean, std, rescale)
        self.register_buffer("gain", gain)
        self.register_buffer("shift", shift)
        table = embeddings.position_embeddings.detach()[0]
        positions = positions_for(table, self.grid, class_token=True, antialias=True)
        # Class and register tokens do not depend on the image; registers have no position.
        token = embeddings.cls_token.detach() + positions[:, :1]
        self.register_buffer("first", torch.cat([token, embeddings.register_tokens.detach()], dim=1))
        self.register_buffer("positions", positions[:, 1:])
        self.skip = self.first.shape[1]
        self.blocks = vision.encoder.layer
        self.last_norm = vision.layernorm

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
            float32 (B, D), unit length: the first class token, which was trained with captions.
        """
        x = pixels.permute(0, 3, 1, 2).to(self.stem.weight.dtype)
        x = self.stem(x * self.gain + self.shift).flatten(2).transpose(1, 2) + self.positions
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], dim=1)
        last = len(self.blocks) - 1
        near = x
        for i, block in enumerate(self.blocks):
            attention, y = block.attention, block.norm1(x)
            k, v = attention.k_proj(y), attention.v_proj(y)
            if i == last:
                near = _rest(block, x[:, self.skip :], attention.o_proj(v[:, self.skip :]))
                x, y = x[:, :1], y[:, :1]
            mixed = attend(attention.q_proj(y), k, v, attention.num_attention_heads, attention.scaling)
            x = _rest(block, x, attention.o_proj(mixed))
        image = F.normalize(self.last_norm(x)[:, 0].float(), dim=-1)
        dense = F.normalize(self.last_norm(near).float(), dim=-1)
        return dense.reshape(-1, *self.grid, int(dense.shape[-1])), image

    @torch.no_grad()
    def reference(self, model: Any, x: Tensor) -> Tensor:
        """Return the model's own image embedding of normalised pixels (B, 3, H, W), unit length."""
        return F.normalize(model.get_image_features(pixel_values=x).pooler_output, dim=-1)


def _rest(block: Any, x: Tensor, mixed: Tensor) -> Tensor:
    """Return a block's output from its input and the output of its attention."""
    x = x + block.layer_scale1(mixed)
    return x + block.layer_scale2(block.mlp(block.norm2(x)))
