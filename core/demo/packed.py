"""Compression of the demo's region embeddings by transform coding.

Region embeddings of unit length have few significant dimensions. They are rotated to their principal axes,
rounded with one step for all axes (the least squared error for a given size at high rate: Gersho and Gray,
*Vector Quantization and Signal Compression*, 1992, chapter 8), and compressed axis by axis. Decompression
multiplies integers stored as float64, whose sums below 2⁵³ are exact: every machine gets the same regions.
"""

import lzma

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError

AXIS = 1 << 14  # principal axes are stored as multiples of 1 / AXIS
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


def pack_regions(regions: NDArray[np.floating], step: float) -> dict[str, NDArray]:
    """Pack unit vectors.

    Parameters
    ----------
    regions : (n, R, D) float
        Unit length.
    step : float
        Spacing of the grid; the root-mean-square error of a vector along any direction is step/√12.

    Returns
    -------
    dict of arrays
        What `unpack_regions` takes; small enough to be kept in an ``.npz``.
    """
    n, count, dim = regions.shape
    flat = np.asarray(regions, np.float64).reshape(-1, dim)
    energy, axes = np.linalg.eigh(flat.T @ flat / len(flat))
    axes = axes[:, np.argsort(energy)[::-1]]
    # The sign of an eigenvector is arbitrary; a fixed one makes builds reproducible.
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), np.arange(dim)] < 0, -1.0, 1.0)
    codes = np.rint(flat @ axes / step)
    used = int(np.flatnonzero(np.abs(codes).max(axis=0))[-1]) + 1
    # All low bytes, then all high bytes, which are nearly equal and compress well.
    planes = np.ascontiguousarray(codes[:, :used].T.astype("<i2")).view(np.uint8).reshape(-1, 2).T
    return {
        "shape": np.array([n, count, dim, used]),
        "axes": np.rint(axes[:, :used] * AXIS).astype(np.int16),
        "codes": pack_bytes(planes),
    }


def unpack_regions(packed: dict[str, NDArray]) -> NDArray[np.float16]:
    """Undo `pack_regions`, up to its rounding.

    Parameters
    ----------
    packed : dict of arrays
        From `pack_regions`.

    Returns
    -------
    (n, R, D) float16
        Unit length; zero vectors stay zero.

    Raises
    ------
    InputError
        The stream is damaged.
    """
    n, count, dim, used = (int(size) for size in packed["shape"])
    planes = unpack_bytes(packed["codes"], 2 * used * n * count).reshape(2, -1)
    codes = np.ascontiguousarray(planes.T).view("<i2").reshape(used, n * count)
    axes = packed["axes"].astype(np.float64)
    out = np.empty((n * count, dim), np.float16)
    for start in range(0, n * count, 4096):
        part = codes[:, start : start + 4096].T.astype(np.float64) @ axes.T
        length = np.sqrt((part * part).sum(axis=1, keepdims=True))
        out[start : start + 4096] = part / np.where(length > 0, length, 1.0)
    return out.reshape(n, count, dim)


def pack_bytes(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compress bytes."""
    stream = lzma.compress(np.ascontiguousarray(array).tobytes(), format=lzma.FORMAT_RAW, filters=FILTERS)
    return np.frombuffer(stream, np.uint8)


def unpack_bytes(stream: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Undo `pack_bytes`.

    Parameters
    ----------
    stream : array of uint8
        From `pack_bytes`.
    size : int
        How many bytes there must be.

    Raises
    ------
    InputError
        The stream is damaged.
    """
    try:
        raw = lzma.decompress(stream.tobytes(), format=lzma.FORMAT_RAW, filters=FILTERS)
    except lzma.LZMAError as error:
        raise InputError("the demo's arrays are damaged: install InFiConD again") from error
    if len(raw) != size:
        raise InputError("the demo's arrays are cut short: install InFiConD again")
    return np.frombuffer(raw, np.uint8)
