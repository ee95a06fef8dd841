"""Concepts by example: the mean of regions that a person shows, without a word for it.

The vector of such a concept is the unit difference of the mean of the shown regions and the mean of the
regions that do not show it; without the latter, the mean of all training regions takes their place.

A region is one of an image of the project, or one of a picture outside it. The picture is not kept: the
example holds the embedding of its region.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.unit_length import unit_length
from inficond.core.errors import InputError, unknown
from inficond.core.project.folder import ProjectFolder

SUFFIX = " (by example)"
"""End of the name of each concept by example: its crops define it, and the name is only a label."""
WHOLE = -1
"""In place of a region: all regions of the image."""
ALIKE = 0.995
"""Cosine of the means of shown and other regions from which examples contradict each other."""
MOST_EXAMPLES = 200
MOST_OWN = 40
"""Regions of pictures outside the project in one concept; each takes two bytes a dimension."""
FEW = 3
OWN_IMAGE = "own image"
"""In place of an image: the region is given by its embedding, see `encode_region`."""
MOST_CHARACTERS = 4 * 2 * 8192 // 3
"""Length of a text that holds an embedding, at most."""
ImageRegion = tuple[str, int]
Example = ImageRegion | tuple[str, str]


def encode_region(vector: NDArray[Any]) -> str:
    """Return the embedding of a region (D,) as text: base64 of D float16 numbers and their CRC-32.

    All numbers are little-endian.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.sessions.shown_concepts import encode_region
    >>> encode_region(np.array([0.6, -0.8]))
    'zThmulzLCJc='
    """
    data = np.asarray(vector, "<f2").tobytes()
    return base64.b64encode(data + zlib.crc32(data).to_bytes(4, "little")).decode()


def decode_region(text: str, width: int) -> NDArray[np.float64]:
    """Return the embedding (D,) that a text of `encode_region` holds.

    Parameters
    ----------
    text : str
    width : int
        D of the project.

    Raises
    ------
    InputError
        The text is damaged, of another number of dimensions, or not a vector of unit length.

    Examples
    --------
    >>> from inficond.core.sessions.shown_concepts import decode_region
    >>> decode_region("zThmulzLCJc=", 2).round(2).tolist()
    [0.6, -0.8]
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    data, crc = raw[:-4], raw[-4:]
    if len(crc) < 4 or zlib.crc32(data).to_bytes(4, "little") != crc:
        raise InputError("the embedding of a region of an own image is damaged: restore a copy")
    if len(data) != 2 * width:
        raise InputError(
            f"a region of an own image has an embedding of {len(data) // 2} numbers, and those of this "
            f"project have {width}: it is of another encoder"
        )
    vector = np.frombuffer(data, "<f2").astype(np.float64)
    if not np.isfinite(vector).all() or abs(float(np.linalg.norm(vector)) - 1) > 0.01:
        raise InputError("the embedding of a region of an own image is not a vector of unit length")
    return vector


def parse_example(project: ProjectFolder, text: str) -> ImageRegion:
    """Return the region that a text names.

    Parameters
    ----------
    project : ProjectFolder
    text : str
        ``IMAGE`` for the whole image, or ``IMAGE@x,y`` for the region at a place; x and y are shares of the
        width and height, between 0 and 1.

    Raises
    ------
    InputError
        No such image, or not a place.
    """
    image, at, place = text.rpartition("@")
    if not at or text in project.image_ids:
        _row(project, text)
        return text, WHOLE
    row = _row(project, image)
    try:
        x, y = (float(part) for part in place.split(","))
    except ValueError:
        x = y = -1.0
    if not (0 <= x <= 1 and 0 <= y <= 1):
        raise InputError(f"{text!r:.80}: give the place as IMAGE@x,y with numbers between 0 and 1")
    left, top, right, bottom = project.crop(row)
    assignment = project.assignment(row)
    h, w = assignment.shape
    column = int(np.clip((x - left) / (right - left) * w, 0, w - 1))
    line = int(np.clip((y - top) / (bottom - top) * h, 0, h - 1))
    return image, int(assignment[line, column])


def distinct_label(name: str, shown: Sequence[Example], not_shown: Sequence[Example] = ()) -> str:
    """Return a label that contains a hash of the examples.

    Visitors of one page share the concepts in memory, so two of them must not give one name to different
    examples.

    Examples
    --------
    >>> from inficond.core.sessions.shown_concepts import distinct_label
    >>> distinct_label("gleam", [("a.jpg", 3)])
    'gleam #805cab'
    """
    text = json.dumps([list(shown), list(not_shown)])
    return f"{name} #{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:6]}"


def example_vector(
    project: ProjectFolder, shown: Sequence[Example], not_shown: Sequence[Example] = ()
) -> NDArray[np.float32]:
    """Return the vector (D,) of a concept by example.

    Raises
    ------
    InputError
        No example is given, an image or region does not exist, or the examples contradict each other.
    """
    if not shown:
        raise InputError("a concept by example needs at least one region that shows it")
    if len(shown) + len(not_shown) > MOST_EXAMPLES:
        raise InputError(f"a concept by example takes at most {MOST_EXAMPLES} regions")
    if sum(isinstance(region, str) for _, region in (*shown, *not_shown)) > MOST_OWN:
        raise InputError(f"a concept by example takes at most {MOST_OWN} regions of own images")
    both = [example for example in shown if example in not_shown]
    if both:
        raise InputError(
            f"the examples contradict each other: {both[0][0]!r:.80} is both shown and not shown; give each "
            "region once"
        )
    mean = _mean(project, shown)
    if not_shown:
        mean, other = unit_length(mean), unit_length(_mean(project, not_shown))
        if float(mean @ other) >= ALIKE:
            raise InputError(
                "the examples contradict each other: regions that show the concept and regions that do not "
                "are alike to this encoder; choose regions that differ"
            )
    else:
        other = mean_region(project)
    return vector_between(mean, other)


def mean_region(project: ProjectFolder) -> NDArray[np.float64]:
    """Return the mean of training regions (D,), of 2,000 images or a few more."""
    rows = project.training_rows[:: max(1, len(project.training_rows) // 2000)]
    return np.asarray(project.region_embeddings[rows], np.float32).mean(axis=(0, 1)).astype(np.float64)


def vector_between(shown: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the unit vector from a mean of other regions to the direction of a mean of shown ones, (D,)."""
    vector: NDArray[np.float32] = unit_length(unit_length(shown) - other).astype(np.float32)
    return vector


def check_examples(value: Any) -> list[Example]:
    """Return examples of plain JSON.

    Raises
    ------
    InputError
        Not a list of pairs of an image and a region.
    """
    if not isinstance(value, list | tuple):
        raise InputError("examples must be a list of pairs of an image and a region")
    out: list[Example] = []
    for pair in value:
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise InputError("each example must be a pair of an image and a region")
        image, region = pair
        if isinstance(region, str) and image == OWN_IMAGE and len(region) <= MOST_CHARACTERS:
            out.append((OWN_IMAGE, region))
        elif isinstance(region, int) and not isinstance(region, bool):
            out.append((str(image), region))
        else:
            raise InputError("each example must be a pair of an image and a region")
    return out


def _mean(project: ProjectFolder, examples: Sequence[Example]) -> NDArray[np.float64]:
    vectors = []
    for image, region in examples:
        if isinstance(region, str):
            vectors.append(decode_region(region, project.region_embeddings.shape[-1]))
            continue
        regions = np.asarray(project.regions(_row(project, image)), np.float64)
        if not WHOLE <= region < len(regions):
            raise InputError(f"{image!r:.80} has no region {region}: it has regions 0 to {len(regions) - 1}")
        vectors.append(regions.mean(axis=0) if region == WHOLE else regions[region])
    return np.mean(vectors, axis=0)


def _row(project: ProjectFolder, image: str) -> int:
    try:
        return list(project.image_ids).index(image)
    except ValueError:
        raise unknown("image", image, project.image_ids) from None
