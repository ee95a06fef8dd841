"""Exact replacements of torch functions that ONNX, or torch's exporter to it, lacks.

``unfold`` and ``fold`` of blocks that do not overlap are reshapes. Adaptive average pooling and resampling
with antialiasing are linear and separable, ``y = R·x·Cᵀ``, with matrices that depend on the sizes only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_UNFOLD, _FOLD, _POOL, _INTERPOLATE = F.unfold, F.fold, F.adaptive_avg_pool2d, F.interpolate


@contextmanager
def exportable_functions() -> Iterator[None]:
    """Replace the functions inside this block, and silence the exporter's print of failed graphs."""
    log = getattr(torch._C, "_jit_onnx_log", None)
    F.unfold, F.fold = _unfold, _fold  # type: ignore[assignment]
    F.adaptive_avg_pool2d, F.interpolate = _pool, _interpolate  # type: ignore[assignment]
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one operator of torch, unknown to ONNX
    if log is not None:
        torch._C._jit_onnx_log = lambda *_: None
    try:
        yield
    finally:
        F.unfold, F.fold = _UNFOLD, _FOLD
        F.adaptive_avg_pool2d, F.interpolate = _POOL, _INTERPOLATE
        torch.backends.mha.set_fastpath_enabled(fast)
        if log is not None:
            torch._C._jit_onnx_log = log


def _pair(value: Any) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, list | tuple) else (int(value), int(value))


def _are_blocks(x: Tensor, kernel: Any, dilation: Any, padding: Any, stride: Any) -> bool:
    return _pair(kernel) == _pair(stride) and _pair(dilation) == (1, 1) and _pair(padding) == (0, 0)


def _unfold(x: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    kh, kw = _pair(kernel_size)
    if x.ndim == 4 and _are_blocks(x, kernel_size, dilation, padding, stride):
        channels, h, w = (int(n) for n in x.shape[1:])
        if not (h % kh or w % kw):
            blocks = x.reshape(-1, channels, h // kh, kh, w // kw, kw).permute(0, 1, 3, 5, 2, 4)
            return blocks.reshape(-1, channels * kh * kw, (h // kh) * (w // kw))
    return _UNFOLD(x, kernel_size, dilation, padding, stride)


def _fold(
    x: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    (kh, kw), (h, w) = _pair(kernel_size), _pair(output_size)
    if x.ndim == 3 and not (h % kh or w % kw) and _are_blocks(x, kernel_size, dilation, padding, stride):
        channels = int(x.shape[1]) // (kh * kw)
        blocks = x.reshape(-1, channels, kh, kw, h // kh, w // kw).permute(0, 1, 4, 2, 5, 3)
        return blocks.reshape(-1, channels, h, w)
    return _FOLD(x, output_size, kernel_size, dilation, padding, stride)


def _pool(x: Tensor, output_size: Any) -> Tensor:
    sizes = output_size if isinstance(output_size, list | tuple) else (output_size, output_size)
    (h, w), (to_h, to_w) = x.shape[-2:], (s if t is None else t for s, t in zip(x.shape[-2:], sizes))
    if x.ndim == 4 and (int(h) % int(to_h) or int(w) % int(to_w)):
        return _separable(x, (int(to_h), int(to_w)), _POOL)
    return _POOL(x, output_size)  # pyright: ignore[reportArgumentType]


def _interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    if not antialias or size is None or input.ndim != 4:
        return _INTERPOLATE(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)

    def resample(x: Tensor, to: tuple[int, int]) -> Tensor:
        return _INTERPOLATE(x, to, mode=mode, align_corners=align_corners, antialias=True)

    return _separable(input, _pair(size), resample)


def _separable(
    x: Tensor, to: tuple[int, int], function: Callable[[Tensor, tuple[int, int]], Tensor]
) -> Tensor:
    """Return a linear and separable function of the last two axes as two products with constant matrices."""
    h, w = (int(n) for n in x.shape[-2:])

    def matrix(n: int, m: int) -> Tensor:
        unit = torch.eye(n, dtype=torch.float32)
        found = function(unit[:, None, :, None].expand(n, 1, n, 1).contiguous(), (m, 1))
        return found[:, 0, :, 0].T.contiguous().to(x.dtype)

    return matrix(h, to[0]) @ x @ matrix(w, to[1]).T
