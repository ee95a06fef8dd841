# mypy: disallow-untyped-defs=False
"""Compiled search of `slices`: conditions are bit sets of images, conjunctions their bitwise AND.

Words of bits are laid out (word, condition), so that the inner loop over conditions is vectorized.
"""

from typing import Any

import numpy as np

from inficond.core.kernel_cache import cached_njit

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
NOTHING = -1.0


@cached_njit(["u8(u8)"], inline="always", **_OPTIONS)
def _ones(x):
    """Return the number of bits set; LLVM recognizes this pattern."""
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (x * np.uint64(0x0101010101010101)) >> np.uint64(56)


@cached_njit(["f8(i8, i8, i8, i8, f8[::1])"], **_OPTIONS)
def excess(k, m, M, n, xlogx):
    """Return the log-likelihood ratio in nats of k errors in m images, own rate against rate M of n.

    Half of the G statistic; `NOTHING` if the group is not worse than the rest.
    """
    if k * n <= m * M:
        return NOTHING
    inside = xlogx[k] + xlogx[m - k] - xlogx[m]
    outside = xlogx[M - k] + xlogx[n - m - M + k] - xlogx[n - m]
    return inside + outside - (xlogx[M] + xlogx[n - M] - xlogx[n])


@cached_njit(["void(u1[:,::1], i8[::1], u8[:,::1])"], **_OPTIONS)
def pack(flags, images, bits):
    """Set bit j of column f of `bits` (words, F) if image `images[j]` meets condition f of `flags` (n, F)."""
    bits[:] = 0
    for j in range(images.shape[0]):
        i = images[j]
        word = j // 64
        shift = np.uint64(j % 64)
        for f in range(flags.shape[1]):
            bits[word, f] |= np.uint64(flags[i, f]) << shift


@cached_njit(["void(u8[:,::1], i8, u8[::1])"], **_OPTIONS)
def count_with(bits, a, out):
    """Count the images that meet both condition a and each condition, (F,)."""
    out[:] = 0
    for w in range(bits.shape[0]):
        mine = bits[w, a]
        if mine != 0:
            for f in range(bits.shape[1]):
                out[f] += _ones(bits[w, f] & mine)


@cached_njit(
    [
        "f8(u8[:,::1], u8[:,::1], i8[::1], u2[:,::1], u1[::1], i8, i8, f8[::1], i8, i8,"
        "f8[::1], i8[::1], f8[:,::1])"
    ],
    **_OPTIONS,
)
def search(bits, wrong, size, sizes, known, M, n, xlogx, min_size, min_wrong, single, best, pair):
    """Score every single condition, and every pair with one of the best singles.

    Parameters
    ----------
    bits : array (W, F), uint64
        All images (see `pack`). Conditions f and f + F/2 are of the same concept and are not paired.
    wrong : array (V, F), uint64
        Misaligned images only.
    size : array (F,), int64
        Number of images that meet each condition.
    sizes : array (F, F), uint16; known : array (F,), uint8
        Number of images that meet both conditions; row f is valid if known[f] and is computed when needed.
    M, n : int
        Number of misaligned images and of all images.
    xlogx : array (n + 1,)
        ``x log x``.
    min_size, min_wrong : int
        Smaller groups are not scored, nor are groups with fewer than `min_size` images outside.
    single : array (F,)
        Written: scores of single conditions.
    best : array (beam,), int64
        Written: single conditions that are paired.
    pair : array (beam or 0, F)
        Written: scores of pairs; without rows, only the maximum is returned.

    Returns
    -------
    float
        Largest score.
    """
    F = bits.shape[1]
    counts = np.zeros(F, np.uint64)
    keep = pair.shape[0] > 0
    top = NOTHING
    for w in range(wrong.shape[0]):
        for f in range(F):
            counts[f] += _ones(wrong[w, f])
    for f in range(F):
        single[f] = NOTHING
        k, m = np.int64(counts[f]), size[f]
        if k >= min_wrong and m >= min_size and n - m >= min_size:
            single[f] = excess(k, m, M, n, xlogx)
            top = max(top, single[f])
    best[:] = np.argsort(-single)[: best.shape[0]]
    for b in range(best.shape[0]):
        a = best[b]
        if keep:
            pair[b, :] = NOTHING
        if single[a] <= 0.0:
            continue
        if known[a] == 0:
            count_with(bits, a, counts)
            for f in range(F):
                sizes[a, f] = counts[f]
            known[a] = 1
        count_with(wrong, a, counts)
        for c in range(b):  # each pair of two beam members is scored once
            counts[best[c]] = 0
        counts[a] = 0
        counts[(a + F // 2) % F] = 0
        for f in range(F):
            k, m = np.int64(counts[f]), np.int64(sizes[a, f])
            if k >= min_wrong and m >= min_size and n - m >= min_size:
                score = excess(k, m, M, n, xlogx)
                top = max(top, score)
                if keep:
                    pair[b, f] = score
    return top
