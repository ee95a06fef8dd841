"""Tuning steps of a session on a small project, with real fits."""

from collections.abc import Callable

import numpy as np
import pytest

from inficond.core import Project
from inficond.core.errors import InputError
from inficond.core.solver import fit
from inficond.core.tuning.actions import Action

MakeProject = Callable[..., Project]


def in_use(session, cls: str, n: int = 1) -> list[str]:
    """Return the n concepts with the largest weights of a class."""
    w = session.state.classes[cls].weights
    return [session.concepts[k] for k in np.argsort(-np.abs(w), kind="stable")[:n]]


def weights(session, cls: str) -> dict[str, float]:
    return dict(zip(session.concepts, session.state.classes[cls].weights.tolist()))


def test_a_session_starts_with_the_projects_students(small_project: Project) -> None:
    session = small_project.session()
    np.testing.assert_array_equal(session.students.weights, small_project.students.weights)
    np.testing.assert_allclose(session.scores(), small_project.students.predict(small_project.X), atol=2e-6)


@pytest.mark.parametrize("kind", ["up", "down", "mute", "lock", "set"])
def test_bounds_of_an_action_hold_after_the_refit(small_project: Project, kind: str) -> None:
    session = small_project.session()
    concept = in_use(session, "boat")[0]
    before = weights(session, "boat")[concept]
    node = session.apply("boat", Action(kind, concept, 0.3 if kind == "set" else None))
    after = weights(session, "boat")[concept]
    bound = session.bounds("boat")[concept]
    assert bound.lower <= after <= bound.upper
    assert {
        "up": after > before,
        "down": after < before,
        "mute": after == 0,
        "lock": after == before,
        "set": after == np.float32(0.3),
    }[kind]
    assert node.parent == session.context.root.id
    assert [w.concept for w in node.weights] or kind == "lock"


def test_a_refit_is_the_optimum_within_its_bounds(small_project: Project) -> None:
    session = small_project.session()
    a, b, c = in_use(session, "boat", 3)
    node = session.apply("boat", [Action("mute", a), Action("up", b, 2), Action("down", c, 2)])
    one = node.solver["fits"]["boat"]
    assert one["converged"]
    assert 0 <= one["gap"] <= 1e-4 * one["objective"]
    # An independent fit from nothing, in double precision, reaches the same objective.
    columns = session.columns
    lower, upper = (np.array([b]) for b in (session.influence("boat").lower, session.influence("boat").upper))
    t = small_project.T[~small_project.is_validation][:, [0]]
    other = fit(
        columns.training.astype(np.float64), t, 2.5e-3, lower=lower, upper=upper, standardize=False, tol=1e-6
    )
    assert abs(other.objective[0] - one["objective"]) <= 2e-4 * one["objective"]
    np.testing.assert_allclose(session.state.classes["boat"].weights, other.weights[0], atol=0.03)


def test_bounds_of_earlier_steps_stay_in_force(small_project: Project) -> None:
    session = small_project.session()
    a, b = in_use(session, "boat", 2)
    session.apply("boat", Action("mute", a))
    session.apply("boat", Action("down", b, 2))
    assert weights(session, "boat")[a] == 0
    session.apply("boat", Action("up", a))  # replaces the mute
    assert weights(session, "boat")[a] > 0
    assert session.bounds("boat")[a].action.kind == "up"


def test_only_the_named_class_changes(small_project: Project) -> None:
    session = small_project.session()
    before = dict(session.state.classes)
    node = session.apply("boat", Action("mute", in_use(session, "boat")[0]))
    assert set(node.changed) == {"boat"}
    assert all(session.state.classes[c] is before[c] for c in ("bird", "barn"))


def test_a_step_changes_several_classes_and_a_group(small_project: Project) -> None:
    session = small_project.session()
    node = session.apply(["boat", "bird"], Action("mute", "group:water"))
    for cls in ("boat", "bird"):
        assert all(weights(session, cls)[f"c{i}"] == 0 for i in range(8))
    assert session.metrics("barn") == small_project.session().metrics("barn")
    assert node.title == "boat, bird: mute group:water"


def test_a_preview_equals_the_result_of_apply_and_commits_nothing(small_project: Project) -> None:
    session = small_project.session()
    actions = [Action("mute", k) for k in in_use(session, "boat", 2)]
    preview = session.preview("boat", actions)
    assert session.node == session.context.root.id
    assert len(session.tree()) == 1
    node = session.apply("boat", actions)
    assert preview.state.classes["boat"].same_as(session.state.classes["boat"])
    change = preview.classes["boat"]
    assert change.fidelity["ap"].before == pytest.approx(node.before["boat"]["ap"])
    assert change.fidelity["ap"].after == pytest.approx(node.after["boat"]["ap"])
    assert dict(change.after) == node.after["boat"]["counts"]
    assert preview.others == {}
    change.to_json()


def test_a_preview_lists_images_whose_label_changes(small_project: Project) -> None:
    session = small_project.session()
    actions = [Action("mute", k) for k in in_use(session, "boat", 4)]
    change = session.preview("boat", actions).classes["boat"]
    disagreed = {*session.subset("boat", "missed"), *session.subset("boat", "extra")}
    session.apply("boat", actions)
    disagree = {*session.subset("boat", "missed"), *session.subset("boat", "extra")}
    assert set(change.fixed) == disagreed - disagree
    assert set(change.broken) == disagree - disagreed
    assert len(change.broken) > 0


def test_a_preview_without_a_change_reports_none(small_project: Project) -> None:
    session = small_project.session()
    idle = next(k for k, w in weights(session, "boat").items() if w == 0)
    change = session.preview("boat", Action("mute", idle)).classes["boat"]
    assert change.weights == ()
    assert {c.verdict for c in change.fidelity.values()} == {"no clear change"}


def test_a_focus_weights_training_images_only(small_project: Project) -> None:
    session = small_project.session()
    ids = np.array(small_project.image_ids)
    training, validation = ids[~small_project.is_validation], ids[small_project.is_validation]
    node = session.apply("boat", Action("lock", "c0"), focus=[*training[:20], *validation[:5]])
    assert node.focus == {
        "label": "25 images",
        "images": sorted([*training[:20], *validation[:5]]),
        "factor": 5.0,
        "size": 20,
    }
    focus = session.state.classes["boat"].focus
    assert focus is not None
    assert not (focus.mask(300) & small_project.is_validation).any()
    # The optimum of the loss in which these twenty count five times.
    weight = np.where(np.isin(training, training[:20]), 5.0, 1.0)
    t = small_project.T[~small_project.is_validation][:, [0]]
    lower, upper = (np.array([b]) for b in (session.influence("boat").lower, session.influence("boat").upper))
    other = fit(
        session.columns.training.astype(np.float64), t, 2.5e-3,
        lower=lower, upper=upper, sample_weight=weight, standardize=False, tol=1e-6,
    )  # fmt: skip
    assert node.solver["fits"]["boat"]["objective"] == pytest.approx(other.objective[0], rel=2e-4)


def test_focus_on_a_subset_reports_that_subset(small_project: Project) -> None:
    session = small_project.session()
    missed = len(session.subset("boat", "missed"))
    change = session.preview("boat", Action("up", in_use(session, "boat")[0]), focus="missed").classes["boat"]
    assert change.focus_size == missed > 0
    assert change.focus is not None
    assert change.focus["agreement"].before == 0.0
    assert change.focus["agreement"].after > 0.0, "five times the weight mends some of what was missed"


def test_a_focus_without_training_images_is_refused(small_project: Project) -> None:
    session = small_project.session()
    held_out = [small_project.image_ids[i] for i in small_project.validation_rows[:3]]
    assert session.focus_size("boat", held_out) == 0
    assert (
        session.focus_size("boat", [*held_out, small_project.image_ids[session.workspace.training_rows[0]]])
        == 1
    )
    with pytest.raises(InputError, match="contains no training image"):
        session.apply("boat", Action("mute", "c1"), focus=held_out)
    with pytest.raises(InputError, match="unknown subset 'mised': did you mean 'missed'"):
        session.apply("boat", Action("mute", "c1"), focus="mised")
    with pytest.raises(InputError, match="unknown image"):
        session.apply("boat", Action("mute", "c1"), focus=["photos/nowhere.jpg"])
    assert len(session.tree()) == 1


def test_a_slice_of_validation_images_gives_a_focus_on_training_images(make_project: MakeProject) -> None:
    project = make_project(n=600, noise=4.0)
    session = project.session()
    cls, one = next((cls, one) for cls in session.classes for one in session.slices(cls))
    assert project.is_validation[one.rows].all()
    assert set(one.misaligned) <= {*session.subset(cls, "missed"), *session.subset(cls, "extra")}
    rows = session.slice_images(one)
    assert set(one.rows) <= set(rows[project.is_validation[rows]])
    node = session.apply(cls, Action("lock", "c0"), focus=one)
    assert node.focus is not None
    assert node.focus["label"] == one.name
    assert node.focus["size"] == (~project.is_validation[rows]).sum() > 0
    again = project.session()
    again.replay(session.recipe().to_json())
    assert again.state.classes[cls].same_as(session.state.classes[cls])


def test_a_dropped_concept_stays_at_zero_in_every_class(small_project: Project) -> None:
    session = small_project.session()
    name = in_use(session, "boat")[0]
    session.apply("bird", Action("up", name))
    session.drop_concept(name)
    assert all(weights(session, cls)[name] == 0 for cls in session.classes)
    assert name not in session.bounds("bird")
    assert session.dropped == {name}
    session.apply("boat", Action("mute", in_use(session, "boat")[0]))
    assert weights(session, "boat")[name] == 0
    with pytest.raises(InputError, match="was dropped"):
        session.apply("boat", Action("up", name))
    with pytest.raises(InputError, match="dropped already"):
        session.drop_concept(name)
    session.add_concept(name)  # back in its old place
    assert session.dropped == frozenset()
    assert weights(session, "boat")[name] != 0


def test_an_added_word_becomes_a_concept(small_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    session = small_project.session()
    hidden = np.float32(small_project.config["hidden"])
    monkeypatch.setitem(session.context.words.vectors, "harbour", hidden)  # the text embedding of the word
    before = {cls: session.metrics(cls).bce for cls in session.classes}
    node = session.add_concept("harbour")
    assert session.concepts[-1] == "harbour"
    assert session.concept_groups[-1] == "added"
    assert session.X.shape == (300, 25)
    assert weights(session, "boat")["harbour"] > 0.2, "every class was made to depend on it"
    assert all(session.metrics(cls).bce < before[cls] for cls in session.classes)
    assert all(one["converged"] for one in node.solver["fits"].values())
    np.testing.assert_allclose(session.scores(), session.students.predict(session.X), atol=2e-6)
    with pytest.raises(InputError, match="is a concept already"):
        session.add_concept("harbour")
    session.apply("boat", Action("mute", "harbour"))
    assert weights(session, "boat")["harbour"] == 0
    session.undo()
    session.undo()
    assert "harbour" not in session.concepts
    assert session.state.classes["boat"].same_as(session.workspace.root.classes["boat"])


def test_a_missing_concept_is_suggested_first(
    small_project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = small_project.session()
    rng = np.random.default_rng(3)
    words = [f"noise {i}" for i in range(60)]
    for word in words:
        noise = rng.normal(size=12)
        monkeypatch.setitem(session.context.words.vectors, word, np.float32(noise / np.linalg.norm(noise)))
    monkeypatch.setitem(session.context.words.vectors, "harbour", np.float32(small_project.config["hidden"]))
    for cls in session.classes:
        found = session.missing_concepts(cls, [*words, "harbour"])
        assert found[0].word == "harbour"
        assert found[0].weight > 0
        assert found[0].fidelity["bce"].verdict == "better"


def test_an_override_changes_the_target_and_is_reported_with_and_without(small_project: Project) -> None:
    session = small_project.session()
    ids = np.array(small_project.image_ids)
    no = small_project.T[:, 0] < 0.3
    train = ids[no & ~small_project.is_validation][:30]
    held_out = ids[no & small_project.is_validation][:5]
    node = session.override([*train, *held_out], "boat", 1.0)
    assert node.detail == {"images": [*train, *held_out], "value": 1.0}
    rows = [session.row_of(i) for i in train]
    assert (session.scores()[rows, 0] > small_project.session().scores()[rows, 0]).all()
    with_, without = session.metrics("boat"), session.metrics("boat", overrides=False)
    assert with_.positives == without.positives + 5
    assert node.after["boat"]["positives"] == with_.positives
    assert session.targets("boat")[rows].tolist() == [1.0] * 30
    session.override([*train, *held_out], "boat", None)  # the teacher again
    assert session.state.classes["boat"].same_as(session.workspace.root.classes["boat"])


def test_an_override_of_a_validation_image_changes_no_weight(small_project: Project) -> None:
    session = small_project.session()
    image = small_project.image_ids[small_project.validation_rows[0]]
    session.override([image], "boat", 1.0)
    assert session.state.classes["boat"].weights.tobytes() == small_project.students.weights[0].tobytes()
    assert session.targets("boat")[small_project.validation_rows[0]] == 1.0


def test_a_new_lambda_refits_every_class_within_its_bounds(small_project: Project) -> None:
    session = small_project.session()
    name = in_use(session, "boat")[0]
    session.apply("boat", Action("mute", name))
    before = session.metrics("bird").nec
    session.set_lambda(0.05)
    assert session.students.lam == 0.05
    assert session.metrics("bird").nec < before
    assert weights(session, "boat")[name] == 0
    with pytest.raises(InputError, match="above 0"):
        session.set_lambda(0)


def test_a_threshold_step_changes_labels_and_no_weight(small_project: Project) -> None:
    session = small_project.session()
    before, ap = session.metrics("boat").counts, session.metrics("boat").ap
    node = session.set_thresholds(0.9)
    after = session.metrics("boat").counts
    assert after["extra"] <= before["extra"]
    assert after["missed"] > before["missed"]
    assert session.metrics("boat").ap == ap, "a ranking knows no threshold"
    assert session.students.thresholds.tolist() == [np.float32(0.9)] * len(session.classes)
    assert session.students.weights.tobytes() == small_project.students.weights.tobytes()
    assert node.before["boat"]["f1"] != node.after["boat"]["f1"]
    moved = session.compare(node.parent, node.id).classes["boat"]
    assert moved.after == dict(after)
    session.undo()
    assert session.metrics("boat").counts == before


def test_matched_thresholds_give_the_teachers_positive_rate(small_project: Project) -> None:
    session = small_project.session()
    node = session.set_thresholds("matched")
    training = ~small_project.is_validation
    for c, cls in enumerate(session.classes):
        said = session.scores()[training, c] >= session.students.thresholds[c]
        assert said.sum() == (session.targets(cls)[training] >= 0.5).sum()
    for bad in (0, 1, -1, "half", float("nan"), True, None):
        with pytest.raises(InputError, match="between 0 and 1"):
            session.set_thresholds(bad)
    name = in_use(session, "boat")[0]
    session.apply("boat", Action("mute", name))
    assert session.students.thresholds.tolist() == list(np.float32(node.detail["thresholds"]))


def test_a_replay_computes_matched_thresholds_again(
    small_project: Project, make_project: MakeProject
) -> None:
    session = small_project.session()
    session.set_thresholds("matched")
    session.set_thresholds(0.4)
    recipe = session.recipe().to_json()
    assert [s["detail"] for s in recipe["steps"]] == [{"at": "matched"}, {"at": 0.4}]
    other = make_project(seed=5).session()
    assert len(other.replay(recipe).nodes) == 2
    assert set(other.students.thresholds.tolist()) == {np.float32(0.4)}


@pytest.mark.parametrize(
    ("cls", "actions", "said"),
    [
        ("baot", Action("mute", "c1"), "unknown class 'baot': did you mean 'boat'"),
        ("boat", Action("mute", "c99"), "unknown concept 'c99'"),
        ("boat", Action("mute", "group:watr"), "unknown concept group 'watr': did you mean 'water'"),
        ("boat", [Action("mute", "c1"), Action("up", "c1")], "contradictory"),
        ("boat", [], "no action given"),
        ([], Action("mute", "c1"), "at least one class"),
        ("boat", {"kind": "up", "concept": "c1", "value": 0.5}, "strength 0.5"),
    ],
)
def test_invalid_steps_change_nothing(small_project: Project, cls: str, actions: object, said: str) -> None:
    session = small_project.session()
    for call in (session.preview, session.refitted, session.apply):
        with pytest.raises(InputError, match=said):
            call(cls, actions)
    assert session.node == session.context.root.id
    with pytest.raises(InputError, match="unknown image"):
        session.override(["photos/9999.jpg"], "boat", 1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        session.override(["photos/0001.jpg"], "boat", 1.5)
    assert len(session.tree()) == 1


def test_a_step_refits_all_classes_of_a_softmax_student(make_project: MakeProject) -> None:
    session = make_project(link="softmax").session()
    name = in_use(session, "boat")[0]
    preview = session.preview("boat", Action("mute", name))
    assert set(preview.others) == {"bird", "barn"}
    node = session.apply("boat", Action("mute", name))
    assert weights(session, "boat")[name] == 0
    assert node.solver["fits"]["boat"]["converged"]
    np.testing.assert_allclose(session.scores().sum(axis=1), 1, atol=1e-5)
    image = session.image_ids[int(session.workspace.training_rows[0])]
    session.override([image], "bird", 0.9)
    session.apply("boat", Action("free", name))
    session.override([image], "bird", None)
    assert session.state.classes["boat"].same_as(session.workspace.root.classes["boat"])


def test_influence_counts_every_validation_image_once(small_project: Project) -> None:
    session = small_project.session()
    found = session.influence("boat")
    n = int(small_project.is_validation.sum())
    assert (found.agreeing.sum(axis=1) + found.misaligned.sum(axis=1) == n).all()
    wrong = [*session.subset("boat", "missed"), *session.subset("boat", "extra")]
    assert (found.misaligned.sum(axis=1) == len(wrong)).all()
    x = np.asarray(small_project.X)[small_project.is_validation]
    np.testing.assert_allclose(found.edges[:, 0], x.min(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.edges[:, -1], x.max(axis=0), atol=1e-5)
    rows = session.subset("boat", "missed")
    np.testing.assert_allclose(found.means["missed"], small_project.X[rows].mean(axis=0), atol=1e-4)


def test_contributions_sum_to_the_logit(small_project: Project) -> None:
    session = small_project.session()
    session.apply("boat", Action("mute", in_use(session, "boat")[0]))
    for row in (0, 17, 250):
        found = session.contributions("boat", row)
        assert 1 / (1 + np.exp(-found.logit)) == pytest.approx(session.scores()[row, 0], abs=1e-5)
    with pytest.raises(InputError, match="image 300 does not exist"):
        session.contributions("boat", 300)


def test_evidence_is_the_region_with_the_concept_value(small_project: Project) -> None:
    session = small_project.session()
    found = session.evidence(7, "c3")
    assert found.score == pytest.approx(float(small_project.X[7, 3]), abs=1e-6)


def test_similar_images_are_sorted_by_distance(small_project: Project) -> None:
    session = small_project.session()
    z = (np.asarray(small_project.X) - small_project.students.mean) / small_project.students.scale
    cos = (z @ z[5]) / np.linalg.norm(z, axis=1)
    cos[5] = -np.inf
    assert session.similar(5, 6).tolist() == np.argsort(-cos)[:6].tolist()


def test_a_softmax_preview_without_a_change_reports_none(
    make_project: Callable[..., Project],
) -> None:
    session = make_project(link="softmax").session()
    seen = session.preview("boat", Action("free", "c0"))
    assert list(seen.classes) == ["boat"]
    assert not seen.others
    assert not seen.classes["boat"].weights
    assert seen.state.classes["boat"].same_as(session.state.classes["boat"])


def test_a_project_without_training_images_cannot_be_tuned(
    make_project: Callable[..., Project],
) -> None:
    session = make_project().session()
    workspace = session.workspace
    workspace.is_validation = np.ones(workspace.n_images, bool)
    workspace.training_rows, workspace.validation_rows = np.flatnonzero([0]), np.arange(workspace.n_images)
    assert session.summary()["validation"] == 300
    for step in (
        lambda: session.apply("boat", Action("mute", "c0")),
        lambda: session.preview("boat", Action("mute", "c0")),
        lambda: session.drop_concept("c0"),
        lambda: session.add_concept("harbour"),
        lambda: session.set_lambda(0.1),
        lambda: session.suggest("boat"),
    ):
        with pytest.raises(InputError, match="can be inspected but not tuned"):
            step()
