"""Refits of classes whose bounds, focus or targets changed, warm-started and certified.

A refit is a pure function of the state before it: it starts from the weights alone and not from internal
state of the solver, so that a replayed history has the same bits in every process.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.tuning.bounds import box
from inficond.core.tuning.columns import Columns
from inficond.core.tuning.state import BranchState, ClassState
from inficond.core.tuning.workspace import Workspace, group_of

TOLERANCE = 1e-4
"""A fit ends when its certified gap is at most this fraction of the objective."""

FOCUSED_TOLERANCE = 1e-3
"""Tolerance of a preview with focus, whose loss differs from that of the starting point."""

PRECISE_BYTES = 32 * 2**20
"""Size of the training rows up to which a fit that does not converge is repeated in double precision."""


@dataclass(frozen=True)
class Certificate:
    """Accuracy of a fit.

    Parameters
    ----------
    objective, gap : float
        Value of the objective, and an upper bound on its difference from the optimum.
    iterations : int
        Of the solver.
    converged : bool
        Whether ``gap <= tol · objective``.
    """

    objective: float
    gap: float
    iterations: int
    converged: bool

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON, as stored in a history."""
        return {
            "objective": self.objective,
            "gap": self.gap,
            "iterations": self.iterations,
            "converged": self.converged,
        }


def refit(
    workspace: Workspace,
    state: BranchState,
    classes: Iterable[str],
    tol: float = TOLERANCE,
    before: BranchState | None = None,
) -> tuple[BranchState, dict[str, Certificate]]:
    """Refit classes under their bounds, focus and targets.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
        State with the new bounds; its weights are the starting point.
    classes : iterable of str
        Classes to refit; under a softmax, all classes are refitted together.
    tol : float
        Relative tolerance.
    before : BranchState, optional
        State in which the weights were optimal. A class that only got narrower bounds, within which its
        weights lie, is still optimal and is left unchanged; therefore a lock changes no weight.

    Returns
    -------
    state : BranchState
        The state with optimal weights.
    certificates : dict from class to Certificate
        Of the refitted classes. A class without bounds, focus and overrides gets the weights of the original
        fit and has no certificate.
    """
    workspace.check_tunable()
    columns = workspace.columns(state.added)
    if workspace.students.link == "softmax":
        if _as_made(workspace, state, state.classes):
            return state.with_classes(workspace.root.classes), {}
        if before is not None and all(
            _still_optimal(workspace, columns, before, state, cls) for cls in state.classes
        ):
            return state, {}
        return _refit_jointly(workspace, state, columns, tol)
    targets = workspace.targets(state, "training")
    changed: dict[str, ClassState] = {}
    certificates: dict[str, Certificate] = {}
    for cls in classes:
        one = state.classes[cls]
        if _as_made(workspace, state, [cls]):
            changed[cls] = workspace.root.classes[cls]
            continue
        if before is not None and _still_optimal(workspace, columns, before, state, cls):
            continue
        lower, upper = box(one.bounds, columns.index, len(columns.names), state.dropped)
        result = _fit(
            columns,
            np.ascontiguousarray(targets[:, [workspace.students.class_index(cls)]]),
            workspace,
            state.lam,
            workspace.penalty(len(state.added), cls),
            lower[None],
            upper[None],
            _start(workspace, state, cls),
            loss_weights(workspace, one),
            tol,
        )
        changed[cls] = replace(one, weights=result.weights[0], bias=float(np.float32(result.bias[0])))
        certificates[cls] = Certificate(
            float(result.objective[0]),
            float(result.gap[0]),
            int(result.n_iter[0]),
            bool(result.converged[0]),
        )
    return state.with_classes(changed), certificates


def _refit_jointly(
    workspace: Workspace, state: BranchState, columns: Columns, tol: float
) -> tuple[BranchState, dict[str, Certificate]]:
    boxes = [
        box(one.bounds, columns.index, len(columns.names), state.dropped) for one in state.classes.values()
    ]
    result = _fit(
        columns,
        workspace.targets(state, "training"),
        workspace,
        state.lam,
        workspace.penalty(len(state.added)),
        np.stack([lower for lower, _ in boxes]),
        np.stack([upper for _, upper in boxes]),
        _start(workspace, state, None),
        _joint_weights(workspace, state),
        tol,
    )
    certificate = Certificate(
        float(result.objective[0]), float(result.gap[0]), int(result.n_iter[0]), bool(result.converged[0])
    )
    changed = {
        cls: replace(one, weights=result.weights[c], bias=float(np.float32(result.bias[c])))
        for c, (cls, one) in enumerate(state.classes.items())
    }
    return state.with_classes(changed), dict.fromkeys(state.classes, certificate)


def _as_made(workspace: Workspace, state: BranchState, classes: Iterable[str]) -> bool:
    """Return whether the optimum is the project's original fit."""
    return (
        not state.added
        and not state.dropped
        and state.lam == workspace.students.lam
        and all(state.classes[cls].is_plain() for cls in classes)
    )


def _still_optimal(
    workspace: Workspace, columns: Columns, before: BranchState, state: BranchState, cls: str
) -> bool:
    """Return whether the optimum under wider bounds lies in narrower ones, everything else being equal."""

    def fitted(one: ClassState) -> dict[str, float]:
        """Return the overrides of training images, which enter the fit."""
        rows, held_out = workspace.image_index, workspace.is_validation
        return {image: value for image, value in one.overrides.items() if not held_out[rows[image]]}

    old, new = before.classes[cls], state.classes[cls]
    if (
        (before.lam, before.added, old.focus) != (state.lam, state.added, new.focus)
        or fitted(old) != fitted(new)
        or old.weights is not new.weights
    ):
        return False
    lower0, upper0 = box(old.bounds, columns.index, len(columns.names), before.dropped)
    lower1, upper1 = box(new.bounds, columns.index, len(columns.names), state.dropped)
    w = new.weights
    return bool(np.all((lower1 >= lower0) & (upper1 <= upper0) & (lower1 <= w) & (w <= upper1)))


def loss_weights(workspace: Workspace, one: ClassState) -> NDArray[np.float32] | None:
    """Return the weight of each training image (n,); None if all are equal."""
    if one.focus is None:
        return None
    mask = one.focus.mask(workspace.n_images)[workspace.training_rows]
    return np.where(mask, np.float32(one.focus.factor), np.float32(1.0))


def _joint_weights(workspace: Workspace, state: BranchState) -> NDArray[np.float32] | None:
    """Return the image weights of a softmax fit: for each image, the largest of all classes."""
    given = [w for one in state.classes.values() if (w := loss_weights(workspace, one)) is not None]
    return np.maximum.reduce(given) if given else None


def _fit(
    columns: Columns,
    T: NDArray[np.float32],
    workspace: Workspace,
    lam: float,
    penalty: NDArray[np.float32] | None,
    lower: NDArray[np.float32],
    upper: NDArray[np.float32],
    init: Any,
    sample_weight: NDArray[np.float32] | None,
    tol: float,
) -> Any:
    from inficond.core.solver import FitResult, fit

    def solve(Z: NDArray[Any], start: Any) -> Any:
        return fit(
            Z,
            T,
            lam=lam,
            link=workspace.students.link,
            penalty=penalty,
            lower=lower,
            upper=upper,
            init=start,
            sample_weight=sample_weight,
            standardize=False,
            tol=tol,
            warn=False,
        )

    result = solve(columns.training, init)
    if not result.converged.all() and columns.training.nbytes <= PRECISE_BYTES:
        # With many non-zero weights, single precision cannot certify the tolerance.
        here = FitResult.from_weights(result.weights, result.bias, link=workspace.students.link)
        result = solve(columns.training.astype(np.float64), here)
    return result


def _start(workspace: Workspace, state: BranchState, cls: str | None) -> Any:
    """Return the starting point of a refit: the weights of the state, and a curvature model.

    The curvature comes from a cold fit, which is the same in every process, and the gradient is evaluated at
    the weights; therefore the result depends on the state alone. Both are cached for all sessions. At the
    project's own weights the gradients of all classes are evaluated together.
    """
    base = workspace.cache.get(
        ("curvature", state.added), lambda: _learn(workspace, state), _bytes, group_of(state.added)
    )
    if cls is None:
        parts: tuple[Any, ...] = (state.weights(), state.bias(), base, workspace.targets(state, "training"))
    else:
        c, one = workspace.students.class_index(cls), state.classes[cls]
        targets = workspace.targets(state, "training")
        if not state.added and _at_root(workspace, one, c, targets):
            return base.select([c])
        T = np.ascontiguousarray(targets[:, [c]])
        parts = (one.weights[None], np.array([one.bias]), base.select([c]), T)
    digest = hashlib.blake2b(b"".join(p.tobytes() for p in (*parts[:2], parts[3])), digest_size=16).digest()
    return workspace.cache.get(
        ("start", cls, state.added, digest),
        lambda: _about(workspace, state, *parts),
        lambda result: _bytes(result, gram=False),
    )


def _at_root(workspace: Workspace, one: ClassState, c: int, T: NDArray[np.float32]) -> bool:
    """Return whether weights and targets of the class in column `c` are those of the project."""
    root = workspace.root.classes[workspace.students.classes[c]]
    return (
        one.bias == root.bias
        and np.array_equal(one.weights, root.weights)
        and (T is workspace.T_training or np.array_equal(T[:, c], workspace.T_training[:, c]))
    )


def _about(
    workspace: Workspace,
    state: BranchState,
    weights: NDArray[np.float32],
    bias: NDArray[np.float64],
    base: Any,
    T: NDArray[np.float32],
) -> Any:
    """Return `base` moved to other weights: one pass evaluates the gradient there."""
    from inficond.core.solver import fit

    moved = base.at_weights(weights.astype(np.float64), bias)
    return fit(
        workspace.columns(state.added).training, T, moved.lam, moved.link, init=moved, standardize=False,
        max_iter=1, warn=False,
    )  # fmt: skip


def _learn(workspace: Workspace, state: BranchState) -> Any:
    from inficond.core.solver import fit

    columns, students = workspace.columns(state.added), workspace.students
    learnt = fit(
        columns.training,
        workspace.T_training,
        lam=students.lam,
        link=students.link,
        penalty=workspace.penalty(len(state.added)),
        standardize=False,
    )
    if students.link == "sigmoid" and learnt.model is not None:
        _ = learnt.model.design.columns  # computed now, not in the first refit of a class
        if not state.added:
            # One pass for all classes takes as long as separate ones for a few of them.
            root = workspace.root
            learnt = _about(workspace, root, root.weights(), root.bias(), learnt, workspace.T_training)
    return learnt


def _bytes(result: Any, gram: bool = True) -> int:
    model = result.model
    if model is None:  # of very many columns
        return int(result.weights.nbytes)
    shared = model.design.nbytes if gram else 0
    return int(model.nbytes + model.targets.T.nbytes + shared)
