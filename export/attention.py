"""Attention that is exported as one node of ONNX Runtime.

ONNX Runtime does not recognise the attention of most vision transformers in a graph of standard operators. A
graph with `com.microsoft.MultiHeadAttention` nodes runs 1.0 to 1.1 times as fast on a CPU at batch 1
(measured by `inficond bench encode_peers`), and uses the flash kernels on a GPU. For runtimes with standard
operators only (TensorRT, CoreML, OpenVINO), `plain` exports it in those.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor
from torch.onnx import symbolic_helper

FUSED_OP = "MultiHeadAttention"
IMPLEMENTATION = "inficond_fused"

_fused: ContextVar[bool] = ContextVar("fused_attention", default=True)


@contextmanager
def plain(enabled: bool = True) -> Iterator[None]:
    """Export attention in standard operators inside this block."""
    token = _fused.set(not enabled)
    try:
        yield
    finally:
        _fused.reset(token)


def _decomposed(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, heads: int, scale: float) -> Tensor:
    def split(x: Tensor) -> Tensor:
        # Integers instead of traced shapes: the graph then reshapes to constant sizes.
        return x.reshape(-1, int(x.shape[1]), heads, int(x.shape[2]) // heads).transpose(1, 2)

    logits = (split(q) * scale) @ split(k).transpose(-1, -2)
    if bias is not None:
        logits = logits + bias
    mixed = torch.softmax(logits, dim=-1) @ split(v)
    return mixed.transpose(1, 2).reshape(-1, int(q.shape[1]), int(v.shape[2]))


class _Fused(torch.autograd.Function):
    """Attention that torch computes by its formula and ONNX by one node."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, heads: int, scale: float
    ) -> Tensor:
        return _decomposed(q, k, v, bias, heads, scale)

    @staticmethod
    def symbolic(g: Any, q: Any, k: Any, v: Any, bias: Any, heads: int, scale: float) -> Any:
        inputs = [q, k, v]
        if bias is not None:
            absent = symbolic_helper._optional_input_placeholder_tensor(g)
            inputs += [absent, absent, bias]
        out = g.op(f"com.microsoft::{FUSED_OP}", *inputs, num_heads_i=heads, scale_f=scale)
        out.setType(q.type())
        return out


def attend(
    q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None = None, bias: Tensor | None = None
) -> Tensor:
    """Compute multi-head attention ``softmax(q·kᵀ·scale + bias)·v``, heads side by side in the last axis.

    Parameters
    ----------
    q : Tensor
        Queries, (B, S, heads·d).
    k, v : Tensor
        Keys and values, (B, L, heads·d).
    heads : int
        Number of heads.
    scale : float, optional
        Factor on the logits; ``d ** -0.5`` when None.
    bias : Tensor, optional
        Added to the logits; broadcasts to (B, heads, S, L).

    Returns
    -------
    Tensor
        (B, S, heads·d).
    """
    # A traced shape is a tensor, but the attribute of a node must be a number.
    scale = (int(q.shape[-1]) // heads) ** -0.5 if scale is None else float(scale)
    if _fused.get():
        return _Fused.apply(q, k, v, bias, heads, scale)
    return _decomposed(q, k, v, bias, heads, scale)  # pyright: ignore[reportArgumentType]


def _for_transformers(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return attention with the signature of transformers: (B, H, S, d) to (B, S, H, d)."""
    heads, length, width = (int(n) for n in query.shape[1:])

    def join(x: Tensor) -> Tensor:
        return x.transpose(1, 2).reshape(-1, int(x.shape[2]), heads * width)

    out = attend(join(query), join(key), join(value), heads, scaling, attention_mask)
    return out.reshape(-1, length, heads, width), None


def register() -> str:
    """Register the fused attention with transformers; return its name for `attn_implementation`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(IMPLEMENTATION, _for_transformers)
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
    return IMPLEMENTATION
