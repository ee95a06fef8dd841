"""Metrics: equality with scikit-learn, and degenerate classes."""

import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from inficond.core.errors import InputError
from inficond.core.evaluation import SUBSETS, average_precision, class_metrics, matched_threshold, subsets
from inficond.core.evaluation.metrics import mean_kl


@st.composite
def scored(draw, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw probabilities of teacher and student, with ties and both extremes."""
    n = draw(st.integers(least, 60))
    grid = st.sampled_from([0.0, 0.1, 0.25, 0.4999, 0.5, 0.75, 0.9, 1.0])
    values = st.lists(st.one_of(grid, st.floats(0, 1, width=32)), min_size=n, max_size=n)
    return np.array(draw(values), np.float32), np.array(draw(values), np.float32)


@given(scored())
@settings(max_examples=150, deadline=None)
def test_every_metric_equals_scikit_learn(pair) -> None:
    t, s = pair
    yes, said = t >= 0.5, s >= 0.5
    assume(0 < yes.sum() < len(yes))
    m = class_metrics(t, s)
    assert m.ap == pytest.approx(sk.average_precision_score(yes, s), abs=1e-12)
    assert m.agreement == pytest.approx(sk.accuracy_score(yes, said))
    assert m.balanced_agreement == pytest.approx(sk.balanced_accuracy_score(yes, said))
    assert m.f1 == pytest.approx(sk.f1_score(yes, said, zero_division=0))
    p = np.clip(s.astype(np.float64), 1e-7, 1 - 1e-7)
    two = np.concatenate([t, 1 - t.astype(np.float64)])
    expected = sk.log_loss(
        np.repeat([1, 0], len(t)), np.concatenate([p, p]), sample_weight=two, normalize=False, labels=[0, 1]
    )
    assert m.bce == pytest.approx(expected / len(t), rel=1e-6, abs=1e-9)


@given(scored(least=0))
@settings(max_examples=80, deadline=None)
def test_the_four_subsets_are_a_partition(pair) -> None:
    t, s = pair
    found = subsets(t, s)
    assert tuple(found) == SUBSETS
    np.testing.assert_array_equal(np.sort(np.concatenate(list(found.values()))), np.arange(len(t)))
    assert (t[found["missed"]] >= 0.5).all()
    assert (s[found["missed"]] < 0.5).all()
    assert (t[found["extra"]] < 0.5).all()
    assert (s[found["extra"]] >= 0.5).all()
    m = class_metrics(t, s)
    assert m.counts == {k: len(v) for k, v in found.items()}


@pytest.mark.parametrize(
    ("t", "note", "undefined"),
    [
        ([0.1, 0.2, 0.3], "never says yes", ("ap", "balanced_agreement")),
        ([0.9, 0.8, 0.7], "every image", ("balanced_agreement",)),
        ([], "no images", ("ap", "agreement", "balanced_agreement", "f1", "bce")),
    ],
)
def test_degenerate_classes_have_none_and_a_note(t: list[float], note: str, undefined: tuple) -> None:
    m = class_metrics(t, [0.2] * len(t), labels=[math.nan] * len(t))
    assert any(note in one for one in m.notes)
    data = m.to_dict()
    for name in undefined:
        assert math.isnan(getattr(m, name))
        assert data[name] is None
    assert m.student_accuracy is not None
    assert m.student_accuracy.n == 0
    assert data["student_accuracy"]["ap"] is None
    json.dumps(data, allow_nan=False)


def test_a_student_without_positives_has_low_balanced_agreement() -> None:
    t = np.array([0.9] * 5 + [0.1] * 95)
    m = class_metrics(t, np.full(100, 0.05), nec=0)
    assert (m.agreement, m.balanced_agreement, m.f1) == (0.95, 0.5, 0.0)
    assert any("never says yes at its threshold" in note for note in m.notes)
    assert any("no concept" in note for note in m.notes)


def test_accuracy_ignores_unknown_labels_and_is_separate_from_fidelity() -> None:
    t, s = np.array([0.9, 0.8, 0.1, 0.2]), np.array([0.9, 0.1, 0.8, 0.2])
    m = class_metrics(t, s, labels=[0, 1, math.nan, 0])
    assert m.student_accuracy is not None
    assert m.teacher_accuracy is not None
    assert (m.student_accuracy.n, m.student_accuracy.positives) == (3, 1)
    assert m.student_accuracy.ap == pytest.approx(sk.average_precision_score([0, 1, 0], s[[0, 1, 3]]))
    assert m.teacher_accuracy.ap == pytest.approx(0.5)
    assert m.ap == pytest.approx(sk.average_precision_score(t >= 0.5, s))
    assert class_metrics(t, s).teacher_accuracy is None


def test_thresholds_do_not_change_the_ranking() -> None:
    rng = np.random.default_rng(0)
    t, s = rng.random(200), rng.random(200)
    low, high = class_metrics(t, s, threshold=0.2), class_metrics(t, s, threshold=0.8)
    assert low.said > high.said
    assert low.ap == high.ap


@given(scored())
@settings(max_examples=100, deadline=None)
def test_a_matched_threshold_gives_the_rate_of_the_teacher(pair) -> None:
    t, s = pair
    at = matched_threshold(t, s)
    assert np.float32(at) == at
    k = int((t >= 0.5).sum())
    if k in (0, len(t)):
        assert at == 0.5
    else:
        ties = int((s == np.float32(np.sort(s)[::-1][k - 1])).sum())
        assert k <= int((s >= at).sum()) <= k + ties - 1


def test_mean_kl_is_zero_for_the_teacher_only() -> None:
    T = np.random.default_rng(0).dirichlet(np.ones(4), 50)
    assert mean_kl(T, T) == pytest.approx(0, abs=1e-6)
    assert mean_kl(T, T[::-1]) > 0.1
    # The classes may have only a part of the probability.
    assert mean_kl(T[:, :2], T[:, :2]) == pytest.approx(0, abs=1e-6)


def test_ap_of_equal_scores_is_the_share_of_positives() -> None:
    assert average_precision([1, 0, 0, 1], [0.3] * 4) == pytest.approx(0.5)
    assert math.isnan(average_precision([0, 0], [1, 2]))


def test_different_lengths_are_rejected() -> None:
    with pytest.raises(InputError, match="3 .* 2"):
        class_metrics([0.1] * 3, [0.1] * 2)
    with pytest.raises(InputError, match="one number per image"):
        class_metrics(np.zeros((2, 2)), np.zeros(2))
