"""A class, slice or group of images that loses by a step."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.evaluation import Interval

METRIC_NAMES = {"ap": "average precision", "balanced_agreement": "balanced agreement", "f1": "F1"}
"""Metrics in which a class can lose."""


@dataclass(frozen=True, eq=False)
class Cost:
    """A set of validation images, or a class, that clearly loses by a step.

    Parameters
    ----------
    kind : str
        ``class`` (a metric of the class), ``slice`` (images in which a concept is high or low), ``group``
        (images that show another class) or ``source`` (images of one source).
    cls : str
        The class whose student loses.
    name : str
        Of the set; for ``class`` the metric.
    change : Interval
        Of the metric, or of the agreement in the set; all below 0.
    size : int
        Images in the set.
    gained, lost : int
        Images on which teacher and student newly agree, and newly disagree.
    rows : ndarray of int
        Rows of the lost images.
    """

    kind: str
    cls: str
    name: str
    change: Interval
    size: int
    gained: int
    lost: int
    rows: NDArray[np.intp] = field(repr=False)

    @property
    def text(self) -> str:
        """Who loses and how much, in one line."""
        d = self.change
        if self.kind == "class":
            span = f"(95 % {d.low:+.3f} … {d.high:+.3f})"
            return f"{self.cls}: {METRIC_NAMES[self.name]} {d.value:+.3f} {span}".replace("-", "−")
        what = {"slice": "images with", "group": "images that show", "source": "images of source"}[self.kind]
        share = f"{100 * d.value:+.0f} % agreement (95 % {100 * d.low:+.0f} … {100 * d.high:+.0f})"
        moved = f"{self.lost} of {self.size} images lost, {self.gained} gained"
        return f"{self.cls}, {what} {self.name}: {share.replace('-', '−')}, {moved}"

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "kind": self.kind,
            "class": self.cls,
            "name": self.name,
            "change": self.change.to_dict(),
            "size": self.size,
            "gained": self.gained,
            "lost": self.lost,
            "rows": self.rows.tolist(),
            "text": self.text,
        }
