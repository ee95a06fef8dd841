# mypy: disallow-untyped-defs=False
"""Compiled loops of the metrics and their bootstrap, single-threaded and without the interpreter lock.

The bootstrap first draws how often each group of images counts in each replicate. One pass through the images
in descending order of score then updates all replicates: nothing is sorted again, and the inner loops run
over adjacent replicates and are vectorized.
"""

from typing import Any

import numpy as np

from inficond.core.kernel_cache import cached_kernel

N_METRICS = 5
"""Number of metrics, in the order of `metrics.METRICS`."""

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}


@cached_kernel("f8(u1[::1], u1[::1])", **_OPTIONS)
def sorted_average_precision(yes, last):
    """Return the average precision of images in descending order of score.

    Parameters
    ----------
    yes : array (n,), uint8
        1 for positives.
    last : array (n,), uint8
        1 at the last image of every run of equal scores.

    Returns
    -------
    float
        Σ over runs of precision × gain in recall; NaN without positives.
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


@cached_kernel("void(u1[:,::1], u8, i8)", **_OPTIONS)
def draw(counts, seed, first):
    """Draw G of G groups with replacement for each replicate (Efron 1979).

    Parameters
    ----------
    counts : array (G, B), uint8, zeros
        Written: how often each group is drawn. 256 draws of one group have probability 1e-507.
    seed : uint64
        Replicate b depends on `seed` and b only.
    first : int
        Number of the replicate in the first column, counted from 1.
    """
    G, B = counts.shape
    size = np.uint64(G)
    for b in range(B):
        # splitmix64 (Steele, Lea and Flood 2014); each step gives two draws by Lemire's multiply-and-shift.
        state = seed + np.uint64(first + b) * np.uint64(0xD1B54A32D192ED03)
        for i in range((G + 1) // 2):
            state += np.uint64(0x9E3779B97F4A7C15)
            z = state
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            counts[((z & np.uint64(0xFFFFFFFF)) * size) >> np.uint64(32), b] += 1
            if 2 * i + 1 < G:  # for odd G the last step gives one draw
                counts[((z >> np.uint64(32)) * size) >> np.uint64(32), b] += 1


@cached_kernel("void(f8[:,::1], u1[:,::1], i4[::1], u1[::1], i8, f4[:,::1])", **_OPTIONS)
def resample(out, counts, group, mark, said_first, sums):
    """Compute the metrics of one student in replicates.

    Parameters
    ----------
    out : array (B, 5), float64
        Written: agreement, balanced agreement, AP, F1 and BCE.
    counts : array (G, B), uint8
        How often each group counts in each replicate.
    group : array (n,), int32
        Group of each image, in descending order of score.
    mark : array (n,), uint8
        In the same order: 1 for positives, plus 2 at the last image of every run of equal scores with a
        positive, where the AP changes.
    said_first : int
        Number of positives of the student, the first images.
    sums : array (G, 2), float32
        Number of images and sum of losses of each group.
    """
    G, B = counts.shape
    end = said_first
    for i in range(group.shape[0]):  # images below the last positive do not change the AP
        if mark[i] != 0 and i >= end:
            end = i + 1
    seen, found, counted = np.zeros(B, np.int32), np.zeros(B, np.int32), np.zeros(B, np.int32)
    said, hits, total = np.zeros(B, np.int32), np.zeros(B, np.int32), np.zeros(B, np.float64)
    for i in range(end):
        if i == said_first:
            said[:] = seen
            hits[:] = found
        g = group[i]
        for b in range(B):
            seen[b] += counts[g, b]
        if mark[i] & 1:
            for b in range(B):
                found[b] += counts[g, b]
        if mark[i] & 2:
            for b in range(B):
                precision = found[b] / np.float64(max(seen[b], 1))
                total[b] += (found[b] - counted[b]) * precision
                counted[b] = found[b]
    if said_first == end:
        said[:] = seen
        hits[:] = found
    images, loss = np.zeros(B, np.float64), np.zeros(B, np.float64)
    some, some_loss = np.zeros(B, np.float32), np.zeros(B, np.float32)
    for start in range(0, G, 128):  # partial sums in float32, totals in float64
        some[:] = 0
        some_loss[:] = 0
        for g in range(start, min(G, start + 128)):
            size, lost = sums[g, 0], sums[g, 1]
            for b in range(B):
                share = np.float32(counts[g, b])
                some[b] += share * size
                some_loss[b] += share * lost
        for b in range(B):
            images[b] += some[b]
            loss[b] += some_loss[b]
    for b in range(B):
        n, positives = images[b], np.float64(found[b])
        negatives = n - positives
        rejected = negatives - (said[b] - hits[b])
        out[b, 0] = (hits[b] + rejected) / n
        out[b, 1] = 0.5 * (hits[b] / positives + rejected / negatives)  # NaN where one side is empty
        out[b, 2] = total[b] / positives
        out[b, 3] = 2.0 * hits[b] / (positives + said[b])
        out[b, 4] = loss[b] / n
