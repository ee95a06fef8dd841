"""Positions of a project's images on a map, computed once and kept in a derived file.

The file may be missing, outdated or damaged: the positions are then computed again. A project that cannot be
written gets its map without the file.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.atomic_io import replacing
from inficond.core.concepts.unit_length import unit_length
from inficond.core.errors import InputError
from inficond.core.file_access import check_inside, read_regular
from inficond.core.progress import Progress, Silent
from inficond.core.project import files
from inficond.core.project.folder import ProjectFolder
from inficond.core.project.map_layout import LAYOUT, principal_components
from inficond.core.strict_json import parse_json

FILE = "derived/image_map.bin"
FORMAT = 1
"""Version of the file; increased when a layout is computed in another way."""
LEAST_IMAGES = 4
"""Images that a map needs: fewer have no layout in the plane."""
STEPS = 65535
"""Largest stored coordinate; positions are multiples of 1 / STEPS."""
_BLOCK = 2048
_MAX_HEADER = 4096


@dataclass(frozen=True, eq=False)
class ImageMap:
    """Positions of all images of a project in the unit square.

    Parameters
    ----------
    positions : (N, 2) uint16
        x to the right and y downwards, in steps of 1 / `STEPS`; both axes have the same scale.
    layout : str
        Name of the layout, `map_layout.LAYOUT`.
    source : str
        ``regions``: the positions follow the mean region embedding of each image. ``concepts``: they follow
        the standardised concept vectors, because the project stores no regions.
    variance : tuple of two float
        Share of the variance of the embeddings along each of the first two principal components.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.project.image_map import image_map
    >>> found = image_map(Project.open(demo_project()))
    >>> found.positions.shape, found.source
    ((1200, 2), 'regions')
    """

    positions: NDArray[np.uint16]
    layout: str
    source: str
    variance: tuple[float, float]

    def inside(self, polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which images lie inside a polygon, (N,), by the even-odd rule.

        Parameters
        ----------
        polygon : array (m, 2)
            Corners in the unit square; the last is joined with the first.
        """
        points = self.positions / np.float64(STEPS)
        (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
        x, y = points[:, 0], points[:, 1]
        near = np.flatnonzero((x >= left) & (x <= right) & (y >= top) & (y <= bottom))
        x, y = x[near], y[near]
        odd = np.zeros(len(near), bool)
        for (ax, ay), (bx, by) in zip(polygon.tolist(), np.roll(polygon, -1, axis=0).tolist()):
            crosses = (ay > y) != (by > y)
            if ay != by:
                odd ^= crosses & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
        mask = np.zeros(len(points), bool)
        mask[near[odd]] = True
        return mask


def stored_map(project: ProjectFolder) -> ImageMap | None:
    """Return the map that a project's derived file holds; None if it is missing, outdated or damaged."""
    n = len(project)
    try:
        data = read_regular(project.path / FILE, project.path, _MAX_HEADER + 4 * n)
        header, _, body = data.partition(b"\n")
        described: Any = parse_json(header)
        layout, source = described["layout"], described["source"]
        variance = tuple(float(share) for share in described["variance"])
        digest = described["sha256"]
    except (OSError, InputError, ValueError, KeyError, TypeError):
        return None
    valid = (
        described.get("format") == FORMAT
        and described.get("project") == project.config.get("checksum")
        and layout == LAYOUT
        and source in ("regions", "concepts")
        and len(variance) == 2
        and len(body) == 4 * n
        and digest == _digest(header_fields(layout, source, variance, project), body)
    )
    if not valid:
        return None
    positions = np.frombuffer(body, "<u2").reshape(n, 2)
    return ImageMap(positions, layout, source, (variance[0], variance[1]))


def image_map(project: ProjectFolder, progress: Progress | None = None) -> ImageMap:
    """Return the map of a project's images; compute and store it at first use.

    Parameters
    ----------
    project : ProjectFolder
    progress : Progress, optional
        Counts images.

    Raises
    ------
    InputError
        The project has fewer than `LEAST_IMAGES` images.
    """
    n = len(project)
    if n < LEAST_IMAGES:
        images = f"{n} image{'s' * (n != 1)}"
        raise InputError(
            f"{project.path}: the project has {images}; a map needs at least {LEAST_IMAGES}: add images and "
            "build the project again"
        )
    stored = stored_map(project)
    if stored is not None:
        return stored
    embeddings, source = image_embeddings(project, progress or Silent())
    points, shares = principal_components(embeddings, 2)
    made = ImageMap(_quantized(points), LAYOUT, source, (float(shares[0]), float(shares[1])))
    _store(project, made)
    return made


def image_embeddings(project: ProjectFolder, progress: Progress) -> tuple[NDArray[np.float32], str]:
    """Return one embedding per image, and what it is made of.

    Projects store the embeddings of regions, not those of whole images. The embedding of an image is
    therefore the mean of those of its regions, scaled to unit length, or its standardised concept vector
    where no regions are stored.

    Returns
    -------
    embeddings : (N, D) float32
    source : str
        ``regions`` or ``concepts``.
    """
    n = len(project)
    progress.start("reading images", n)
    if files.REGIONS in project.config["files"]:
        regions = project.region_embeddings
        out = np.empty((n, regions.shape[2]), np.float32)
        for start in range(0, n, _BLOCK):
            block = np.asarray(regions[start : start + _BLOCK], np.float32)
            out[start : start + _BLOCK] = unit_length(block.mean(axis=1))
            progress.advance(len(block))
        return out, "regions"
    students = project.students
    vectors = (np.asarray(project.X, np.float32) - students.mean) / students.scale
    progress.advance(n)
    return vectors, "concepts"


def _quantized(points: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return points as steps in the unit square, centred, with one scale for both axes."""
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low).max()) or 1.0
    unit = (points - (low + high) / 2) / span + 0.5
    return np.round(np.clip(unit, 0, 1) * STEPS).astype("<u2")


def header_fields(
    layout: str, source: str, variance: tuple[float, ...], project: ProjectFolder
) -> dict[str, Any]:
    """Return the fields of the file's header that its checksum covers."""
    return {
        "format": FORMAT,
        "layout": layout,
        "source": source,
        "variance": list(variance),
        "project": project.config.get("checksum"),
    }


def _digest(fields: dict[str, Any], body: bytes) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode() + b"\n" + body).hexdigest()


def _store(project: ProjectFolder, made: ImageMap) -> None:
    body = np.ascontiguousarray(made.positions, "<u2").tobytes()
    fields = header_fields(made.layout, made.source, made.variance, project)
    header = json.dumps({**fields, "sha256": _digest(fields, body)}).encode()
    path = project.path / FILE
    try:
        check_inside(path, project.path)  # a link in a project from others may lead anywhere
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as file:
            file.write(header + b"\n" + body)
    except (OSError, InputError):  # a read-only project, a full disk
        pass
