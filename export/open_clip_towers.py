"""Image and text tower of a model of open_clip as torch modules.

Each kind of image tower has its own dense recipe. The image embedding is the model's own.

Transformers (CLIP's own blocks, and those of timm, as in SigLIP, EVA02, ViTamin and PE-Core)
    NACLIP's reduced last block as in `towers.py`: ``gain(out_proj(softmax(k·kᵀ/√d + Ω)·v))`` without residual
    and MLP, where `gain` is the block's layer scale. Keys are those that the model compares: after the norm
    of keys and the rotation of PE-Core and EVA02. Norm, pooling and projection are then applied to each patch
    alone: the model's own head gets a sequence that consists of copies of the patch. Class token, mean and
    attention pooling all return the embedding of that patch.
Convolutional networks (ConvNeXt, MobileCLIP)
    The head is applied to each cell of the last feature map alone, as FC-CLIP does (Yu et al., NeurIPS 2023).
ResNet with attention pooling (RN50, …)
    ``c_proj(v_proj(cell))``, as MaskCLIP does (Zhou, Loy & Dai, ECCV 2022).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from inficond.core.errors import InputError
from inficond.export.attention import attend
from inficond.export.preprocessing import Preprocessing
from inficond.export.towers import Dense, neighbourhood, pixel_affine

NACLIP, PER_CELL, MASKCLIP = "NACLIP-reduced", "head of each cell (FC-CLIP)", "value projection (MaskCLIP)"


class _TorchAttention(nn.Module):
    """Attention of open_clip's own blocks: `torch.nn.MultiheadAttention`."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.heads, self.scale = inner, inner.num_heads, None

    def forward(self, x: Tensor, rotation: Tensor | None) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, S, heads·d)."""
        return F.linear(x, self.inner.in_proj_weight, self.inner.in_proj_bias).chunk(3, dim=-1)

    def finish(self, mixed: Tensor) -> Tensor:
        """Return the output of the attention."""
        return self.inner.out_proj(mixed)


class _TimmAttention(nn.Module):
    """Attention of the transformers of timm, with norms of queries and keys and with rotation."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner, self.heads, self.scale = inner, inner.num_heads, inner.scale

    def forward(self, x: Tensor, rotation: Tensor | None) -> tuple[Tensor, ...]:
        """Return queries, keys and values (B, S, heads·d)."""
        inner = self.inner
        if inner.qkv is None:
            q, k, v = inner.q_proj(x), inner.k_proj(x), inner.v_proj(x)
        else:
            q, k, v = inner.qkv(x).chunk(3, dim=-1)
            if getattr(inner, "q_bias", None) is not None:
                q, k, v = q + inner.q_bias, k + inner.k_bias, v + inner.v_bias
        q, k = (self._prepared(x, norm, rotation) for x, norm in ((q, inner.q_norm), (k, inner.k_norm)))
        return q, k, v

    def _prepared(self, x: Tensor, norm: nn.Module, rotation: Tensor | None) -> Tensor:
        if rotation is None and isinstance(norm, nn.Identity):
            return x
        length, width = int(x.shape[1]), int(x.shape[2])
        x = norm(x.reshape(-1, length, self.heads, width // self.heads).transpose(1, 2))
        if rotation is not None:
            from timm.layers import apply_rot_embed_cat  # pyright: ignore[reportMissingImports, reportPrivateImportUsage]

            first, half = self.inner.num_prefix_tokens, getattr(self.inner, "rotate_half", False)
            turned = apply_rot_embed_cat(x[:, :, first:], rotation, half=half)
            x = torch.cat([x[:, :, :first], turned], dim=2)
        return x.transpose(1, 2).reshape(-1, length, width)

    def finish(self, mixed: Tensor) -> Tensor:
        """Return the output of the attention."""
        return self.inner.proj(self.inner.norm(mixed))


class _Gain(nn.Module):
    """Layer scale."""

    def __init__(self, gain: Any) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled tokens."""
        return x if self.gain is None else x * self.gain


class _Block(nn.Module):
    """A transformer block, in parts that are named alike for every library."""

    def __init__(self, block: Any, name: str) -> None:
        super().__init__()
        kind, attention = type(block).__name__, block.attn
        if kind == "ResidualAttentionBlock" and isinstance(attention, nn.MultiheadAttention):
            self.attention: Any = _TorchAttention(attention)
            self.norm1, self.norm2, self.mlp = block.ln_1, block.ln_2, block.mlp
            self.gain1, self.gain2 = block.ls_1, block.ls_2
        elif kind in ("Block", "EvaBlock") and _is_plain(attention):
            self.attention = _TimmAttention(attention)
            self.norm1, self.norm2, self.mlp = block.norm1, block.norm2, block.mlp
            if kind == "Block":
                self.gain1, self.gain2 = block.ls1, block.ls2
            else:
                self.gain1, self.gain2 = _Gain(block.gamma_1), _Gain(block.gamma_2)
        else:
            raise InputError(
                f"{name} has blocks of the kind {kind} with {type(attention).__name__}, whose dense features "
                "are not known here: choose a model with plain transformer blocks, such as ViT-B-16"
            )

    def attend(self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return the scaled output of the attention."""
        part = self.attention
        return self.gain1(part.finish(attend(q, k, v, part.heads, part.scale, bias)))


def _is_plain(attention: Any) -> bool:
    parts = all(hasattr(attention, part) for part in ("qkv", "proj", "norm", "q_norm", "scale", "num_heads"))
    return parts and getattr(attention, "gate", None) is None and getattr(attention, "num_kv_groups", 1) == 1


class OpenClipTower(nn.Module):
    """Image tower: pixels to the image's embedding and to one embedding per patch, both of unit length.

    Parameters
    ----------
    model : nn.Module
        A model of open_clip whose input size is that of `preprocessing`.
    preprocessing : Preprocessing
    dense : Dense
        Options of the reduced last block; unused by convolutional networks.
    name : str
        For messages.

    Raises
    ------
    InputError
        The image tower is of a kind for which no dense recipe is known.
    """

    gain: Tensor
    shift: Tensor

    def __init__(self, model: Any, preprocessing: Preprocessing, dense: Dense, name: str) -> None:
        super().__init__()
        gain, shift = pixel_affine(list(preprocessing.mean), list(preprocessing.std), preprocessing.rescale)
        self.register_buffer("gain", gain)
        self.register_buffer("shift", shift)
        self.body = _body(model.visual, preprocessing.size, dense, name)
        self.grid, self.method = self.body.grid, self.body.method

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
        x = pixels.permute(0, 3, 1, 2).to(self.gain.dtype) * self.gain + self.shift
        dense, image = self.body(x)
        dense = F.normalize(dense.float(), dim=-1)
        return dense.reshape(-1, *self.grid, int(dense.shape[-1])), F.normalize(image.float(), dim=-1)


def _body(visual: Any, size: tuple[int, int], dense: Dense, name: str) -> Any:
    kind = type(visual).__name__
    if kind == "VisionTransformer":
        return _Transformer(_OwnTrunk(visual), visual.transformer.resblocks, size, dense, name)
    if kind == "ModifiedResNet":
        return _ResNet(visual, size)
    trunk = getattr(visual, "trunk", None)
    if trunk is not None and all(
        hasattr(trunk, p) for p in ("patch_embed", "blocks", "norm_pre", "_pos_embed")
    ):
        if getattr(trunk, "rope_mixed", False):
            raise InputError(f"{name} rotates each block differently, which cannot be exported here")
        return _Transformer(_TimmTrunk(visual), trunk.blocks, size, dense, name)
    if trunk is not None and all(hasattr(trunk, p) for p in ("forward_features", "forward_head")):
        return _Convolutional(visual, size, name)
    raise InputError(
        f"{name} has an image tower of the kind {kind}, whose dense features are not known here: choose a "
        "vision transformer, a ConvNeXt or a ResNet of open_clip"
    )


class _OwnTrunk(nn.Module):
    """Beginning and end of open_clip's own vision transformer."""

    prefix, rotation = 1, None

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual = visual

    def begin(self, x: Tensor) -> Tensor:
        """Return the tokens before the first block."""
        return self.visual._embeds(x)

    def end(self, tokens: Tensor) -> Tensor:
        """Return the embedding (B, D) of the tokens after the last block."""
        pooled = self.visual._pool(tokens)[0]
        return pooled if self.visual.proj is None else pooled @ self.visual.proj


class _TimmTrunk(nn.Module):
    """Beginning and end of a vision transformer of timm inside open_clip."""

    def __init__(self, visual: Any) -> None:
        super().__init__()
        self.visual, self.prefix = visual, visual.trunk.num_prefix_tokens
        rope = getattr(visual.trunk, "rope", None)
        self.register_buffer("rotation", None if rope is None else rope.get_embed().detach())

    def begin(self, x: Tensor) -> Tensor:
        """Return the tokens before the first block."""
        trunk = self.visual.trunk
        x = trunk._pos_embed(trunk.patch_embed(x))
        return trunk.norm_pre(x[0] if isinstance(x, tuple) else x)

    def end(self, tokens: Tensor) -> Tensor:
        """Return the embedding (B, D) of the tokens after the last block."""
        return self.visual.head(self.visual.trunk.forward_head(self.visual.trunk.norm(tokens)))


class _Transformer(nn.Module):
    """Vision transformer with NACLIP's reduced last block."""

    omega: Tensor
    method = NACLIP

    def __init__(self, trunk: Any, blocks: Any, size: tuple[int, int], dense: Dense, name: str) -> None:
        super().__init__()
        self.trunk: Any = trunk
        self.blocks: Any = nn.ModuleList(_Block(block, name) for block in blocks)
        with torch.no_grad():
            tokens = trunk.begin(torch.zeros(1, 3, *size))
        self.grid = _grid(int(tokens.shape[1]) - trunk.prefix, size, name)
        omega = neighbourhood(self.grid, dense, class_token=False)
        self.register_buffer("omega", F.pad(omega, (trunk.prefix, 0, trunk.prefix, 0))[None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of patches (B, S, D) and image (B, D)."""
        x = self.trunk.begin(x)
        near, last = x, len(self.blocks) - 1
        for i, block in enumerate(self.blocks):
            q, k, v = block.attention(block.norm1(x), self.trunk.rotation)
            if i == last:
                near = block.attend(k, k, v, self.omega)[:, self.trunk.prefix :]
            x = x + block.attend(q, k, v)
            x = x + block.gain2(block.mlp(block.norm2(x)))
        cells, width = int(near.shape[1]), int(near.shape[2])
        copies = torch.cat([near.reshape(-1, 1, width)] * (self.trunk.prefix + 1), dim=1)
        dense = self.trunk.end(copies)
        return dense.reshape(-1, cells, int(dense.shape[-1])), self.trunk.end(x)


class _Convolutional(nn.Module):
    """Convolutional network of timm whose head is applied to each cell."""

    method = PER_CELL

    def __init__(self, visual: Any, size: tuple[int, int], name: str) -> None:
        super().__init__()
        self.visual = visual
        with torch.no_grad():
            found = visual.trunk.forward_features(torch.zeros(1, 3, *size))
        if found.ndim != 4 or getattr(visual.trunk, "output_fmt", "NCHW") not in ("NCHW", None):
            raise InputError(
                f"{name} has an image tower ({type(visual.trunk).__name__}) without a feature map of "
                "channels, rows and columns: its dense features are not known here"
            )
        if hasattr(visual.head, "pool"):
            raise InputError(
                f"{name} pools its feature map by attention with positions, so single cells have no embedding"
            )
        self.grid = (int(found.shape[2]), int(found.shape[3]))

    def _end(self, maps: Tensor) -> Tensor:
        return self.visual.head(self.visual.trunk.forward_head(maps))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of cells (B, S, D) and image (B, D)."""
        maps = self.visual.trunk.forward_features(x)
        channels, cells = int(maps.shape[1]), self.grid[0] * self.grid[1]
        dense = self._end(maps.flatten(2).transpose(1, 2).reshape(-1, channels, 1, 1))
        return dense.reshape(-1, cells, int(dense.shape[-1])), self._end(maps)


class _ResNet(nn.Module):
    """open_clip's ResNet with attention pooling."""

    method = MASKCLIP

    def __init__(self, visual: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.visual = visual
        with torch.no_grad():
            found = self._maps(torch.zeros(1, 3, *size))
        self.grid = (int(found.shape[2]), int(found.shape[3]))

    def _maps(self, x: Tensor) -> Tensor:
        visual = self.visual
        return visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(x)))))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the embeddings of cells (B, S, D) and image (B, D)."""
        maps, pool = self._maps(x), self.visual.attnpool
        cells = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([cells.mean(dim=1, keepdim=True), cells], dim=1) + pool.positional_embedding
        q, k, v = pool.q_proj(tokens[:, :1]), pool.k_proj(tokens), pool.v_proj(tokens)
        image = pool.c_proj(attend(q, k, v, pool.num_heads))[:, 0]
        return pool.c_proj(pool.v_proj(cells)), image


def _grid(cells: int, size: tuple[int, int], name: str) -> tuple[int, int]:
    """Return the rows and columns of a number of cells, in the shape of the input."""
    rows = max(1, round((cells * size[0] / size[1]) ** 0.5))
    if rows * (cells // rows) != cells:
        raise InputError(f"{name} has {cells} patches, which are not a grid in the shape of its input")
    return rows, cells // rows


class OpenClipText(nn.Module):
    """Text tower: token ids to an embedding in the joint space."""

    inputs = ("input_ids",)

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return float32 (B, D), unit length, for int64 (B, L) ids."""
        return F.normalize(self.model.encode_text(input_ids).float(), dim=-1)
