"""Replay of a recipe on a project: names are matched; what does not apply is skipped and listed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inficond.core.errors import InputError, StorageError, one_line
from inficond.core.evaluation import SUBSETS
from inficond.core.history.node import Node
from inficond.core.history.recipe import Recipe, Step
from inficond.core.tuning.actions import GROUP_PREFIX, Action


@dataclass(frozen=True)
class Skipped:
    """A part of a recipe that does not apply to the project.

    Parameters
    ----------
    step : int
        Number of the step, from 1.
    what, why : str
        The part and the reason.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.history.recipe import Recipe, Step
    >>> session = Project.open(demo_project()).session()
    >>> result = session.replay(Recipe((Step("drop", detail={"concept": "periscope"}),)))
    >>> result.skipped[0].step, result.skipped[0].what, result.skipped[0].why
    (1, 'drop periscope', "unknown concept 'periscope': did you mean 'person' or 'helicopter' or 'scooter'?")
    """

    step: int
    what: str
    why: str

    def __str__(self) -> str:
        return one_line(f"step {self.step}: {one_line(self.what, 200)}: {self.why}")


@dataclass(frozen=True)
class Replayed:
    """Result of a replay.

    Parameters
    ----------
    nodes : tuple of Node
        New nodes, in order.
    skipped : tuple of Skipped
        Parts that did not apply.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.history.recipe import Recipe, Step
    >>> session = Project.open(demo_project()).session()
    >>> result = session.replay(Recipe((Step("drop", detail={"concept": "fish"}),)))
    >>> [node.kind for node in result.nodes], result.skipped
    (['drop'], ())
    """

    nodes: tuple[Node, ...]
    skipped: tuple[Skipped, ...]


class Steps(Protocol):
    """Methods of a session that a replay calls."""

    @property
    def classes(self) -> list[str]: ...
    @property
    def concepts(self) -> list[str]: ...
    @property
    def concept_groups(self) -> list[str]: ...
    @property
    def dropped(self) -> frozenset[str]: ...
    @property
    def image_ids(self) -> Sequence[str]: ...
    def apply(self, cls: Sequence[str], actions: Sequence[Action], focus: Any, note: str) -> Node: ...
    def add_concept(self, word: str, note: str) -> Node: ...
    def add_example(self, name: str, shown: Any, not_shown: Any, note: str) -> Node: ...
    def rename_concept(self, old: str, new: str, note: str) -> Node: ...
    def drop_concept(self, name: str, note: str) -> Node: ...
    def override(self, images: Iterable[str], cls: str, value: float | None, note: str) -> Node: ...
    def set_lambda(self, lam: float, note: str) -> Node: ...
    def set_thresholds(self, at: float | str, note: str) -> Node: ...


def replay(session: Steps, recipe: Recipe | Mapping[str, Any]) -> Replayed:
    """Take the steps of a recipe.

    Parameters
    ----------
    session : Session
        The first step is taken at its current node.
    recipe : Recipe or mapping
        A mapping is validated first; no step is taken if one is invalid.

    Returns
    -------
    Replayed
        New nodes and skipped parts.

    Raises
    ------
    InputError
        Not a recipe, or a recipe of another version; a `StorageError` if a step cannot be written.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.history.recipe import Recipe, Step
    >>> from inficond.core.history.replay import replay
    >>> session = Project.open(demo_project()).session()
    >>> len(replay(session, Recipe((Step("drop", detail={"concept": "fish"}),))).nodes)
    1
    """
    recipe = Recipe.from_json(recipe)
    nodes: list[Node] = []
    skipped: list[Skipped] = []
    for number, step in enumerate(recipe.steps, 1):
        try:
            made = _take(session, step, number, skipped)
        except StorageError:  # the step is valid: skipping it would give a different student
            raise
        except InputError as error:
            skipped.append(Skipped(number, _what(step), str(error)))
            continue
        if made is not None:
            nodes.append(made)
    return Replayed(tuple(nodes), tuple(skipped))


def _take(session: Steps, step: Step, number: int, skipped: list[Skipped]) -> Node | None:
    def keep(names: Iterable[str], known: Iterable[str], kind: str) -> list[str]:
        there = set(known)
        kept = []
        for name in names:
            if name in there:
                kept.append(name)
            else:
                skipped.append(Skipped(number, f"{kind} {name!r}", "is not in this project"))
        return kept

    detail = step.detail or {}
    if step.kind == "add" and _is_there(session, detail.get("renamed")):
        return session.rename_concept(str(detail["renamed"]), str(detail.get("label", "")), step.note)
    if step.kind == "add" and "shown" in detail:
        name = str(detail["concept"])
        return session.add_example(name, detail["shown"], detail.get("not_shown") or [], step.note)
    if step.kind == "add":
        return session.add_concept(str(detail["concept"]), step.note)
    if step.kind == "drop":
        return session.drop_concept(str(detail["concept"]), step.note)
    if step.kind == "lambda":
        return session.set_lambda(detail["lam"], step.note)
    if step.kind == "threshold":
        return session.set_thresholds(detail["at"], step.note)
    classes = keep(step.classes, session.classes, "class")
    if not classes:
        return None
    if step.kind == "override":
        images = keep(detail["images"], session.image_ids, "image")
        return session.override(images, classes[0], detail.get("value"), step.note) if images else None
    names = {*session.concepts, *(GROUP_PREFIX + g for g in session.concept_groups)} - session.dropped
    concepts = set(keep((a.concept for a in step.actions), names, "concept"))
    actions = [a for a in step.actions if a.concept in concepts]
    if not actions:
        return None
    focus = dict(step.focus) if step.focus else None
    if focus is not None and "images" in focus:
        focus["images"] = keep(focus["images"], session.image_ids, "image")
        if not focus["images"]:
            focus = None
    elif focus is not None and "conditions" not in focus:
        keep([str(focus["label"])], SUBSETS, "subset")
    return session.apply(classes, actions, focus, step.note)


def _is_there(session: Steps, concept: Any) -> bool:
    return isinstance(concept, str) and concept in session.concepts and concept not in session.dropped


def _what(step: Step) -> str:
    detail = step.detail or {}
    said = detail.get("concept") or ", ".join(step.classes) or step.kind
    return f"{step.kind} {said}"
