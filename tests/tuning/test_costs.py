"""What a step costs elsewhere, and suggestions of several actions."""

from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.cli.main import main
from inficond.core.errors import Cancelled
from inficond.core.progress import Silent
from inficond.core.tuning.actions import Action
from inficond.core.tuning.cost_search import find_costs
from inficond.core.tuning.preview import compare_states


@pytest.fixture(scope="module")
def project(small_project: Project) -> Project:
    return small_project


def harmful(project: Project) -> Action:
    """Return the removal of the concept with the largest weight of the first class."""
    weights = np.abs(project.students.weights[0])
    return Action("mute", project.concepts[int(weights.argmax())])


def test_a_preview_lists_what_clearly_loses(project: Project) -> None:
    branch = project.session()
    preview = branch.preview("boat", [harmful(project)])
    assert preview.costs
    change = preview.classes["boat"]
    worse = {name for name, one in change.fidelity.items() if one.verdict == "worse"}
    assert {cost.name for cost in preview.costs if cost.kind == "class"} == worse & {
        "ap", "balanced_agreement", "f1"
    }  # fmt: skip
    Z, rows = branch.columns.validation, branch.workspace.validation_rows
    for cost in preview.costs:
        assert cost.change.low <= cost.change.value <= cost.change.high < 0
        if cost.kind != "slice":
            continue
        concept, _, side = cost.name.rpartition(" ")
        z = Z[:, branch.concept_index(concept)]
        inside = z >= np.quantile(z, 0.8) if side == "high" else z <= np.quantile(z, 0.2)
        members = rows[inside]
        assert cost.size == len(members)
        assert cost.lost == len(np.intersect1d(change.broken, members)) == len(cost.rows)
        assert cost.gained == len(np.intersect1d(change.fixed, members))
        assert cost.change.value == pytest.approx((cost.gained - cost.lost) / cost.size)
    assert preview.to_json()["costs"][0]["text"] == preview.costs[0].text


def test_a_step_that_changes_no_answer_costs_nothing(project: Project) -> None:
    branch = project.session()
    unused = project.concepts[int(np.flatnonzero(project.students.weights[0] == 0)[0])]
    assert branch.preview("boat", [Action("mute", unused)]).costs == ()


def test_images_of_a_source_count_once(make_project: Callable[..., Project]) -> None:
    single, grouped = make_project(noise=2.0), make_project(noise=2.0, groups=True)
    action = harmful(single)
    costs = []
    for project in (single, grouped):
        branch = project.session()
        after = branch.preview("boat", [action]).state
        moved = compare_states(branch.workspace, branch.state, after)
        found = find_costs(branch.workspace, branch.state, moved)
        costs.append({cost.name: cost for cost in found if cost.kind in ("slice", "group")})
    shared = costs[0].keys() & costs[1].keys()
    for name in shared:
        assert costs[1][name].change.value == pytest.approx(costs[0][name].change.value)


def test_random_changes_rarely_lose_clearly(project: Project) -> None:
    """Among steps that break and fix images at random, at most one in ten has a slice that clearly loses."""
    from dataclasses import replace

    branch = project.session()
    change = branch.preview("boat", [harmful(project)]).classes["boat"]
    rows, rng = branch.workspace.validation_rows, np.random.default_rng(0)
    found = 0
    for _ in range(60):
        moved = rng.choice(rows, 24, replace=False)
        random = replace(change, fixed=moved[:12], broken=moved[12:], fidelity={
            name: replace(one, clear=False) for name, one in change.fidelity.items()
        })  # fmt: skip
        found += bool(find_costs(branch.workspace, branch.state, {"boat": random}))
    assert found <= 6


def test_harmless_suggestions_cost_nothing(make_project: Callable[..., Project]) -> None:
    project = make_project(noise=3.0, seed=3)
    branch = project.session()
    for cls in project.classes:
        every, harmless = branch.suggest(cls, count=8), branch.suggest(cls, count=8, harmless=True)
        assert all(s.costs == () for s in harmless)
        kept = [s.text for s in every if not s.costs]
        assert [s.text for s in harmless][: len(kept)] == kept
        for s in every:
            assert [c.text for c in s.costs] == [c.text for c in branch.preview(cls, s.actions).costs]


def test_suggestions_that_only_lose_clearly_come_last(make_project: Callable[..., Project]) -> None:
    project = make_project(n=500, link="softmax", lam=0.02, groups=True)
    branch = project.session()
    found = [[s for s in branch.suggest(cls, count=8) if not s.joint] for cls in project.classes]
    doubtful = [[bool(s.costs) and not s.gain.clear for s in each] for each in found]
    assert any(any(each) and not all(each) for each in doubtful)
    assert doubtful == [sorted(each) for each in doubtful]
    for cls, each in zip(project.classes, found, strict=True):
        assert [s.text for s in branch.suggest(cls, count=1)] == [each[0].text]


def test_a_search_is_cancelled_at_its_next_step(make_project: Callable[..., Project]) -> None:
    branch, progress = make_project(noise=3.0, seed=3).session(), Silent()
    progress.cancel()
    with pytest.raises(Cancelled):
        branch.suggest("boat", progress=progress)
    assert branch.suggest("boat", progress=Silent())


def test_a_joint_suggestion_gains_more_than_the_best_single_one(
    make_project: Callable[..., Project],
) -> None:
    project = make_project(n=500, noise=2.0, seed=1, lam=0.03)  # students that use too few concepts
    branch = project.session()
    found = branch.suggest("boat", count=4)
    joint = found[-1]
    assert len(joint.actions) in (2, 3)
    assert len({a.concept for a in joint.actions}) == len(joint.actions)
    assert all(len(s.actions) == 1 for s in found[:-1])
    assert joint.gain.delta.value > max(s.gain.delta.value for s in found[:-1])
    measured = branch.preview("boat", joint.actions).classes["boat"].fidelity[joint.metric].delta.value
    assert measured == pytest.approx(joint.gain.delta.value)
    assert [s.text for s in branch.suggest("boat", count=1)] == [found[0].text]


def test_the_command_lists_costs_and_filters(
    make_project: Callable[..., Project], capsys: pytest.CaptureFixture[str]
) -> None:
    project = make_project()
    folder, word = str(project.path), harmful(project).concept
    assert main(["tune", folder, "--class", "boat", "--mute", word, "--dry-run"]) == 0
    assert "clearly loses:" in capsys.readouterr().out
    assert main(["tune", folder, "--class", "boat", "--suggest", "--harmless"]) == 0
    assert "clear loss" not in capsys.readouterr().out
