"""Pictures of the report as data URIs: thumbnails, and outlined evidence regions in colour on grey."""

import base64
import io
from collections.abc import Callable, Iterable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

    from inficond.core.concepts.cells import Cells
    from inficond.core.project.folder import ProjectFolder
    from inficond.core.sessions.project_context import ProjectContext

SIDE = 136
"""Pixels of a square picture; it is displayed at two thirds of its size, for high-density screens."""
OUTLINE = (255, 176, 0)
"""Colour of the line around a region; it differs from most photographs for all kinds of colour vision."""
_DIM, _LIFT, _QUALITY = 0.42, 26, 70


def picture_strip(images: Iterable[tuple[str, int]], pictures: "ReportPictures | None") -> str:
    """Return a row of pictures as HTML, or of their names where there are none.

    Parameters
    ----------
    images : iterable of (str, int)
        Id and row of each image.
    pictures : ReportPictures or None
        None shows the names only.
    """
    items = []
    for id, row in images:
        name = escape(id)
        uri = "" if pictures is None else pictures.image(row)
        shown = (
            f'<img src="{uri}" alt="{name}" title="{name}" loading="lazy">'
            if uri
            else f"<small>{name}</small>"
        )
        items.append(f"<li>{shown}</li>")
    return f'<ul class="strip">{"".join(items)}</ul>'


class ReportPictures:
    """Pictures of a project's images, each computed once.

    Parameters
    ----------
    project : ProjectFolder
        Source of thumbnails, regions and crops.
    embedding : callable
        Returns the embedding (D,) of a concept.
    cells : callable, optional
        Returns the encoded cells of the image of a row, or None.
    text : callable, optional
        Returns the text vector of a concept, which is compared with the cells; `embedding` by default.
    clearness : callable, optional
        Returns the clearness of a concept in the image of a row, or None. A picture whose evidence is not
        clear is shown as a whole.
    """

    def __init__(
        self,
        project: "ProjectFolder",
        embedding: Any,
        cells: "Callable[[int], Cells | None]" = lambda row: None,
        text: "Callable[[str], NDArray[np.float32]] | None" = None,
        clearness: "Callable[[int, str], float | None]" = lambda row, concept: None,
    ) -> None:
        self._project, self._clearness = project, clearness
        self._embedding = embedding
        self._cells, self._text = cells, text or embedding
        self._plain: dict[int, str] = {}

    @classmethod
    def of(cls, context: "ProjectContext") -> "ReportPictures":
        """Return the pictures of a project, with evidence by cells where its encoder has them."""
        words = context.words
        return cls(context.project, words.embedding, context.cells, words.text, context.clearness)

    def image(self, row: int) -> str:
        """Return the centre of an image; empty without a thumbnail."""
        if row not in self._plain:
            picture = self._open(row)
            self._plain[row] = "" if picture is None else _uri(_square(picture))
        return self._plain[row]

    def evidence(self, row: int, concept: str) -> str:
        """Return an image with the concept's evidence region in colour, outlined, and the rest in grey.

        Parameters
        ----------
        row : int
            Row of the image.
        concept : str
            Name of the concept.

        Returns
        -------
        str
            A data URI; the plain picture if the project has no regions or the evidence is not clear, empty
            without a thumbnail.
        """
        from inficond.core.concepts import evidence

        picture = self._open(row)
        if picture is None:
            return ""
        try:
            regions, assignment = self._project.regions(row), self._project.assignment(row)
            if not self.is_clear(row, concept):
                return self.image(row)
            cells = self._cells(row)
            text = None if cells is None else self._text(concept)
            found = evidence(regions, assignment, self._embedding(concept), cells, text)
        except InputError:
            return self.image(row)
        return _uri(_lit(picture, found.mask, self._project.crop(row)))

    def is_clear(self, row: int, concept: str) -> bool:
        """Return whether the evidence of a concept in an image is shown as an example of it."""
        from inficond.core.concepts.clearness import CLEAR_EXAMPLE

        found = self._clearness(row, concept)
        return found is None or found >= CLEAR_EXAMPLE

    def region(self, row: int, region: int) -> str:
        """Return an image with one region in colour, outlined, and the rest in grey; -1 is the whole image.

        Returns
        -------
        str
            A data URI; the plain picture if the region has no cell, empty without a thumbnail.
        """
        picture = self._open(row)
        if picture is None:
            return ""
        mask = self._project.assignment(row) == region
        return _uri(_lit(picture, mask, self._project.crop(row))) if mask.any() else self.image(row)

    def _open(self, row: int) -> "Image | None":
        try:
            return self._project.thumbnail_image(row)
        except InputError:  # damaged or missing
            return None


def _square(picture: "Image", box: tuple[float, float, float, float] | None = None) -> "Image":
    """Return the central square, or the square around a box (left, top, right, bottom in pixels)."""
    from PIL import Image

    width, height = picture.size
    left, top, right, bottom = box or (0, 0, width, height)
    side = min(width, height) if box is None else min(max(right - left, bottom - top), width, height)
    x = min(max((left + right - side) / 2, 0), width - side)
    y = min(max((top + bottom - side) / 2, 0), height - side)
    return picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(x, y, x + side, y + side))


def _lit(picture: "Image", mask: NDArray[np.bool_], crop: tuple[float, float, float, float]) -> "Image":
    """Return the surroundings of a region, in colour inside it; the grid covers `crop` (relative)."""
    from PIL import Image

    width, height = picture.size
    left, top, right, bottom = crop[0] * width, crop[1] * height, crop[2] * width, crop[3] * height
    size = max(1, round(right - left)), max(1, round(bottom - top))
    grid = Image.fromarray((mask * 255).astype(np.uint8))
    light = Image.new("L", picture.size, 0)
    # Interpolation between the centres of the cells gives soft edges.
    light.paste(grid.resize(size, Image.Resampling.BICUBIC), (round(left), round(top)))
    dim = picture.convert("L").point(lambda v: int(v * _DIM) + _LIFT).convert("RGB")  # pyright: ignore[reportArgumentType]
    lit = Image.composite(picture, dim, light)
    ys, xs = np.nonzero(mask)
    h, w = mask.shape
    # The region with a margin of a third of its size.
    x0, x1, y0, y1 = xs.min() / w, (xs.max() + 1) / w, ys.min() / h, (ys.max() + 1) / h
    mx, my = (x1 - x0) / 3 + 0.08, (y1 - y0) / 3 + 0.08
    box = (
        left + size[0] * max(0.0, x0 - mx), top + size[1] * max(0.0, y0 - my),
        left + size[0] * min(1.0, x1 + mx), top + size[1] * min(1.0, y1 + my),
    )  # fmt: skip
    return _outlined(_square(lit, box), _square(light, box))


def _outlined(picture: "Image", light: "Image") -> "Image":
    """Return a picture with a line around its lit part, which shows also where the picture has no colour."""
    from PIL import ImageChops, ImageFilter

    inside = light.point([255 * (value >= 128) for value in range(256)])
    edge = ImageChops.difference(
        inside.filter(ImageFilter.MaxFilter(3)), inside.filter(ImageFilter.MinFilter(3))
    )
    picture.paste(OUTLINE, mask=edge)
    return picture


def _uri(picture: "Image") -> str:
    out = io.BytesIO()
    picture.save(out, "WEBP", quality=_QUALITY, method=2)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode("ascii")
