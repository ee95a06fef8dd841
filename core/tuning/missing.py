"""Missing concepts: words of a larger vocabulary whose region scores explain errors of a student.

A word is scored like a new column of the fit: by the gradient of the loss along it at the optimum, and by the
curvature that remains after the concepts in use are adjusted. Candidates come from training images and are
confirmed on validation images.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts import concept_vectors
from inficond.core.evaluation import Change, paired_bootstrap
from inficond.core.students.student import probabilities
from inficond.core.tuning.sensitivity import sensitivity
from inficond.core.tuning.state import BranchState
from inficond.core.tuning.workspace import Workspace

SAMPLE = 2048
"""Training images in the search: all misaligned ones up to half of it, and an even sample of the others."""
KEPT_BYTES = 24 * 2**20
"""Size up to which the columns of a vocabulary are cached for all sessions."""
Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class MissingConcept:
    """A word that would improve a class as a concept.

    Parameters
    ----------
    cls, word : str
        The class and the word.
    weight : float
        Predicted weight, in standardised units.
    gain : float
        Predicted decrease of the training objective.
    fidelity : mapping from metric to Change
        Predicted change on validation images, with intervals.
    nearest : str
        Existing concept with the most similar embedding.
    likeness : float
        Cosine of the two embeddings.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> session = Project.open(demo_project()).session()
    >>> missing = session.missing_concepts("mushroom", words=["fungus", "feather", "keyboard"], count=1)[0]
    >>> missing.cls, missing.word, missing.gain > 0
    ('mushroom', 'fungus', True)
    """

    cls: str
    word: str
    weight: float
    gain: float
    fidelity: Mapping[str, Change]
    nearest: str
    likeness: float

    @property
    def text(self) -> str:
        """One line of text."""
        loss = self.fidelity["bce"]
        return (
            f"{self.word}: weight about {self.weight:+.2f}, log loss {loss.before:.3f} → {loss.after:.3f} "
            f"({loss.verdict}); nearest concept so far: {self.nearest}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "class": self.cls,
            "word": self.word,
            "weight": self.weight,
            "gain": self.gain,
            "fidelity": {name: change.to_dict() for name, change in self.fidelity.items()},
            "nearest": self.nearest,
            "likeness": self.likeness,
            "text": self.text,
        }


def missing_concepts(
    workspace: Workspace,
    state: BranchState,
    cls: str,
    words: Sequence[str],
    embeddings: Float32,
    regions: NDArray[np.float16],
    known: Float32,
    count: int = 8,
    advance: Callable[[int], None] | None = None,
) -> list[MissingConcept]:
    """Return the words that would improve a class most.

    Parameters
    ----------
    workspace : Workspace
    state : BranchState
    cls : str
        The class.
    words : sequence of V str
        The vocabulary; existing concepts are skipped.
    embeddings : ndarray of shape (V, D)
        Unit-length embeddings of the words.
    regions : ndarray of shape (N, R, D), float16
        Region embeddings of all images.
    known : ndarray of shape (K, D)
        Embeddings of the existing concepts.
    count : int
        Number of words, at most.
    advance : callable, optional
        Is called with the number of images processed.

    Returns
    -------
    list of MissingConcept
        Largest decrease of the training objective first; only words that a refit would use (their gradient
        exceeds λ) and whose predicted loss on validation images decreases.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.tuning.missing import missing_concepts
    >>> project = Project.open(demo_project())
    >>> session = project.session()
    >>> words, embeddings = project.context.words.grounded_vocabulary(["fungus", "feather", "keyboard"])
    >>> regions, known = project.region_embeddings, project.concept_embeddings
    >>> found = missing_concepts(
    ...     session.workspace, session.state, "mushroom", words, embeddings, regions, known, count=1
    ... )
    >>> [missing.word for missing in found]
    ['fungus']
    """
    workspace.check_tunable()
    c, columns = workspace.students.class_index(cls), workspace.columns(state.added)
    have = {name.casefold() for name in columns.names}
    fresh = [i for i, word in enumerate(words) if word.casefold() not in have]
    if not fresh:
        return []
    E = np.ascontiguousarray(embeddings[fresh], np.float32)
    found = sensitivity(workspace, state, cls)
    p = workspace.score(state, cls, "training")
    t = workspace.targets(state, "training")[:, c]
    rows, share = _sample((p >= 0.5) != (t >= 0.5))
    seen = _seen(workspace, regions, rows, share, E, advance)
    Z, mean, spread, usable = seen.Z, seen.mean, seen.spread, seen.usable
    residual, curvature = share * (p - t)[rows], share * (p * (1 - p))[rows]
    gradient = residual @ Z
    # Curvature that remains after adjusting the weights in use and the intercept.
    A = np.concatenate([columns.training[rows][:, found.free], np.ones((len(rows), 1), np.float32)], axis=1)
    cross = (A * curvature[:, None]).T @ Z
    H = (A * curvature[:, None]).T @ A
    H += np.eye(len(H)) * 1e-6 * np.trace(H) / len(H)
    solved = np.linalg.solve(H, cross)
    alone = curvature @ np.square(Z) if seen.squares is None else curvature @ seen.squares
    left = np.maximum(alone - np.einsum("av,av->v", cross, solved), 0.05 * alone)
    factors = workspace.penalty(1, cls)
    lam = state.lam * (1.0 if factors is None else float(factors[0, -1]))
    over = np.where(usable, np.maximum(np.abs(gradient) - lam, 0.0), 0.0)
    gain = np.where(left > 0, over**2 / np.maximum(2 * left, 1e-12), 0.0)
    weight = -np.sign(gradient) * over / np.maximum(left, 1e-12)
    best = [int(v) for v in np.argsort(-gain)[: 3 * count] if gain[v] > 0]
    if not best:
        return []
    s = workspace.score(state, cls, "validation")
    one = state.classes[cls]
    if workspace.students.link == "softmax":
        # If only this class's logit changes, its probability is the sigmoid of its changed log odds.
        sure = np.clip(s, 1e-7, 1 - 1e-7)
        logits = np.log(sure / (1 - sure))
    else:
        logits = workspace.logits(one.weights, one.bias, state.added, "validation")
    t_val = workspace.targets(state, "validation")[:, c]
    if seen.held_out is None:
        held_out = _columns(regions, workspace.validation_rows, E[best], advance)
    else:
        held_out = seen.held_out[:, best]
    alike = E[best] @ np.asarray(known, np.float32).T
    out: list[MissingConcept] = []
    for i, v in enumerate(best):
        adjust = -solved[:, v] * weight[v]
        shift = weight[v] * (held_out[:, i] - mean[v]) / spread[v]
        shift = shift + columns.validation[:, found.free] @ adjust[:-1].astype(np.float32) + adjust[-1]
        after = probabilities(logits + shift.astype(np.float32), "sigmoid")
        fidelity = paired_bootstrap(
            t_val,
            s,
            after,
            groups=workspace.validation_groups,
            threshold=workspace.threshold(state, c),
        )
        if fidelity["bce"].delta.value < 0:
            near = int(np.argmax(alike[i]))
            out.append(
                MissingConcept(
                    cls, words[fresh[v]], float(weight[v]), float(gain[v]), fidelity,
                    columns.names[near], float(alike[i, near]),
                )
            )  # fmt: skip
    return _distinct(out, E, {words[f]: i for i, f in enumerate(fresh)})[:count]


@dataclass(frozen=True)
class _Seen:
    """Columns of a vocabulary in some training images.

    Parameters
    ----------
    Z : ndarray of shape (n, V)
        Standardised.
    mean, spread, usable : ndarray of shape (V,)
        Mean and standard deviation of the raw columns, and whether they vary.
    squares, held_out : ndarray of shape (n, V) and (m, V), or None
        Z squared, and the raw columns in validation images, where they are cached for other sessions.
    """

    Z: Float32
    mean: NDArray[np.float64]
    spread: NDArray[np.float64]
    usable: NDArray[np.bool_]
    squares: Float32 | None = None
    held_out: Float32 | None = None

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for x in (self.Z, self.squares, self.held_out) if x is not None)


def _seen(
    workspace: Workspace,
    regions: NDArray[np.float16],
    rows: NDArray[np.intp],
    share: NDArray[np.float64],
    E: Float32,
    advance: Callable[[int], None] | None,
) -> _Seen:
    """Return the columns of words (V, D); cached for all sessions if every training image is used."""
    n, m, V = len(workspace.training_rows), len(workspace.validation_rows), len(E)
    keep = len(rows) == n and (2 * n + m) * V * 4 <= KEPT_BYTES

    def make() -> _Seen:
        new = _columns(regions, workspace.training_rows[rows], E, advance)
        mean = share @ new
        spread = np.sqrt(np.maximum(share @ (new - mean) ** 2, 0.0))
        usable = spread > 1e-6
        spread = np.where(usable, spread, 1.0)
        Z = ((new - mean) / spread).astype(np.float32)
        if not keep:
            return _Seen(Z, mean, spread, usable)
        held_out = _columns(regions, workspace.validation_rows, E, advance)
        return _Seen(Z, mean, spread, usable, np.square(Z), held_out)

    if not keep:
        return make()
    key = ("vocabulary", hashlib.blake2b(E.tobytes(), digest_size=16).digest())
    return workspace.cache.get(key, make, lambda seen: seen.nbytes)


def _distinct(
    found: Sequence[MissingConcept], E: Float32, place: Mapping[str, int], same: float = 0.9
) -> list[MissingConcept]:
    """Return the words without those whose embedding is similar to that of a better one."""
    kept: list[MissingConcept] = []
    for one in found:
        if all(float(E[place[one.word]] @ E[place[k.word]]) < same for k in kept):
            kept.append(one)
    return kept


def _sample(wrong: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return a sample of training images, and weights that sum to 1 and correct for the sampling."""
    n = len(wrong)
    if n <= SAMPLE:
        return np.arange(n), np.full(n, 1.0 / n)
    always = np.flatnonzero(wrong)[: SAMPLE // 2]
    rest = np.setdiff1d(np.arange(n), always, assume_unique=True)
    some = rest[:: -(-len(rest) // (SAMPLE - len(always)))]
    share = np.concatenate([np.full(len(always), 1.0), np.full(len(some), len(rest) / len(some))]) / n
    return np.concatenate([always, some]), share


def _columns(
    regions: NDArray[np.float16],
    rows: NDArray[np.intp],
    E: Float32,
    advance: Callable[[int], None] | None,
    block: int = 256,
) -> Float32:
    """Return the concept vector entries (len(rows), V) of words."""
    out = np.empty((len(rows), len(E)), np.float32)
    for start in range(0, len(rows), block):
        piece = rows[start : start + block]
        out[start : start + block] = concept_vectors(np.asarray(regions[piece]), E)
        if advance is not None:
            advance(len(piece))
    return out
