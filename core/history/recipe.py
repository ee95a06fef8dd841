"""Recipes: the steps of a branch without their results, for a replay on this or another project."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inficond.core.errors import InputError, system_reason
from inficond.core.file_access import read_given
from inficond.core.history.node import KINDS, Node
from inficond.core.strict_json import parse_json
from inficond.core.tuning.actions import Action

FORMAT = "inficond-recipe"
VERSION = 1
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Step:
    """One step of a recipe.

    Parameters
    ----------
    kind : str
        Kind of the node, never ``root`` or ``exam``.
    classes : tuple of str
        Classes of the step.
    actions : tuple of Action
        For ``tune``.
    focus : mapping or None
        ``label``, ``factor`` and optionally ``images``.
    detail : mapping
        Detail of the node.
    note : str
        Remark of the person.

    Examples
    --------
    >>> from inficond.core.history.recipe import Step
    >>> from inficond.core.tuning.actions import Action
    >>> step = Step("tune", classes=("water bird",), actions=(Action("mute", "group:water"),))
    >>> step.to_json()["actions"]
    [{'kind': 'mute', 'concept': 'group:water'}]
    """

    kind: str
    classes: tuple[str, ...] = ()
    actions: tuple[Action, ...] = ()
    focus: Mapping[str, Any] | None = None
    detail: Mapping[str, Any] | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON without empty fields."""
        data: dict[str, Any] = {
            "kind": self.kind,
            "classes": list(self.classes),
            "actions": [a.to_json() for a in self.actions],
            "focus": dict(self.focus) if self.focus else None,
            "detail": dict(self.detail or {}),
            "note": self.note,
        }
        return {k: v for k, v in data.items() if v}

    @classmethod
    def from_json(cls, data: Any, number: int) -> "Step":
        """Return the step of plain JSON; errors mention `number`, which counts from 1."""
        if not isinstance(data, Mapping):
            raise InputError(f"step {number} of the recipe is not an object")
        kind = data.get("kind")
        if kind not in KINDS or kind in ("root", "exam"):
            raise InputError(f"step {number} of the recipe has the unknown kind {str(kind)[:40]!r}")
        classes, actions = data.get("classes", []), data.get("actions", [])
        focus, detail = data.get("focus"), data.get("detail", {})
        if not are_names(classes) or not isinstance(actions, list):
            raise InputError(f"step {number} of the recipe needs lists of classes and actions")
        if not (focus is None or isinstance(focus, Mapping)) or not isinstance(detail, Mapping):
            raise InputError(f"step {number} of the recipe has a focus or detail that is not an object")
        wanted = {
            "add": "concept",
            "drop": "concept",
            "override": "images",
            "lambda": "lam",
            "threshold": "at",
        }.get(kind)
        if wanted is not None and wanted not in detail:
            raise InputError(f"step {number} of the recipe ({kind}) lacks {wanted!r}")
        if kind == "override" and not are_names(detail["images"]):
            raise InputError(f"step {number} of the recipe needs a list of images")
        if focus is not None and not _is_focus(focus):
            raise InputError(f"step {number} of the recipe has a focus without a subset, slice or images")
        try:
            made = tuple(Action.from_json(a) for a in actions)
        except InputError as error:
            raise InputError(f"step {number} of the recipe: {error}") from None
        return cls(kind, tuple(classes), made, focus, detail, str(data.get("note", "")))


@dataclass(frozen=True)
class Recipe:
    """Steps in order, and their origin.

    Parameters
    ----------
    steps : tuple of Step
        From the root on.
    project : str
        Name of the project of origin.
    data, code : str
        Hash of its data; version of the program.

    Examples
    --------
    >>> from inficond.core.history.recipe import Recipe, Step
    >>> recipe = Recipe((Step("drop", detail={"concept": "fish"}),), project="demo")
    >>> Recipe.from_json(recipe.to_json()) == recipe
    True
    """

    steps: tuple[Step, ...]
    project: str = ""
    data: str = ""
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "project": self.project,
            "data": self.data,
            "code": self.code,
            "steps": [s.to_json() for s in self.steps],
        }

    @classmethod
    def from_json(cls, data: Any) -> "Recipe":
        """Validate and return the recipe of plain JSON.

        Raises
        ------
        InputError
            Not a recipe, a recipe of another version, or an invalid step.
        """
        if isinstance(data, Recipe):
            return data
        if not isinstance(data, Mapping) or data.get("format") != FORMAT:
            raise InputError("this is not a recipe: use the output of `inficond recipe`")
        if data.get("version") != VERSION:
            raise InputError(
                f"the recipe has version {str(data.get('version'))[:20]}, and {VERSION} is supported: "
                "replay it with the version of inficond that wrote it"
            )
        steps = data.get("steps")
        if not isinstance(steps, list):
            raise InputError("the recipe has no list of steps")
        return cls(
            tuple(Step.from_json(s, i) for i, s in enumerate(steps, 1)),
            str(data.get("project", "")),
            str(data.get("data", "")),
            str(data.get("code", "")),
        )

    @classmethod
    def read(cls, path: Path | str) -> "Recipe":
        """Read a file.

        Raises
        ------
        InputError
            It cannot be read or is not a recipe.
        """
        path = Path(path)
        try:
            data = parse_json(read_given(path, MAX_BYTES))
        except OSError as error:
            raise InputError(f"cannot read {path}: {system_reason(error)}") from None
        except InputError:
            raise
        except ValueError as error:
            raise InputError(f"{path} is not a recipe ({error}): make one with `inficond recipe`") from None
        return cls.from_json(data)


def recipe_of(path: Sequence[Node], project: str) -> Recipe:
    """Return the steps that lead to a node as a recipe.

    Parameters
    ----------
    path : sequence of Node
        From the first step to the node.
    project : str
        Name of the project.

    Returns
    -------
    Recipe
        Without exams and without results, which a replay computes.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.history.recipe import recipe_of
    >>> session = Project.open(demo_project()).session()
    >>> node = session.drop_concept("fish")
    >>> recipe_of([node], "demo").steps[0].detail
    {'concept': 'fish'}
    """
    steps = tuple(
        Step(n.kind, n.classes, n.actions, _focus(n.focus), _detail(n), n.note)
        for n in path
        if n.kind != "exam"
    )
    last = path[-1] if path else None
    return Recipe(steps, project, last.data if last else "", last.code if last else "")


def _focus(focus: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a focus without the number of images, which depends on the project."""
    return None if focus is None else {k: v for k, v in focus.items() if k != "size"}


def _detail(node: Node) -> dict[str, Any]:
    """Return the detail of a step without its results."""
    return {k: v for k, v in node.detail.items() if k != "thresholds"}


def _is_focus(focus: Mapping[str, Any]) -> bool:
    conditions = focus.get("conditions", [])
    return (
        "label" in focus
        and are_names(focus.get("images", []))
        and isinstance(conditions, list)
        and all(isinstance(c, Mapping) and "concept" in c and "level" in c for c in conditions)
        and isinstance(focus.get("factor", 1.0), int | float)
    )


def are_names(value: Any) -> bool:
    """Return whether a value is a list of strings.

    Examples
    --------
    >>> from inficond.core.history.recipe import are_names
    >>> are_names(["sea", "boat"]), are_names("sea")
    (True, False)
    """
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
