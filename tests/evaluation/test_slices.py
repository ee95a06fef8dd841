"""Slices: planted groups are found, noise gives none, and sources are respected."""

import numpy as np
import pytest

from inficond.core.errors import InputError
from inficond.core.evaluation import find_slices

K = 80
NAMES = [f"concept {k}" for k in range(K)]


def vectors(n: int, seed: int) -> np.ndarray:
    """Make correlated concept vectors: low rank plus noise, clipped at zero."""
    rng = np.random.default_rng(seed)
    low_rank = rng.normal(size=(n, 8)) @ rng.normal(size=(8, K)) / 3
    return np.maximum(0, 0.2 + 0.04 * (low_rank + rng.normal(size=(n, K)))).astype(np.float32)


def noise(n: int, seed: int, rate: float = 0.2, wrong: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Make responses of a teacher and of a student with random errors."""
    rng = np.random.default_rng([seed, 7])
    t = (rng.random(n) < rate).astype(np.float32)
    return t, np.where(rng.random(n) < wrong, 1 - t, t).astype(np.float32)


def high(X: np.ndarray, k: int) -> np.ndarray:
    return X[:, k] > np.quantile(X[:, k], 0.8)


def test_a_planted_condition_is_the_first_slice() -> None:
    X = vectors(800, 0)
    t, s = noise(800, 0)
    planted = high(X, 5) & (t == 0) & (np.random.default_rng(1).random(800) < 0.45)
    s[planted] = 1
    first = find_slices(X, t, s, NAMES)[0]
    assert (first.kind, [str(c) for c in first.conditions]) == ("extra", ["concept 5 high"])
    assert first.p_value <= 0.05
    assert first.gap > 0.25
    assert str(first).startswith(f"concept 5 high: {first.size} images, agreement ")


def test_a_planted_pair_is_named_by_both_conditions() -> None:
    X = vectors(3000, 1)
    t, s = noise(3000, 1)
    both = high(X, 3) & high(X, 40) & (t == 0)
    s[both & (np.random.default_rng(2).random(3000) < 0.8)] = 1
    found = find_slices(X, t, s, NAMES)
    assert {"concept 3 high", "concept 40 high"} in [{str(c) for c in x.conditions} for x in found[:3]]


def test_missed_images_with_a_low_concept() -> None:
    X = vectors(1200, 2)
    t, s = noise(1200, 2, rate=0.4)
    low = (X[:, 9] < np.quantile(X[:, 9], 0.2)) & (t == 1)
    s[low & (np.random.default_rng(3).random(1200) < 0.5)] = 0
    first = find_slices(X, t, s, NAMES, kinds=["missed"])[0]
    assert [str(c) for c in first.conditions] == ["concept 9 low"]
    assert first.kind == "missed"


def test_slices_are_counted_and_ranked_by_size_times_gap() -> None:
    X = vectors(800, 0)
    t, s = noise(800, 0)
    s[high(X, 5) & (t == 0) & (np.random.default_rng(1).random(800) < 0.45)] = 1
    s[high(X, 60) & (t == 0) & (np.random.default_rng(2).random(800) < 0.45)] = 1
    found = find_slices(X, t, s, NAMES)
    assert len(found) >= 2
    assert [x.score for x in found] == sorted((x.score for x in found), reverse=True)
    for x in found:
        assert (t[x.rows] == 0).all()
        inside = np.isin(np.flatnonzero(t == 0), x.rows)
        agrees = (s == t)[t == 0]
        assert x.agreement == pytest.approx(agrees[inside].mean())
        assert x.elsewhere == pytest.approx(agrees[~inside].mean())
        assert set(x.misaligned) == set(x.rows[s[x.rows] != t[x.rows]])
        assert x.score == pytest.approx(x.size * x.gap)
        assert x.to_dict()["text"] == str(x)


def test_slices_are_determined_by_the_seed() -> None:
    X = vectors(800, 0)
    t, s = noise(800, 0)
    s[high(X, 5) & (t == 0)] = 1
    assert [str(x) for x in find_slices(X, t, s, NAMES)] == [str(x) for x in find_slices(X, t, s, NAMES)]


def test_noise_rarely_gives_slices() -> None:
    """At most about one project in twenty has a false slice; the bound allows for chance."""
    hits = 0
    for seed in range(200):
        t, s = noise(300, seed, wrong=0.2)
        hits += bool(find_slices(vectors(300, seed), t, s, NAMES, seed=seed))
    assert hits <= 18  # Binomial(200, 0.05) exceeds this with probability 0.006


@pytest.mark.parametrize(("sources", "images"), [(60, 5), (6, 60)])
def test_a_source_is_not_mistaken_for_a_concept(sources: int, images: int) -> None:
    """Images of a source have equal concepts and errors, so no concept explains the errors."""
    naive = hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = sources * images
        groups = np.repeat(np.arange(sources), images)
        X = vectors(sources, seed)[groups] + rng.normal(0, 0.004, (n, K)).astype(np.float32)
        t = np.zeros(n)
        bad = rng.random(sources) < 0.3
        s = (rng.random(n) < np.where(bad, 0.8, 0.1)[groups]).astype(float)
        hits += bool(find_slices(X, t, s, NAMES, groups=groups, seed=seed))
        naive += bool(find_slices(X, t, s, NAMES, seed=seed))
    assert hits <= 8  # Binomial(60, 0.05) exceeds this with probability 0.003
    assert naive > 20  # if sources are ignored


def test_a_concept_inside_sources_is_still_found() -> None:
    """With few sources, a condition that differs within sources is found."""
    rng = np.random.default_rng(0)
    X, groups = vectors(240, 4), np.repeat(np.arange(4), 60)
    t, s = np.ones(240), np.ones(240)
    s[(rng.random(240) < 0.05) | (high(X, 11) & (rng.random(240) < 0.7))] = 0
    assert str(find_slices(X, t, s, NAMES, groups=groups)[0].conditions[0]) == "concept 11 high"


@pytest.mark.parametrize("n", [0, 1, 10, 200])
def test_too_few_images_give_no_slices(n: int) -> None:
    X = vectors(max(n, 1), 0)[:n]
    t = np.zeros(n)
    assert find_slices(X, t, t, NAMES) == []
    assert find_slices(X, t, np.ones(n), NAMES) == []
    assert find_slices(np.zeros((n, K)), t, (np.arange(n) % 3 == 0).astype(float), NAMES) == []


def test_invalid_input_is_named() -> None:
    X = vectors(50, 0)
    with pytest.raises(InputError, match="one row per image"):
        find_slices(X, np.zeros(50), np.zeros(49), NAMES)
    t, s = noise(50, 0, wrong=0.4)
    with pytest.raises(InputError, match="agree-pos"):
        find_slices(X, t, s, NAMES, kinds=["agree-pos"])
