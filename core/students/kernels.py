# mypy: disallow-untyped-defs=False
"""Compiled loops of the metrics and their bootstrap: one thread, no GIL, for many visitors share a machine.

Every kernel works on images already sorted by score, highest first, so that no replicate sorts again.
"""

from typing import Any

import numpy as np
from numba import njit

N_METRICS = 5
"""Columns of a row of metrics, in the order of `metrics.METRICS`."""

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(["f8(u1[::1], u1[::1])"], **_OPTIONS)
def sorted_average_precision(yes, last):
    """Average precision of images in descending order of score.

    Parameters
    ----------
    yes : array (n,), uint8
        1 where the target says yes.
    last : array (n,), uint8
        1 at the last image of every run of equal scores.

    Returns
    -------
    float
        Σ over runs of precision × gain in recall; NaN without a yes.
    """
    found = 0
    counted = 0
    total = 0.0
    for i in range(yes.shape[0]):
        found += yes[i]
        if last[i] != 0 and found > counted:
            total += (found - counted) * (found / (i + 1))
            counted = found
    if found == 0:
        return np.nan
    return total / found


@njit(["void(f8[::1], f8, f8, f8, f8, f8, f8)"], **_OPTIONS)
def _fill(row, n, positives, said, hits, ap, loss):
    """The metrics of one row from its counts: agreement, balanced agreement, AP, F1, BCE."""
    negatives = n - positives
    rejected = negatives - (said - hits)
    row[0] = (hits + rejected) / n
    row[1] = 0.5 * (hits / positives + rejected / negatives)  # NaN where one side is empty
    row[2] = ap / positives
    row[3] = 2.0 * hits / (positives + said)
    row[4] = loss / n


@njit(["f8(u1[::1], i4[::1], u1[::1], i8)"], **_OPTIONS)
def _weighted_ap(weight, group, mark, end):
    """Σ over runs of (positives in the run) × precision, every image weighted by its group's count."""
    seen = np.int32(0)
    found = np.int32(0)
    counted = np.int32(0)
    total = 0.0
    for i in range(end):
        w = np.int32(weight[group[i]])
        seen += w
        if mark[i] != 0:
            if mark[i] & 1:
                found += w
            if mark[i] & 2 and found > counted:
                total += (found - counted) * (found / seen)
                counted = found
    return total


# Reordering the additions is what lets this loop use vector registers; all numbers in it are finite.
@njit(["f4(f4[::1], f4[::1])"], fastmath={"reassoc", "contract"}, **_OPTIONS)
def _dot(a, b):
    total = np.float32(0.0)
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@njit(["void(f8[:,::1], u1[::1], f4[::1], f4[:,::1], i4[:,::1], u1[:,::1], i8[::1], f8[::1])"], **_OPTIONS)
def _measure(out, weight, share, sums, group, mark, end, total):
    """The metrics of every student under one set of weights."""
    for j in range(sums.shape[0]):
        total[j] = _dot(share, sums[j])
    for m in range(group.shape[0]):
        ap = _weighted_ap(weight, group[m], mark[m], end[m])
        k = 2 + 3 * m
        _fill(out[m], total[0], total[1], total[k], total[k + 1], ap, total[k + 2])


@njit(["void(f8[:,:,::1], u8, f4[:,::1], i4[:,::1], u1[:,::1])"], **_OPTIONS)
def resample(out, seed, sums, group, mark):
    """The metrics of one or two students, as they are and in bootstrap replicates, the same draws for both.

    Parameters
    ----------
    out : array (1 + B, m, 5), float64
        Filled with agreement, balanced agreement, AP, F1 and BCE of each of m students: first every group
        once, then B replicates.
    seed : uint64
        Replicate b depends on `seed` and b alone.
    sums : array (2 + 3·m, G), float32
        Per group: images, the target's yes, then per student its yes, its right yes and its summed loss.
    group : array (m, n), int32
        Group of each image, images in each student's descending order of score.
    mark : array (m, n), uint8
        In the same order: 1 where the target says yes, plus 2 where the AP takes a step, that is at the last
        image of every run of equal scores that holds a yes.

    Notes
    -----
    G groups are drawn with replacement out of G (Efron 1979, over groups where images share a source). Only
    AP needs the order of the images: everything else is a sum over groups.
    """
    G = sums.shape[1]
    weight = np.ones(G, np.uint8)  # a draw of 256 of one group has probability 1e-507, and bytes stay in L1
    share = np.ones(G, np.float32)
    total = np.zeros(sums.shape[0], np.float64)
    end = np.zeros(group.shape[0], np.int64)
    for m in range(group.shape[0]):  # below the last yes no image can change AP
        for i in range(group.shape[1]):
            if mark[m, i] != 0:
                end[m] = i + 1
    _measure(out[0], weight, share, sums, group, mark, end, total)
    size = np.uint64(G)
    for b in range(1, out.shape[0]):
        # splitmix64 (Steele, Lea and Flood 2014); one step gives two draws by Lemire's multiply-and-shift.
        state = seed + np.uint64(b) * np.uint64(0xD1B54A32D192ED03)
        weight[:] = 0
        for _ in range((G + 1) // 2):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            weight[((z & np.uint64(0xFFFFFFFF)) * size) >> np.uint64(32)] += 1
            weight[((z >> np.uint64(32)) * size) >> np.uint64(32)] += 1
        if G % 2 == 1:  # the last step drew one too many
            weight[((z >> np.uint64(32)) * size) >> np.uint64(32)] -= 1
        for g in range(G):
            share[g] = weight[g]
        _measure(out[b], weight, share, sums, group, mark, end, total)
