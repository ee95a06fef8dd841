"""The selection that all views share, and its validation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypedDict

from inficond.core.errors import InputError, one_line
from inficond.core.evaluation.subsets import SUBSETS
from inficond.core.sessions.map_area import parse_area
from inficond.gradio_app.comparison import moved_rows

if TYPE_CHECKING:
    from inficond.gradio_app.visitor import Visitor

MAX_CONCEPTS = 40
SCOPES = ("validation", "all")
MAX_WAIT_IMAGES = 20_000
"""Images whose map is computed while a link is opened; that of more is computed in the background."""
MAX_LENGTH = 600
"""Length at which the text of a field is cut before it is compared with known names."""


class SelectionPayload(TypedDict):
    """A selection as the browser keeps it."""

    cls: str
    subset: str | None
    slice: str | None
    concepts: list[str]
    image: str | None
    scope: str | None
    actual: str | None
    predicted: str | None
    reference: str | None
    moved: str | None
    area: str | None


@dataclass(frozen=True)
class Selection:
    """The selection that the six views show.

    Parameters
    ----------
    cls : str
        A class.
    subset : str, optional
        One of `SUBSETS`.
    slice : str, optional
        The id of a slice of the class. `subset` and `slice` exclude each other.
    concepts : tuple of str
        Selected concepts. The views show them in every sort order.
    image : str, optional
        The id of the opened image.
    scope : str, optional
        ``all`` includes training images. Only validation images are shown by default.
    actual : str, optional
        Only images of this class: by their labels, or by the teacher as `reference` says.
    predicted : str, optional
        Only images to which the student gives this class. Both filters need classes that exclude each other,
        except `actual` by labels; neither is combined with a slice.
    reference : str, optional
        ``teacher``: the actual classes are the teacher's even if there are labels.
    moved : str, optional
        Only images of the class that changed in a comparison: both sides and the kind of change, see
        `comparison.moved_rows`. Not combined with a slice.
    area : str, optional
        Only images in this area of the map, as `core.sessions.map_area` writes it.
    """

    cls: str
    subset: str | None = None
    slice: str | None = None
    concepts: tuple[str, ...] = ()
    image: str | None = None
    scope: str | None = None
    actual: str | None = None
    predicted: str | None = None
    reference: str | None = None
    moved: str | None = None
    area: str | None = None

    def to_json(self) -> SelectionPayload:
        """Return the selection as the browser keeps it."""
        return {
            "cls": self.cls,
            "subset": self.subset,
            "slice": self.slice,
            "concepts": list(self.concepts),
            "image": self.image,
            "scope": self.scope,
            "actual": self.actual,
            "predicted": self.predicted,
            "reference": self.reference,
            "moved": self.moved,
            "area": self.area,
        }


def resolve_selection(requested: Any, visitor: "Visitor") -> tuple[Selection, str | None]:
    """Return the valid selection that is nearest to a requested one.

    Parameters
    ----------
    requested : mapping
        Fields of `Selection`, from a link or a script. Any of them may be missing or invalid.
    visitor : Visitor
        The visitor whose project and session determine which values are valid.

    Returns
    -------
    selection : Selection
    note : str or None
        One line that lists the changes; None if there are none.
    """
    requested = requested if isinstance(requested, Mapping) else {}
    notes: list[str] = []
    cls = _nearest_class(_text(requested.get("cls")), list(visitor.session.project.classes), notes)
    subset = _text(requested.get("subset"))
    if subset not in (None, *SUBSETS):
        notes.append(f"subset “{subset[:40]}” does not exist")
        subset = None
    concepts = _known_concepts(requested.get("concepts"), visitor.concept_index, notes)
    image = _text(requested.get("image"))
    if image is not None and image not in visitor.image_index:
        notes.append("the image is not in this project")
        image = None
    scope = requested.get("scope") if requested.get("scope") in SCOPES[1:] else None
    cls = cls or visitor.default_class()
    slice_id = _text(requested.get("slice"))
    if slice_id is not None and visitor.slice(cls, slice_id) is None:
        notes.append("the slice no longer exists; all images are shown")
        slice_id = None
    area = _valid_area(_text(requested.get("area")), visitor, notes)
    selection = Selection(cls, None if slice_id else subset, slice_id, concepts, image, scope, area=area)
    if slice_id is None:
        selection = replace(selection, **_class_filters(requested, visitor, notes))
        selection = replace(selection, moved=_valid_moved(requested, cls, visitor, notes))
    return selection, one_line(("; ".join(notes) + ".").capitalize()) if notes else None


def _class_filters(requested: Mapping[str, Any], visitor: "Visitor", notes: list[str]) -> dict[str, Any]:
    """Return the valid filters by actual and predicted class; add a note for each that is removed."""
    found: dict[str, Any] = {}
    if requested.get("reference") == "teacher":
        found["reference"] = "teacher"
    session = visitor.session
    known = visitor.class_references()
    labelled = session.project.labels is not None and "reference" not in found
    for name, possible in (("actual", bool(known) or labelled), ("predicted", bool(known))):
        cls = _text(requested.get(name))
        if cls is None:
            continue
        if possible and cls in session.project.classes:
            found[name] = cls
        else:
            notes.append(f"images cannot be filtered by the {name} class “{cls[:40]}”")
    return found


def _valid_moved(requested: Mapping[str, Any], cls: str, visitor: "Visitor", notes: list[str]) -> str | None:
    """Return the images of a comparison if it can be made; add a note if it cannot."""
    moved = _text(requested.get("moved"))
    if moved is None:
        return None
    try:
        moved_rows(visitor, cls, moved)
    except InputError as error:
        notes.append(str(error))
        return None
    return moved


def _valid_area(area: str | None, visitor: "Visitor", notes: list[str]) -> str | None:
    """Return an area of the map if it is valid; add a note if it is not."""
    if area is None:
        return None
    context = visitor.session.context
    found = context.known_map()
    try:
        if found is None and len(visitor.project) <= MAX_WAIT_IMAGES:
            found = context.image_map()
        if found is None:
            raise InputError("the map of the images is not computed yet: open it first")
        parse_area(area, found.layout)
    except InputError as error:
        notes.append(str(error))
        return None
    return area


def _text(value: Any) -> str | None:
    return value[:MAX_LENGTH] if isinstance(value, str) and value else None


def _nearest_class(name: str | None, classes: list[str], notes: list[str]) -> str | None:
    """Return the class, or the one with the most similar name; add a note where they differ."""
    if name is None or name in classes:
        return name
    near = get_close_matches(name, classes, n=1, cutoff=0.6)
    shown = name if len(name) <= 40 else name[:39] + "…"
    notes.append(f"class “{shown}” does not exist" + (f"; “{near[0]}” is shown" if near else ""))
    return near[0] if near else None


def _known_concepts(value: Any, known: Mapping[str, int], notes: list[str]) -> tuple[str, ...]:
    """Return the requested concepts that exist, each once; add a note where some do not."""
    requested = [w for w in value if isinstance(w, str)] if isinstance(value, list | tuple) else []
    concepts = tuple(dict.fromkeys(w for w in requested if w in known))[:MAX_CONCEPTS]
    if len(set(requested)) > len(concepts):
        notes.append("some of the concepts are not in this project")
    return concepts
