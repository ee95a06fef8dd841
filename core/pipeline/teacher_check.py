"""Self-test of a teacher on the user's images: top labels, and agreement with the labels there are.

Wrong preprocessing or a wrong order of labels gives a teacher that runs without an error and answers at
random. Its top labels on a few images show it at once.
"""

from collections.abc import Sequence

import numpy as np

SHOWN = 3
NEAR_CHANCE = 0.05
"""A teacher that is not better than the most frequent label by this much is reported."""
FEWEST = 8
"""Labelled images that a comparison needs."""


def self_test(
    responses: np.ndarray,
    labels: Sequence[str],
    ids: Sequence[str],
    truth: np.ndarray | None,
    classes: Sequence[str],
) -> list[str]:
    """Describe a teacher's answers.

    Parameters
    ----------
    responses : (N, L) float
        Of all its labels.
    labels : sequence of L str
    ids : sequence of N str
        The images.
    truth : (N, K) float or None
        Labels of the images: 1, 0, or NaN where unknown.
    classes : sequence of K str
        Names of the columns of `truth`.

    Returns
    -------
    list of str
        One line of examples; one about the agreement with labels of the same names, where there are enough.
    """
    rows = np.linspace(0, len(ids) - 1, min(SHOWN, len(ids))).astype(int)
    examples = []
    for row in rows:
        top = int(np.argmax(responses[row]))
        examples.append(f"{ids[row]}: {labels[top]} {float(responses[row, top]):.2f}")
    lines = [f"teacher: {'; '.join(examples)}"]
    if truth is None:
        return lines
    columns = {name.casefold(): i for i, name in enumerate(labels)}
    shared = [(k, columns[name.casefold()]) for k, name in enumerate(classes) if name.casefold() in columns]
    if len(shared) < 2:
        return lines
    Y = truth[:, [k for k, _ in shared]]
    known = np.isfinite(Y).all(axis=1) & (np.nansum(Y, axis=1) == 1)
    if known.sum() < FEWEST:
        return lines
    answers = np.stack([np.asarray(responses[known, c]) for _, c in shared], axis=1).argmax(axis=1)
    right = Y[known].argmax(axis=1)
    agreement = float((answers == right).mean())
    chance = float(np.bincount(right).max() / len(right))
    lines.append(
        f"teacher: it gives the label of {agreement:.1%} of {int(known.sum()):,} labelled images (always the "
        f"most frequent label: {chance:.1%})"
    )
    if agreement < chance + NEAR_CHANCE:
        lines.append(
            "teacher: WARNING: this is hardly better than always giving the most frequent label: check its "
            "preprocessing, and the order of its labels"
        )
    return lines
