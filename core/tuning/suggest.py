"""Suggestions: the actions that are most likely to improve a class or a misaligned subset of it.

Candidates are ranked by first-order sensitivities (`core.tuning.sensitivity`), with one small linear system
each and no refit. The best ones are refitted, so that the reported gain and side effects are those of the
applied suggestion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.errors import unknown
from inficond.core.evaluation import SUBSETS, Change
from inficond.core.evaluation.metrics import Ranking
from inficond.core.evaluation.subsets import subset_codes
from inficond.core.progress import Progress, Silent
from inficond.core.solver.threads import single_threaded_blas
from inficond.core.tuning.actions import GROUP_PREFIX, Action, expand, spell
from inficond.core.tuning.bounds import bound_for, bounds_of, box, typical_weight
from inficond.core.tuning.cost import Cost
from inficond.core.tuning.cost_search import find_costs
from inficond.core.tuning.preview import ClassChange, compare_states, preview_replicates
from inficond.core.tuning.refit import refit
from inficond.core.tuning.sensitivity import Sensitivity, sensitivity
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

RELATED = 0.5
"""Concepts whose values have at least this correlation over training images are changed together."""
BUNDLE = 10
"""Concepts per action, at most."""
COMBINED = 8
"""Single candidates that are combined to joint ones, two or three at a time."""
JOINT_TRIES = 4
"""Joint candidates that are refitted."""
JOINT_GAIN = 0.005
"""Average precision that a joint suggestion must gain beyond the best single one."""


@dataclass(frozen=True)
class Suggestion:
    """Actions that are likely to improve a class.

    Parameters
    ----------
    cls : str
        The class.
    actions : tuple of Action
        Actions of one step; a group is ``group:NAME``.
    concepts : tuple of str
        Concepts of the actions, with groups replaced by their concepts.
    metric : str
        Metric of the gain, one of `metrics.METRICS`.
    gain : Change
        Change of the metric on validation images, with its interval.
    change : ClassChange
        Change of the class.
    others : mapping from class to ClassChange
        Changes of other classes.
    reason : str
        Current effect of these concepts.
    costs : tuple of Cost
        Classes, slices and groups of validation images that clearly lose.
    joint : bool
        Whether the actions combine several candidates.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> suggestion = session.suggest("water bird", count=1)[0]
    >>> suggestion.text.split(":")[:2]
    ['mute group', 'water']
    >>> suggestion.metric, suggestion.gain.clear
    ('ap', True)
    """

    cls: str
    actions: tuple[Action, ...]
    concepts: tuple[str, ...]
    metric: str
    gain: Change
    change: ClassChange
    others: Mapping[str, ClassChange]
    reason: str
    costs: tuple[Cost, ...] = ()
    joint: bool = False

    @property
    def text(self) -> str:
        """One line of text."""
        return f"{spell(self.actions)}: {self.effect}"

    @property
    def effect(self) -> str:
        """Effect and reason of the suggestion, without its actions."""
        g = self.gain
        return (
            f"{NAMES[self.metric]} {g.before:.2f} → {g.after:.2f} "
            f"(95 % {g.delta.low:+.2f} … {g.delta.high:+.2f}), "
            f"{len(self.change.fixed)} images fixed, {len(self.change.broken)} broken"
            + self._losses
            + f"; {self.reason}"
        )

    @property
    def _losses(self) -> str:
        n = len(self.costs)
        return f", {n} clear loss{'es' * (n > 1)}" if n else ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "class": self.cls,
            "actions": [a.to_json() for a in self.actions],
            "concepts": list(self.concepts),
            "metric": self.metric,
            "gain": self.gain.to_dict(),
            "change": self.change.to_json(),
            "others": {cls: change.to_json() for cls, change in self.others.items()},
            "reason": self.reason,
            "costs": [cost.to_json() for cost in self.costs],
            "joint": self.joint,
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
    columns: tuple[int, ...] = ()
    moves: tuple[float, ...] = ()
    """Changes of the weights in `columns`."""


def suggest(
    workspace: Workspace,
    state: BranchState,
    cls: str,
    subset: str | None = None,
    count: int = 5,
    tries: int = 12,
    harmless: bool = False,
    progress: Progress | None = None,
) -> list[Suggestion]:
    """Return the actions that are most likely to improve a class.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    cls : str
        The class.
    subset : {"missed", "extra"}, optional
        Misaligned images that get a larger weight in the ranking.
    count : int
        Number of suggestions, at most.
    tries : int
        Number of single candidates that are refitted; `JOINT_TRIES` combinations of them are refitted too.
    harmless : bool
        Whether to leave out suggestions by which a class, slice or group clearly loses.
    progress : Progress, optional
        Advances with each candidate, and can cancel the search.

    Returns
    -------
    list of Suggestion
        Best first, after them those whose gain is not clear and by which something clearly loses; empty if no
        candidate improves the class. The last one combines two or three of the candidates if that gains more
        than the best of them by `JOINT_GAIN`.

    Raises
    ------
    InputError
        The class or the subset is unknown.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.suggest import suggest
    >>> session = Project.open(demo_project()).session()
    >>> found = suggest(session.workspace, session.state, "water bird", count=1)
    >>> [action.concept for action in found[0].actions]
    ['group:water']
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
    judge = _Judge.of(workspace, state, cls, codes, subset, progress or Silent())
    with single_threaded_blas():
        found = sensitivity(workspace, state, cls)
        ranked = _candidates(workspace, state, cls, found, judge)
    names = workspace.columns(state.added).names
    in_use = {names[k] for k in np.flatnonzero(state.classes[cls].weights)}
    exact = [
        (_refitted(workspace, state, cls, one, judge.progress), one) for one in _different(ranked, tries)
    ]
    exact = [(after, one) for after, one in exact if judge.state(workspace, after, cls) > 0]
    exact.sort(key=lambda pair: -judge.state(workspace, pair[0], cls))
    suggestions: list[Suggestion] = []
    doubtful: list[Suggestion] = []  # without a clear gain, and with a clear loss
    for after, candidate in exact:
        inside = {c for c in candidate.concepts if c in in_use} or set(candidate.concepts)
        if any(
            {a.kind for a in s.actions} == {a.kind for a in candidate.actions}
            and len(inside | (set(s.concepts) & in_use)) < 2 * len(inside & set(s.concepts))
            for s in (*suggestions, *doubtful)
        ):
            continue  # a better suggestion changes nearly the same weights
        made = _measured(workspace, state, after, cls, candidate, codes)
        if made is None or (harmless and made.costs):
            continue
        (doubtful if made.costs and not made.gain.clear else suggestions).append(made)
        if len(suggestions) == count:
            break
    suggestions = [*suggestions, *doubtful][:count]
    if exact and count > 1:
        for after, candidate in _best_joint(workspace, state, cls, exact, found, judge):
            made = _measured(workspace, state, after, cls, candidate, codes)
            if made is not None and not (harmless and made.costs):
                return [*suggestions[: count - 1], replace(made, joint=True)]
    return suggestions


@dataclass(frozen=True, eq=False)
class _Judge:
    """Score of predicted logits on validation images."""

    Z: NDArray[np.float32]
    logits: NDArray[np.float32]
    yes: NDArray[np.bool_]
    weight: NDArray[np.float64]
    now: float
    progress: Progress

    @classmethod
    def of(
        cls,
        workspace: Workspace,
        state: BranchState,
        name: str,
        codes: NDArray[np.uint8],
        subset: str | None,
        progress: Progress,
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
            progress,
        )
        object.__setattr__(judge, "now", judge.value(judge.logits))
        return judge

    def value(self, logits: NDArray[np.floating[Any]]) -> float:
        """Return average precision minus a fraction of the balanced log loss, which orders small changes."""
        self.progress.advance()
        ranking = Ranking.of(logits)
        hits = np.cumsum(self.yes[ranking.order])
        places = np.flatnonzero(self.yes[ranking.order])
        ap = float((hits[places] / (places + 1)).mean()) if places.size else 0.0
        loss = np.logaddexp(0.0, np.where(self.yes, -logits, logits))
        return ap - 0.25 * float(self.weight @ loss)

    def state(self, workspace: Workspace, after: BranchState, cls: str) -> float:
        """Return the gain of a fitted state."""
        one = after.classes[cls]
        return self.value(workspace.logits(one.weights, one.bias, after.added, "validation")) - self.now

    def gain(self, dw: NDArray[np.float64], db: float) -> float:
        """Return the gain of a change of weights and intercept."""
        moved = np.flatnonzero(dw)
        shift = dw[moved].astype(np.float32) @ self.Z.T[moved]
        return self.value(self.logits + shift + np.float32(db)) - self.now


def _candidates(
    workspace: Workspace, state: BranchState, cls: str, found: Sensitivity, judge: _Judge
) -> list[_Candidate]:
    """Return actions on single concepts, related concepts and groups, largest predicted gain first."""
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
        # The other weights stay within their bounds, which the first-order step ignores.
        rest = np.ones(len(w), bool)
        rest[list(ks)] = False
        dw[rest] = np.clip(w[rest] + dw[rest], lower[rest], upper[rest]) - w[rest]
        said = tuple(actions) if group is None else (Action(kind, GROUP_PREFIX + group),)
        value = judge.gain(dw, db)
        return _Candidate(said, tuple(names[k] for k in ks), value, tuple(ks), tuple(moves.tolist()))

    out = []
    for k in usable:
        out += [judged([k], "mute"), judged([k], "up"), judged([k], "down")]
    # Concepts of weight 0: those with the largest gradient over the misaligned images.
    push = judge.weight * (1 / (1 + np.exp(-judge.logits.astype(np.float64))) - judge.yes)
    pull = -(push.astype(np.float32) @ judge.Z)
    for k in np.argsort(-np.abs(pull)):
        if len(out) > 3 * len(usable) + 30:
            break
        if w[k] == 0 and int(k) not in held:
            out.append(judged([int(k)], "up" if pull[k] > 0 else "down"))
    for ks in _bundles(workspace, state, usable, held, w):
        out.append(judged(ks, "mute"))
    # Whole groups, including unused concepts that would replace the muted ones.
    groups: dict[str, list[int]] = {}
    for k in range(len(names)):
        if k not in held:
            groups.setdefault(columns.groups[k], []).append(k)
    out += [judged(ks, "mute", name) for name, ks in groups.items() if np.count_nonzero(w[ks]) > 1]
    return sorted((one for one in out if one.value > 0), key=lambda one: -one.value)


def _best_joint(
    workspace: Workspace,
    state: BranchState,
    cls: str,
    singles: Sequence[tuple[BranchState, _Candidate]],
    found: Sensitivity,
    judge: _Judge,
) -> list[tuple[BranchState, _Candidate]]:
    """Return the refitted combinations of candidates that gain more than the best one, best first."""
    least = judge.state(workspace, singles[0][0], cls) + JOINT_GAIN
    tried = [
        (_refitted(workspace, state, cls, one, judge.progress), one)
        for one in _joint_candidates([one for _, one in singles], found, judge)
    ]
    gains = [judge.state(workspace, after, cls) for after, _ in tried]
    return [tried[i] for i in np.argsort(-np.array(gains), kind="stable") if gains[i] > least]


def _joint_candidates(singles: Sequence[_Candidate], found: Sensitivity, judge: _Judge) -> list[_Candidate]:
    """Return combinations of two or three candidates, largest predicted gain first.

    The first-order effect of a combination takes the interaction of its weights into account: all of them are
    changed in one linear system.
    """

    def joined(parts: Sequence[_Candidate]) -> _Candidate | None:
        columns = [k for part in parts for k in part.columns]
        if len(set(columns)) < len(columns):
            return None  # two actions on one weight contradict each other
        moves = [move for part in parts for move in part.moves]
        dw, db = found.response(np.array(columns), np.array(moves))
        return _Candidate(
            tuple(a for part in parts for a in part.actions),
            tuple(name for part in parts for name in part.concepts),
            judge.gain(dw, db),
            tuple(columns),
            tuple(moves),
        )

    pool = list(singles[:COMBINED])
    pairs = [pair for parts in combinations(pool, 2) if (pair := joined(parts)) is not None]
    pairs.sort(key=lambda one: -one.value)
    triples = [
        one
        for pair in pairs[:JOINT_TRIES]
        for part in pool
        if not set(part.columns) & set(pair.columns) and (one := joined((pair, part))) is not None
    ]
    best: dict[frozenset[Action], _Candidate] = {}
    for one in sorted((*pairs, *triples), key=lambda one: -one.value):
        best.setdefault(frozenset(one.actions), one)
    return list(best.values())[:JOINT_TRIES]


def _move(bound: Any, weight: float) -> float:
    """Return the change of a weight that a bound causes."""
    return float(np.clip(weight, bound.lower, bound.upper)) - weight


def _bundles(
    workspace: Workspace, state: BranchState, usable: Sequence[int], held: set[int], w: NDArray[np.float32]
) -> list[list[int]]:
    """Return each used concept with its correlated ones, which would replace it if it were muted alone."""
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
    """Return the best candidates without those that share most concepts with a better one."""
    kept: list[tuple[set[tuple[str, str]], _Candidate]] = []
    for one in ranked:
        mine = {(one.actions[0].kind, name) for name in one.concepts}
        if all(3 * len(mine & other) < 2 * len(mine | other) for other, _ in kept):
            kept.append((mine, one))
            if len(kept) == limit:
                break
    return [one for _, one in kept]


def _refitted(
    workspace: Workspace, state: BranchState, cls: str, candidate: _Candidate, progress: Progress
) -> BranchState:
    """Return the refitted state after a candidate."""
    progress.advance()
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
    """Return a refitted candidate with its intervals; None if it does not improve the class."""
    moved = compare_states(workspace, state, after, replicates=preview_replicates(len(codes)))
    if cls not in moved:
        return None
    costs = find_costs(workspace, state, moved)
    change = moved.pop(cls)
    metric = "ap" if np.isfinite(change.fidelity["ap"].delta.value) else "bce"
    gain = change.fidelity[metric]
    better = gain.delta.value > 0 if gain.higher_is_better else gain.delta.value < 0
    if not better or len(change.broken) > 2 * len(change.fixed) + 2:
        return None
    reason = _reason(workspace, state, cls, candidate, codes)
    return Suggestion(cls, candidate.actions, candidate.concepts, metric, gain, change, moved, reason, costs)


def _reason(
    workspace: Workspace, state: BranchState, cls: str, candidate: _Candidate, codes: NDArray[np.uint8]
) -> str:
    """Describe the mean contribution of the concepts to misaligned and to agreeing images."""
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
