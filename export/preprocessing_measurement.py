"""Measurement of a model's preprocessing by probes: pictures whose results are compared.

Attributes of image processors do not state everything they do: some resize to a margin, normalise twice,
shift values, reverse the channels or pad. So the processor runs on made-up pictures, and resize, crop and
normalisation are read off its results::

    pictures of one colour    -> gain and offset of each channel, order of the channels, padding
    ramps from left to right  -> the part of the picture that is kept, hence resize and crop
    photographs, odd shapes   -> the candidate whose pixels are equal; none: the export is refused
"""

import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image

from inficond.core.errors import InputError
from inficond.core.images.decode import open_picture
from inficond.core.models.manifest import CROP_OFFSETS
from inficond.export.preprocessing import Preprocessing
from inficond.export.verify import synthetic_photographs

Process = Callable[[np.ndarray], np.ndarray]
"""From a picture (H, W, 3) uint8 to a model's input (3, h, w) float."""

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that a manifest can name."""

PROBE = 96
LARGE = 384
LARGEST = 4096
"""Pixels of the longest side of an input."""
LEVELS = 0.6
"""Largest difference of a pixel, on a scale of 0 to 255: above one half, whole levels differ."""

COLOURS = np.array(
    [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 64, 32], [17, 90, 201]],
    np.uint8,
)


class VaryingSize(Exception):
    """The processor's result has another size for another picture.

    Attributes
    ----------
    sizes : list of (picture's size, result's size)
        Height and width of each.
    """

    def __init__(self, sizes: list[tuple[tuple[int, int], tuple[int, int]]]) -> None:
        self.sizes = sizes
        super().__init__("the size of the result varies")


@dataclass(frozen=True, kw_only=True)
class Stated:
    """Preprocessing stated in a processor's configuration; candidates that are tried first.

    Attributes
    ----------
    interpolation : str or None
    mean, std : tuple of float or None
    rescale : float
    resize : tuple of int
        Lengths that the shorter side may be resized to.
    """

    interpolation: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    rescale: float = 1 / 255
    resize: tuple[int, ...] = ()


class _Affine(NamedTuple):
    """Values of the model's input: ``gain[c] * picture[channels[c]] + offset[c]``."""

    gain: np.ndarray
    offset: np.ndarray
    channels: tuple[int, int, int]

    def levels(self, result: np.ndarray) -> np.ndarray:
        """Undo the normalisation: (3, h, w) -> (h, w, 3) in levels from 0 to 255, RGB."""
        planes = (result - self.offset[:, None, None]) / self.gain[:, None, None]
        return planes[list(np.argsort(self.channels))].transpose(1, 2, 0)


def measure(process: Process, stated: Stated, title: str, tolerance: float = LEVELS) -> Preprocessing:
    """Find the preprocessing that gives the same pixels as `process`.

    Parameters
    ----------
    process : Process
        What the model's own library does with a picture.
    stated : Stated
        Candidates to try first.
    title : str
        Subject of error messages.
    tolerance : float
        Largest difference of a pixel, in levels from 0 to 255.

    Returns
    -------
    Preprocessing
        Equal on pictures of several shapes.

    Raises
    ------
    VaryingSize
        The size of the result depends on the picture.
    InputError
        No resize, centre crop and normalisation gives these pixels.
    """
    affine = _affine(process, title)
    size = _size(process, title)
    pictures = probe_pictures(size)
    wanted = [affine.levels(process(picture)) for picture in pictures]
    best, least = None, np.inf
    for resize, crop, offset, interpolation in _candidates(process, affine, size, stated, title):
        found = _preprocessing(affine, stated, size, resize, crop, interpolation, offset)
        prepare, worst, at = found.prepare(), 0.0, 0
        for i, (picture, levels) in enumerate(zip(pictures, wanted)):
            apart = float(np.abs(prepare(picture).astype(np.float64) - levels).max())
            if apart > worst:
                worst, at = apart, i
            if worst >= least:  # not better than another candidate
                break
        if worst < least:
            best, least, where = found, worst, at
        if least <= LEVELS:
            break
    if best is None or least > tolerance:
        height, width = pictures[where].shape[:2] if best else (0, 0)
        closest = "" if best is None else _describe(best)
        raise InputError(
            f"{title} does something that no resize and centre crop reproduces: on a picture of "
            f"{width}×{height} pixels the closest ({closest}) differs by up to {least:.0f} of 255 levels; "
            "save "
            "a processor that resizes, crops to the centre and normalises only"
        )
    return best


def stretching(process: Process, stated: Stated, size: tuple[int, int], title: str) -> Preprocessing:
    """Return the measured normalisation with a resize that stretches every picture to a size (H, W)."""
    interpolation = stated.interpolation or "bilinear"
    return _preprocessing(_affine(process, title), stated, size, size, None, interpolation)


def _describe(found: Preprocessing) -> str:
    exact = "{1}×{0}"
    resize = f"shorter side {found.resize}" if isinstance(found.resize, int) else exact.format(*found.resize)
    crop = "no crop" if found.crop is None else "crop " + exact.format(*found.crop)
    return f"{found.interpolation}, {resize}, {crop}"


def probe_pictures(size: tuple[int, int]) -> list[np.ndarray]:
    """Return made-up photographs of odd shapes around an input size.

    Parameters
    ----------
    size : (H, W)

    Returns
    -------
    list of (h, w, 3) uint8
        Wide, tall, very wide, very tall, tiny, in a white and in a black frame, grey and with transparency,
        decoded as image files are; larger and smaller.
    """
    side = min(size)
    shapes = [(1.21, 2.13), (2.37, 1.03), (0.71, 0.55), (1.9, 1.9), (3.1, 2.3)]
    if side > LARGE:
        shapes = shapes[:3]
    pictures = [_photograph((round(side * h) | 1, round(side * w))) for h, w in shapes]
    pictures += [_photograph(shape) for shape in ((19, 26), (32, 231), (230, 33))]
    pictures += [_framed(_photograph((80, 110)), level) for level in (255, 0)]
    grey = Image.fromarray(_photograph((round(side * 1.3), round(side * 0.9)))).convert("L")
    alpha = Image.fromarray(_photograph((round(side * 0.9), round(side * 1.4)))).convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(alpha.size))
    for picture in (grey, alpha):
        file = io.BytesIO()
        picture.save(file, "PNG")
        pictures.append(np.asarray(open_picture(io.BytesIO(file.getvalue())).image))
    return pictures


def _framed(picture: np.ndarray, level: int) -> np.ndarray:
    """Return a picture with a frame of one grey level, which processors for documents cut off."""
    return np.pad(picture, ((20, 20), (25, 25), (0, 0)), constant_values=level)


def _photograph(shape: tuple[int, int]) -> np.ndarray:
    """One smooth picture with a box of hard edges in it."""
    picture = synthetic_photographs(shape, 1)[0]
    height, width = shape
    picture[height // 5 : height // 2, width // 3 : width * 4 // 5] = (240, 20, 90)
    return picture


def _affine(process: Process, title: str) -> _Affine:
    """Return the normalisation and channel order, from pictures of one colour."""
    results = []
    for colour in COLOURS:
        result = process(np.broadcast_to(colour, (PROBE, PROBE, 3)).copy())
        if result.ndim != 3 or result.shape[0] != 3:
            raise InputError(
                f"{title} makes an input of {result.shape[0]} channels; only models that take three (RGB) "
                "can "
                "be exported"
            )
        if not np.isfinite(result).all():
            raise InputError(
                f"{title} makes values that are not finite: correct image_mean, image_std and rescale_factor "
                "in preprocessor_config.json"
            )
        centre = result[:, result.shape[1] // 2, result.shape[2] // 2]
        if np.abs(result - centre[:, None, None]).max() > 1e-3 * max(1.0, float(np.abs(centre).max())):
            raise InputError(
                f"{title} pads pictures or treats parts of a picture differently, which no exported model "
                "does: save a processor whose crop is not larger than what it resizes to (do_pad false)"
            )
        results.append(centre.astype(np.float64))
    black, white = results[0], results[1]
    effect = np.array([r - black for r in results[2:5]])  # (source channel, input channel)
    reach = np.abs(effect).max(axis=0)
    if not reach.any():
        raise InputError(
            f"{title} makes the same input of every colour: correct rescale_factor and image_std in "
            "preprocessor_config.json"
        )
    source = np.abs(effect).argmax(axis=0)
    others = np.abs(effect).sum(axis=0) - reach
    if (reach == 0).any() or sorted(source) != [0, 1, 2] or (others > 1e-4 * reach).any():
        raise InputError(f"{title} mixes or drops colour channels, which no exported model does")
    affine = _Affine((white - black) / 255, black, (int(source[0]), int(source[1]), int(source[2])))
    for colour, result in zip(COLOURS, results):
        expected = affine.gain * colour[list(affine.channels)] + affine.offset
        if np.abs(result - expected).max() > 1e-3 * np.abs(white - black).max():
            raise InputError(
                f"{title} changes brightness or contrast by more than a factor and an offset, which no "
                "exported model does"
            )
    return affine


def _size(process: Process, title: str) -> tuple[int, int]:
    """Height and width of the model's input."""
    sizes = []
    for shape in ((PROBE, 2 * PROBE), (2 * PROBE, PROBE), (PROBE, PROBE), (61, 47)):
        result = process(np.full((*shape, 3), 128, np.uint8))
        sizes.append((shape, (int(result.shape[1]), int(result.shape[2]))))
    if len({to for _, to in sizes}) > 1:
        raise VaryingSize(sizes[:2] if sizes[0][1] != sizes[1][1] else [sizes[0], sizes[-1]])
    height, width = sizes[0][1]
    if not 8 <= min(height, width) <= max(height, width) <= 4096:
        raise InputError(f"{title} makes inputs of {width}×{height} pixels; 8 to 4,096 can be exported")
    return height, width


def _kept(process: Process, affine: _Affine, shape: tuple[int, int]) -> tuple[float, float]:
    """Return the shares of a picture's height and width that are kept, from the slopes of two ramps."""
    height, width = shape
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.rint(np.linspace(0, 255, width))
    picture[..., 1] = np.rint(np.linspace(0, 255, height))[:, None]
    found = affine.levels(process(picture))
    shares = []
    for axis, line in ((0, found[..., 1].mean(axis=1)), (1, found[..., 0].mean(axis=0))):
        margin = len(line) // 8
        inner = line[margin : len(line) - margin]
        slope = np.polyfit(np.arange(len(inner)), inner, 1)[0]
        shares.append(float(slope * len(line) / 255 * (shape[axis] - 1) / shape[axis]))
    return shares[0], shares[1]


def _candidates(
    process: Process, affine: _Affine, size: tuple[int, int], stated: Stated, title: str
) -> Iterator[tuple[int | tuple[int, int], tuple[int, int] | None, str, str]]:
    """Resize, crop, rounding of its offset, and filter; the likeliest first."""
    side = max(size)
    wide, tall = (2 * side, 3 * side), (3 * side, 2 * side)
    kept_wide, kept_tall = _kept(process, affine, wide), _kept(process, affine, tall)
    filters = list(dict.fromkeys(f for f in (stated.interpolation, *FILTERS.values()) if f))
    if np.allclose(kept_wide, kept_tall, rtol=0.02):
        estimate = [s / k for s, k in zip(size, kept_wide)]
        near = [_near(e, s) for e, s in zip(estimate, size)]
        geometries: list[tuple[int | tuple[int, int], tuple[int, int] | None]] = [
            ((h, w), None if (h, w) == size else size) for h, w in itertools.product(*near)
        ]
    else:
        scales = [
            s * min(shape) / (k * n)
            for shape, kept in ((wide, kept_wide), (tall, kept_tall))
            for s, k, n in zip(size, kept, shape)
        ]
        if max(scales) > 1.03 * min(scales) or max(scales) < 0.98 * side:
            raise InputError(
                f"{title} keeps other parts of a picture than a resize and a centre crop do: of "
                f"{wide[1]}×{wide[0]} pixels {kept_wide[1]:.0%} of the width and {kept_wide[0]:.0%} of the "
                f"height, of {tall[1]}×{tall[0]} pixels {kept_tall[1]:.0%} and {kept_tall[0]:.0%}"
            )
        estimate_shorter = float(np.mean(scales))
        lengths = [r for r in stated.resize if abs(r - estimate_shorter) < 0.02 * r and r >= side]
        geometries = [(r, size) for r in dict.fromkeys([*lengths, *_near(estimate_shorter, side)])]
    for interpolation in filters:
        for resize, crop in geometries:
            for offset in CROP_OFFSETS if crop is not None else CROP_OFFSETS[:1]:
                yield resize, crop, offset, interpolation


def _near(estimate: float, least: int) -> list[int]:
    """Return the integers around an estimate, the nearest first."""
    reach = max(2, round(0.006 * estimate))
    around = range(round(estimate) - reach, round(estimate) + reach + 1)
    return sorted((n for n in around if n >= least), key=lambda n: abs(n - estimate)) or [least]


def _preprocessing(
    affine: _Affine,
    stated: Stated,
    size: tuple[int, int],
    resize: int | tuple[int, int],
    crop: tuple[int, int] | None,
    interpolation: str,
    crop_offset: str = "floor",
) -> Preprocessing:
    """Combine what was measured; mean and deviation as stated where they agree with the measurement."""
    found = Preprocessing(
        size=size,
        resize=resize,
        crop=crop,
        interpolation=interpolation,
        mean=_three(-affine.offset / affine.gain / 255),
        std=_three(1 / affine.gain / 255),
        channels=affine.channels,
        crop_offset=crop_offset,
    )
    if stated.mean is None or stated.std is None:
        return found
    mean, std = np.array(stated.mean), np.array(stated.std)
    for m, s in itertools.product((mean, 0 * mean), (std, 1 + 0 * std)):
        gain, offset = stated.rescale / s, -m / s
        reach = np.abs(affine.gain * 255).max()
        if np.abs(gain - affine.gain).max() * 255 < 1e-5 * reach and np.abs(offset - affine.offset).max() < (
            1e-5 * max(reach, 1.0)
        ):
            return replace(found, mean=_three(m), std=_three(s), rescale=stated.rescale)
    return found


def _three(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in values)
    return a, b, c
