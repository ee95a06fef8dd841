"""Colours that words name, and the share of each in the cells of a picture.

The encoder hardly distinguishes "purple petals" from "yellow petals". A word that names a colour is seen only
where the picture has it.
"""

import re

import numpy as np
from numpy.typing import NDArray

_TERMS = {
    "red": ("red", "crimson", "scarlet"),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "green": ("green",),
    "blue": ("blue", "turquoise"),
    "purple": ("purple", "violet", "lilac"),
    "pink": ("pink",),
    "white": ("white",),
    "black": ("black",),
    "brown": ("brown",),
    "grey": ("grey", "gray"),
}
COLOURS = tuple(_TERMS)
_OF_TERM = {term: colour for colour, terms in _TERMS.items() for term in terms}
FULL_SHARE = 0.4
"""A word that names a colour is as clear as any other if so many of the lit pixels have the colour."""


def colour_of(word: str) -> str | None:
    """Return the first colour that a word names, or None.

    Examples
    --------
    >>> from inficond.core.concepts.colours import colour_of
    >>> colour_of("dark red petals"), colour_of("petals")
    ('red', None)
    """
    for part in re.findall(r"[a-z]+", word.casefold()):
        if part in _OF_TERM:
            return _OF_TERM[part]
    return None


def colour_shares(pixels: NDArray[np.uint8], grid: tuple[int, int]) -> NDArray[np.float16]:
    """Return the share of the pixels of each cell that have each of `COLOURS`, (h, w, 11).

    A pixel may have several colours, such as orange and yellow, where people disagree.

    Parameters
    ----------
    pixels : (H, W, 3) uint8
        H and W are multiples of the grid.
    grid : (h, w)
    """
    from PIL import Image

    hsv = np.asarray(Image.fromarray(pixels).convert("HSV")).astype(np.int32)
    hue, strong, bright = hsv[..., 0] * 360 // 255, hsv[..., 1], hsv[..., 2]
    vivid = (strong >= 70) & (bright >= 50)

    def between(low: int, high: int) -> NDArray[np.bool_]:
        return (hue >= low) & (hue < high) if low < high else (hue >= low) | (hue < high)

    has = {
        "red": vivid & between(338, 16) & (strong >= 120),
        "orange": vivid & between(10, 50) & (bright >= 110),
        "yellow": vivid & between(36, 72) & (bright >= 100),
        "green": (strong >= 45) & (bright >= 35) & between(60, 175),
        "blue": (strong >= 40) & (bright >= 50) & between(170, 265),
        "purple": (strong >= 40) & (bright >= 50) & between(250, 330),
        "pink": (strong >= 25) & (bright >= 120) & between(295, 18) & ~((strong > 215) & between(335, 18)),
        "white": (strong < 70) & (bright >= 155),
        "black": bright < 60,
        "brown": (strong >= 50) & (bright >= 30) & (bright < 180) & between(5, 50),
        "grey": (strong < 50) & (bright >= 50) & (bright < 210),
    }
    h, w = grid
    shares = [
        has[colour].reshape(h, hsv.shape[0] // h, w, hsv.shape[1] // w).mean(axis=(1, 3))
        for colour in COLOURS
    ]
    return np.stack(shares, axis=-1).astype(np.float16)
