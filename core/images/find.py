"""Images of a source as a list."""

from pathlib import Path

from inficond.core.images.sources import ImageRecord, open_source
from inficond.core.images.sources.record import Note
from inficond.core.tables import TableOptions


def find_images(
    source: Path | str, note: Note | None = None, options: TableOptions | None = None
) -> list[ImageRecord]:
    """Find the images of a source.

    Parameters
    ----------
    source, note, options
        As for `open_source`.

    Returns
    -------
    list of ImageRecord
        At least one, sorted by id.

    Examples
    --------
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from inficond.core.images import find_images
    >>> for name in ("boat", "meadow"):
    ...     Path("photos", name).mkdir(parents=True)
    ...     Image.new("RGB", (64, 48)).save(f"photos/{name}/1.png")
    >>> [(record.id, record.labels) for record in find_images("photos")]
    [('boat/1.png', ('boat',)), ('meadow/1.png', ('meadow',))]
    """
    return list(open_source(source, note, options).records)
