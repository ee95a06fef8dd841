"""Concepts by example: the mean of regions that a person shows, without a word for it.

The vector of such a concept is the unit difference of the mean of the shown regions and the mean of the
regions that do not show it; without the latter, the mean of all training regions takes their place.
"""

import hashlib
import json
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
FEW = 3
Example = tuple[str, int]


def parse_example(project: ProjectFolder, text: str) -> Example:
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
    both = sorted(set(shown) & set(not_shown))
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
    out = []
    for pair in value:
        if not (
            isinstance(pair, list | tuple)
            and len(pair) == 2
            and isinstance(pair[0], str)
            and isinstance(pair[1], int)
            and not isinstance(pair[1], bool)
        ):
            raise InputError("each example must be a pair of an image and a region")
        out.append((pair[0], pair[1]))
    return out


def _mean(project: ProjectFolder, examples: Sequence[Example]) -> NDArray[np.float64]:
    vectors = []
    for image, region in examples:
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
