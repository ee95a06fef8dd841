"""The views: one folder each with `view.py`, `view.js` and `view.css`. A new view is a new folder and
nothing else.

`view.py` has one constant, `VIEW`: what the view is called and the parts of data it draws. A part says which
fields of the selection it depends on, so that the page asks again only for what a change concerns.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gradio as gr

    from inficond.gradio_app.selection import Selection
    from inficond.gradio_app.visitor import Visitor

FIELDS = ("cls", "subset", "slice", "concepts", "image", "scope", "node")
"""What a part may depend on: the fields of the selection, and the visitor's place in the history."""


@dataclass(frozen=True)
class Part:
    """A piece of data of a view.

    Parameters
    ----------
    name : str
        Unique among all views; starts with the view's name.
    depends : tuple of str
        Fields of `FIELDS`; the part is read again when one of them changes.
    read : callable
        `(visitor, selection) -> JSON`; asks the visitor's session and computes nothing.
    slow : int
        Above 0, the part is read in a request of its own after the others are drawn; lower numbers first.
    """

    name: str
    depends: tuple[str, ...]
    read: "Callable[[Visitor, Selection], Any]"
    slow: int = 0

    def __post_init__(self) -> None:
        strange = set(self.depends) - set(FIELDS)
        if strange:
            raise ValueError(f"part {self.name!r} depends on {sorted(strange)}; there are {FIELDS}")


@dataclass(frozen=True)
class View:
    """A view of the page.

    Parameters
    ----------
    name : str
        Its folder; its element is `#view-<name>`.
    number : int
        Its place in the reading order.
    title, about : str
        Its heading, and one line that says what a person is looking at.
    parts : tuple of Part
    """

    name: str
    number: int
    title: str
    about: str
    parts: tuple[Part, ...]

    def _file(self, suffix: str) -> str:
        return (Path(__file__).parent / self.name / f"view.{suffix}").read_text(encoding="utf-8")

    @property
    def css(self) -> str:
        """The view's style sheet."""
        return self._file("css")

    def component(self) -> "gr.HTML":
        """The view as a Gradio component: a constant template, filled by the view's script."""
        import gradio as gr

        from inficond.gradio_app.theme import squeezed

        script = squeezed(self._file("js"))
        return gr.HTML(
            value=None,
            html_template='<div class="view inf"></div>',
            js_on_load=f"window.inficond.view({self.name!r}, element, (view) => {{\n{script}\n}}, props);",
            apply_default_css=False,
            container=False,
            padding=False,
            elem_id=f"view-{self.name}",
            elem_classes=["view-block"],
            title=self.title,
            about=self.about,
            number=self.number,
        )


@cache
def all_views() -> tuple[View, ...]:
    """Every view there is, in reading order."""
    found = []
    for module in pkgutil.iter_modules(__path__):
        if module.ispkg:
            found.append(import_module(f"{__name__}.{module.name}.view").VIEW)
    names = [part.name for view in found for part in view.parts]
    if len(set(names)) != len(names):
        raise ValueError(f"two parts of views share a name: {sorted(names)}")
    return tuple(sorted(found, key=lambda view: view.number))


@cache
def all_parts() -> dict[str, Part]:
    """Every part by name."""
    return {part.name: part for view in all_views() for part in view.parts}
