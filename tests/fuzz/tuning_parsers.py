"""Parsers of actions, focuses and recipes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from tests.fuzz import inputs
from tests.fuzz.harness import Parser
from tests.fuzz.inputs import content, documents, mangled, texts, value
from tests.fuzz.registry import finite, parser, plain_text, printable
from tests.fuzz.workshop import Workshop

from inficond.core.cli.commands.tune import parse as parse_action
from inficond.core.cli.commands.tune import read_focus
from inficond.core.history.recipe import Recipe
from inficond.core.tuning.actions import KINDS, Action, expand


@parser("command line")
def command_line(shop: Workshop) -> Parser:
    """Arguments of `inficond tune`: actions, and a focus by name or file."""

    def parse(given: Any, place: Path) -> Any:
        kind, text, data = given
        if kind != "focus":
            return parse_action(kind, value(text))
        if data is not None:
            (place / "ids").write_bytes(data)
            return read_focus(str(place / "ids"))
        return read_focus(value(text))

    def holds(made: Any, given: Any, place: Path) -> None:
        if given[0] == "focus":
            assert made in ("missed", "extra", "agree-pos", "agree-neg") or all(made)
            return
        assert made.kind == given[0]
        assert Action.from_json(made.to_json()) == made
        assert str(made)

    pieces = st.tuples(
        texts.map(value),
        st.sampled_from(["", "=", "=2", "=nan", "=-0.5", "=1e999", "==", "= 3", "=1_0", "=x"]),
    )
    words = st.one_of(pieces.map(lambda p: p[0][:2000] + p[1]), texts)
    given = st.tuples(
        st.sampled_from([*KINDS, "focus"]),
        words,
        st.none() | mangled([b"a.jpg\nb/c.png\n", b"\xff", b"\n\n"]),
    )
    return Parser("command line", given, parse, holds, (*KINDS, "focus"))


@parser("action", 1.5)
def action(shop: Workshop) -> Parser:
    concepts, groups = [f"c{i}" for i in range(6)], ["water"] * 3 + ["land"] * 3
    seeds = [
        [{"kind": "up", "concept": "c0", "value": 2}, {"kind": "mute", "concept": "group:land"}],
        [{"kind": "set", "concept": "c1", "value": -0.25}, {"kind": "free", "concept": "c2"}],
    ]

    def parse(given: Any, place: Path) -> list[Action]:
        said = value(given)
        return expand(said if isinstance(said, list) else [said], concepts, groups, ["c5"])

    def holds(made: list[Action], given: Any, place: Path) -> None:
        assert len({a.concept for a in made}) == len(made) > 0
        assert all(a.concept in concepts[:5] for a in made)
        assert all(a.value is None or np.isfinite(a.value) for a in made)
        assert expand([a.to_json() for a in made], concepts, groups, ["c5"]) == made

    return Parser("action", documents(seeds), parse, holds, ("action", "concept", *KINDS))


RECIPE_STEPS: list[dict[str, Any]] = [
    {"kind": "tune", "classes": ["boat"], "actions": [{"kind": "up", "concept": "c0", "value": 2.0}],
     "note": "n"},
    {"kind": "tune", "classes": ["boat", "bird"], "actions": [{"kind": "mute", "concept": "group:water"}],
     "focus": {"label": "missed", "factor": 5.0}},
    {"kind": "tune", "classes": ["bird"], "actions": [{"kind": "set", "concept": "c1", "value": 0.1}],
     "focus": {"label": "2 images", "factor": 2, "images": ["photos/0001.jpg", "photos/0002.jpg"]}},
    {"kind": "tune", "classes": ["bird"], "actions": [{"kind": "down", "concept": "c2"}],
     "focus": {"label": "c1 high", "conditions": [{"concept": "c1", "level": "high"}]}},
    {"kind": "drop", "detail": {"concept": "c3"}},
    {"kind": "add", "detail": {"concept": "c3"}},
    {"kind": "override", "classes": ["boat"], "detail": {"images": ["photos/0003.jpg"], "value": 0.75}},
    {"kind": "lambda", "detail": {"lam": 0.01}},
]  # fmt: skip


@parser("recipe", 2)
def recipe(shop: Workshop) -> Parser:
    """A recipe that is read and replayed."""
    shop.project.session().summary()
    whole = {"format": "inficond-recipe", "version": 1, "project": "p", "data": "d", "code": "c"}
    seeds = [{**whole, "steps": RECIPE_STEPS[i : i + 3]} for i in range(len(RECIPE_STEPS))]

    def parse(given: Any, place: Path) -> Recipe:
        (place / "recipe.json").write_bytes(content(given))
        return Recipe.read(place / "recipe.json")

    def holds(made: Recipe, given: Any, place: Path) -> None:
        assert Recipe.from_json(made.to_json()) == made
        session = shop.project.session()
        if len(made.steps) > 12:
            return
        done = session.replay(made)
        assert len(session.tree()) == 1 + len({n.id for n in done.nodes})
        assert all(plain_text(str(line)) and printable(str(line)) for line in done.skipped)
        assert all(node.computed_id() == node.id for node in done.nodes)
        assert finite(session.state.weights())
        assert finite(session.scores())
        json.dumps(session.recipe().to_json(), ensure_ascii=False, allow_nan=False).encode()

    return Parser("recipe", inputs.files(seeds), parse, holds, ("recipe",))
