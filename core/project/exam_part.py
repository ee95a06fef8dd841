"""The locked part of a project: images that only an exam reads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class ExamPart:
    """The exam images of a project, M rows.

    No attribute of a project holds these images, so that no metric, preview, suggestion, slice, gallery or
    threshold depends on them. `inficond.core.sessions.exam` is the one reader.

    Parameters
    ----------
    image_ids : sequence of M str
    image_groups : sequence of M str or None
        Images of one group are resampled together.
    X : (M, K) float32
        Raw concept vectors.
    T : (M, C) float32
        Teacher responses.
    labels : (M, C) float32 or None
        Ground truth, NaN where unknown.
    read_regions : callable
        Returns the region embeddings, (M, R, D) float16, memory-mapped; raises `InputError` if the project
        stores none or they are damaged.
    """

    image_ids: Sequence[str]
    image_groups: Sequence[str | None]
    X: np.ndarray
    T: np.ndarray
    labels: np.ndarray | None
    read_regions: Callable[[], np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.image_ids)
