"""Shortcuts of a class: features that the student follows although the truth does not.

A feature is a shortcut if the student's logit follows it within the class and within the rest, while the
truth, given that logit, goes against it. The fraction of the error that it explains is the share of the
balanced error that vanishes when the logit no longer follows the feature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from inficond.core.audit.class_data import ClassData, Feature, Float64, balanced_error
from inficond.core.audit.score_test import max_score_test
from inficond.core.evaluation import Interval

ALPHA = 0.01
"""Probability of a false finding of a class, over all features."""
MOST = 5
"""Findings of a class, at most."""
MEMBERS = 6
"""Further features of a finding that are listed, at most."""
RELATED = 0.25
"""Correlation, within the class and the rest, from which a feature belongs to a finding."""
FOLLOWED = 0.2
"""Correlation of logit and feature, within the class and the rest, from which the student follows it."""
PREFERRED = 0.5
"""Share of the largest explained error from which a property of the images comes before words."""
SAME = 0.6
"""Correlation from which it does so even if it stays significant beside it."""
REPLICATES = 1000
LEVELS_TRIED = (0.1, 0.9)


@dataclass(frozen=True, eq=False)
class Shortcut:
    """A feature that the student follows although the truth does not.

    Parameters
    ----------
    feature : Feature
        The one that explains most.
    members : tuple of Feature
        Further features that say the same; they are no longer significant once this one is in the model.
    follows : float
        Change of the student's logit per standard deviation of the feature, within the class and the rest.
    p_value : float
        Corrected for all features.
    explained : Interval
        Share of the balanced error that vanishes without the dependence.
    extra, missed : (m,) int
        Positions of the wrong answers that would be right without it: yes to an image with the feature, no to
        one without (the other way round if `follows` is below 0).
    """

    feature: Feature
    members: tuple[Feature, ...]
    follows: float
    p_value: float
    explained: Interval
    extra: NDArray[np.intp] = field(repr=False)
    missed: NDArray[np.intp] = field(repr=False)


def within_slopes(data: ClassData, values: Float64, of: Float64) -> Float64:
    """Return the slope of `of` on each feature with class and rest centred separately, (F,)."""
    centred, target = _centred(data, values), _centred(data, of[:, None])[:, 0]
    return (centred.T @ target) / np.maximum((centred**2).sum(axis=0), 1e-12)


def _centred(data: ClassData, values: Float64) -> Float64:
    out = np.array(values, np.float64)
    for side in (data.truth, ~data.truth):
        if side.any():
            out[side] -= out[side].mean(axis=0)
    return out


def find_shortcuts(data: ClassData, alpha: float = ALPHA, seed: int = 0) -> list[Shortcut]:
    """Find the shortcuts of a class, those that explain most of the error first.

    After each finding its feature joins the model, so that the next one says something new; the search ends
    when nothing is significant.

    Parameters
    ----------
    data : ClassData
    alpha : float
        Level of each step, corrected for all features.
    seed : int
        Of sign flips and bootstrap.

    Returns
    -------
    list of Shortcut
        At most `MOST`.
    """
    found: list[Shortcut] = []
    nuisance: list[Float64] = [data.logit]
    logit = data.logit.copy()
    total = balanced_error(data.truth, data.said)
    taken: set[int] = set()
    before: NDArray[np.bool_] | None = None
    follows = within_slopes(data, data.values, data.logit)
    spread = np.sqrt((_centred(data, data.logit[:, None]) ** 2).mean())
    strong = np.abs(follows) * _within_spread(data) >= FOLLOWED * spread
    while len(found) < MOST and total > 0 and data.features:
        p = _p_values(data, np.column_stack(nuisance), follows, strong, seed)
        clear = p <= alpha
        clear[list(taken)] = False
        if found and before is not None:
            found[-1] = _with_members(found[-1], data, before, clear)
        if not clear.any():
            break
        candidates = np.flatnonzero(clear)
        gains = [_gain(data, logit, k) for k in candidates.tolist()]
        best = _leading(data, candidates, gains)
        if max(gains) <= 0:
            break
        taken.add(best)
        after = _without(data, logit, best)
        found.append(_shortcut(data, logit, after, best, float(follows[best]), float(p[best]), seed))
        logit, before = after, clear
        nuisance.append(data.values[:, best])
    return found


def _within_spread(data: ClassData) -> Float64:
    """Return the standard deviation of each feature within the class and the rest, (F,)."""
    return np.asarray(np.sqrt((_centred(data, data.values) ** 2).mean(axis=0)))


def _p_values(
    data: ClassData, nuisance: Float64, follows: Float64, strong: NDArray[np.bool_], seed: int
) -> Float64:
    """Return the p-value of each feature that the student follows, corrected for all of them; else 1.

    The score is tested against the student's direction: does the truth, given the logit, fall where the logit
    rises? Concepts, and properties and labels, are two families, each at half of the level (Bonferroni).
    """
    p = np.ones(len(data.features))
    is_concept = np.array([feature.kind == "concept" for feature in data.features])
    for family in (is_concept & strong, ~is_concept & strong):
        if family.any():
            values, against = data.values[:, family], -np.sign(follows[family])
            p[family] = max_score_test(
                values, data.truth, nuisance, data.flipped_together, against, seed=seed
            )[1]
    return np.minimum(1.0, 2 * p)


def _leading(data: ClassData, candidates: NDArray[np.intp], gains: list[float]) -> int:
    """Return the feature that explains most; a property of the images if it explains nearly as much.

    A mark or a colour cast has no word, so that several words that resemble it share its effect.
    """
    enough = PREFERRED * max(gains)
    visible = [
        (gain, k)
        for gain, k in zip(gains, candidates.tolist())
        if data.features[k].kind == "property" and gain >= enough
    ]
    return max(visible)[1] if visible else int(candidates[int(np.argmax(gains))])


def _without(data: ClassData, logit: Float64, k: int) -> Float64:
    """Return the logit without its dependence on a feature within the class and the rest.

    Every image is treated as if it had one value of the feature: the mean, a low or a high one, whichever
    leaves the smallest error. A faulty teacher, for instance, calls for that of images without the feature.
    """
    x = data.values[:, k]
    slope = within_slopes(data, x[:, None], logit)[0]
    levels = (0.0, *np.quantile(x, LEVELS_TRIED))
    tried = [logit - slope * (x - level) for level in levels]
    return min(tried, key=lambda one: balanced_error(data.truth, one >= 0))


def _gain(data: ClassData, logit: Float64, k: int) -> float:
    after = _without(data, logit, k)
    return balanced_error(data.truth, logit >= 0) - balanced_error(data.truth, after >= 0)


def _shortcut(
    data: ClassData, logit: Float64, after: Float64, k: int, follows: float, p: float, seed: int
) -> Shortcut:
    wrong, still = (logit >= 0) != data.truth, (after >= 0) != data.truth
    repaired = wrong & ~still
    return Shortcut(
        data.features[k],
        (),
        follows,
        p,
        explained_share(data, wrong, still, seed),
        np.flatnonzero(repaired & ~data.truth),
        np.flatnonzero(repaired & data.truth),
    )


def explained_share(
    data: ClassData, before: NDArray[np.bool_], after: NDArray[np.bool_], seed: int = 0
) -> Interval:
    """Return the share of the class's balanced error that vanishes between two patterns of errors.

    The interval is the 95 % percentile interval of a bootstrap over sources.

    Parameters
    ----------
    data : ClassData
    before, after : (n,) bool
        Images answered wrongly.
    seed : int
    """
    sources = np.unique(data.sources, return_inverse=True)[1]
    G = int(sources.max()) + 1
    table = np.zeros((G, 8))
    columns = [before, after, data.wrong, np.ones(len(before), bool)]
    for j, column in enumerate(columns):
        table[:, j] = np.bincount(sources, column & data.truth, minlength=G)
        table[:, 4 + j] = np.bincount(sources, column & ~data.truth, minlength=G)
    draws = np.random.default_rng(seed).multinomial(G, np.full(G, 1 / G), REPLICATES)
    sums = np.vstack([table.sum(axis=0, keepdims=True), draws @ table])
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = [0.5 * (sums[:, j] / sums[:, 3] + sums[:, 4 + j] / sums[:, 7]) for j in range(3)]
        share = (rates[0] - rates[1]) / rates[2]
    drawn = share[1:][np.isfinite(share[1:])]
    low, high = np.quantile(drawn, [0.025, 0.975]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(share[0]), float(low), float(high))


def _with_members(
    one: Shortcut, data: ClassData, before: NDArray[np.bool_], after: NDArray[np.bool_]
) -> Shortcut:
    """Add the features that say the same as a finding.

    Those are the ones that were significant only as long as the finding's feature was not in the model, and
    those with nearly the same values.
    """
    at = data.features.index(one.feature)
    centred = _centred(data, data.values)
    norms = np.maximum(np.sqrt((centred**2).sum(axis=0)), 1e-12)
    related = (centred.T @ centred[:, at]) / norms / norms[at]
    least = np.where(after, SAME, RELATED)
    order = [k for k in np.argsort(-np.abs(related)).tolist() if before[k] and k != at]
    chosen = [k for k in order if abs(related[k]) >= least[k]][:MEMBERS]
    return Shortcut(
        one.feature,
        tuple(data.features[k] for k in chosen),
        one.follows,
        one.p_value,
        one.explained,
        one.extra,
        one.missed,
    )


def names_of(shortcuts: Sequence[Shortcut]) -> list[list[Feature]]:
    """Return the features of each finding, the leading one first."""
    return [[one.feature, *one.members] for one in shortcuts]
