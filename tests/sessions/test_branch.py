"""Navigation in the tree of steps, its storage, replay in other projects, and sessions of many visitors."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError, StorageError
from inficond.core.history.integrity import owner_checksum, store_checksum
from inficond.core.history.recipe import Recipe
from inficond.core.sessions.session import Session
from inficond.core.sessions.session_registry import SessionRegistry
from inficond.core.tuning.actions import Action
from inficond.core.version import __version__

MakeProject = Callable[..., Project]


def same(a: Session, b: Session) -> bool:
    return a.classes == b.classes and all(a.state.classes[c].same_as(b.state.classes[c]) for c in a.classes)


def tuned(session: Session) -> Session:
    """Take a few steps of every kind."""
    session.apply("boat", [Action("mute", "c1"), Action("up", "c12", 2)], note="first")
    session.apply(["boat", "bird"], Action("down", "group:water"), focus="missed")
    session.override([session.image_ids[0], session.image_ids[3]], "barn", 1.0)
    session.drop_concept("c20")
    session.apply("barn", Action("set", "c5", 0.25))
    return session


def test_undo_and_redo_restore_every_bit(small_project: Project) -> None:
    session = small_project.session()
    states = [session.state]
    for k in range(4):
        session.apply("boat", Action("mute", f"c{k}"))
        states.append(session.state)
    for state in states[-2::-1]:
        session.undo()
        assert session.state.classes["boat"].same_as(state.classes["boat"])
    assert not session.can_undo
    with pytest.raises(InputError, match="nothing to undo"):
        session.undo()
    for state in states[1:]:
        session.redo()
        assert session.state.classes["boat"].same_as(state.classes["boat"])
    with pytest.raises(InputError, match="nothing to redo"):
        session.redo()


def test_a_step_after_undo_starts_a_branch(small_project: Project) -> None:
    session = small_project.session()
    first = session.apply("boat", Action("mute", "c1"))
    session.undo()
    second = session.apply("boat", Action("mute", "c2"))
    assert first.parent == second.parent
    assert not session.can_redo
    assert {t.node.id: (t.depth, t.current, t.on_path) for t in session.tree()} == {
        session.context.root.id: (0, False, True),
        first.id: (1, False, False),
        second.id: (1, True, True),
    }
    session.checkout(first.id[:6])
    assert session.node == first.id
    assert session.state.classes["boat"].weights[1] == 0


def test_nodes_have_names_and_notes_and_are_compared_by_name(small_project: Project) -> None:
    session = small_project.session()
    node = session.apply("boat", [Action("mute", f"c{k}") for k in range(6)])
    session.name(node.id, "  no   water ")
    session.annotate("no water", "what the ranger asked for")
    assert session.find("no water") is node
    other = session.apply("boat", Action("mute", "c9"))
    with pytest.raises(InputError, match="named 'no water' already"):
        session.name(other.id, "no water")
    root = session.context.root.id
    change = session.compare(root, "no water").classes["boat"]
    assert {w.concept for w in change.weights} >= {
        f"c{k}" for k in range(6) if small_project.students.weights[0, k]
    }
    assert change.fidelity["bce"].before == pytest.approx(node.before["boat"]["bce"])
    assert session.compare(root, root).classes == {}
    assert session.compare("as fitted", "no water").a.id == root
    with pytest.raises(InputError, match="unknown node"):
        session.checkout("no such node")


def test_a_node_records_its_provenance(small_project: Project) -> None:
    session = small_project.session()
    node = session.apply("boat", Action("mute", "c1"), focus="extra", note="why not")
    data = node.to_json()
    assert node.computed_id() == node.id
    assert data["who"]
    assert data["when"].endswith("+00:00")
    assert data["actions"] == [{"kind": "mute", "concept": "c1"}]
    assert data["focus"]["label"] == "extra"
    assert data["lam"] == 2.5e-3
    assert data["solver"]["fits"]["boat"]["converged"]
    assert len(data["data"]) == 16
    assert data["code"].startswith(f"{__version__}+")
    assert data["before"]["boat"]["ap"] != data["after"]["boat"]["ap"]
    assert data["note"] == "why not"
    json.dumps(data)


def test_replaying_a_history_gives_the_same_bits(small_project: Project) -> None:
    session = tuned(small_project.session())
    recipe = json.loads(json.dumps(session.recipe().to_json()))
    again = small_project.session()
    done = again.replay(recipe)
    assert len(done.nodes) == 5
    assert done.skipped == ()
    assert same(session, again)


def test_a_replay_in_another_process_gives_the_same_bits(make_project: MakeProject, tmp_path: Path) -> None:
    import subprocess
    import sys

    project = make_project()
    session = tuned(project.session())
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(session.recipe().to_json()))
    subprocess.run(
        [sys.executable, "-m", "inficond.core.cli.main", "replay", str(project.path), str(recipe)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    assert same(Project.open(project.path).session("main"), session)


def test_a_recipe_on_another_project_lists_what_does_not_apply(make_project: MakeProject) -> None:
    session = tuned(make_project().session())
    other = make_project(k=18, classes=("boat", "barn"), n=200, seed=5).session()
    done = other.replay(session.recipe())
    assert [n.title for n in done.nodes] == [
        "boat: mute c1; up c12 ×2",
        "boat: down group:water ×1.5, focus on missed",
        "barn: teacher overridden by 1 in 2 images",
        "barn: set c5 = 0.25",
    ]
    said = [str(s) for s in done.skipped]
    assert said[0] == "step 2: class 'bird': is not in this project"
    assert said[1].startswith("step 4: drop c20: unknown concept 'c20'")


def steps(*given: dict) -> dict:
    return {"format": "inficond-recipe", "version": 1, "steps": list(given)}


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"format": "inficond-recipe", "version": 2, "steps": []}, "version 2, and 1 is supported"),
        ({"format": "cookies"}, "not a recipe"),
        ([], "not a recipe"),
        (steps({"kind": "root"}), "step 1 .* unknown kind"),
        (steps({"kind": "add"}), "lacks .concept."),
        (
            steps(
                {
                    "kind": "tune",
                    "classes": ["boat"],
                    "actions": [{"kind": "up", "concept": "c1", "value": 0.2}],
                }
            ),
            "step 1 of the recipe: up 'c1': strength 0.2",
        ),
    ],
)  # fmt: skip
def test_an_invalid_recipe_changes_nothing(small_project: Project, recipe: object, said: str) -> None:
    session = small_project.session()
    with pytest.raises(InputError, match=said):
        session.replay(recipe)
    assert len(session.tree()) == 1


def test_an_invalid_recipe_file_is_refused(tmp_path: Path) -> None:
    for text, said in (("", "not a recipe"), ("[" * 100_000, "not a recipe"), ("{}", "not a recipe")):
        (tmp_path / "recipe.json").write_text(text)
        with pytest.raises(InputError, match=said):
            Recipe.read(tmp_path / "recipe.json")
    with pytest.raises(InputError, match="cannot read"):
        Recipe.read(tmp_path / "nowhere.json")


def test_the_branch_of_the_project_is_stored(make_project: MakeProject) -> None:
    project = make_project()
    main = tuned(project.session("main"))
    main.name(main.node, "done")
    main.undo()
    again = Project.open(project.path)
    resumed = again.session("main")
    assert resumed.node == main.node
    assert same(resumed, main)
    assert resumed.redo().id == resumed.find("done").id
    assert resumed.context.history_store.check() == 5
    # New visits start at its current node, and the project's student is the tuned one.
    assert same(again.session(), resumed)
    np.testing.assert_array_equal(again.student().weights, resumed.students.weights)


def test_sessions_are_isolated(small_project: Project) -> None:
    registry = SessionRegistry(small_project.context)
    a, b = registry.open(), registry.open()
    assert a.token != b.token
    a.apply("boat", Action("mute", "c1"))
    assert len(b.tree()) == 1
    assert b.state.classes["boat"] is b.workspace.root.classes["boat"]
    with pytest.raises(InputError, match="unknown node"):
        b.checkout(a.node)
    assert registry.open(a.token) is a


def test_idle_sessions_are_saved_dropped_and_resumed(make_project: MakeProject, tmp_path: Path) -> None:
    now = 0.0
    registry = SessionRegistry(
        make_project().context, store=tmp_path / "visitors.sqlite", idle=60, clock=lambda: now
    )
    kept, looked = registry.open(), registry.open()
    tuned(kept)
    kept.name(kept.node, "mine")
    kept.undo()
    now = 61.0
    assert registry.drop_idle() == 2
    assert len(registry) == 0
    again = registry.open(kept.token)
    assert again is not kept
    assert same(again, kept)
    assert again.node == kept.node
    assert again.redo().id == again.find("mine").id
    assert again.token == kept.token
    assert registry.open(looked.token).token != looked.token, "nothing was done, so nothing was kept"
    assert registry.open("guessed").token != "guessed"
    with pytest.raises(InputError):
        registry.open("main")
    assert not (again.project.path / "history.sqlite").exists()


def test_expired_sessions_are_deleted(make_project: MakeProject, tmp_path: Path) -> None:
    registry = SessionRegistry(make_project().context, store=tmp_path / "visitors.sqlite", keep=-1)
    session = registry.open()
    session.apply("boat", Action("mute", "c1"))
    registry.close()
    assert registry.forget_old() == 1
    assert registry.open(session.token).token != session.token


def test_the_least_recently_used_session_is_evicted_first(make_project: MakeProject, tmp_path: Path) -> None:
    registry = SessionRegistry(make_project().context, store=tmp_path / "visitors.sqlite", most=3)
    first, *others = (registry.open() for _ in range(3))
    for session in (first, *others):
        session.apply("boat", Action("mute", "c1"))
    registry.open()
    assert first.token not in registry
    assert all(o.token in registry for o in others)
    assert same(registry.open(first.token), first)


def test_a_session_needs_less_than_two_megabytes(small_project: Project) -> None:
    import tracemalloc

    registry = SessionRegistry(small_project.context)
    tuned(registry.open())  # computes what sessions share
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions = [registry.open() for _ in range(200)]
    for i, session in enumerate(sessions):
        session.apply("boat", Action("set", f"c{i % 20}", i / 100))
        session.students.predict(small_project.X[:1])
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown / 200 < 2e6
    assert [s.state.classes["boat"].weights[i % 20] for i, s in enumerate(sessions)] == [
        np.float32(i / 100) for i in range(200)
    ]


def test_a_name_with_a_lone_surrogate_is_saved_in_escaped_form(
    make_project: MakeProject, tmp_path: Path
) -> None:
    """A browser can send one, but it cannot be written to a file."""
    now = 0.0
    registry = SessionRegistry(
        make_project().context, tmp_path / "visitors.sqlite", idle=10, clock=lambda: now
    )
    first = registry.open()
    node = first.apply("boat", Action("mute", "c1"), note="half \ud800")
    first.name(node.id, "a \ud800 name")
    first.annotate(node.id, "line one\nline \udfff")
    token, now = first.token, 11.0
    registry.open()
    assert token not in registry
    again = next(t for t in registry.open(token).tree() if t.node.id == node.id)
    assert again.node.note == "half ?"
    assert again.name == r"a \ud800 name"
    assert again.note == "line one\nline ?"


def test_a_resumed_visit_shows_new_names_of_the_projects_branch(
    make_project: MakeProject,
) -> None:
    """Names that the visitor gave are kept."""
    project = make_project()
    main = project.session("main")
    seen, own = (main.apply("boat", Action("mute", f"c{k}")).id for k in range(2))
    main.name(seen, "before")
    main.name(own, "also before")
    visitor = project.session()
    visitor.name(own, "mine")
    token = visitor.save()
    main.name(seen, "after")
    main.name(own, "theirs")
    names = {t.node.id: t.name for t in project.session(token).tree()}
    assert names[seen] == "after"
    assert names[own] == "mine"


def test_a_history_with_nodes_of_another_project_is_refused(
    make_project: MakeProject, tmp_path: Path
) -> None:
    """Even with correct checksums, the classes and concepts of nodes must be in the project."""
    project = make_project(k=12)
    session = project.session("main")
    session.apply("boat", Action("mute", "c1"))
    session.context.history_store.close()
    made = make_project(k=9)
    for name in ("history.sqlite", "history.sqlite-seal"):
        (made.path / name).write_bytes((project.path / name).read_bytes())
    with sqlite3.connect(made.path / "history.sqlite") as db:
        db.execute("UPDATE meta SET value = ? WHERE key = 'data'", (made.context.data_hash,))
        root = made.context.root.id
        (info,) = db.execute("SELECT info FROM node").fetchone()
        info = json.dumps({**json.loads(info), "parent": root})
        db.execute("UPDATE node SET parent = ?, info = ?", (root, info))
        store_checksum(db, "main", owner_checksum(db, "main"))
    with pytest.raises(StorageError, match="does not match this project"):
        made.session("main")
