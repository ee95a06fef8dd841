"""Commands that work on the history, with JSON output."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main

MakeProject = Callable[..., Project]


@pytest.fixture
def run(make_project: MakeProject, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Function that runs a command with --json on one project.

    It returns the JSON object, or the exit code and the line of an error.
    """
    folder = str(make_project().path)

    def call(command: str, *arguments: str) -> Any:
        code = main([command, folder, *arguments, "--json"])
        out, err = capsys.readouterr()
        if code:
            assert err.count("\n") == 1
            return code, err.strip()
        return json.loads(out)

    return call


def test_tune_writes_one_node(run: Callable[..., Any]) -> None:
    done = run("tune", "--class", "boat", "--mute", "c1", "--up", "c12=2", "--note", "why")
    assert set(done) >= {"node", "parent", "before", "after", "weights"}
    moved = {w["concept"]: w["after"] for w in done["weights"] if w["class"] == "boat"}
    assert moved["c1"] == 0
    assert done["before"]["boat"]["ap"] != done["after"]["boat"]["ap"]
    assert done["changes"]["boat"]["fidelity"]["ap"]["verdict"] in ("better", "worse", "no clear change")
    history = run("history", "--check")
    assert [n["id"] for n in history["nodes"]] == [done["parent"], done["node"]]
    assert history["current"] == done["node"]
    assert history["checked"] == 1
    assert history["nodes"][1]["note"] == "why"


def test_lambda_and_thresholds_are_steps(run: Callable[..., Any]) -> None:
    fewer = run("tune", "--lam", "0.05")
    assert len(fewer["weights"]) > 0
    assert fewer["after"]["boat"]["nec"] < fewer["before"]["boat"]["nec"]
    matched = run("tune", "--threshold", "matched")
    assert matched["weights"] == []
    assert matched["parent"] == fewer["node"]
    fixed = run("tune", "--threshold", "0.9")
    assert fixed["after"]["boat"]["counts"]["extra"] <= matched["after"]["boat"]["counts"]["extra"]
    assert run("undo")["node"] == matched["node"]
    for wrong in ("0", "1.5", "often", "nan"):
        code, line = run("tune", "--threshold", wrong)
        assert code == 2
        assert "threshold" in line
    code, line = run("tune", "--lam", "-1")
    assert code == 2
    assert "above 0" in line


def test_a_dry_run_prints_the_same_and_writes_nothing(run: Callable[..., Any]) -> None:
    dry = run("tune", "--class", "boat", "--down", "group:water", "--dry-run")
    assert len(run("history")["nodes"]) == 1
    wet = run("tune", "--class", "boat", "--down", "group:water")
    assert dry["node"] is None
    assert dry["weights"] == wet["weights"]
    assert dry["after"]["boat"]["ap"] == pytest.approx(wet["after"]["boat"]["ap"])


def test_an_override_reports_metrics_with_and_without_it(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project()
    image = project.image_ids[int(np.flatnonzero(project.is_validation & (project.T[:, 0] < 0.3))[0])]
    given = ["tune", str(project.path), "--class", project.classes[0], "--override", f"{image}=1"]
    assert main([*given, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    after, alone = (done[key][project.classes[0]]["positives"] for key in ("after", "teacher_alone"))
    assert after == alone + 1
    assert main(given) == 0
    assert "compared with the teacher alone (overrides left out: 1): agreement" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "not defined: the teacher has no positives"), (1.0, "not defined: the teacher has no negatives")],
)
def test_undefined_metrics_of_a_constant_teacher_are_explained(
    make_project: MakeProject, capsys: pytest.CaptureFixture[str], value: float, said: str
) -> None:
    project = make_project()
    session = project.session("main")
    session.override(project.image_ids, "boat", value)
    assert main(["tune", str(project.path), "--class", "boat", "--set", "c3=0.5"]) == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    assert next(line for line in out.splitlines() if "balanced_agreement" in line).endswith(
        f"{said} among these images"
    )


def test_undo_redo_checkout_compare(run: Callable[..., Any]) -> None:
    first = run("tune", "--class", "boat", "--mute", "c1")
    second = run("tune", "--class", "bird", "--class", "barn", "--set", "c3=0.5", "--focus", "missed")
    assert run("undo")["node"] == first["node"]
    assert run("redo")["node"] == second["node"]
    run("history", "--name", first["node"], "no c1")
    assert run("checkout", "no c1")["node"] == first["node"]
    found = run("compare", first["node"], second["node"])
    assert set(found["classes"]) == {"bird", "barn"}
    assert all(isinstance(i, str) for i in found["classes"]["bird"]["fixed"])


def test_a_printed_recipe_is_replayed(run: Callable[..., Any], tmp_path: Path) -> None:
    run("tune", "--class", "boat", "--mute", "c1")
    run("tune", "--drop-concept", "c2")
    run("tune", "--class", "bird", "--override", "photos/0003.jpg=0.9", "--override", "photos/0004.jpg=0.9")
    recipe = run("recipe")
    assert [s["kind"] for s in recipe["steps"]] == ["tune", "drop", "override"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    root = run("history")["nodes"][0]["id"]
    before = run("history")["nodes"][-1]["weights"]
    run("checkout", root)
    done = run("replay", str(tmp_path / "recipe.json"))
    assert len(done["nodes"]) == 3
    assert done["skipped"] == []
    assert run("history")["nodes"][-1]["weights"] == before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_focus_is_read_from_a_file(run: Callable[..., Any], tmp_path: Path, encoding: str) -> None:
    text = "\r\n".join(f"photos/{i:04d}.jpg" for i in range(40))
    (tmp_path / "these.txt").write_text(text, encoding=encoding)
    done = run("tune", "--class", "boat", "--up", "c1", "--focus", str(tmp_path / "these.txt"), "--dry-run")
    assert done["classes"]["boat"]["focus_size"] > 0


def test_suggestions_name_actions(run: Callable[..., Any]) -> None:
    for one in run("tune", "--class", "boat", "--suggest")["suggestions"]["boat"]:
        assert one["actions"]
        assert one["gain"]["after"] > one["gain"]["before"]


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("tune", ["--class", "baot", "--mute", "c1"], "unknown class 'baot': did you mean 'boat'"),
        ("tune", ["--class", "boat", "--mute", "c99"], "unknown concept 'c99'"),
        ("tune", ["--class", "boat", "--up", "c1=0.5"], "strength 0.5"),
        ("tune", ["--class", "boat", "--up", "c1=nan"], "strength nan"),
        ("tune", ["--class", "boat", "--set", "c1=high"], "'high' is not a number"),
        ("tune", ["--class", "boat", "--mute", "c1", "--lock", "c1"], "contradictory actions on 'c1'"),
        ("tune", ["--class", "boat"], "give one kind of step"),
        ("tune", ["--mute", "c1"], "name the class"),
        ("tune", ["--class", "boat", "--mute", "c1", "--focus", "nowhere.txt"], "neither"),
        ("tune", ["--class", "boat", "--override", "photos/9999.jpg=1"], "unknown image 'photos/9999.jpg'"),
        ("undo", [], "nothing to undo"),
        ("redo", [], "nothing to redo"),
        ("checkout", ["0123456789ab"], "unknown node"),
        ("replay", ["nowhere.json"], "cannot read nowhere.json"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    run: Callable[..., Any], command: str, arguments: list[str], said: str
) -> None:
    code, line = run(command, *arguments)
    assert code == 2
    assert said in line
    assert len(run("history")["nodes"]) == 1
