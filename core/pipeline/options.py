"""Options of a build."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from inficond.core.concepts.corpus import MOST
from inficond.core.errors import InputError
from inficond.core.models.tables import Table
from inficond.core.students.name_prior import STRONGEST
from inficond.core.tables import TableOptions


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """Inputs and options of a build.

    Parameters
    ----------
    images : Path, str or iterable
        Any source that `open_source` opens.
    out : Path
        The project folder.
    teacher : str
        ``labels``, ``probe``, ``zero-shot``, ``embedded``, a model folder, a hub id, an ONNX file, a file of
        responses (CSV or Parquet), or ``package.module:object``. Also a Python object: a callable from a list
        of Pillow images to (n, C) numbers, a pipeline of scikit-learn or of transformers.
        ``auto``: ``probe`` if the images have labels and no class set is given, else ``embedded``.
    teacher_labels : Path or sequence of str, optional
        Names of the outputs of an ONNX file or a Python teacher that does not name them.
    temperature : float
        Of the ``zero-shot`` teacher.
    encoder : str
        ``embedded``, a model folder or a hub id.
    concepts : Path or sequence of str, optional
        A file of words, or the words; the built-in corpus by default.
    classes : Path or mapping, optional
        See `read_classes`; the teacher's most frequent groups or labels by default, 20 at most.
    labels : Path or Table, optional
        Ground truth, see `read_labels`.
    lam : float, optional
        λ on standardised columns. By default it is chosen by cross-validated fidelity, under a limit of
        concepts.
    nec : float, optional
        Wanted mean number of effective concepts per class, from which λ follows.
    link : {"sigmoid", "softmax"}
        Of the students; softmax by default if the classes exclude each other, else sigmoid.
    validity : bool
        Whether built-in words that name nothing in the images are left out.
    grounding : bool
        Whether the vectors of words are moved half-way towards the regions that they name.
    words : int, optional
        Largest number of built-in words; by default `most_words` of the number of classes.
    name_prior : float, optional
        Strength of the name prior; 0 is off. By default it is chosen by cross-validated fidelity, or 0 if
        `lam` is given.
    seed : int
        Of the split and of the random directions.
    exam : bool
        Whether a part of the images is locked for exams; see `inficond.core.evaluation.parts`.
    provider : str
        Execution provider, see `open_session`.
    baseline : bool
        Whether to fit the random-concept baseline.
    name : str, optional
        Of the project; the folder's by default.
    workers : int, optional
        Threads that decode and encode; every available core by default.
    cache : bool
        Whether encodings and responses are looked up in the user's cache and added to it.
    tables : TableOptions
        How tables of images, responses and labels are read.

    Raises
    ------
    InputError
        A number or the link is out of range.
    """

    images: Path | str | Iterable[Any]
    out: Path
    teacher: Any = "auto"
    teacher_labels: Path | Sequence[str] | None = None
    temperature: float = 0.02
    encoder: str | Path = "embedded"
    concepts: Path | str | Sequence[str] | None = None
    classes: Path | str | Mapping[str, Any] | None = None
    labels: Path | str | Table | None = None
    lam: float | None = None
    nec: float | None = None
    link: str | None = None
    validity: bool = True
    grounding: bool = True
    words: int | None = None
    name_prior: float | None = None
    seed: int = 0
    exam: bool = True
    provider: str = "auto"
    baseline: bool = True
    name: str | None = None
    workers: int | None = None
    cache: bool = True
    tables: TableOptions = field(default_factory=TableOptions)

    def __post_init__(self) -> None:
        if self.lam is not None and not (np.isfinite(self.lam) and self.lam >= 0):
            raise InputError(f"λ must be a finite number of at least 0, not {self.lam!r}")
        if self.nec is not None and not (np.isfinite(self.nec) and self.nec > 0):
            raise InputError(f"the wanted number of concepts must be above 0, not {self.nec!r}")
        if self.words is not None and not 1 <= self.words <= MOST:
            raise InputError(f"the number of words must be between 1 and {MOST:,}, not {self.words!r}")
        if self.name_prior is not None and not 0 <= self.name_prior <= STRONGEST:
            raise InputError(
                f"the strength of the name prior must be between 0 and {STRONGEST:g}, not {self.name_prior!r}"
            )
        if not (np.isfinite(self.temperature) and self.temperature > 0):
            raise InputError(f"the temperature must be above 0, not {self.temperature!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InputError(f"the seed must be a whole number from 0 on, not {self.seed!r:.60}")
        if self.link not in (None, "sigmoid", "softmax"):
            raise InputError(f"link must be sigmoid or softmax, not {self.link!r:.40}")
