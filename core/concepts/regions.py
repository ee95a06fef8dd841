"""Geometry of image regions."""

import numpy as np


def region_boxes(assignment: np.ndarray, n_regions: int) -> np.ndarray:
    """Compute the bounding boxes of regions, relative to the encoder's crop.

    Parameters
    ----------
    assignment : (n, h, w) uint8
        The region of each cell.
    n_regions : int
        R. A region may have no cell, since the assignment inside the graph is soft.

    Returns
    -------
    (n, R, 4) float32
        ``left, top, right, bottom`` in [0, 1]; zeros for a region without cells.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.concepts import region_boxes
    >>> assignment = np.array([[[0, 1], [1, 1]]], np.uint8)
    >>> region_boxes(assignment, n_regions=2).tolist()
    [[[0.0, 0.0, 0.5, 0.5], [0.0, 0.0, 1.0, 1.0]]]
    """
    n, h, w = assignment.shape
    boxes = np.zeros((n, n_regions, 4), np.float32)
    for region in range(n_regions):
        owned = assignment == region
        rows, columns = owned.any(axis=2), owned.any(axis=1)
        some = rows.any(axis=1)
        boxes[:, region, 0] = np.where(some, columns.argmax(axis=1) / w, 0)
        boxes[:, region, 1] = np.where(some, rows.argmax(axis=1) / h, 0)
        boxes[:, region, 2] = np.where(some, 1 - columns[:, ::-1].argmax(axis=1) / w, 0)
        boxes[:, region, 3] = np.where(some, 1 - rows[:, ::-1].argmax(axis=1) / h, 0)
    return boxes
