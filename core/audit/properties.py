"""Properties of images, computed from thumbnails once per project and kept in a derived file.

The file may be missing, outdated or damaged: the properties are then computed again. A project that cannot be
written is audited without it.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inficond.core.atomic_io import replacing
from inficond.core.errors import InputError
from inficond.core.file_access import check_inside, read_regular
from inficond.core.progress import Progress, Silent
from inficond.core.project.folder import ProjectFolder

FILE = "derived/image_properties.bin"
VERSION = "1"
"""Part of the key of the file; increased when a property is computed in another way."""
SIDE = 64
"""Pixels of the square to which a thumbnail is reduced."""
CORNER = 24
"""Pixels of the side of a corner."""
CORNERS = ("upper left", "upper right", "lower left", "lower right")
PROPERTIES = (
    "brightness", "contrast", "sharpness", "saturation", "warmth", "greenness", "size", "aspect",
    *(f"mark at the {corner}" for corner in CORNERS),
)  # fmt: skip
LEVELS: dict[str, tuple[str, str]] = {
    "brightness": ("bright", "dark"),
    "contrast": ("of high contrast", "of low contrast"),
    "sharpness": ("sharp", "blurred"),
    "saturation": ("colourful", "pale"),
    "warmth": ("with an orange cast", "with a blue cast"),
    "greenness": ("with a green cast", "with a magenta cast"),
    "size": ("large", "small"),
    "aspect": ("wide", "tall"),
    **{
        f"mark at the {corner}": (f"with a mark at the {corner}", f"without a mark at the {corner}")
        for corner in CORNERS
    },
}
"""How an image with a large and with a small value of a property is called."""
_EIGEN_IMAGES, _POWER_STEPS = 4096, 60
_NEAR_BITS = 4
_NEAR_BRIGHTNESS = 0.03
_BLOCK = 512


@dataclass(frozen=True, eq=False)
class ImageProperties:
    """Properties of all images of a project.

    Parameters
    ----------
    values : (N, P) float32
        Columns as in `PROPERTIES`; NaN for an image without a thumbnail.
    signatures : (N,) uint64
        Difference hash of each thumbnail; near-duplicates differ in a few bits.
    """

    values: NDArray[np.float32]
    signatures: NDArray[np.uint64]

    def duplicates(self, rows: NDArray[np.intp], others: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Return pairs of near-duplicates, one of `rows` and one of `others`."""
        found: list[tuple[int, int]] = []
        bright = self.values[:, PROPERTIES.index("brightness")]
        for start in range(0, len(rows), _BLOCK):
            some = rows[start : start + _BLOCK]
            bits = np.bitwise_count(self.signatures[some][:, None] ^ self.signatures[others][None])
            near = (bits <= _NEAR_BITS) & (
                np.abs(bright[some][:, None] - bright[others][None]) < _NEAR_BRIGHTNESS
            )
            for i in np.flatnonzero(near.any(axis=1)):
                found.append((int(some[i]), int(others[int(np.argmax(near[i]))])))
        return found


def image_properties(project: ProjectFolder, progress: Progress | None = None) -> ImageProperties | None:
    """Return the properties of a project's images; compute and store them at first use.

    Parameters
    ----------
    project : ProjectFolder
    progress : Progress, optional
        Counts images.

    Returns
    -------
    ImageProperties or None
        None if no thumbnail can be read.
    """
    n = len(project)
    path, key = project.path / FILE, _key(project)
    size = len(key) + n * (4 * len(PROPERTIES) + 8)
    try:
        data = read_regular(path, project.path, size)
    except (OSError, InputError):
        data = b""
    if len(data) == size and data.startswith(key):
        return _unpacked(data[len(key) :], n)
    made = _computed(project, progress or Silent())
    if made is None:
        return None
    try:
        check_inside(path, project.path)  # a link in a project from others may lead anywhere
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(key + made.values.tobytes() + made.signatures.tobytes())
    except (OSError, InputError):  # a read-only project, a full disk
        pass
    return made


def _key(project: ProjectFolder) -> bytes:
    names = " ".join(PROPERTIES)
    return hashlib.sha256(f"{VERSION} {names} {project.config.get('checksum')}".encode()).digest()


def _unpacked(data: bytes, n: int) -> ImageProperties:
    split = n * 4 * len(PROPERTIES)
    values = np.frombuffer(data[:split], np.float32).reshape(n, len(PROPERTIES))
    return ImageProperties(values, np.frombuffer(data[split:], np.uint64))


def _computed(project: ProjectFolder, progress: Progress) -> ImageProperties | None:
    n = len(project)
    values = np.full((n, len(PROPERTIES)), np.nan, np.float32)
    signatures = np.zeros(n, np.uint64)
    corners = np.zeros((n, len(CORNERS), CORNER * CORNER), np.float32)
    energy = np.zeros((n, len(CORNERS)), np.float32)
    progress.start("measuring images", n)
    readable = 0
    for row in range(n):
        try:
            image = project.thumbnail_image(row)
        except InputError:
            progress.advance()
            continue
        readable += 1
        width, height = project.image_size(row) or image.size
        small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
        pixels = np.asarray(small, np.float32) / np.float32(255)
        values[row, :8] = _of_pixels(pixels, width, height)
        grey = pixels.mean(axis=2)
        corners[row], energy[row] = _corners(grey)
        signatures[row] = _signature(image)
        progress.advance()
    if not readable:
        return None
    known = ~np.isnan(values[:, 0])
    for c in range(len(CORNERS)):
        values[known, 8 + c] = _mark(corners[known, c], energy[known, c])
    return ImageProperties(values, signatures)


def _of_pixels(pixels: NDArray[np.float32], width: int, height: int) -> list[float]:
    """Return the first eight properties of an image."""
    red, green, blue = (float(pixels[:, :, i].mean()) for i in range(3))
    grey = pixels.mean(axis=2)
    total = red + green + blue + 1e-3
    laplace = 4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return [
        float(grey.mean()),
        float(grey.std()),
        float(np.log(laplace.std() + 1e-3)),
        float((pixels.max(axis=2) - pixels.min(axis=2)).mean()),
        (red - blue) / total,
        (green - 0.5 * (red + blue)) / total,
        float(np.log(max(width * height, 1))),
        float(np.log(max(width, 1) / max(height, 1))),
    ]


def _corners(grey: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the four corners without their coarse brightness, of unit length, and their lengths."""
    out, lengths = [], []
    for rows in (slice(0, CORNER), slice(SIDE - CORNER, SIDE)):
        for columns in (slice(0, CORNER), slice(SIDE - CORNER, SIDE)):
            patch = grey[rows, columns]
            coarse = np.asarray(
                Image.fromarray(patch).resize((3, 3), Image.Resampling.BOX).resize((CORNER, CORNER))
            )
            fine = (patch - coarse).ravel()
            lengths.append(float(np.linalg.norm(fine)))
            out.append(fine / max(lengths[-1], 0.3))
    return np.stack(out), np.array(lengths, np.float32)


def _mark(patches: NDArray[np.float32], energy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how much of the pattern that most corners share each corner has, (n,).

    The pattern is the leading eigenvector of the corners' second moments (power iteration); corners with fine
    detail have more of it.
    """
    some = patches[:: max(1, -(-len(patches) // _EIGEN_IMAGES))]
    pattern = some[int(np.argmax(np.linalg.norm(some, axis=1)))]
    for _ in range(_POWER_STEPS):
        pattern = some.T @ (some @ pattern)
        pattern = pattern / max(float(np.linalg.norm(pattern)), 1e-12)
    score = np.asarray(patches @ pattern)
    along = float(((score - score.mean()) * (energy - energy.mean())).sum())
    return score if along >= 0 else -score


def _signature(image: Image.Image) -> np.uint64:
    """Return the signs of horizontal differences of a 9×8 image as 64 bits."""
    small = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    return np.packbits((small[:, 1:] > small[:, :-1]).ravel()).view(np.uint64)[0]
