"""What is selected: one value for all views. Anything a link or a script asks for is
mended to what exists."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from inficond.core.errors import one_line
from inficond.core.evaluation.subsets import SUBSETS

if TYPE_CHECKING:
    from inficond.gradio_app.visitor import Visitor

MOST_CONCEPTS = 40
SCOPES = ("validation", "all")
LONGEST = 600  # no name is longer: what is, came from a broken link


@dataclass(frozen=True)
class Selection:
    """What the six views show.

    Parameters
    ----------
    cls : str
        A class.
    subset : str, optional
        One of `SUBSETS`.
    slice : str, optional
        The id of a slice of the class; never together with a subset.
    concepts : tuple of str
        Concepts picked by the person, kept in view whatever the sorting.
    image : str, optional
        The id of the opened image.
    scope : str, optional
        ``all`` shows training images too; validation images only by default.
    """

    cls: str
    subset: str | None = None
    slice: str | None = None
    concepts: tuple[str, ...] = ()
    image: str | None = None
    scope: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As the browser's side keeps it."""
        return {**asdict(self), "concepts": list(self.concepts)}


def _text(asked: Any) -> str | None:
    return asked[:LONGEST] if isinstance(asked, str) and asked else None


def _nearest(asked: str | None, known: list[str], what: str, notes: list[str]) -> str | None:
    if asked is None or asked in known:
        return asked
    near = get_close_matches(asked, known, n=1, cutoff=0.6)
    short = asked if len(asked) <= 40 else asked[:39] + "…"
    notes.append(f"{what} “{short}” is not here" + (f", “{near[0]}” is shown" if near else ""))
    return near[0] if near else None


def resolve(asked: Any, visitor: "Visitor") -> tuple[Selection, str | None]:
    """The nearest valid selection to what was asked.

    Parameters
    ----------
    asked : mapping
        Fields of `Selection`, from a link or a script; anything may be missing or wrong.
    visitor : Visitor
        Whose project and branch decide what is valid.

    Returns
    -------
    selection : Selection
    note : str or None
        One line that says what had to be changed.
    """
    asked = asked if isinstance(asked, Mapping) else {}
    session = visitor.session
    notes: list[str] = []
    cls = _nearest(_text(asked.get("cls")), list(session.project.classes), "the class", notes)
    subset = _text(asked.get("subset"))
    if subset not in (None, *SUBSETS):
        notes.append(f"there is no subset “{subset[:40]}”")
        subset = None
    words = asked.get("concepts")
    known = visitor.concept_index
    picked = [w for w in words if isinstance(w, str)] if isinstance(words, list | tuple) else []
    concepts = tuple(dict.fromkeys(w for w in picked if w in known))[:MOST_CONCEPTS]
    if len(set(picked)) > len(concepts):
        notes.append("some of the words are not in this project")
    image = _text(asked.get("image"))
    if image is not None and image not in visitor.image_index:
        notes.append("the image is not in this project")
        image = None
    scope = asked.get("scope") if asked.get("scope") in SCOPES[1:] else None
    cls = cls or visitor.first_class()
    slice_id = _text(asked.get("slice"))
    if slice_id is not None and visitor.slice(cls, slice_id) is None:
        notes.append("the slice is no longer there, all images are shown")
        slice_id = None
    chosen = Selection(cls, None if slice_id else subset, slice_id, concepts, image, scope)
    return chosen, one_line(("; ".join(notes) + ".").capitalize()) if notes else None
