"""Photographs of the collages: cut-outs with shadows, and backgrounds with their ground.

All computations use Pillow's integer arithmetic, so the results are the same on every machine.
"""

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from inficond.core.demo.staging import BACKGROUNDS, CUTOUTS, BackgroundStaging, CutoutStaging

ASSETS = Path(__file__).parent / "assets"

# Sprites have a margin, because shadows may be wider than the subject.
MARGIN = 0.15


@dataclass(frozen=True)
class Cutout:
    """Prepared cut-out; its three pictures have the same size, including the margin.

    Attributes
    ----------
    name, klass : str
        Id in the manifest, and class.
    sprite : PIL.Image.Image
        RGBA.
    contact, cast : PIL.Image.Image
        ``L`` masks: the narrow line where the subject touches the ground, and the wide soft shadow.
    box : tuple of int
        Left, top, right, bottom of the subject inside the picture.
    tone : tuple of int
        Mean colour of the subject.
    staging : CutoutStaging
        Size and pose.
    """

    name: str
    klass: str
    sprite: Image.Image
    contact: Image.Image
    cast: Image.Image
    box: tuple[int, int, int, int]
    tone: tuple[int, int, int]
    staging: CutoutStaging


@dataclass(frozen=True)
class Background:
    """Prepared background.

    Attributes
    ----------
    name : str
        Id in the manifest.
    image : PIL.Image.Image
        RGB, with its ground stretched as given by the staging.
    horizon : float
        Upper edge of the ground, as a fraction of the height of `image`.
    tone : tuple of int
        Mean colour of the ground, or of the whole image if there is no ground.
    staging : BackgroundStaging
        Kind and range of crops.
    """

    name: str
    image: Image.Image
    horizon: float
    tone: tuple[int, int, int]
    staging: BackgroundStaging


@cache
def manifest() -> dict[str, Any]:
    """Return classes, sources and licences of the material, from `assets/manifest.json`."""
    return json.loads((ASSETS / "manifest.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=128)
def cutout(name: str) -> Cutout:
    """Load one cut-out and compute its shadows.

    Parameters
    ----------
    name : str
        Id in the manifest.
    """
    with Image.open(ASSETS / "cut" / f"{name}.webp") as file:
        raw = file.convert("RGBA")
    # Erode the rim, which has a line of the original background.
    alpha = raw.getchannel("A").filter(ImageFilter.MinFilter(3)).filter(ImageFilter.GaussianBlur(0.7))
    raw.putalpha(alpha)
    left, top, right, bottom = alpha.point(lambda a: 255 if a > 96 else 0).getbbox() or (0, 0, *raw.size)  # pyright: ignore[reportOperatorIssue]
    raw = _retouched(raw.crop((left, top, right, bottom)), CUTOUTS[name])
    width, height = raw.size
    pad = max(8, round(MARGIN * max(width, height)))
    size = (width + 2 * pad, height + 2 * pad)
    sprite = Image.new("RGBA", size)
    sprite.paste(raw, (pad, pad))
    contact, cast = _shadows(raw.getchannel("A"), pad)
    return Cutout(
        name,
        manifest()["cutouts"][name]["class"],
        sprite,
        contact,
        cast,
        (pad, pad, pad + width, pad + height),
        _mean(raw),
        CUTOUTS[name],
    )


def _shadows(alpha: Image.Image, pad: int) -> tuple[Image.Image, Image.Image]:
    """Return contact line and cast shadow of an outline that stands on its lowest points."""
    a = np.asarray(alpha) > 128
    height, width = a.shape
    # Lowest opaque pixel of each column; columns that end far above the lowest one have no contact.
    lowest = np.where(a.any(axis=0), height - 1 - a[::-1].argmax(axis=0), -height)
    reach = max(3, round(0.13 * height))
    touching = np.flatnonzero(lowest >= height - reach)
    contact = np.zeros((height + 2 * pad, width + 2 * pad), np.uint8)
    thick = max(2, round(0.028 * height))
    for x in touching:
        y = int(lowest[x]) + pad
        contact[y - thick : y + thick, x + pad] = 255
    blur = max(1.5, 0.016 * max(width, height))
    contact_mask = Image.fromarray(contact).filter(ImageFilter.GaussianBlur(blur))

    # The cast shadow: the outline laid flat around the line between the outermost points of contact.
    first, last = (int(touching[0]), int(touching[-1])) if len(touching) else (0, width)
    flat = max(4, round(0.11 * min(height, 1.2 * width)))
    lying = alpha.transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((width, flat), Image.Resampling.BOX)
    cast_mask = Image.new("L", contact_mask.size)
    base = pad + height - round(0.45 * flat)
    cast_mask.paste(lying.point(lambda v: v * 3 // 4), (pad, base - flat // 3))  # pyright: ignore[reportOperatorIssue]
    belly = Image.new("L", (max(last - first, 4), max(3, round(0.6 * flat))), 255)
    cast_mask.paste(belly, (pad + first, base - flat // 6), belly)
    return contact_mask, cast_mask.filter(ImageFilter.GaussianBlur(max(2.0, 0.3 * flat)))


@lru_cache(maxsize=64)
def background(name: str) -> Background:
    """Load one background and stretch its ground.

    Parameters
    ----------
    name : str
        Id in the manifest.
    """
    staging = BACKGROUNDS[name]
    with Image.open(ASSETS / "bg" / f"{name}.webp") as file:
        image = file.convert("RGB")
    horizon = staging.horizon
    if staging.exposure != 1:
        image = image.point(_exposed(staging.exposure))
    if staging.stretch is not None:
        image, horizon = _stretch(image, *staging.stretch, horizon)
    width, height = image.size
    ground = image if horizon >= 1 else image.crop((0, round(horizon * height), width, height))
    return Background(name, image, horizon, _mean(ground), staging)


@lru_cache(maxsize=128)
def background_out_of_focus(name: str, blur: int) -> Image.Image:
    """Return a background that is blurred with increasing distance, as behind a near subject.

    Parameters
    ----------
    name : str
        Id in the manifest.
    blur : int
        0 for no blur, 2 for a close-up.
    """
    image = background(name).image
    if not blur:
        return image
    width, height = image.size
    sharp = [max(0, min(255, round((y / height - 0.77) / 0.18 * 255))) for y in range(height)]
    mask = Image.frombytes("L", (1, height), bytes(sharp)).resize((width, height))
    return Image.composite(image, image.filter(ImageFilter.GaussianBlur(1.0 + 0.8 * blur)), mask)


def _stretch(image: Image.Image, start: float, factor: float, horizon: float) -> tuple[Image.Image, float]:
    """Stretch the part below `start`, increasingly towards the lower edge, as in perspective."""
    width, height = image.size
    y0 = round(start * height)
    added = round((height - y0) * (factor - 1))
    out = Image.new("RGB", (width, height + added))
    out.paste(image, (0, 0))
    strips = 12
    total = height + added - y0
    source, target = float(y0), y0
    # Strip i is stretched in proportion to 1 + i: solve for the unit so that both ends meet.
    weights = [1.0 / (1.0 + 2.0 * i / strips) for i in range(strips)]
    unit = (height - y0) / sum(weights)
    for i, weight in enumerate(weights):
        to = y0 + round(total * (i + 1) / strips)
        box = (0.0, source, float(width), min(source + unit * weight, float(height)))
        out.paste(image.resize((width, to - target), Image.Resampling.BICUBIC, box=box), (0, target))
        source, target = box[3], to
    return out, horizon * height / (height + added)


def _retouched(image: Image.Image, staging: CutoutStaging) -> Image.Image:
    """Remove a colour cast from an RGBA picture and brighten it, as given by its staging."""
    rgb = image.convert("RGB")
    if staging.saturation != 1:
        rgb = Image.blend(rgb.convert("L").convert("RGB"), rgb, staging.saturation)
    if staging.exposure != 1:
        rgb = rgb.point(_exposed(staging.exposure))
    rgb.putalpha(image.getchannel("A"))
    return rgb


def _exposed(factor: float) -> list[int]:
    return [min(255, round(value * factor)) for value in range(256)] * 3


def _mean(image: Image.Image) -> tuple[int, int, int]:
    """Return the mean colour, weighted by opacity."""
    pixels = np.asarray(image.convert("RGBA")).reshape(-1, 4).astype(np.int64)
    total = int(pixels[:, 3].sum()) or 1
    red, green, blue = ((pixels[:, :3] * pixels[:, 3:]).sum(axis=0) // total).tolist()
    return red, green, blue
