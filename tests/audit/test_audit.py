"""The audit finds planted shortcuts, nothing in shuffled labels, and repairs what it finds."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.audit.audit import audit
from inficond.core.audit.class_data import balanced_error
from inficond.core.audit.repair import apply_repair
from inficond.core.audit.score_test import max_score_test
from inficond.core.cli.main import main

Make = Callable[..., Project]


def test_a_planted_shortcut_is_the_first_finding(make: Make) -> None:
    project = make()
    first = audit(project.session()).findings[0]
    named = {first.shortcut.feature.name, *(member.name for member in first.shortcut.members)}
    assert first.shortcut.feature.name in ("sea", "lake")
    assert named & {"sea", "lake"}
    assert not named & {"wing", "beak"}
    assert first.shortcut.explained.low > 0.2
    shows, truth = np.array(project.config["shows"]), project.labels[:, 0] >= 0.5
    assert not truth[first.extra].any()
    assert truth[first.missed].all()
    assert shows[first.extra].mean() > 0.9
    assert shows[first.missed].mean() < 0.1


def test_the_repair_has_the_effect_that_it_states(make: Make) -> None:
    project = make()
    session = project.session()
    finding = audit(session).findings[0]
    assert finding.repair is not None
    assert finding.repair.after < finding.repair.before - 0.05
    apply_repair(session, finding.cls, finding.repair)
    rows = project.validation_rows
    said, truth = session.scores()[rows, 0] >= session.threshold("bird"), project.labels[rows, 0] >= 0.5
    assert balanced_error(truth, said) == pytest.approx(finding.repair.after, abs=0.01)


@pytest.mark.parametrize("seed", range(6))
def test_shuffled_labels_have_neither_findings_nor_split_groups(make: Make, seed: int) -> None:
    made = audit(make(seed=seed, shuffled=True).session(), repairs=False)
    assert made.findings == []
    assert [group.parts for one in made.classes for group in one.tree if group.parts] == []


def test_a_fault_of_the_teacher_is_named_and_overridden(make: Make) -> None:
    project = make(faulty=True)
    session = project.session()
    finding = audit(session).findings[0]
    assert finding.teacher_fault
    assert finding.shortcut.feature.name in ("sea", "lake")
    assert finding.repair is not None
    if finding.repair.overrides:
        rows = [session.row_of(image) for image in finding.repair.overrides]
        assert not project.is_validation[rows].any()
        assert (project.labels[rows, 0] == finding.repair.value).all()


def test_groups_split_the_wrong_answers_without_repetition(make: Make) -> None:
    made = audit(make().session(), repairs=False)
    yes = next(group for group in made.classes[0].tree if group.answer)
    assert len(yes.parts) == 2
    assert sorted(np.concatenate([part.rows for part in yes.parts])) == sorted(yes.rows)
    assert sum(part.share for part in yes.parts) == pytest.approx(yes.share)
    assert yes.parts[0].error > yes.parts[1].error


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"n": 12, "fit": 9}, "3 images of the tune part|3 images"),
        ({"group": "one"}, "1 sources"),
        ({"n": 40, "fit": 38, "labels": False}, "that the teacher calls bird"),
    ],
)
def test_too_little_to_audit_is_one_line(make: Make, how: dict[str, object], words: str) -> None:
    one = audit(make(**how).session()).classes[0]
    assert one.problem is not None
    assert any(word in one.problem for word in words.split("|"))
    assert one.findings == []


def test_the_teacher_is_the_truth_without_labels(make: Make) -> None:
    one = audit(make(labels=False).session(), repairs=False).classes[0]
    assert one.truth == "teacher"
    assert one.findings


def test_false_positives_stay_within_the_level() -> None:
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(200):
        features, logit = rng.normal(size=(80, 40)), rng.normal(size=80)
        truth = rng.random(80) < 1 / (1 + np.exp(-logit))
        _, p = max_score_test(features, truth, logit[:, None], flips=199, seed=seed)
        hits += p.min() <= 0.05
    assert hits <= 20  # 10 expected; more than 20 has a probability of 0.1 %


def test_an_effect_of_one_feature_is_found_among_many() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(300, 200))
    truth = rng.random(300) < 1 / (1 + np.exp(-1.2 * features[:, 7]))
    z, p = max_score_test(features, truth, np.zeros((300, 0)))
    assert int(np.argmax(np.abs(z))) == 7
    assert p[7] <= 0.001
    assert np.delete(p, 7).min() > 0.01


def test_the_command_prints_and_writes_a_page(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project, page = make(pictures=True), tmp_path / "audit.html"
    assert main(["audit", str(project.path), "--json", "--html", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    finding = told["classes"][0]["findings"][0]
    assert finding["feature"] in ("sea", "lake")
    assert finding["repair"]["error_after"] < finding["repair"]["error_before"]
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert text.count("data:image/") >= 4
    assert main(["audit", str(project.path)]) == 0
    assert "the student follows" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["audit", "a", "b"], ["audit", "words", "p", "--html", "x"], ["audit", "p", "--strength", "1"]],
)
def test_contradicting_arguments_are_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
