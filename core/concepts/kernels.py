"""Numba kernels of concept vectors."""

import numpy as np

from inficond.core.kernel_cache import cached_njit, prange


@cached_njit(
    "void(float32[:,:,::1], float32[:,::1], float32[:,::1])",
    parallel=True,
    fastmath={"reassoc", "contract", "nsz"},
    error_model="numpy",
)
def max_over_regions(regions: np.ndarray, words: np.ndarray, out: np.ndarray) -> None:
    """Compute ``out[n, k] = max(0, max_r regions[n, r] · words[k])``, in parallel over images.

    The order of summation of a value does not depend on the number of images or threads, so results are
    bitwise reproducible. Four regions are processed together, so that each word is loaded once for four of
    them.
    """
    n, r, d = regions.shape
    k = words.shape[0]
    for i in prange(n):
        for j in range(k):
            best = np.float32(0.0)
            p = 0
            while p + 4 <= r:
                s0 = np.float32(0.0)
                s1 = np.float32(0.0)
                s2 = np.float32(0.0)
                s3 = np.float32(0.0)
                for q in range(d):
                    w = words[j, q]
                    s0 += regions[i, p, q] * w
                    s1 += regions[i, p + 1, q] * w
                    s2 += regions[i, p + 2, q] * w
                    s3 += regions[i, p + 3, q] * w
                best = max(best, max(max(s0, s1), max(s2, s3)))
                p += 4
            while p < r:
                s = np.float32(0.0)
                for q in range(d):
                    s += regions[i, p, q] * words[j, q]
                best = max(best, s)
                p += 1
            out[i, j] = best
