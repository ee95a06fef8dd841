"""Responses, probabilities and labels of all images as an Arrow table."""

from typing import TYPE_CHECKING

import numpy as np

from inficond.core.project.folder import ProjectFolder

if TYPE_CHECKING:
    import pyarrow as pa


def results_table(project: ProjectFolder, probabilities: np.ndarray) -> "pa.Table":
    """Return a row for each image; ``to_pandas()`` of the result gives a data frame.

    Parameters
    ----------
    project : ProjectFolder
    probabilities : (N, C) float
        Of the students.

    Returns
    -------
    pyarrow.Table
        Columns ``image``, ``validation``, and for each class ``teacher CLASS``, ``student CLASS`` and, if the
        project has labels, ``label CLASS`` (NaN where unknown).
    """
    import pyarrow as pa

    columns: dict[str, object] = {
        "image": list(project.image_ids),
        "validation": np.asarray(project.is_validation),
    }
    for c, name in enumerate(project.classes):
        columns[f"teacher {name}"] = np.asarray(project.T[:, c])
        columns[f"student {name}"] = np.ascontiguousarray(probabilities[:, c], np.float32)
        if project.labels is not None:
            columns[f"label {name}"] = np.asarray(project.labels[:, c])
    return pa.table(columns)
