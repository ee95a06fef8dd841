"""One person's work on a project: preview and take tuning steps, move in the history, query, save."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS
from inficond.core.history.node import Node
from inficond.core.history.recipe import Recipe, recipe_of
from inficond.core.history.replay import Replayed, replay
from inficond.core.history.store import History
from inficond.core.html_table import html_table
from inficond.core.project.folder import ProjectFolder
from inficond.core.project.results_table import results_table
from inficond.core.sessions.concept_steps import ConceptSteps
from inficond.core.sessions.exam import TakenExam, last_exam, take_exam
from inficond.core.sessions.image_queries import ImageQueries
from inficond.core.sessions.influence import influence_of
from inficond.core.sessions.project_context import ProjectContext
from inficond.core.sessions.session_history import SessionHistory
from inficond.core.sessions.session_queries import SessionQueries
from inficond.core.sessions.session_saving import SessionSaving
from inficond.core.sessions.session_suggestions import SessionSuggestions
from inficond.core.students import Students
from inficond.core.tuning import focus as focusing
from inficond.core.tuning.actions import Action, expand, spell
from inficond.core.tuning.bounds import bounds_of
from inficond.core.tuning.columns import Columns
from inficond.core.tuning.cost_search import find_costs
from inficond.core.tuning.overrides import checked_overrides, merged
from inficond.core.tuning.preview import Preview, compare_states, preview_replicates
from inficond.core.tuning.refit import FOCUSED_TOLERANCE, TOLERANCE, Certificate, refit
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.thresholds import thresholds_at, without_yes
from inficond.core.tuning.workspace import Workspace

if TYPE_CHECKING:
    import pyarrow as pa

Actions = Iterable[Action | Mapping[str, Any]] | Action
Part = TypeVar("Part")
P = ParamSpec("P")
R = TypeVar("R")


def _method_of(
    part: str, method: Callable[Concatenate[Part, P], R]
) -> Callable[Concatenate["Session", P], R]:
    """Make a method of `Session` that calls a method of one of its parts."""

    @wraps(method)
    def forward(self: "Session", *args: P.args, **kwargs: P.kwargs) -> R:
        return method(getattr(self, part), *args, **kwargs)

    return forward


class Session:
    """One person's work on a project.

    Many sessions share one read-only project; each stores only the weights that differ. A session is in
    memory unless its token is ``main``, the project's own history, whose every step is written to disk at
    once.

    Parameters
    ----------
    context : ProjectContext
        Shared by all sessions on the project.
    token, who, store, new
        See `SessionHistory`.

    Attributes
    ----------
    context : ProjectContext
    history : SessionHistory
        The session's position in the tree of steps.
    saving : SessionSaving
        What is not saved yet.
    queries : SessionQueries
        What can be read at the current node.
    image_queries : ImageQueries
        Explanations of one image.
    concept_steps : ConceptSteps
        Steps that add, rename and drop concepts.
    suggestions : SessionSuggestions
        Searches for the next step.

    Raises
    ------
    InputError
        No session was saved under the token, or the history cannot be read.

    Examples
    --------
    The examples of the methods use this project and a new session, which is in memory.

    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> session.metrics("water bird").counts
    {'agree-pos': 21, 'agree-neg': 372, 'missed': 27, 'extra': 60}
    """

    def __init__(
        self,
        context: ProjectContext,
        token: str | None = None,
        who: str | None = None,
        store: History | None = None,
        new: bool = False,
    ) -> None:
        self.context = context
        self.history = SessionHistory(context, token, who, store, new)
        self.saving = self.history.saving
        self.queries = SessionQueries(context, self.history)
        self.image_queries = ImageQueries(context, self.queries)
        self.concept_steps = ConceptSteps(context, self.history, self.queries, self.image_queries)
        self.suggestions = SessionSuggestions(context, self.queries)
        self._lock = self.history.lock

    def _repr_html_(self) -> str:
        """Show the metrics of each class at the current node in a notebook."""
        rows = []
        for name in self.classes:
            m = self.metrics(name)
            rows.append((name, m.nec, m.ap, m.f1, m.counts["missed"], m.counts["extra"]))
        head = ("class", "concepts", "fidelity AP", "F1", "missed", "extra")
        return html_table(f"{self.project.name}, at node {self.node}: {self.current.title}", head, rows)

    def table(self) -> "pa.Table":
        """Return the answers on all images at the current node as an Arrow table; see `results_table`.

        Examples
        --------
        >>> session.table().num_rows == len(session.image_ids)
        True
        """
        return results_table(self.project, self.scores())

    # -- steps

    def preview(self, cls: str | Sequence[str], actions: Actions, focus: Any = None) -> Preview:
        """Compute what a step would change, without taking it.

        Parameters
        ----------
        cls : str or sequence of str
            One class or several.
        actions : Action, mapping, or iterable of them
            Applied to each of the classes.
        focus : optional
            A subset by name, a slice, image ids, or a mask over the images; see
            `inficond.core.tuning.focus.resolve`.

        Returns
        -------
        Preview
            The weights that `apply` would give (with a focus: fitted with ten times the tolerance), metrics
            and their intervals.

        Raises
        ------
        InputError
            Unknown class, concept, group, subset or image; contradictory actions; a focus without training
            images.

        Examples
        --------
        >>> preview = session.preview("water bird", {"kind": "mute", "concept": "group:water"})
        >>> preview.title
        'water bird: mute group:water'
        >>> preview.classes["water bird"].fidelity["ap"].verdict
        'better'
        """
        classes = self._class_list(cls)
        given = _action_list(actions)
        with self._lock:
            before = self.state
            state, certificates, _, mask = self._refit(classes, given, focus, _preview_tolerance(focus))
            joint = self.workspace.students.link == "softmax"
            moved = compare_states(
                self.workspace,
                before,
                state,
                None if joint else classes,
                mask,
                preview_replicates(len(self.workspace.validation_rows)),
            )
            if not moved:  # with softmax, no class changes: report that for the classes that were asked for
                moved = compare_states(self.workspace, before, state, classes, mask)
        return Preview(
            title=f"{', '.join(classes)}: {spell(given)}",
            classes={name: moved[name] for name in classes},
            others={name: change for name, change in moved.items() if name not in classes},
            state=state,
            gap=sum(c.gap for c in certificates.values()),
            costs=find_costs(self.workspace, before, moved),
        )

    def refitted(self, cls: str, actions: Actions, focus: Any = None) -> BranchState:
        """Return the state after a step, without taking it and without comparing it.

        Parameters and errors are those of `preview`.

        Examples
        --------
        >>> state = session.refitted("water bird", {"kind": "mute", "concept": "water"})
        >>> float(state.classes["water bird"].weights[session.columns.index["water"]])
        0.0
        """
        with self._lock:
            tolerance = _preview_tolerance(focus)
            return self._refit(self._class_list(cls), _action_list(actions), focus, tolerance)[0]

    def apply(self, cls: str | Sequence[str], actions: Actions, focus: Any = None, note: str = "") -> Node:
        """Take a step: refit under all bounds of the current path and commit the result.

        Parameters
        ----------
        cls, actions, focus
            As for `preview`.
        note : str
            Stored with the node.

        Returns
        -------
        Node
            The new current node.

        Raises
        ------
        InputError
            As for `preview`, or the history cannot be written. The session is then unchanged.

        Examples
        --------
        >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"}, note="a shortcut")
        >>> node.title
        'water bird: mute group:water'
        >>> session.metrics("water bird").counts
        {'agree-pos': 36, 'agree-neg': 399, 'missed': 12, 'extra': 33}
        """
        classes = self._class_list(cls)
        given = _action_list(actions)
        with self._lock:
            state, certificates, record, _ = self._refit(classes, given, focus, TOLERANCE)
            return self.history.commit(
                "tune", state, certificates, classes=classes, actions=given, focus=record, note=note
            )

    def _refit(
        self, classes: Sequence[str], actions: Sequence[Action], focus: Any, tolerance: float
    ) -> tuple[BranchState, dict[str, Certificate], dict[str, Any] | None, Any]:
        """Refit classes with new bounds and focus; return also the record and the mask of the focus."""
        columns = self.columns
        single = expand(actions, columns.names, columns.groups, self.state.dropped)
        resolved, record, mask = focusing.resolve(focus, self.workspace, self.state, classes[0])
        changed = {}
        for i, name in enumerate(classes):
            if i and record is not None and record["label"] in SUBSETS:
                # A subset given by name is a different set of images for each class.
                resolved, _, more = focusing.resolve(focus, self.workspace, self.state, name)
                mask = more if mask is None or more is None else mask | more
            one = self.state.classes[name]
            bounds = bounds_of(single, one.weights, columns.index, one.bounds)
            changed[name] = replace(one, bounds=bounds, focus=resolved)
        asked = self.state.with_classes(changed)
        return *refit(self.workspace, asked, classes, tolerance, self.state), record, mask

    def override(self, images: Iterable[str], cls: str, value: float | None, note: str = "") -> Node:
        """Override the teacher's responses for a class in some images and refit the class.

        Parameters
        ----------
        images : iterable of str
            Image ids. Validation images never enter a fit: for them only the metrics change.
        cls : str
            The class.
        value : float or None
            The correct response in [0, 1]; None removes the override.
        note : str
            Stored with the node.

        Returns
        -------
        Node
            Its metrics compare the student with the overridden responses; `metrics(cls, overrides=False)`
            compares it with the teacher alone.

        Raises
        ------
        InputError
            Unknown class or image, or a value outside [0, 1].

        Examples
        --------
        >>> wrong = session.subset("water bird", "extra")[:3]
        >>> node = session.override([session.image_ids[row] for row in wrong], "water bird", 1.0)
        >>> node.kind, session.targets("water bird")[wrong].tolist()
        ('override', [1.0, 1.0, 1.0])
        """
        self.class_index(cls)
        asked = checked_overrides(images, value, self.workspace.image_index)
        with self._lock:
            one = self.state.classes[cls]
            state = self.state.with_classes({cls: replace(one, overrides=merged(one.overrides, asked))})
            state, certificates = refit(self.workspace, state, [cls], before=self.state)
            detail = {"images": list(asked), "value": value}
            return self.history.commit(
                "override", state, certificates, classes=[cls], detail=detail, note=note
            )

    def set_lambda(self, lam: float, note: str = "") -> Node:
        """Refit every class with another λ; bounds, focus and overrides stay in force.

        Raises
        ------
        InputError
            Not a positive finite number.

        Examples
        --------
        >>> before = session.metrics("water bird").nec
        >>> node = session.set_lambda(2 * session.state.lam)  # fewer concepts
        >>> session.metrics("water bird").nec < before
        True
        """
        try:
            number = float(lam)
        except (TypeError, ValueError, OverflowError):
            number = np.nan
        if not 0 < number < np.inf:
            raise InputError(f"λ must be a finite number above 0, not {lam!r:.40}")
        with self._lock:
            state, certificates = refit(self.workspace, replace(self.state, lam=number), self.state.classes)
            return self.history.commit("lambda", state, certificates, detail={"lam": number}, note=note)

    def set_thresholds(self, at: float | str, note: str = "") -> Node:
        """Set the probability from which the students say yes; nothing is refitted.

        Parameters
        ----------
        at : float or "matched"
            One threshold for every class, within (0, 1); or for each class the threshold at which its
            student says yes to the training images as often as the teacher.
        note : str
            Stored with the node.

        Raises
        ------
        InputError
            Any other value.

        Examples
        --------
        >>> node = session.set_thresholds("matched")
        >>> node.kind, session.threshold("water bird") != 0.5
        ('threshold', True)
        """
        with self._lock:
            value, found = thresholds_at(at, self.workspace, self.state)
            detail: dict[str, Any] = {"at": value, "thresholds": list(found)}
            before = without_yes(self.workspace, self.state)
            if before is not None:
                detail["without_yes"] = [before, without_yes(self.workspace, self.state, found)]
            return self.history.commit(
                "threshold", replace(self.state, thresholds=found), {}, detail=detail, note=note
            )

    # -- exams

    def take_exam(self, note: str = "") -> Node:
        """Examine the current student on the locked images of the project; the student stays the same.

        Returns
        -------
        Node
            Of kind ``exam``; see `inficond.core.sessions.exam.take_exam`.

        Raises
        ------
        InputError
            The project has no exam images, or they show none of its classes.

        Examples
        --------
        An exam needs a project of at least 150 images.

        >>> import numpy as np
        >>> from PIL import Image
        >>> from inficond.core import distill
        >>> from inficond.core.progress import Silent
        >>> shades = np.random.default_rng(0).integers(0, 256, (160, 32, 32, 3), np.uint8) // 4
        >>> pictures = [Image.fromarray(shade + np.uint8(180 * (n % 2))) for n, shade in enumerate(shades)]
        >>> labels = ["night", "day"] * 80
        >>> made = distill(pictures, labels, "labels", ["snow", "dark"], baseline=False, progress=Silent())
        >>> examined = made.session()
        >>> node = examined.take_exam()
        >>> node.kind, examined.last_exam().steps_since
        ('exam', 0)
        """
        with self._lock:
            return take_exam(self.context, self.history, self.queries, note)

    def last_exam(self) -> TakenExam | None:
        """Return the exam of the current student, or the nearest earlier one on its branch.

        Examples
        --------
        >>> session.last_exam() is None  # no exam was taken yet
        True
        """
        return last_exam(self.history)

    # -- recipes

    def recipe(self) -> Recipe:
        """Return the steps from the root to the current node, to be replayed on this or another project.

        Examples
        --------
        >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"})
        >>> [step.kind for step in session.recipe().steps]
        ['tune']
        """
        return recipe_of(self.history.path(), self.project.name)

    def replay(self, recipe: Recipe | Mapping[str, Any]) -> Replayed:
        """Take the steps of a recipe; those that do not apply to this project are skipped and listed.

        Raises
        ------
        InputError
            Not a recipe, or one of another version.

        Examples
        --------
        >>> node = session.apply("water bird", {"kind": "mute", "concept": "group:water"})
        >>> other = project.session()
        >>> replayed = other.replay(session.recipe())
        >>> len(replayed.nodes), replayed.skipped
        (1, ())
        >>> other.metrics("water bird") == session.metrics("water bird")
        True
        """
        with self._lock:
            return replay(self, recipe)

    def _class_list(self, cls: str | Sequence[str]) -> list[str]:
        names = [cls] if isinstance(cls, str) else list(dict.fromkeys(cls))
        if not names:
            raise InputError("name at least one class")
        for name in names:
            self.class_index(name)
        return names

    # -- the history, by short names

    undo = _method_of("history", SessionHistory.undo)
    redo = _method_of("history", SessionHistory.redo)
    checkout = _method_of("history", SessionHistory.checkout)
    tree = _method_of("history", SessionHistory.tree)
    find = _method_of("history", SessionHistory.find)
    compare = _method_of("history", SessionHistory.compare)
    name = _method_of("history", SessionHistory.name)
    annotate = _method_of("history", SessionHistory.annotate)
    exclusive = _method_of("history", SessionHistory.exclusive)
    save = _method_of("saving", SessionSaving.save)

    @property
    def token(self) -> str:
        """The token that resumes the session once it is saved."""
        return self.history.token

    @property
    def persistent(self) -> bool:
        """Whether this is the project's own history."""
        return self.history.persistent

    @property
    def changed(self) -> bool:
        """Whether there is anything to save."""
        return self.saving.changed

    @property
    def node(self) -> str:
        """The id of the current node."""
        return self.history.node

    @property
    def current(self) -> Node:
        """The current node."""
        return self.history.current

    @property
    def can_undo(self) -> bool:
        """Whether the current node has a parent."""
        return self.history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether a step was undone since the last step."""
        return self.history.can_redo

    @property
    def state(self) -> BranchState:
        """Weights, bounds, focus and overrides at the current node."""
        return self.history.state

    # -- the steps on concepts and the suggestions, by short names

    add_concept = _method_of("concept_steps", ConceptSteps.add_concept)
    add_example = _method_of("concept_steps", ConceptSteps.add_example)
    rename_concept = _method_of("concept_steps", ConceptSteps.rename_concept)
    drop_concept = _method_of("concept_steps", ConceptSteps.drop_concept)
    suggest = _method_of("suggestions", SessionSuggestions.suggest)
    missing_concepts = _method_of("suggestions", SessionSuggestions.missing_concepts)

    # -- the queries, by short names

    class_index = _method_of("queries", SessionQueries.class_index)
    concept_index = _method_of("queries", SessionQueries.concept_index)
    row_of = _method_of("queries", SessionQueries.row_of)
    scores = _method_of("queries", SessionQueries.scores)
    targets = _method_of("queries", SessionQueries.targets)
    metrics = _method_of("queries", SessionQueries.metrics)
    threshold = _method_of("queries", SessionQueries.threshold)
    subset = _method_of("queries", SessionQueries.subset)
    focus_size = _method_of("queries", SessionQueries.focus_size)
    bounds = _method_of("queries", SessionQueries.bounds)
    influence = _method_of("queries", influence_of)
    slices = _method_of("queries", SessionQueries.slices)
    slice_images = _method_of("queries", SessionQueries.slice_images)
    summary = _method_of("queries", SessionQueries.summary)
    contributions = _method_of("image_queries", ImageQueries.contributions)
    evidence = _method_of("image_queries", ImageQueries.evidence)
    similar = _method_of("image_queries", ImageQueries.similar)
    classify = _method_of("image_queries", ImageQueries.classify)

    @property
    def project(self) -> ProjectFolder:
        """The project, read-only."""
        return self.context.project

    @property
    def workspace(self) -> Workspace:
        """Arrays and caches shared by all sessions on the project."""
        return self.context.workspace

    @property
    def columns(self) -> Columns:
        """Concept vectors of the project's concepts and the session's added words."""
        return self.queries.columns

    @property
    def X(self) -> NDArray[np.float32]:
        """Raw concept vectors, (N, K), added words last; read-only and shared."""
        return self.queries.X

    @property
    def concepts(self) -> list[str]:
        """Names of the K concepts; dropped ones keep their column, with weight 0."""
        return self.queries.concepts

    @property
    def concept_groups(self) -> list[str]:
        """The group of each concept; ``added`` for words added in this session."""
        return self.queries.concept_groups

    @property
    def classes(self) -> list[str]:
        """Names of the C classes."""
        return self.queries.classes

    @property
    def image_ids(self) -> Sequence[str]:
        """Ids of the project's N images."""
        return self.queries.image_ids

    @property
    def dropped(self) -> frozenset[str]:
        """Concepts whose weight is 0 in every class."""
        return self.queries.dropped

    @property
    def students(self) -> Students:
        """The students at the current node, ready to predict, save or export."""
        return self.queries.students


def _preview_tolerance(focus: Any) -> float:
    return TOLERANCE if focus is None else FOCUSED_TOLERANCE


def _action_list(actions: Actions) -> list[Action]:
    given = [actions] if isinstance(actions, Action | Mapping) else list(actions)
    return [Action.from_json(a) for a in given]  # type: ignore[arg-type]
