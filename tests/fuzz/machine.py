"""State machine of two sessions on one project, compared with a simple model after every step.

One session is the project's own branch, which writes every step to disk; the other is a visitor's, in memory.
The model holds nodes with their parents, the current node, the undone nodes, names, notes and bounds of each
session, and the bytes of the state at each node. These must be the same whenever a session returns to the
node, also after the project was opened again.
"""

import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.fuzz.harness import Tally, check_line
from tests.fuzz.inputs import texts, value
from tests.fuzz.registry import printable
from tests.fuzz.workshop import Workshop

from inficond.core import Project
from inficond.core.errors import InputError, one_line
from inficond.core.history.node import Node
from inficond.core.history.recipe import Recipe
from inficond.core.sessions.session import Session
from inficond.core.students import Students
from inficond.core.tuning.actions import KINDS, Action
from inficond.core.tuning.bounds import box, typical_weight

WORDS = ("harbour", "lantern", "meadow")
"""Words with an embedding that are not concepts of the project."""
MAIN, VISITOR = "main", "visitor"
CONCEPTS = [f"c{i}" for i in range(9)]
who = st.sampled_from([MAIN, VISITOR])
concepts = st.sampled_from([*CONCEPTS, *WORDS, "group:water", "group:land", "group:added"])


@st.composite
def one_action(draw: st.DrawFn) -> Action:
    """Draw an action on a concept or group that may exist."""
    kind = draw(st.sampled_from(KINDS))
    amount = None
    if kind in ("up", "down"):
        amount = draw(st.none() | st.floats(1, 5))
    elif kind == "set":
        amount = draw(st.floats(-2, 2))
    return Action(kind, draw(concepts), amount)


classes = st.lists(st.integers(0, 9), min_size=1, max_size=2)
"""Numbers of classes, modulo the number of classes."""
focuses = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from(["missed", "extra", "agree-pos", "agree-neg"]),
    st.lists(st.integers(0, 59).map(lambda i: f"photos/{i:04d}.jpg"), min_size=1, max_size=6),
    st.builds(
        lambda name, level, factor: {
            "label": "x", "factor": factor, "conditions": [{"concept": name, "level": level}]
        },
        st.sampled_from(CONCEPTS), st.sampled_from(["high", "low"]), st.floats(0.5, 20),
    ),
)  # fmt: skip


@dataclass
class Model:
    """Model of one session."""

    nodes: dict[str, str | None]
    at: str
    redo: list[str] = field(default_factory=list)
    seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    own: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> dict[str, str]:
        return {node: name for node, (name, _) in {**self.seen, **self.own}.items() if name}

    @property
    def notes(self) -> dict[str, str]:
        return {node: note for node, (_, note) in {**self.seen, **self.own}.items() if note}

    def describe(self, node: str, name: str | None = None, note: str | None = None) -> None:
        """Set name or note of a node; the other keeps its value."""
        self.own[node] = (
            self.names.get(node, "") if name is None else name,
            self.notes.get(node, "") if note is None else note,
        )


def state_of(session: Session) -> bytes:
    """Return the state of a session as bytes."""
    state = session.state
    said = [state.lam, list(state.added), sorted(state.dropped), state.thresholds]
    for name, one in state.classes.items():
        bounds = {k: b.to_json() for k, b in sorted(one.bounds.items())}
        focus = None if one.focus is None else [one.focus.label, one.focus.factor, one.focus.packed.hex()]
        said += [
            name,
            one.weights.tobytes().hex(),
            float(one.bias).hex(),
            bounds,
            focus,
            sorted(one.overrides.items()),
        ]
    return json.dumps(said).encode()


def picture(session: Session) -> tuple[Any, ...]:
    """Return everything that a refused step must not change."""
    tree = [(t.node.id, t.name, t.note) for t in session.tree()]
    return session.node, list(session.history.redo_nodes), tree, state_of(session)


class Sessions(RuleBasedStateMachine):
    """State machine; `machine` adds a project."""

    source: Project
    shop: Workshop
    tally: Tally

    def __init__(self) -> None:
        super().__init__()
        self.tally.cases += 1
        self.folder = Path(tempfile.mkdtemp(prefix="sessions-", dir=self.shop.root))
        self.path = self.shop.copy_of(self.source, self.folder)
        self.states: dict[str, bytes] = {}
        self.bounds: dict[str, dict[str, dict[str, str]]] = {}
        self.saved: dict[str, set[str]] = {}
        self.open()
        main = self.project.session(MAIN)
        visitor = self.project.session()
        self.root = main.node
        self.sessions = {MAIN: main, VISITOR: visitor}
        self.models = {name: Model({self.root: None}, self.root) for name in (MAIN, VISITOR)}
        self.bounds[self.root] = {cls: {} for cls in main.classes}

    def open(self) -> None:
        """Open the project, with embeddings of a few words."""
        self.project = Project.open(self.path)
        rng = np.random.default_rng(1)
        hidden = np.float32(self.project.config["hidden"])
        known = [hidden, *(rng.normal(size=(2, len(hidden))).astype(np.float32))]
        for word, vector in zip(WORDS, known):
            self.project.context.words.vectors[word] = vector / np.linalg.norm(vector)

    def teardown(self) -> None:
        try:
            self.check_file()
        finally:
            self.project.context.history_store.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- taking steps

    def take(self, name: str, do: Callable[[Session], Node], must: bool = False) -> Node | None:
        """Take a step: it adds a child of the current node, or is refused in one line and changes nothing."""
        self.tally.steps += 1
        session, model = self.sessions[name], self.models[name]
        before, refusal = picture(session), None
        try:
            node = do(session)
        except InputError as error:
            refusal = error
        if refusal is not None:
            check_line(str(refusal), ("",))
            assert not must, f"refused: {refusal}"
            assert picture(session) == before
            return None
        assert node.parent == model.at
        assert node.computed_id() == node.id == session.node
        assert json.loads(json.dumps(node.to_json(states=True))) is not None
        self.bounds.setdefault(node.id, {c: dict(b) for c, b in self.bounds[model.at].items()})
        model.nodes[node.id] = model.at
        model.at, model.redo = node.id, []
        return node

    def chosen(self, numbers: list[int]) -> list[str]:
        names = self.project.classes
        return list(dict.fromkeys(names[n % len(names)] for n in numbers))

    @rule(
        name=who,
        numbers=classes,
        actions=st.lists(one_action(), min_size=1, max_size=3),
        focus=focuses,
        look=st.booleans(),
        note=texts,
    )
    def tune(
        self, name: str, numbers: list[int], actions: list[Action], focus: Any, look: bool, note: Any
    ) -> None:
        session, chosen = self.sessions[name], self.chosen(numbers)
        before = {c: session.state.classes[c].weights.copy() for c in chosen}
        names, groups, gone = session.concepts, session.concept_groups, session.dropped
        there = {
            *(c for c in names if c not in gone),
            *(f"group:{g}" for c, g in zip(names, groups) if c not in gone),
        }
        must = focus is None and len(actions) == 1 and actions[0].concept in there
        seen = None
        if look:
            try:
                seen = session.preview(chosen, actions, focus)
            except InputError:
                assert not must
        node = self.take(name, lambda s: s.apply(chosen, actions, focus, note=str(value(note))[:9000]), must)
        if node is None:
            return
        if seen is not None and focus is None:
            assert all(
                seen.state.classes[c].weights.tobytes() == session.state.classes[c].weights.tobytes()
                for c in chosen
            ), "preview and step differ"
        for action in actions:
            touched = [action.concept] if action.concept in names else [
                c for c, g in zip(names, groups) if f"group:{g}" == action.concept and c not in gone
            ]  # fmt: skip
            for concept in touched:
                for cls in chosen:
                    self.asked(session, node, cls, concept, action, before[cls])

    def asked(
        self, session: Session, node: Node, cls: str, concept: str, action: Action, before: np.ndarray
    ) -> None:
        """Check the effect of an action on a weight, computed independently."""
        k = session.concept_index(concept)
        old, new = float(before[k]), float(session.state.classes[cls].weights[k])
        bounds = self.bounds[node.id][cls]
        if action.kind == "free":
            bounds.pop(concept, None)
            return
        bounds[concept] = action.kind
        step = ((action.value or 0.0) - 1) * max(abs(old), typical_weight(before))
        if action.kind == "up":
            assert new >= old + step - 1e-12
        elif action.kind == "down":
            assert new <= old - step + 1e-12
        elif action.kind == "mute":
            assert new == 0
        elif action.kind == "lock":
            assert new == old
        else:
            assert new == np.float32(action.value)

    @rule(name=who, concept=st.sampled_from([*CONCEPTS, *WORDS]))
    def drop_concept(self, name: str, concept: str) -> None:
        session = self.sessions[name]
        must = concept in session.concepts and concept not in session.dropped
        node = self.take(name, lambda s: s.drop_concept(concept), must)
        assert (node is not None) == must
        if node is not None:
            for bounds in self.bounds[node.id].values():
                bounds.pop(concept, None)
            assert all(
                one.weights[session.concept_index(concept)] == 0 for one in session.state.classes.values()
            )

    @rule(name=who, concept=st.sampled_from([*CONCEPTS, *WORDS]))
    def add_concept(self, name: str, concept: str) -> None:
        session = self.sessions[name]
        must = concept not in session.concepts or concept in session.dropped
        node = self.take(name, lambda s: s.add_concept(concept), must)
        assert (node is not None) == must
        assert concept in session.concepts

    @rule(name=who, number=st.integers(0, 9), rows=st.lists(st.integers(0, 59), min_size=1, max_size=4),
          right=st.sampled_from([0.0, 1.0, 0.5, None, 0.25]))  # fmt: skip
    def override(self, name: str, number: int, rows: list[int], right: float | None) -> None:
        (cls,) = self.chosen([number])
        images = [f"photos/{row:04d}.jpg" for row in rows]
        self.take(name, lambda s: s.override(images, cls, right), must=True)
        known = self.sessions[name].state.classes[cls].overrides
        assert all((image not in known) if right is None else known[image] == right for image in images)

    @rule(name=who, lam=st.sampled_from([2.5e-3, 1e-3, 1e-2, 0.1, 10.0]))
    def set_lambda(self, name: str, lam: float) -> None:
        self.take(name, lambda s: s.set_lambda(lam), must=True)

    @rule(name=who, at=st.sampled_from([0.5, 0.3, 0.9, "matched"]))
    def set_thresholds(self, name: str, at: float | str) -> None:
        session = self.sessions[name]
        before = [one.weights.tobytes() for one in session.state.classes.values()]
        self.take(name, lambda s: s.set_thresholds(at), must=True)
        found = session.students.thresholds
        assert ((found >= 0) & (found <= 1)).all()
        assert at == "matched" or (found == np.float32(at)).all()
        assert [one.weights.tobytes() for one in session.state.classes.values()] == before

    # -- moving

    @rule(name=who)
    def undo(self, name: str) -> None:
        self.tally.steps += 1
        session, model = self.sessions[name], self.models[name]
        parent = model.nodes[model.at]
        assert session.can_undo == (parent is not None)
        if parent is None:
            self.refused(name, lambda s: s.undo())
            return
        assert session.undo().id == parent
        model.redo.append(model.at)
        model.at = parent

    @rule(name=who)
    def redo(self, name: str) -> None:
        self.tally.steps += 1
        session, model = self.sessions[name], self.models[name]
        assert session.can_redo == bool(model.redo)
        if not model.redo:
            self.refused(name, lambda s: s.redo())
            return
        model.at = model.redo.pop()
        assert session.redo().id == model.at

    @rule(name=who, number=st.integers(0, 999), how=st.sampled_from(["id", "beginning", "name"]))
    def checkout(self, name: str, number: int, how: str) -> None:
        self.tally.steps += 1
        session, model = self.sessions[name], self.models[name]
        wanted = list(model.nodes)[number % len(model.nodes)]
        asked = wanted
        if how == "beginning":
            asked = wanted[:8]
        elif how == "name" and model.names.get(wanted):
            asked = model.names[wanted]
        alike = [
            n for n in model.nodes if model.names.get(n) == asked or (len(asked) >= 4 and n.startswith(asked))
        ]
        if asked != wanted and len(set(alike)) > 1:  # ambiguous
            return
        assert session.checkout(asked).id == wanted
        model.at, model.redo = wanted, []

    @rule(name=who, number=st.integers(0, 999), text=texts, note=st.booleans())
    def describe(self, name: str, number: int, text: Any, note: bool) -> None:
        self.tally.steps += 1
        session, model = self.sessions[name], self.models[name]
        node, text = list(model.nodes)[number % len(model.nodes)], str(value(text))
        if note:
            session.annotate(node, text)
            model.describe(node, note=text[:4000].encode("utf-8", "replace").decode())
            return
        wanted = one_line(text, 80)
        if wanted and any(name == wanted and other != node for other, name in model.names.items()):
            self.refused(name, lambda s: s.name(node, text))
            return
        session.name(node, text)
        said = next(t.name for t in session.tree() if t.node.id == node)
        assert printable(said)
        assert len(said) <= 80
        if text.isprintable() and len(text) <= 80:
            assert said == " ".join(text.split())
        model.describe(node, name=said)

    # -- refusals

    def refused(self, name: str, do: Callable[[Session], Any]) -> None:
        session = self.sessions[name]
        before = picture(session)
        try:
            do(session)
        except InputError as error:
            check_line(str(error), ("",))
        else:
            raise AssertionError("not refused")
        assert picture(session) == before

    @rule(name=who, number=st.integers(0, 99), word=texts)
    def bad_input(self, name: str, number: int, word: Any) -> None:
        """Pass arguments that are invalid in every state."""
        self.tally.steps += 1
        bad = f"?{value(word)}"
        mute = Action("mute", "c0")
        wrong: list[Callable[[Session], Any]] = [
            lambda s: s.apply(bad, mute),
            lambda s: s.preview(s.classes[0], Action("mute", bad)),
            lambda s: s.apply(s.classes[0], Action("mute", f"group:{bad}")),
            lambda s: s.apply(s.classes[0], []),
            lambda s: s.apply([], mute),
            lambda s: s.apply(s.classes[0], [Action("mute", "group:land"), Action("up", "group:land")]),
            lambda s: s.apply(s.classes[0], {"kind": "up", "concept": "c1", "value": 10**400}),
            lambda s: s.apply(s.classes[0], {"kind": "set", "concept": "c1", "value": float("nan")}),
            lambda s: s.apply(s.classes[0], {"kind": bad, "concept": "c1"}),
            lambda s: s.apply(s.classes[0], mute, bad),
            lambda s: s.apply(s.classes[0], mute, [bad]),
            lambda s: s.apply(s.classes[0], mute, {"label": "missed", "factor": 10**400}),
            lambda s: s.apply(s.classes[0], mute, 7),
            lambda s: s.checkout(bad),
            lambda s: s.compare(bad, s.node),
            lambda s: s.name(bad, "x"),
            lambda s: s.drop_concept(bad),
            lambda s: s.add_concept(" "),
            lambda s: s.add_concept("\0" + bad),
            lambda s: s.override(["?"], s.classes[0], 0.5),
            lambda s: s.override(["photos/0001.jpg"], s.classes[0], 2.0),
            lambda s: s.override([], s.classes[0], 0.5),
            lambda s: s.set_lambda(0.0),
            lambda s: s.set_lambda(bad),
            lambda s: s.set_thresholds(bad),
            lambda s: s.set_thresholds(1.0),
            lambda s: s.set_thresholds(10**400),
            lambda s: s.replay({"format": bad}),
            lambda s: s.subset(s.classes[0], bad),
            lambda s: s.evidence(60, "c0"),
        ]  # fmt: skip
        self.refused(name, wrong[number % len(wrong)])

    # -- comparison, recipes and export

    @rule(name=who, a=st.integers(0, 999), b=st.integers(0, 999))
    def compare(self, name: str, a: int, b: int) -> None:
        self.tally.steps += 1
        session, nodes = self.sessions[name], list(self.models[name].nodes)
        one, two = nodes[a % len(nodes)], nodes[b % len(nodes)]
        found = session.compare(one, two)
        assert (found.a.id, found.b.id) == (one, two)
        for cls in session.classes:
            first, second = (session.history.state_at(n).classes[cls] for n in (one, two))
            size = max(len(first.weights), len(second.weights))
            w, v = (np.pad(s.weights, (0, size - len(s.weights))) for s in (first, second))
            if cls in found.classes:
                assert len(found.classes[cls].weights) == np.count_nonzero(w != v)
            else:
                assert (w == v).all()
                assert first.bias == second.bias

    @rule(name=who)
    def recipe_and_replay(self, name: str) -> None:
        """Replay a recipe from the root: the state is the same."""
        self.tally.steps += 1
        session = self.sessions[name]
        whole = json.dumps(session.recipe().to_json(), ensure_ascii=False).encode()
        (self.folder / "recipe.json").write_bytes(whole)
        again = self.project.session()
        again.checkout(self.root)
        done = again.replay(Recipe.read(self.folder / "recipe.json"))
        assert not done.skipped
        assert state_of(again) == state_of(session)

    @rule(name=who)
    def export(self, name: str) -> None:
        """Save the students: the loaded ones predict the same."""
        self.tally.steps += 1
        session = self.sessions[name]
        file = self.folder / "student.safetensors"
        session.students.save(file)
        again = Students.load(file)
        said = session.students.predict(session.X)
        assert again.predict(session.X).tobytes() == said.tobytes()
        np.testing.assert_allclose(session.scores(), said, atol=5e-6)

    # -- saving

    @rule()
    def save_and_resume(self) -> None:
        """Save the visitor's session and resume it by its token."""
        self.tally.steps += 1
        token = self.sessions[VISITOR].save()
        self.saved[token] = set(self.models[VISITOR].nodes) - set(self.models[MAIN].nodes)
        self.sessions[VISITOR] = self.project.session(token)
        self.came_back()

    def came_back(self) -> None:
        """Add the current nodes and remarks of the project's branch to the model of a resumed visitor."""
        main, own = self.models[MAIN], self.models[VISITOR]
        seen = {**main.seen, **main.own}
        self.models[VISITOR] = Model({**main.nodes, **own.nodes}, own.at, own.redo, seen, own.own)

    @rule()
    def reload(self) -> None:
        """Close the project and open it again."""
        self.tally.steps += 1
        token = self.sessions[VISITOR].save()
        self.saved[token] = set(self.models[VISITOR].nodes) - set(self.models[MAIN].nodes)
        self.project.context.history_store.close()
        del self.sessions
        self.open()
        self.sessions = {MAIN: self.project.session(MAIN), VISITOR: self.project.session(token)}
        self.came_back()

    @rule()
    def newcomer(self) -> None:
        """Start another visitor's session, which begins at the current node of the project's branch."""
        self.tally.steps += 1
        self.sessions[VISITOR] = self.project.session()
        main = self.models[MAIN]
        self.models[VISITOR] = Model(dict(main.nodes), main.at, list(main.redo), {**main.seen, **main.own})

    @rule()
    def check_file(self) -> None:
        """Check that the file holds every node once, undamaged."""
        count = len(self.models[MAIN].nodes) - 1 + sum(map(len, self.saved.values()))
        assert self.project.context.history_store.check() == count

    @precondition(lambda self: self.models[MAIN].nodes[self.models[MAIN].at] is not None)
    @rule(action=one_action())
    def by_command(self, action: Action) -> None:
        """Take a step as `inficond tune` does: with an exclusive lock, from the node in the file."""
        session = self.project.session(MAIN)
        self.sessions[MAIN] = session
        cls, names = session.classes[0], session.concepts
        before = session.state.classes[cls].weights.copy()
        with session.exclusive():
            node = self.take(MAIN, lambda s: s.apply(cls, action))
        if node is not None and action.concept in names:
            self.asked(session, node, cls, action.concept, action, before)
        elif node is not None:
            for concept, group in zip(names, session.concept_groups):
                if f"group:{group}" == action.concept and concept not in session.dropped:
                    self.asked(session, node, cls, concept, action, before)

    # -- invariants

    @initialize()
    def begin(self) -> None:
        self.check_file()

    @invariant()
    def sessions_equal_their_models(self) -> None:
        for name, session in self.sessions.items():
            model = self.models[name]
            tree = session.tree()
            assert {t.node.id: t.node.parent for t in tree} == model.nodes
            assert session.node == model.at
            assert list(session.history.redo_nodes) == model.redo
            assert [t.node.id for t in tree if t.current] == [model.at]
            depth = {t.node.id: t.depth for t in tree}
            assert all(
                d == (0 if model.nodes[n] is None else depth[model.nodes[n]] + 1) for n, d in depth.items()
            )
            assert {t.node.id: t.name for t in tree if t.name} == model.names
            assert {t.node.id: t.note for t in tree if t.note} == model.notes

    @invariant()
    def a_node_always_has_the_same_state(self) -> None:
        for session in self.sessions.values():
            assert self.states.setdefault(session.node, state_of(session)) == state_of(session)

    @invariant()
    def weights_are_within_their_bounds(self) -> None:
        for session in self.sessions.values():
            size = len(session.concepts)
            for cls, one in session.state.classes.items():
                lower, upper = box(one.bounds, session.columns.index, size, session.dropped)
                assert one.weights.shape == (size,)
                assert (lower <= one.weights).all()
                assert (one.weights <= upper).all()
                assert {k: b.action.kind for k, b in session.bounds(cls).items()} == self.bounds[
                    session.node
                ][cls]

    @invariant()
    def scores_and_metrics_are_valid(self) -> None:
        for session in self.sessions.values():
            scores = session.scores()
            assert scores.shape == (60, len(session.classes))
            assert np.isfinite(scores).all()
            assert ((scores >= 0) & (scores <= 1)).all()
            if self.project.students.link == "softmax":
                np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
            for cls in session.classes:
                m = session.metrics(cls)
                assert 0 <= m.agreement <= 1
                assert np.isfinite(m.bce)
                assert m.nec == np.count_nonzero(session.state.classes[cls].weights)
                assert sum(m.counts.values()) == len(self.project.validation_rows)
                assert all(not isinstance(v, float) or v >= 0 or np.isnan(v) for v in m.to_dict().values())


def machine(shop: Workshop, link: str, tally: Tally) -> type[Sessions]:
    """Return the state machine of a small project.

    Parameters
    ----------
    shop : Workshop
    link : {"sigmoid", "softmax"}
    tally : Tally
        Counts sequences and steps.
    """
    source = shop.project if link == "sigmoid" else shop.softmax_project
    return type(f"Sessions_{link}", (Sessions,), {"source": source, "shop": shop, "tally": tally})
