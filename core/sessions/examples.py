"""Example images of a concept: those whose evidence shows the concept most clearly."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inficond.core.sessions.project_context import ProjectContext
    from inficond.core.sessions.session import Session

CANDIDATES = 40
"""Images with the largest values among which the clearest are chosen."""


def example_images(session: "Session", word: str, count: int, cls: str | None = None) -> list[int]:
    """Return the rows of images that show a word, the clearest first.

    Of the images with the largest values of the word, those with the largest clearness are chosen. Where
    clearness cannot be measured (another encoder, a concept by example), the largest values come first.

    Parameters
    ----------
    session : Session
    word : str
        A concept or any other word.
    count : int
        Largest number of rows.
    cls : str, optional
        Only images that the student answers with yes for this class; all images if there are none.
    """
    own = session.project.concepts
    values: NDArray[np.float32] = (
        np.asarray(session.project.X[:, own.index(word)]) if word in own else session.workspace.word(word)
    )
    rows = np.flatnonzero(values > 0)
    if cls is not None:
        c = session.class_index(cls)
        yes = rows[session.scores()[rows, c] >= session.threshold(cls)]
        rows = yes if len(yes) else rows
    order = rows[np.argsort(-values[rows], kind="stable")]
    return clearest(session.context, word, order[: max(CANDIDATES, count)].tolist(), count)


def clearest(context: "ProjectContext", word: str, rows: "Sequence[int]", count: int) -> list[int]:
    """Return up to `count` rows, the largest clearness first, or in the given order where it is unknown."""
    try:
        found = [context.clearness(row, word) for row in rows]
    except InputError:  # the encoder or its graph of cells cannot be loaded
        return list(rows[:count])
    if any(value is None for value in found):
        return list(rows[:count])
    order = np.argsort(-np.array(found, np.float32), kind="stable")[:count]
    return [rows[i] for i in order.tolist()]
