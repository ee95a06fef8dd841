"""Bootstrap intervals: equality with direct resampling, groups, pairing and coverage."""

import math

import numpy as np
import pytest

from inficond.core.cache import Cache
from inficond.core.evaluation import (
    bootstrap,
    bootstrap_intervals,
    class_metrics,
    metric_kernels,
    paired_bootstrap,
)
from inficond.core.evaluation.bootstrap import replicates_for, resampled
from inficond.core.evaluation.metrics import METRICS


def noisy(n: int, noise: float, seed: int, shift: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Make responses of a teacher and of a noisy student."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n) - shift
    e = np.random.default_rng(seed + 1000).normal(size=n)
    sigmoid = lambda x: (1 / (1 + np.exp(-x))).astype(np.float32)  # noqa: E731
    return sigmoid(3 * z), sigmoid(3 * z + noise * e)


def test_point_values_are_those_of_class_metrics() -> None:
    t, s = noisy(400, 3, 0, shift=1)
    m, found = class_metrics(t, s), bootstrap_intervals(t, s)
    for name in METRICS:
        assert found[name].value == pytest.approx(getattr(m, name), rel=1e-5)
        assert found[name].low <= found[name].value <= found[name].high


@pytest.mark.parametrize("grouped", [False, True])
def test_intervals_equal_those_of_direct_resampling(grouped: bool) -> None:
    n = 300
    t, s = noisy(n, 4, 3, shift=1)
    s = np.round(s, 1)  # with ties
    # Images of a source have similar responses, so ignoring sources would change the intervals.
    groups = np.argsort(np.argsort(t)) // 6 if grouped else np.arange(n)
    found = bootstrap_intervals(t, s, groups=groups if grouped else None, replicates=4000)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(1500):
        rows = np.concatenate([members[g] for g in rng.integers(0, len(members), len(members))])
        m = class_metrics(t[rows], s[rows])
        draws.append([getattr(m, name) for name in METRICS])
    low, high = np.nanquantile(draws, [0.025, 0.975], axis=0)
    for j, name in enumerate(METRICS):
        width = high[j] - low[j]
        assert found[name].low == pytest.approx(low[j], abs=0.12 * width)
        assert found[name].high == pytest.approx(high[j], abs=0.12 * width)


def splitmix_draws(groups: int, replicate: int, seed: int) -> np.ndarray:
    """Return the draws of one replicate, from the documented generator in plain Python."""
    whole = 2**64 - 1
    hashed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    state = (hashed + replicate * 0xD1B54A32D192ED03) & whole
    drawn: list[int] = []
    while len(drawn) < groups:
        state = (state + 0x9E3779B97F4A7C15) & whole
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & whole
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & whole
        z ^= z >> 31
        drawn += [((z & 0xFFFFFFFF) * groups) >> 32, ((z >> 32) * groups) >> 32]
    return np.bincount(drawn[:groups], minlength=groups)


@pytest.mark.parametrize(("n", "sources"), [(301, 0), (300, 0), (400, 37), (6, 2)])
def test_draws_equal_copies_of_images(n: int, sources: int) -> None:
    """By definition, every image is copied as often as its source is drawn."""
    t, s0 = noisy(n, 4, 3, shift=1)
    _, s1 = noisy(n, 2, 3, shift=1)
    s0 = np.round(s0, 2)  # with ties, also at the threshold
    groups = np.random.default_rng(0).integers(0, sources, n) if sources else np.arange(n)
    member = np.unique(groups, return_inverse=True)[1]
    deltas = []
    for b in range(1, 61):
        rows = np.repeat(np.arange(n), splitmix_draws(member.max() + 1, b, 7)[member])
        a, z = (class_metrics(t[rows], s[rows], threshold=0.3) for s in (s0, s1))
        deltas.append([getattr(z, name) - getattr(a, name) for name in METRICS])
    found = bootstrap.paired_bootstrap(
        t, s0, s1, groups=groups if sources else None, threshold=0.3, replicates=60, seed=7
    )
    for j, name in enumerate(METRICS):
        column = np.array(deltas)[:, j]
        low, high = np.quantile(column[np.isfinite(column)], [0.025, 0.975])
        assert found[name].delta.low == pytest.approx(low, abs=1e-6)
        assert found[name].delta.high == pytest.approx(high, abs=1e-6)


def test_draws_in_parts_equal_draws_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws are computed in parts if those of all replicates would exceed the memory limit."""
    t, s = noisy(500, 4, 3, shift=1)
    whole = resampled(t, s, replicates=70, seed=3)
    monkeypatch.setattr(bootstrap, "DRAWS_BYTES", 500 * 16)
    monkeypatch.setattr(bootstrap, "draw_cache", Cache(0))
    assert np.array_equal(resampled(t, s, replicates=70, seed=3), whole, equal_nan=True)
    assert bootstrap.draw_cache.usage.entries == 0


def test_the_cache_of_draws_respects_its_limit() -> None:
    for n in (3000, 5000, 9000):
        resampled(*noisy(n, 3, 1), replicates=400)
    usage = bootstrap.draw_cache.usage
    assert 0 < usage.size <= bootstrap.DRAWS_BYTES


def test_every_replicate_draws_all_groups_on_average_once() -> None:
    for groups in (1, 2, 7, 256):
        counts = np.zeros((groups, 50), np.uint8)
        metric_kernels.draw(counts, np.uint64(5), 1)
        assert (counts.sum(axis=0) == groups).all()


def test_the_difference_is_paired() -> None:
    """For two students with common errors the difference is more precise than either value."""
    t, s = noisy(600, 3, 5, shift=1)
    better = (0.97 * s + 0.03 * t).astype(np.float32)
    change = paired_bootstrap(t, s, better)["bce"]
    alone = bootstrap_intervals(t, s)["bce"]
    assert change.clear
    assert change.verdict == "better"  # lower is better for cross-entropy
    # Unpaired, the interval of the difference would be wider than that of a value, by a factor of √2.
    assert change.delta.high - change.delta.low < 0.5 * (alone.high - alone.low)


def test_identical_students_have_no_change() -> None:
    t, s = noisy(500, 3, 0)
    for change in paired_bootstrap(t, s, s.copy()).values():
        assert (change.delta.value, change.delta.low, change.delta.high) == (0, 0, 0)
        assert change.verdict == "no clear change"


def test_swapping_before_and_after_mirrors_the_change() -> None:
    t, a = noisy(400, 4, 0, shift=1)
    _, b = noisy(400, 2, 0, shift=1)
    there, back = paired_bootstrap(t, a, b), paired_bootstrap(t, b, a)
    assert there["ap"].verdict == "better"
    assert back["ap"].verdict == "worse"
    assert there["ap"].delta.value == pytest.approx(-back["ap"].delta.value)


def test_intervals_are_determined_by_the_seed() -> None:
    t, s = noisy(300, 3, 0)
    assert bootstrap_intervals(t, s, seed=4) == bootstrap_intervals(t, s, seed=4)
    assert bootstrap_intervals(t, s, seed=4)["ap"] != bootstrap_intervals(t, s, seed=5)["ap"]


def test_repetitive_sources_widen_the_interval() -> None:
    t, s = noisy(60, 4, 2, shift=1)
    t10, s10, groups = np.repeat(t, 10), np.repeat(s, 10), np.repeat(np.arange(60), 10)
    alone = bootstrap_intervals(t10, s10)["agreement"]
    together = bootstrap_intervals(t10, s10, groups=groups)["agreement"]
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_noise_is_rarely_a_clear_change() -> None:
    """For students of equal quality about one in twenty changes is clear; the bound allows for chance."""
    clear = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        t = (rng.random(300) < 0.3).astype(np.float32)
        a, b = (np.clip(0.3 + 0.4 * t + 0.25 * rng.normal(size=300), 0, 1) for _ in range(2))
        clear += paired_bootstrap(t, a, b, replicates=400, seed=seed)["ap"].clear
    assert clear <= 21  # Binomial(200, 0.05) exceeds this with probability 0.0007


@pytest.mark.parametrize("t", [np.zeros(30), np.ones(30)])
def test_a_constant_teacher_gives_nan_and_no_clear_change(t: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    found = paired_bootstrap(t, rng.random(30), rng.random(30))
    assert math.isnan(found["balanced_agreement"].delta.value)
    assert not found["balanced_agreement"].clear
    assert found["balanced_agreement"].to_dict()["delta"]["low"] is None


def test_no_image_and_one_image() -> None:
    assert math.isnan(bootstrap_intervals([], [])["ap"].value)
    assert bootstrap_intervals([0.9], [0.8])["agreement"].value == 1.0


def test_larger_sets_use_fewer_replicates() -> None:
    assert [replicates_for(n) for n in (1, 4000, 8000, 10**6)] == [1000, 1000, 500, 400]
