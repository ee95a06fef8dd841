"""Word-order test: the students refitted with every class given the name of its neighbour."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from inficond.core.concepts.class_names import meaningful_part
from inficond.core.concepts.corpus import Concept, compute_vectors
from inficond.core.concepts.name_prior import STRENGTH
from inficond.core.errors import InputError
from inficond.core.students.controls import absent_share, mean_fidelity
from inficond.core.students.distil import distil
from inficond.core.students.name_prior import ClassNames
from inficond.core.students.relaxed import RELAX

if TYPE_CHECKING:
    from inficond.core.sessions.session import Session

CLEAR = 0.02
"""Loss of fidelity AP from which the wrong names are told apart."""
WORDS = 5


@dataclass(frozen=True)
class Audited:
    """Students under one assignment of names.

    Parameters
    ----------
    ap, absent : float or None
        Mean fidelity AP and absent share on validation images.
    words : dict from class to list of str
        Words with the largest positive weights.
    """

    ap: float | None
    absent: float | None
    words: dict[str, list[str]]


@dataclass(frozen=True)
class WordAudit:
    """Result of the word-order test.

    Parameters
    ----------
    own, neighbours : Audited
        With each class's own name, and with the name of its neighbour.
    given : dict from class to str
        The name that each class was given.
    """

    own: Audited
    neighbours: Audited
    given: dict[str, str]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.own.ap is None or self.neighbours.ap is None:
            return "no validation images tell the classes apart, so nothing can be said"
        loss = self.own.ap - self.neighbours.ap
        if loss >= CLEAR:
            return f"wrong names cost {loss:.3f} of fidelity AP: the words are not interchangeable"
        return (
            f"wrong names cost {max(loss, 0.0):.3f} of fidelity AP, which is little: fidelity does not show "
            "that the words are right; look at their crops (inficond words DIR)"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "own": asdict(self.own),
            "neighbours": asdict(self.neighbours),
            "given": self.given,
            "verdict": self.verdict,
        }


def audit_words(session: "Session", strength: float | None = None) -> WordAudit:
    """Refit the students under the name prior with right and with wrong names.

    Parameters
    ----------
    session : Session
    strength : float, optional
        Of the name prior; that of the project by default, or 0.4 if it has none.

    Raises
    ------
    InputError
        There are fewer than two classes, all names are numbers or codes, or the encoder cannot be loaded.
    """
    project, classes = session.project, session.classes
    meaningful = [meaningful_part(name) for name in classes]
    if len(classes) < 2 or not any(meaningful):
        raise InputError("the word-order test needs at least two classes with names that are words")
    if strength is None:
        strength = float((project.config.get("name_prior") or {}).get("strength") or STRENGTH)
    if not 0 < strength <= 5:
        raise InputError(f"the strength must be above 0 and at most 5, not {strength!r}")
    encoder = session.context.encoder
    groups, prompts = project.concept_groups, project.concept_prompts
    concepts = [Concept(n, g, tuple(p)) for n, g, p in zip(project.concepts, groups, prompts)]
    texts = compute_vectors(concepts, encoder)
    stored = (project.config.get("grounding") or {}).get("word_mean")
    mean = texts.mean(axis=0) if stored is None else np.asarray(stored, np.float32)
    vectors = encoder.embed_words([part or name for part, name in zip(meaningful, classes)])
    informative = np.array([bool(part) for part in meaningful])
    order = np.roll(np.arange(len(classes)), -1)
    students, X = project.students, np.asarray(project.X)
    training, held_out = project.training_rows, project.validation_rows
    T, nec = np.asarray(project.T), max(float(students.nec().mean()), 0.5)

    def fit(names: ClassNames) -> Audited:
        one = distil(
            X[training], T[training], classes, project.concepts, nec=nec, relax=RELAX, link=students.link,
            penalty=names.penalties(texts, strength),
        )[0]  # fmt: skip
        words = {}
        for c, name in enumerate(classes):
            best = np.argsort(-one.weights[c], kind="stable")[:WORDS]
            words[name] = [one.concepts[k] for k in best.tolist() if one.weights[c, k] > 0]
        return Audited(mean_fidelity(one, X[held_out], T[held_out]), absent_share(one, X[held_out]), words)

    return WordAudit(
        fit(ClassNames(vectors, informative, mean)),
        fit(ClassNames(vectors[order], informative[order], mean)),
        {name: classes[k] for name, k in zip(classes, order.tolist())},
    )
