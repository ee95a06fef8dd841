"""A visitor's branch of a project: read it, preview a step, take it, go back, branch, compare, carry it
elsewhere.

Many sessions share one read-only project; each keeps only the weights that differ. A session is in memory
unless its token is ``main``, the project's own branch, whose every step is written to the history file at
once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS
from inficond.core.history.node import Node
from inficond.core.history.recipe import Recipe, recipe_of
from inficond.core.history.replay import Replayed, replay
from inficond.core.progress import Progress
from inficond.core.sessions.session_history import Branch
from inficond.core.tuning import concepts as concept_steps
from inficond.core.tuning import focus as focusing
from inficond.core.tuning.actions import Action, expand, spell
from inficond.core.tuning.bounds import bounds_of
from inficond.core.tuning.missing import MissingConcept, missing_concepts
from inficond.core.tuning.overrides import checked_overrides, merged
from inficond.core.tuning.preview import Preview, compare_states, preview_replicates
from inficond.core.tuning.refit import FOCUSED_TOLERANCE, TOLERANCE, refit
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.suggest import Suggestion, suggest
from inficond.core.tuning.thresholds import thresholds_at

if TYPE_CHECKING:
    pass

Actions = Iterable[Action | Mapping[str, Any]] | Action


class Session(Branch):
    """A branch of a project.

    Parameters
    ----------
    project : Project
        Read-only, shared.
    token : str, optional
        None: a new session that begins where the project's own branch stands. ``main``: that branch itself.
        Otherwise the token of a saved session.
    who : str, optional
        Said in every node; the user's name by default, ``visitor`` for sessions with a token of their own.
    store : History, optional
        Where sessions are saved; the project's history file by default.

    Raises
    ------
    InputError
        No session was saved under the token, or the history cannot be read.
    """

    # -- steps

    def preview(self, cls: str | Sequence[str], actions: Actions, focus: Any = None) -> Preview:
        """What a step would do, without taking it.

        Parameters
        ----------
        cls : str or sequence of str
            One class or several.
        actions : Action, mapping, or iterable of them
            What is asked of each of the classes.
        focus : optional
            A subset by name, a slice, image ids, or a mask over the images; see
            `inficond.core.tuning.focus.resolve`.

        Returns
        -------
        Preview
            The weights that `apply` would give (with a focus: those of a fit ten times less exact), metrics
            and their intervals.

        Raises
        ------
        InputError
            Unknown class, concept, group, subset or image; contradictory actions; a focus without training
            images.
        """
        classes = self._classes(cls)
        given = _listed(actions)
        with self._lock:
            asked, _, mask = self._asked(classes, given, focus)
            state, certificates = refit(
                self.workspace,
                asked,
                classes,
                TOLERANCE if focus is None else FOCUSED_TOLERANCE,
                self.state,
            )
            joint = self.workspace.students.link == "softmax"
            moved = compare_states(
                self.workspace,
                self.state,
                state,
                None if joint else classes,
                mask,
                preview_replicates(len(self.workspace.validation_rows)),
            )
            if not moved:  # under a softmax nothing at all would change: that is told of what was asked for
                moved = compare_states(self.workspace, self.state, state, classes, mask)
        return Preview(
            title=f"{', '.join(classes)}: {spell(given)}",
            classes={name: moved[name] for name in classes},
            others={name: change for name, change in moved.items() if name not in classes},
            state=state,
            gap=sum(c.gap for c in certificates.values()),
        )

    def apply(self, cls: str | Sequence[str], actions: Actions, focus: Any = None, note: str = "") -> Node:
        """Take a step: refit under the bounds of the whole branch, and keep a node of it.

        Parameters
        ----------
        cls, actions, focus
            As for `preview`.
        note : str
            A remark to keep with the node.

        Returns
        -------
        Node
            The new current node.

        Raises
        ------
        InputError
            As for `preview`, and where the history cannot be written; nothing is changed then.
        """
        classes = self._classes(cls)
        given = _listed(actions)
        with self._lock:
            asked, record, _ = self._asked(classes, given, focus)
            state, certificates = refit(self.workspace, asked, classes, before=self.state)
            return self._commit(
                "tune", state, certificates, classes=classes, actions=given, focus=record, note=note
            )

    def _asked(
        self, classes: Sequence[str], actions: Sequence[Action], focus: Any
    ) -> tuple[BranchState, dict[str, Any] | None, Any]:
        """The state with the new bounds and focus, not yet refitted; the focus's record and mask."""
        columns = self.columns
        single = expand(actions, columns.names, columns.groups, self.state.dropped)
        resolved, record, mask = focusing.resolve(focus, self.workspace, self.state, classes[0])
        changed = {}
        for i, name in enumerate(classes):
            if i and record is not None and record["label"] in SUBSETS:
                # A subset by name is another set of images for every class.
                resolved, _, more = focusing.resolve(focus, self.workspace, self.state, name)
                mask = more if mask is None or more is None else mask | more
            one = self.state.classes[name]
            bounds = bounds_of(single, one.weights, columns.index, one.bounds)
            changed[name] = replace(one, bounds=bounds, focus=resolved)
        return self.state.with_classes(changed), record, mask

    def add_concept(self, word: str, note: str = "") -> Node:
        """Make a typed word (or a dropped concept) a concept of this branch and refit every class that uses
        it.

        Raises
        ------
        InputError
            The word is a concept already, is no printable text, the project keeps no regions, or its encoder
            is not here.
        """
        with self._lock:
            state, certificates = concept_steps.added(self.workspace, self.state, word)
            return self._commit("add", state, certificates, detail={"concept": word.strip()}, note=note)

    def drop_concept(self, name: str, note: str = "") -> Node:
        """Take a concept out of every class: its weights become 0 and stay so.

        Raises
        ------
        InputError
            Unknown, or dropped before.
        """
        with self._lock:
            state, certificates = concept_steps.dropped(self.workspace, self.state, name)
            return self._commit("drop", state, certificates, detail={"concept": name}, note=note)

    def override(self, images: Iterable[str], cls: str, value: float | None, note: str = "") -> Node:
        """Say that the teacher is wrong about a class in some images; the class is refitted to the new
        targets.

        Parameters
        ----------
        images : iterable of str
            Image ids. Validation images never enter a fit: for them only the measures change.
        cls : str
            The class.
        value : float or None
            The right response in [0, 1]; None gives the word back to the teacher.
        note : str
            Kept with the node.

        Returns
        -------
        Node
            Whose metrics hold the student against the new targets; `metrics(cls, overrides=False)` against
            the teacher alone.

        Raises
        ------
        InputError
            Unknown class or image, or a value outside [0, 1].
        """
        self._classes(cls)
        asked = checked_overrides(images, value, self.workspace.image_index)
        with self._lock:
            one = self.state.classes[cls]
            state = self.state.with_classes({cls: replace(one, overrides=merged(one.overrides, asked))})
            state, certificates = refit(self.workspace, state, [cls], before=self.state)
            detail = {"images": list(asked), "value": value}
            return self._commit("override", state, certificates, classes=[cls], detail=detail, note=note)

    def set_lambda(self, lam: float, note: str = "") -> Node:
        """Refit every class with another λ; bounds, focus and overrides stay in force.

        Raises
        ------
        InputError
            Not a positive finite number.
        """
        try:
            number = float(lam)
        except (TypeError, ValueError, OverflowError):
            number = np.nan
        if not 0 < number < np.inf:
            raise InputError(f"λ must be a finite number above 0, not {lam!r:.40}")
        lam = number
        with self._lock:
            state, certificates = refit(self.workspace, replace(self.state, lam=lam), self.state.classes)
            return self._commit("lambda", state, certificates, detail={"lam": lam}, note=note)

    def set_thresholds(self, at: float | str, note: str = "") -> Node:
        """From which probability on the students say yes; nothing is refitted.

        Parameters
        ----------
        at : float or "matched"
            One threshold for every class, within (0, 1), or for each class the one at which its student, as
            it is now, says yes to training images as often as the teacher.
        note : str
            Kept with the node.

        Raises
        ------
        InputError
            Neither.
        """
        with self._lock:
            value, found = thresholds_at(at, self.workspace, self.state)
            detail = {"at": value, "thresholds": list(found)}
            return self._commit(
                "threshold", replace(self.state, thresholds=found), {}, detail=detail, note=note
            )

    # -- what might help

    def suggest(self, cls: str, subset: str | None = None, count: int = 5) -> list[Suggestion]:
        """The few actions most likely to help a class, or one of its misaligned subsets, with their effects.

        Raises
        ------
        InputError
            Unknown class or subset.
        """
        return suggest(self.workspace, self.state, cls, subset, count)

    def missing_concepts(
        self,
        cls: str,
        words: Sequence[str] | None = None,
        count: int = 8,
        progress: Progress | None = None,
    ) -> list[MissingConcept]:
        """Words that are no concepts yet and would explain what the class gets wrong.

        Parameters
        ----------
        cls : str
            The class.
        words : sequence of str, optional
            The vocabulary; by default the built-in corpus and a list of what such corpora lack.
        count : int
            How many at most.
        progress : Progress, optional
            Words are embedded once per project, which takes seconds.

        Returns
        -------
        list of MissingConcept
            Best first; `add_concept` takes their `word`.

        Raises
        ------
        InputError
            The project keeps no regions, or its encoder is not here.
        """
        self.class_index(cls)
        vocabulary, embeddings = self.shared.vocabulary(words, progress)
        known = self._embeddings()
        if known is None:
            raise InputError(f"the project {self.project.name!r} keeps no concept embeddings: build it again")
        return missing_concepts(
            self.workspace,
            self.state,
            cls,
            vocabulary,
            embeddings,
            self.project.region_embeddings,
            known,
            count,
        )

    # -- carrying it elsewhere

    def recipe(self) -> Recipe:
        """The steps from the root to here, to be replayed on this or another project."""
        return recipe_of(self._tree.path(self.node), self.project.name)

    def replay(self, recipe: "Recipe | Mapping[str, Any]") -> Replayed:
        """Take the steps of a recipe from here on; what does not apply is passed over and listed.

        Raises
        ------
        InputError
            No recipe, or one of another version.
        """
        with self._lock:
            return replay(self, recipe)

    def _classes(self, cls: str | Sequence[str]) -> list[str]:
        names = [cls] if isinstance(cls, str) else list(dict.fromkeys(cls))
        if not names:
            raise InputError("name at least one class")
        for name in names:
            self.class_index(name)
        return names


def _listed(actions: Actions) -> list[Action]:
    given = [actions] if isinstance(actions, Action | Mapping) else list(actions)
    return [Action.from_json(a) for a in given]  # type: ignore[arg-type]
