"""The few actions most likely to help a class, or a misaligned subset of it.

Every candidate is judged by the solver's sensitivities (`Sensitivity`): one small linear system each, no
refit. Only the best few are then refitted exactly, so that the gain and the side effects that a person is
told are those which applying the suggestion will bring.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import unknown
from inficond.core.evaluation import SUBSETS, Change
from inficond.core.evaluation.metrics import Ranking
from inficond.core.evaluation.subsets import subset_codes
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.tuning.actions import GROUP_PREFIX, Action, expand, spell
from inficond.core.tuning.bounds import bound_for, bounds_of, box, typical_weight
from inficond.core.tuning.preview import ClassChange, compare_states, preview_replicates
from inficond.core.tuning.refit import refit
from inficond.core.tuning.sensitivity import Sensitivity, sensitivity
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

RELATED = 0.5
"""Concepts whose values correlate at least so much over training images are moved together."""
BUNDLE = 10
"""How many concepts one suggestion names at most."""


@dataclass(frozen=True)
class Suggestion:
    """Something that is likely to help.

    Parameters
    ----------
    cls : str
        The class.
    actions : tuple of Action
        What to apply, all in one step; a whole group as ``group:NAME``.
    concepts : tuple of str
        The concepts it would move, groups spelled out.
    metric : str
        What the gain is measured in, a name of `metrics.METRICS`.
    gain : Change
        Predicted, on validation images (the subset's own where one was asked for), with its interval.
    change : ClassChange
        All that happens to the class.
    others : mapping from class to ClassChange
        Side effects on other classes.
    reason : str
        What these concepts do now.
    """

    cls: str
    actions: tuple[Action, ...]
    concepts: tuple[str, ...]
    metric: str
    gain: Change
    change: ClassChange
    others: Mapping[str, ClassChange]
    reason: str

    @property
    def text(self) -> str:
        """One line for people."""
        return f"{spell(self.actions)}: {self.effect}"

    @property
    def effect(self) -> str:
        """What it would do and why, without what to do."""
        g = self.gain
        return (
            f"{NAMES[self.metric]} {g.before:.2f} → {g.after:.2f} "
            f"(95 % {g.delta.low:+.2f} … {g.delta.high:+.2f}), "
            f"{len(self.change.fixed)} images mended, {len(self.change.broken)} spoiled; {self.reason}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "class": self.cls,
            "actions": [a.to_json() for a in self.actions],
            "concepts": list(self.concepts),
            "metric": self.metric,
            "gain": self.gain.to_dict(),
            "change": self.change.to_json(),
            "others": {cls: change.to_json() for cls, change in self.others.items()},
            "reason": self.reason,
            "text": self.text,
        }


NAMES = {
    "agreement": "agreement",
    "balanced_agreement": "balanced agreement",
    "ap": "average precision",
    "f1": "F1",
    "bce": "log loss",
}


@dataclass(frozen=True)
class _Candidate:
    actions: tuple[Action, ...]
    concepts: tuple[str, ...]
    value: float


def suggest(
    workspace: Workspace,
    state: BranchState,
    cls: str,
    subset: str | None = None,
    count: int = 5,
    tries: int = 12,
) -> list[Suggestion]:
    """The actions most likely to help.

    Parameters
    ----------
    workspace, state
        Where.
    cls : str
        The class.
    subset : {"missed", "extra"}, optional
        Judge by these misaligned images above all.
    count : int
        How many suggestions at most.
    tries : int
        How many candidates are refitted to be sure.

    Returns
    -------
    list of Suggestion
        Best first; empty where nothing is predicted to help.

    Raises
    ------
    InputError
        Unknown class or subset.
    """
    c = workspace.students.class_index(cls)
    if subset is not None and subset not in SUBSETS:
        raise unknown("subset", subset, SUBSETS)
    workspace.check_tunable()
    t = workspace.targets(state, "validation")[:, c]
    s = workspace.score(state, cls, "validation")
    threshold = workspace.threshold(state, c)
    codes = subset_codes(t, s, threshold=threshold)
    if not (codes >= 2).any():
        return []
    judge = _Judge.of(workspace, state, cls, codes, subset)
    with single_threaded_blas():
        found = sensitivity(workspace, state, cls)
        ranked = _candidates(workspace, state, cls, found, judge)
    names = workspace.columns(state.added).names
    in_use = {names[k] for k in np.flatnonzero(state.classes[cls].weights)}
    exact = [(_refitted(workspace, state, cls, one), one) for one in _different(ranked, tries)]
    exact = [(after, one) for after, one in exact if judge.state(workspace, after, cls) > 0]
    exact.sort(key=lambda pair: -judge.state(workspace, pair[0], cls))
    suggestions: list[Suggestion] = []
    for after, candidate in exact:
        inside = {c for c in candidate.concepts if c in in_use} or set(candidate.concepts)
        if any(
            s.actions[0].kind == candidate.actions[0].kind
            and len(inside | (set(s.concepts) & in_use)) < 2 * len(inside & set(s.concepts))
            for s in suggestions
        ):
            continue  # a better one moves nearly the same weights
        made = _measured(workspace, state, after, cls, candidate, codes)
        if made is not None:
            suggestions.append(made)
        if len(suggestions) == count:
            break
    return suggestions


@dataclass(frozen=True, eq=False)
class _Judge:
    """Says how good predicted logits on validation images are."""

    Z: NDArray[np.float32]
    logits: NDArray[np.float32]
    yes: NDArray[np.bool_]
    weight: NDArray[np.float64]
    now: float

    @classmethod
    def of(
        cls, workspace: Workspace, state: BranchState, name: str, codes: NDArray[np.uint8], subset: str | None
    ) -> "_Judge":
        one = state.classes[name]
        yes = (codes == 0) | (codes == 2)
        weight = np.where(yes, 0.5 / max(1, yes.sum()), 0.5 / max(1, (~yes).sum()))
        if subset is not None:
            inside = codes == SUBSETS.index(subset)
            weight = np.where(inside, weight + 0.5 / max(1, inside.sum()), weight)
        judge = cls(
            workspace.columns(state.added).validation,
            workspace.logits(one.weights, one.bias, state.added, "validation"),
            yes,
            weight / weight.sum(),
            0.0,
        )
        object.__setattr__(judge, "now", judge.value(judge.logits))
        return judge

    def value(self, logits: NDArray[np.floating[Any]]) -> float:
        """Average precision, less a little of the balanced log loss, which tells small moves apart."""
        ranking = Ranking.of(logits)
        hits = np.cumsum(self.yes[ranking.order])
        places = np.flatnonzero(self.yes[ranking.order])
        ap = float((hits[places] / (places + 1)).mean()) if places.size else 0.0
        loss = np.logaddexp(0.0, np.where(self.yes, -logits, logits))
        return ap - 0.25 * float(self.weight @ loss)

    def state(self, workspace: Workspace, after: BranchState, cls: str) -> float:
        """Gain of a state that was fitted."""
        one = after.classes[cls]
        return self.value(workspace.logits(one.weights, one.bias, after.added, "validation")) - self.now

    def gain(self, dw: NDArray[np.float64], db: float) -> float:
        """Of a move of weights and intercept."""
        moved = np.flatnonzero(dw)
        shift = dw[moved].astype(np.float32) @ self.Z.T[moved]
        return self.value(self.logits + shift + np.float32(db)) - self.now


def _candidates(
    workspace: Workspace, state: BranchState, cls: str, found: Sensitivity, judge: _Judge
) -> list[_Candidate]:
    """Single concepts, bundles of related ones and whole groups, best predicted gain first."""
    columns, one = workspace.columns(state.added), state.classes[cls]
    w, names = one.weights, columns.names
    tau = typical_weight(w)
    lower, upper = box(one.bounds, columns.index, len(names), state.dropped)
    held = {columns.index[n] for n in (*one.bounds, *state.dropped)}
    usable = [int(k) for k in np.flatnonzero(w) if k not in held]

    def judged(ks: Sequence[int], kind: str, group: str | None = None) -> _Candidate:
        actions = [Action(kind, names[k]) for k in ks]
        moves = np.array([_move(bound_for(a, float(w[k]), tau), float(w[k])) for a, k in zip(actions, ks)])
        dw, db = found.response(np.array(ks), moves)
        # Others stay within their own bounds: a first-order step may not know that.
        rest = np.ones(len(w), bool)
        rest[list(ks)] = False
        dw[rest] = np.clip(w[rest] + dw[rest], lower[rest], upper[rest]) - w[rest]
        said = tuple(actions) if group is None else (Action(kind, GROUP_PREFIX + group),)
        return _Candidate(said, tuple(names[k] for k in ks), judge.gain(dw, db))

    out = []
    for k in usable:
        out += [judged([k], "mute"), judged([k], "up"), judged([k], "down")]
    # Concepts that are not used yet: only where the misaligned images themselves ask for them.
    push = judge.weight * (1 / (1 + np.exp(-judge.logits.astype(np.float64))) - judge.yes)
    pull = -(push.astype(np.float32) @ judge.Z)
    for k in np.argsort(-np.abs(pull)):
        if len(out) > 3 * len(usable) + 30:
            break
        if w[k] == 0 and int(k) not in held:
            out.append(judged([int(k)], "up" if pull[k] > 0 else "down"))
    for ks in _bundles(workspace, state, usable, held, w):
        out.append(judged(ks, "mute"))
    # A whole group: those in use, and those that would take their place.
    groups: dict[str, list[int]] = {}
    for k in range(len(names)):
        if k not in held:
            groups.setdefault(columns.groups[k], []).append(k)
    out += [judged(ks, "mute", name) for name, ks in groups.items() if np.count_nonzero(w[ks]) > 1]
    return sorted((one for one in out if one.value > 0), key=lambda one: -one.value)


def _move(bound: Any, weight: float) -> float:
    """How far a bound moves a weight that would otherwise stay."""
    return float(np.clip(weight, bound.lower, bound.upper)) - weight


def _bundles(
    workspace: Workspace, state: BranchState, usable: Sequence[int], held: set[int], w: NDArray[np.float32]
) -> list[list[int]]:
    """For every concept in use those that rise and fall with it: muted alone, these would take its place."""
    if not usable:
        return []
    related = workspace.correlations(state.added, tuple(usable))
    bundles = []
    for row, k in zip(related, usable):
        near = [int(j) for j in np.argsort(-row) if row[j] >= RELATED and int(j) not in held and int(j) != k]
        used = [j for j in near if w[j] != 0 and np.sign(w[j]) == np.sign(w[k])]
        idle = [j for j in near if w[j] == 0]
        if used or idle:
            bundles.append([k, *used, *idle][:BUNDLE])
            if used and idle:
                bundles.append([k, *used][:BUNDLE])
    return bundles


def _different(ranked: Sequence[_Candidate], limit: int) -> list[_Candidate]:
    """The best, leaving out those that would hold almost the same concepts as a better one."""
    kept: list[tuple[set[tuple[str, str]], _Candidate]] = []
    for one in ranked:
        mine = {(one.actions[0].kind, name) for name in one.concepts}
        if all(3 * len(mine & other) < 2 * len(mine | other) for other, _ in kept):
            kept.append((mine, one))
            if len(kept) == limit:
                break
    return [one for _, one in kept]


def _refitted(workspace: Workspace, state: BranchState, cls: str, candidate: _Candidate) -> BranchState:
    """The state after a candidate, at the optimum."""
    columns, one = workspace.columns(state.added), state.classes[cls]
    single = expand(candidate.actions, columns.names, columns.groups, state.dropped)
    bounds = bounds_of(single, one.weights, columns.index, one.bounds)
    return refit(workspace, state.with_classes({cls: replace(one, bounds=bounds)}), [cls])[0]


def _measured(
    workspace: Workspace,
    state: BranchState,
    after: BranchState,
    cls: str,
    candidate: _Candidate,
    codes: NDArray[np.uint8],
) -> Suggestion | None:
    """The exact effect of a candidate with its intervals; None where it does not help after all."""
    moved = compare_states(workspace, state, after, replicates=preview_replicates(len(codes)))
    if cls not in moved:
        return None
    change = moved.pop(cls)
    metric = "ap" if np.isfinite(change.fidelity["ap"].delta.value) else "bce"
    gain = change.fidelity[metric]
    better = gain.delta.value > 0 if gain.higher_is_better else gain.delta.value < 0
    if not better or len(change.broken) > 2 * len(change.fixed) + 2:
        return None
    reason = _reason(workspace, state, cls, candidate, codes)
    return Suggestion(cls, candidate.actions, candidate.concepts, metric, gain, change, moved, reason)


def _reason(
    workspace: Workspace, state: BranchState, cls: str, candidate: _Candidate, codes: NDArray[np.uint8]
) -> str:
    """What the concepts do now: their mean pull in misaligned images and in agreeing ones."""
    columns, one = workspace.columns(state.added), state.classes[cls]
    ks = [columns.index[name] for name in candidate.concepts]
    pull = columns.validation[:, ks] @ one.weights[ks]
    side = "extra" if (codes == 3).sum() >= (codes == 2).sum() else "missed"
    wrong, right = (
        codes == SUBSETS.index(side),
        codes == SUBSETS.index("agree-pos" if side == "extra" else "agree-neg"),
    )
    if not wrong.any() or not right.any() or not np.any(one.weights[ks]):
        return f"{'not used' if not np.any(one.weights[ks]) else 'used'} so far"
    return (
        f"now {pull[wrong].mean():+.2f} to the logit of the {int(wrong.sum())} {side} images, "
        f"{pull[right].mean():+.2f} where both agree"
    )
