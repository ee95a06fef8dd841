"""Controls of a new project: the same fit on random directions, random regions and random words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.corpus import Corpus
from inficond.core.concepts.neutral import NeutralRegions
from inficond.core.students.baseline import random_concept_vectors
from inficond.core.students.controls import absent_share, mean_fidelity, random_regions, random_rows
from inficond.core.students.distil import distil
from inficond.core.students.student import Students
from inficond.core.tuning.word_selection import SEEN_IMAGES, select_words

DIRECTIONS, REGIONS, WORDS = "random directions", "random regions", "random words"


def measure_controls(
    regions: NDArray[np.float16],
    X: NDArray[np.floating],
    T: NDArray[np.floating],
    validation: NDArray[np.bool_],
    students: Students,
    baseline: tuple[Students, NDArray[np.floating]] | None,
    vocabulary: Corpus | None,
    neutral: NeutralRegions,
    *,
    relax: float,
    grounded: bool,
    seed: int,
) -> dict[str, Any]:
    """Measure the fidelity of words and controls on validation images.

    Every control has as many vectors, the same link, and at most as many concepts per class as the words.

    Parameters
    ----------
    regions, X, T, validation
        Of all images: (N, R, D), (N, K), (N, C), (N,).
    students : Students
        Fitted to the words.
    baseline : (Students, (N, K) array), optional
        Students of random directions and their concept vectors.
    vocabulary : Corpus, optional
        Text vectors that random words are drawn from.
    neutral : NeutralRegions
        Of the same encoder.
    relax : float
        As for `distil`.
    grounded : bool
        Whether the words are grounded; random words are then grounded too.
    seed : int

    Returns
    -------
    dict
        ``words`` and each control: ``ap``, ``nec``. ``absent``: see `absent_share`.
    """
    held_out, training = np.flatnonzero(validation), np.flatnonzero(~validation)
    T_held_out = np.asarray(T[held_out])
    out: dict[str, Any] = {"words": _figures(students, np.asarray(X[held_out]), T_held_out)}
    if baseline is not None:
        out[DIRECTIONS] = _figures(baseline[0], np.asarray(baseline[1][held_out]), T_held_out)
    if len(training) > SEEN_IMAGES:
        training = training[np.linspace(0, len(training) - 1, SEEN_IMAGES).round().astype(int)]
    count, nec = students.n_concepts, max(float(students.nec().mean()), 0.5)

    def measure(vectors: NDArray[np.float32], names: Sequence[str]) -> dict[str, float | None]:
        one = distil(
            random_concept_vectors(regions[training], vectors), T[training], students.classes, names, nec=nec,
            relax=relax, link=students.link,
        )[0]  # fmt: skip
        return _figures(one, random_concept_vectors(regions[held_out], vectors), T_held_out)

    out[REGIONS] = measure(
        random_regions(regions, training, count, seed), [f"random region {k + 1}" for k in range(count)]
    )
    if vocabulary is not None and len(vocabulary) > count:
        rows = random_rows(len(vocabulary), count, seed)
        drawn = Corpus(tuple(vocabulary.concepts[k] for k in rows), vocabulary.embeddings[rows])
        selected = select_words(
            drawn, regions[training], neutral, tested=False, grounded=grounded,
            vocabulary_mean=vocabulary.embeddings.mean(axis=0),
        )  # fmt: skip
        out[WORDS] = measure(selected.vectors, drawn.names)
    out["absent"] = absent_share(students, np.asarray(X[held_out]))
    return out


def _figures(students: Students, X: NDArray[np.floating], T: NDArray[np.floating]) -> dict[str, float | None]:
    return {"ap": mean_fidelity(students, X, T), "nec": float(students.nec().mean())}
