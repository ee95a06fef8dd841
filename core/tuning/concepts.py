"""Adding and dropping concepts on a branch."""

from dataclasses import replace

import numpy as np

from inficond.core.errors import InputError, unknown
from inficond.core.students.student import probabilities
from inficond.core.tuning.refit import TOLERANCE, Certificate, loss_weights, refit
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

MAX_LENGTH = 100


def added(
    workspace: Workspace, state: BranchState, word: str, tol: float = TOLERANCE
) -> tuple[BranchState, dict[str, Certificate]]:
    """Add a word as a new column, or restore a dropped concept, and refit the classes that use it.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    word : str
        As typed by a person.
    tol : float
        Relative tolerance of the refits.

    Returns
    -------
    state, certificates
        As returned by `refit`; classes that are optimal without the word stay as they are.

    Raises
    ------
    InputError
        The word is a concept already, is empty, longer than 100 characters or not printable.
    """
    workspace.check_tunable()
    word = word.strip()
    check_name(word)
    columns = workspace.columns(state.added)
    if word in state.dropped:
        new = replace(state, dropped=state.dropped - {word})
    elif word in columns.index:
        raise InputError(f"{word!r} is a concept already: tune its weight instead")
    else:
        workspace.word(word)  # raises InputError where the encoder or the regions are missing
        padded = {
            cls: replace(one, weights=np.append(one.weights, np.float32(0)))
            for cls, one in state.classes.items()
        }
        new = replace(state.with_classes(padded), added=(*state.added, word))
    if workspace.students.link == "softmax":
        return refit(workspace, new, new.classes, tol)
    return refit(workspace, new, wanting(workspace, new, word), tol)


def check_name(word: str) -> None:
    """Check the name of a new concept.

    Raises
    ------
    InputError
        It is empty, longer than 100 characters, or not printable.
    """
    if not word or len(word) > MAX_LENGTH or not word.isprintable():
        raise InputError(f"a concept needs a name of 1 to {MAX_LENGTH} printable characters")


def wanting(workspace: Workspace, state: BranchState, concept: str) -> list[str]:
    """Return the classes whose weight of a concept, now 0, would leave 0 in a refit.

    Those are the classes with |gradient| > λ · factor of the concept.
    """
    columns = workspace.columns(state.added)
    z = columns.training[:, columns.index[concept]]
    T = workspace.targets(state, "training")
    out = []
    for c, (cls, one) in enumerate(state.classes.items()):
        logits = workspace.logits(one.weights, one.bias, state.added, "training")
        residual = probabilities(logits, "sigmoid") - T[:, c]
        weights = loss_weights(workspace, one)
        if weights is None:
            gradient = float(z @ residual) / len(z)
        else:
            gradient = float(z @ (residual * weights)) / float(weights.sum())
        factors = workspace.penalty(len(state.added), cls)
        if abs(gradient) > state.lam * (1.0 if factors is None else factors[0, columns.index[concept]]):
            out.append(cls)
    return out


def renamed(
    workspace: Workspace, state: BranchState, old: str, new: str, tol: float = TOLERANCE
) -> tuple[BranchState, dict[str, Certificate]]:
    """Move weights and bounds of a concept to a column of another name, drop the concept, and refit.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    old, new : str
        A concept, and a word or a dropped concept with the same vector.
    tol : float
        Relative tolerance of the refits.

    Returns
    -------
    state, certificates
        As returned by `refit`; the weights are those before, within the tolerance, unless the two names have
        different penalties.

    Raises
    ------
    InputError
        The old concept is unknown or dropped, or the new one is in use or not printable.
    """
    workspace.check_tunable()
    check_name(new)
    columns = workspace.columns(state.added)
    if old not in columns.index:
        raise unknown("concept", old, columns.names)
    if old in state.dropped:
        raise InputError(f"{old!r} is dropped, so it cannot be renamed: add it again first")
    if new in columns.index and new not in state.dropped:
        raise InputError(f"{new!r} is a concept already: choose another name")
    grows = new not in columns.index
    if grows:
        workspace.word(new)  # raises InputError where the encoder or the regions are missing
    before, after = columns.index[old], columns.index.get(new, len(columns.names))
    users = [cls for cls, one in state.classes.items() if one.weights[before] != 0 or old in one.bounds]
    classes = {}
    for cls, one in state.classes.items():
        weights = np.append(one.weights, np.float32(0)) if grows else one.weights.copy()
        weights[after], weights[before] = weights[before], 0
        bounds = {new if name == old else name: bound for name, bound in one.bounds.items()}
        classes[cls] = replace(one, weights=weights, bounds=bounds)
    changed = replace(
        state.with_classes(classes),
        added=(*state.added, new) if grows else state.added,
        dropped=(state.dropped - {new}) | {old},
    )
    return refit(workspace, changed, users, tol)


def dropped(
    workspace: Workspace, state: BranchState, name: str, tol: float = TOLERANCE
) -> tuple[BranchState, dict[str, Certificate]]:
    """Set a concept's weight to 0 in every class, and refit the classes that used it.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    name : str
        The concept.
    tol : float
        Relative tolerance of the refits.

    Returns
    -------
    state, certificates
        As returned by `refit`.

    Raises
    ------
    InputError
        The concept is unknown or dropped already.
    """
    columns = workspace.columns(state.added)
    if name not in columns.index:
        raise unknown("concept", name, columns.names)
    if name in state.dropped:
        raise InputError(f"{name!r} is dropped already")
    k = columns.index[name]
    users = [cls for cls, one in state.classes.items() if one.weights[k] != 0 or name in one.bounds]
    without = {
        cls: replace(one, bounds={n: b for n, b in one.bounds.items() if n != name})
        for cls, one in state.classes.items()
        if name in one.bounds
    }
    new = replace(state.with_classes(without), dropped=state.dropped | {name})
    return refit(workspace, new, users, tol)
