"""Rendering of a planned scene: crop, tint, shadow, reflection, paste, in Pillow's integer arithmetic."""

from functools import lru_cache
from random import Random

from PIL import Image, ImageChops, ImageFilter

from inficond.core.demo.material import Background, Cutout, background, background_out_of_focus, cutout
from inficond.core.demo.plan import FRAME, Scene

# Subjects below this length (pixels) are close-ups: the smaller they are, the more the background is blurred.
CLOSE_UP = 150
WAVE = (0, 4, 7, 8, 6, 2, -3, -6, -8, -7, -4)  # one ripple, in eighths
TINT = 0.16  # share of the background's colour in the subject's


def render(scene: Scene) -> Image.Image:
    """Render a scene.

    Parameters
    ----------
    scene : Scene
        From `plan.scenes`.

    Returns
    -------
    PIL.Image.Image
        RGB, 256×256; the same bytes for the same scene on every machine.
    """
    subject, place = cutout(scene.cutout), background(scene.background)
    frame, horizon = _backdrop(scene, place, subject)
    scale = scene.size / max(subject.box[2] - subject.box[0], subject.box[3] - subject.box[1])
    size = (round(subject.sprite.width * scale), round(subject.sprite.height * scale))
    left, top, right, bottom = (round(edge * scale) for edge in subject.box)

    smooth = Image.Resampling.HAMMING if scale < 1 else Image.Resampling.BICUBIC
    sprite = subject.sprite.resize(size, smooth).point(_tint(subject.tone, place.tone))
    if scene.flip:
        sprite = sprite.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        left, right = size[0] - right, size[0] - left

    flying = subject.staging.pose == "fly" or place.staging.kind == "sky"
    width, height = right - left, bottom - top
    x0 = _between(6, FRAME - 6 - width, scene.x) - left
    if flying:
        low, high = 10, max(10, round(min(horizon * FRAME, 0.85 * FRAME)) - height)
        frame.paste(sprite, (x0, _between(low, high, scene.y) - top), sprite.getchannel("A"))
        return frame
    feet = _feet(scene, horizon)
    if place.staging.kind == "water":
        _float(frame, sprite, subject, (left, top, right, bottom), x0, feet)
        return frame
    y0 = feet - bottom
    for mask, share in ((subject.cast, 0.42), (subject.contact, 0.62)):
        shadow = mask.resize(size, Image.Resampling.BILINEAR)
        if scene.flip:
            shadow = shadow.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        frame.paste((12, 12, 14), (x0, y0), shadow.point(_ramp(share)))
    alpha = sprite.getchannel("A")
    if place.staging.soft:
        _sink(alpha, left, right, bottom, scene)
    frame.paste(sprite, (x0, y0), alpha)
    return frame


def _between(low: int, high: int, share: float) -> int:
    """Return an integer between two bounds, or their mean if the lower exceeds the upper."""
    return (low + high) // 2 if high < low else low + int((high - low + 1) * share)


@lru_cache(maxsize=64)
def _ramp(share: float) -> list[int]:
    return [round(value * share) for value in range(256)]


def _close_up(scene: Scene) -> float:
    """Return how close the subject is to the camera: 0 for a bus, 1 for an apple."""
    return min(1.0, max(0.0, (CLOSE_UP - scene.size) / (CLOSE_UP - 60)))


def _backdrop(scene: Scene, place: Background, subject: Cutout) -> tuple[Image.Image, float]:
    """Return the crop of the background, and the upper edge of its ground as a fraction of the height."""
    image = background_out_of_focus(place.name, _blur(scene, place))
    width, height = image.size
    left, right = place.staging.left * width, place.staging.right * width
    side = min(right - left, height) / scene.zoom
    x = left + (right - left - side) * scene.shift
    y = (height - side) * (0.5 if place.staging.kind == "sky" else 1.0)
    frame = image.resize((FRAME, FRAME), Image.Resampling.HAMMING, box=(x, y, x + side, y + side))
    if scene.mirror:
        frame = frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return frame, (place.horizon * height - y) / side


def _blur(scene: Scene, place: Background) -> int:
    """Return the blur of the background, from 0 to 2."""
    if place.staging.close or place.staging.kind == "sky":
        return 0
    closeness = _close_up(scene)
    return 0 if closeness < 0.1 else 1 if closeness < 0.5 else 2


def _feet(scene: Scene, horizon: float) -> int:
    """Return the row on which the subject stands; small subjects stand near the lower edge."""
    closeness = _close_up(scene)
    low = max(0.86 + 0.07 * closeness, min(0.95, horizon + 0.08))
    return round(FRAME * (low + (0.965 - low) * scene.y)) if low < 0.965 else round(FRAME * 0.965)


@lru_cache(maxsize=4096)
def _tint(tone: tuple[int, int, int], lights: tuple[int, int, int]) -> list[int]:
    """Return a lookup table for RGBA that mixes the background's colour into a subject of colour `tone`."""
    table: list[int] = []
    for own, light in zip(tone, lights):
        gain = min(1.15, max(0.85, 1 + TINT * (light / max(own, 24) - 1)))
        table += [min(255, round(value * gain)) for value in range(256)]
    return table + list(range(256))


def _sink(alpha: Image.Image, left: int, right: int, bottom: int, scene: Scene) -> None:
    """Make the lower edge ragged, as in grass; in place."""
    depth = max(3, round(0.05 * scene.size))
    random = Random(scene.id)
    columns = [
        depth - int(depth * (0.25 + 0.75 * random.random())) for _ in range(max(2, (right - left) // 2))
    ]
    rows = [255 if y >= top else 0 for y in range(depth) for top in columns]
    blades = Image.frombytes("L", (len(columns), depth), bytes(rows))
    blades = blades.resize((right - left, depth), Image.Resampling.BILINEAR)
    box = (left, bottom - depth + 1, right, bottom + 1)
    alpha.paste(ImageChops.subtract(alpha.crop(box), blades), box)


def _float(
    frame: Image.Image,
    sprite: Image.Image,
    subject: Cutout,
    box: tuple[int, int, int, int],
    x0: int,
    feet: int,
) -> None:
    """Draw the subject in water up to its waterline, with its reflection below."""
    _, top, _, bottom = box
    line = bottom - max(2, round((bottom - top) * subject.staging.wade))
    y0 = min(feet, round(0.9 * FRAME)) - line
    alpha = sprite.getchannel("A")
    # The part under water fades out within a few pixels.
    alpha.paste(0, (0, line + 2, sprite.width, sprite.height))
    for row, share in ((line - 1, 0.85), (line, 0.6), (line + 1, 0.3)):
        strip = (0, row, sprite.width, row + 1)
        alpha.paste(alpha.crop(strip).point(_ramp(share)), strip)

    deep = min(round(0.62 * (line - top)), FRAME - (y0 + line))
    if deep > 2:
        above = (0, line - round(deep / 0.62), sprite.width, line)
        mirror = sprite.crop(above).transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize((sprite.width, deep))
        mirror = mirror.filter(ImageFilter.GaussianBlur(1.1))
        rippled = Image.new("RGBA", mirror.size)
        for y in range(deep):
            sway = WAVE[(y + x0) % len(WAVE)] * (deep + 3 * y) // (8 * deep)
            rippled.paste(mirror.crop((0, y, mirror.width, y + 1)), (sway, y))
        fade = Image.linear_gradient("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM).resize(mirror.size)
        veil = ImageChops.multiply(rippled.getchannel("A"), fade.point(_ramp(0.55)))
        frame.paste(rippled.convert("RGB").point(lambda v: v * 4 // 5), (x0, y0 + line), veil)  # pyright: ignore[reportOperatorIssue]
    # A darker line where the water meets the body.
    wet = alpha.crop((0, line - 3, sprite.width, line)).resize((sprite.width, 5), Image.Resampling.BOX)
    frame.paste(
        (10, 18, 26), (x0, y0 + line - 1), wet.filter(ImageFilter.GaussianBlur(1.2)).point(_ramp(0.5))
    )
    frame.paste(sprite, (x0, y0), alpha)
