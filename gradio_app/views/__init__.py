"""Registry of the views of the page.

A view is a folder with `view.py`, `view.js` and `view.css`. To add a view, add a folder here, or install a
package that names the module under the entry-point group `inficond.views`. `view.py` defines one constant,
`VIEW`, which names the view and lists its parts. A part is a piece of data that the view
draws. It declares the fields of the selection that it depends on, so that the page requests only what a
change affects.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inficond.core.errors import InputError
from inficond.core.extensions import VIEWS, extensions, load

if TYPE_CHECKING:
    import gradio as gr

    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

FILTERS = ("actual", "predicted", "reference", "moved", "area")
"""The fields of the selection that filter the images: by class, comparison and area of the map."""
FIELDS = ("cls", "subset", "slice", "concepts", "image", "scope", *FILTERS, "node")
"""Valid dependencies of a part: the fields of the selection, and the current node of the history."""


@dataclass(frozen=True)
class ViewPart:
    """A piece of data of a view.

    Parameters
    ----------
    name : str
        Unique among all views. Starts with the name of the view.
    depends : tuple of str
        Names from `FIELDS`. The page requests the part again when one of them changes.
    read : callable
        `(visitor, selection) -> JSON`. Reads from the visitor's session and computes nothing.
    slow : int
        Above 0, the page requests the part separately, after it has drawn the others. Lower numbers come
        first.
    shared : bool
        Whether all visits at a node get the same value for a selection. Visits without steps of their own
        then share the values for which only a class is selected.

    Raises
    ------
    ValueError
        If `depends` holds a name that is not in `FIELDS`.
    """

    name: str
    depends: tuple[str, ...]
    read: "Callable[[Visitor, Selection], Any]"
    slow: int = 0
    shared: bool = False

    def __post_init__(self) -> None:
        invalid = set(self.depends) - set(FIELDS)
        if invalid:
            raise ValueError(f"part {self.name!r} depends on {sorted(invalid)}; valid names are {FIELDS}")


@dataclass(frozen=True)
class View:
    """A view of the page.

    Parameters
    ----------
    name : str
        The name of its folder. Its HTML element has the id `view-<name>`.
    number : int
        Position in the reading order, from 1.
    title : str
        Heading.
    about : str
        One line that explains the view to a newcomer.
    parts : tuple of ViewPart
    folder : Path, optional
        Where `view.js` and `view.css` are; for views of this package and of entry points it is set by
        `all_views`.
    """

    name: str
    number: int
    title: str
    about: str
    parts: tuple[ViewPart, ...]
    folder: Path | None = None

    def file(self, suffix: str) -> Path:
        """Return the path of the view's script (`js`) or style sheet (`css`)."""
        return (self.folder or Path(__file__).parent / self.name) / f"view.{suffix}"

    @property
    def css(self) -> str:
        """The style sheet of the view."""
        return self.file("css").read_text(encoding="utf-8")

    def component(self) -> "gr.HTML":
        """Return the view as a Gradio component with a constant template, which the view's script fills."""
        import gradio as gr

        return gr.HTML(
            value=None,
            html_template='<div class="view inf"></div>',
            js_on_load=f"window.inficond.startView({self.name!r}, element, props);",
            apply_default_css=False,
            container=False,
            padding=False,
            elem_id=f"view-{self.name}",
            elem_classes=["view-block"],
            title=self.title,
            about=self.about,
            number=self.number,
        )


def added_views() -> list[View]:
    """Return the views of other packages.

    Raises
    ------
    InputError
        One cannot be loaded, or lacks its constant or a file.
    """
    views = []
    for name, point in extensions(VIEWS).items():
        module = load(point)
        view = getattr(module, "VIEW", None)
        if not isinstance(view, View):
            raise InputError(
                f"the extension {name!r} ({point.value}) is not a view: it lacks the constant VIEW"
            )
        view = replace(view, folder=Path(str(module.__file__)).parent)
        for suffix in ("js", "css"):
            if not view.file(suffix).is_file():
                raise InputError(f"the extension {name!r} lacks the file {view.file(suffix)}")
        views.append(view)
    return views


@cache
def all_views() -> tuple[View, ...]:
    """Return all views in reading order.

    Raises
    ------
    ValueError
        If two parts have the same name.
    InputError
        If a view of another package cannot be loaded.
    """
    views = []
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            views.append(import_module(f"{__name__}.{module.name}.view").VIEW)
    views += added_views()
    names = [part.name for view in views for part in view.parts]
    if len(set(names)) != len(names):
        raise ValueError(f"part names are not unique: {sorted(names)}")
    return tuple(sorted(views, key=lambda view: view.number))


@cache
def view_parts() -> dict[str, ViewPart]:
    """Return the parts of all views by name."""
    return {part.name: part for view in all_views() for part in view.parts}
