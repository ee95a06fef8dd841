"""Fitting of students to the responses of a teacher."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students.arguments import check_finite, float32_array
from inficond.core.students.student import Students

if TYPE_CHECKING:
    from inficond.core.solver import FitResult


class RowFit(Protocol):
    """A fit of training rows that this process does not hold."""

    def __call__(
        self, lam: float, link: str, penalty: NDArray[np.floating] | None, relax: float, tol: float
    ) -> "FitResult":
        """Fit with two levels of penalty, or with one if `relax` is 1; see `distil`."""
        ...


LAM = 2.5e-3
"""λ on standardized columns; equals 1e-4 of the paper on raw concept vectors with a spread of about 0.04."""
EXCLUDED = 1e9
"""Factor of λ that excludes a word from a class."""
THRESHOLDS = ("half", "matched")
ROUNDING, SUM_ROUNDING = 1e-5, 1e-3
"""Rounding errors of responses that are accepted: outside [0, 1], and of the sum of a row (softmax)."""
ROUNDING_16, SUM_ROUNDING_16 = 1e-2, 2e-2
"""The same for responses of 16 bits."""
COVERED = 0.98
"""Share of training images for which at least one of several exclusive classes says yes."""
FEW = 0.8
"""Students that say yes less often than this share of the teacher's yes get other thresholds."""


def distil(
    X: ArrayLike,
    T: ArrayLike,
    classes: Sequence[str],
    concepts: Sequence[str],
    *,
    lam: float = LAM,
    nec: float | None = None,
    link: str = "sigmoid",
    thresholds: str = "half",
    tol: float = 1e-4,
    encoder: str = "",
    embeddings: ArrayLike | None = None,
    penalty: ArrayLike | None = None,
    relax: float = 1.0,
    outside: NDArray[np.bool_] | None = None,
    elsewhere: RowFit | None = None,
) -> tuple[Students, "FitResult"]:
    """Fit one student per class to the teacher's responses (response-based distillation).

    Parameters
    ----------
    X : array (N, K), float32
        Concept vectors of the training images.
    T : array (N, C)
        Probabilities of the teacher for the same images; rounding errors beyond [0, 1] are clipped.
    classes, concepts : sequence of str
        C and K names.
    lam : float
        λ on standardized columns.
    nec : float, optional
        Wanted mean number of effective concepts per class; λ is then searched (`Students.lam`).
    link : {"sigmoid", "softmax"}
        Link of the students; with softmax each row of T must sum to 1.
    thresholds : {"half", "matched"}
        0.5, or the threshold at which the student has as many positives as the teacher on these images.
    tol : float
        Relative duality gap of the fit.
    encoder : str
        Name of the encoder, stored with the students.
    embeddings : array (K, D), optional
        Embeddings of the words, stored with the students.
    penalty : array (C, K), optional
        Factors of λ, such as a name prior.
    relax : float
        Below 1, the concepts that the fit at λ selects are penalised by ``relax · λ`` in a second fit
        (`inficond.core.students.relaxed.relaxed_fit`).
    outside : (C, K) bool, optional
        Words that may only count against a class: if a fit gives one of them a positive weight, the word is
        excluded from the class by its penalty, and the fit is repeated.
    elsewhere : callable, optional
        Fits all training rows where they lie; `X` and `T` are then a sample, from which `nec` finds λ.

    Returns
    -------
    students : Students
        A constant teacher gives a student without concepts.
    fit : FitResult
        Objective and certified gap of each class.

    Raises
    ------
    InputError
        There are fewer than two images, responses are not probabilities, or shapes do not agree.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.students import distil
    >>> X = np.random.default_rng(0).random((200, 3), np.float32)
    >>> T = 1 / (1 + np.exp(4 - 8 * X[:, :1]))  # the teacher's responses depend on the first concept
    >>> students, fit = distil(X, T, ["boat"], ["water", "grass", "sky"], lam=0.01)
    >>> [students.concepts[k] for k in students.top(0)]
    ['water']
    >>> bool(fit.converged.all())
    True
    """
    from inficond.core.solver import fit, lambda_for_nec
    from inficond.core.students.relaxed import RelaxedPath

    X, responses = float32_array("X", X), float32_array("T", T)
    if X.shape != (len(X), len(concepts)) or responses.shape != (len(X), len(classes)):
        raise InputError(
            f"{len(classes)} classes over {len(concepts)} concepts need X (N, {len(concepts)}) and "
            f"T (N, {len(classes)}), not {X.shape} and {responses.shape}"
        )
    if len(X) < 2:
        raise InputError(f"students cannot be fitted to {len(X)} training images; give more images")
    check_finite("X", X)
    coarse = str(getattr(T, "dtype", "")).endswith("float16")
    outside_by, sum_off_by = (ROUNDING_16, SUM_ROUNDING_16) if coarse else (ROUNDING, SUM_ROUNDING)
    beyond = ~((responses >= -outside_by) & (responses <= 1 + outside_by))  # also for NaN
    if beyond.any():
        n, c = np.argwhere(beyond)[0].tolist()
        raise InputError(
            f"the teacher's responses must be probabilities between 0 and 1: T[{n}, {c}] is {responses[n, c]}"
        )
    responses = np.clip(responses, 0, 1)
    if link == "softmax":
        sums = responses.sum(1, dtype=np.float64)
        if np.abs(sums - 1).max() > sum_off_by:
            raise InputError(
                "with link softmax the teacher's responses to an image must sum to 1 over the classes; "
                "divide them by their sum, or use link sigmoid"
            )
        if coarse:
            responses = (responses / sums[:, None]).astype(np.float32)
    if thresholds not in THRESHOLDS:
        raise InputError(f"thresholds must be {' or '.join(THRESHOLDS)}, not {thresholds!r:.40}")
    factors = None if penalty is None else np.asarray(penalty, np.float32)
    path = RelaxedPath(X, responses, link, relax=relax, tol=tol)

    def fitted(factors: NDArray[np.float32] | None) -> "FitResult":
        level = lam
        if nec is not None:
            found = lambda_for_nec(X, responses, nec, link=link, penalty=factors, tol=tol)
            if relax == 1.0 and elsewhere is None:
                return found
            level = float(np.max(found.lam))
        if elsewhere is not None:
            return elsewhere(level, link, factors, relax, tol)
        if relax == 1.0:
            return fit(X, responses, lam=level, link=link, penalty=factors, tol=tol)
        return path.fit(level, factors)

    result = fitted(factors)
    while outside is not None and (wrong := outside & (result.weights > 0)).any():
        factors = np.ones(wrong.shape, np.float32) if factors is None else factors.copy()
        factors[wrong] = EXCLUDED
        result = fitted(factors)
    lam = float(np.max(result.lam)) if nec is not None or relax != 1.0 else lam
    words = None if embeddings is None else np.asarray(embeddings, np.float32)
    students = Students.from_fit(
        result, classes, concepts, link=link, lam=lam, encoder=encoder, embeddings=words
    )
    if thresholds == "matched":
        students = with_matched_thresholds(students, X, responses)
    return students, result


def with_matched_thresholds(students: Students, X: ArrayLike, T: ArrayLike) -> Students:
    """Return students with thresholds at which each has as many positives as the teacher.

    Parameters
    ----------
    students : Students
        Students.
    X : array (N, K)
        Concept vectors of the training images; validation images must not be used to choose thresholds.
    T : array (N, C)
        Responses of the teacher to them.

    Returns
    -------
    Students
        With new `thresholds`; 0.5 where the teacher has no positives or no negatives.
    """
    from inficond.core.evaluation.metrics import matched_threshold

    S, T = students.predict(X), np.asarray(T)
    found = [matched_threshold(T[:, c], S[:, c]) for c in range(students.n_classes)]
    return replace(students, thresholds=np.array(found, np.float32))


def with_fitting_thresholds(students: Students, X: ArrayLike, T: ArrayLike) -> tuple[Students, str]:
    """Return the students with the thresholds that suit their link, and the reason.

    Softmax students say yes to each class as often as it is the teacher's most probable class; then all
    thresholds are lowered together until `COVERED` of the images have a yes. Sigmoid students that say yes
    much less often than the teacher (`FEW`) get the teacher's rate of each class.

    Parameters
    ----------
    students : Students
    X : array (N, K)
        Concept vectors of the training images.
    T : array (N, C)
        Responses of the teacher.

    Returns
    -------
    students : Students
    reason : str
        Empty if the thresholds stay at 0.5.
    """
    S, T = students.predict(X), np.asarray(T, np.float32)
    if students.link == "softmax":
        thresholds = exclusive_thresholds(S, T)
        reason = (
            "each class is answered with yes about as often as it is the teacher's most probable class, and "
            f"{COVERED:.0%} of the training images get a yes"
        )
        return replace(students, thresholds=thresholds), reason
    wanted, given = (T >= 0.5).sum(), (S >= 0.5).sum()
    if given >= FEW * wanted:
        return students, ""
    reason = (
        f"the teacher's rate of each class, because at 0.5 the students say yes {given / wanted:.0%} as often"
    )
    return with_matched_thresholds(students, X, T), reason


def exclusive_thresholds(S: NDArray[np.floating], T: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the thresholds (C,) of classes that exclude each other.

    Each class gets yes as often as it is the teacher's most probable class. Then all thresholds are lowered
    together until `COVERED` of the images have a yes.

    Parameters
    ----------
    S, T : (N, C)
        Probabilities of students and teacher for training images.
    """
    from inficond.core.evaluation.metrics import matched_threshold

    top = np.eye(T.shape[1], dtype=np.float32)[T.argmax(axis=1)]
    matched = [matched_threshold(top[:, c], S[:, c]) for c in range(T.shape[1])]
    found = np.array(matched, np.float32)
    lowest = np.quantile((S / found).max(axis=1), 1 - COVERED)
    return (found * min(1.0, float(lowest))).astype(np.float32)


def keep_largest(
    students: Students, X: ArrayLike, T: ArrayLike, n: int = 5, *, lam: float = 1e-4
) -> Students:
    """Refit students on their `n` largest concepts, for ANEC-n.

    Parameters
    ----------
    students : Students
        Students.
    X : array (N, K)
        Concept vectors of the training images.
    T : array (N, C)
        Responses of the teacher to them.
    n : int
        Number of concepts per class: those with the largest |w| in standardized units.
    lam : float
        λ of the refit; small, because concepts are already selected.

    Returns
    -------
    Students
        With at most `n` non-zero weights per class; all classes are refitted.

    Notes
    -----
    After VLG-CBM (Srivastava, Yan and Weng 2024), who compare models at an equal number of effective concepts
    because a linear layer with many inputs predicts well even from random directions.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.students import distil, keep_largest
    >>> X = np.random.default_rng(0).random((200, 4), np.float32)
    >>> T = X @ np.array([[0.5], [0.3], [0.1], [0.1]])
    >>> students, _ = distil(X, T, ["boat"], ["water", "sky", "mast", "rope"], lam=1e-4)
    >>> students.nec().tolist(), keep_largest(students, X, T, n=2).nec().tolist()
    ([4], [2])
    """
    from inficond.core.solver import fit

    X, T = float32_array("X", X), float32_array("T", T)
    if X.shape != (len(X), students.n_concepts) or T.shape != (len(X), students.n_classes):
        raise InputError(
            f"{students.n_classes} students of {students.n_concepts} concepts need "
            f"X (N, {students.n_concepts}) and T (N, {students.n_classes}), not {X.shape} and {T.shape}"
        )
    selected = [np.sort(students.top(c, n)) for c in range(students.n_classes)]
    W, b = np.zeros_like(students.weights), students.bias.copy()
    if students.link == "softmax":
        # One fit of all classes on the union of their concepts; each class is restricted to its own.
        union = np.unique(np.concatenate([np.zeros(0, np.int64), *selected]))
        if len(union):
            allowed = np.array([np.isin(union, own) for own in selected])
            bound = np.where(allowed, np.inf, 0.0)
            Z = _standardized(students, X, union)
            result = fit(Z, T, lam=lam, link="softmax", lower=-bound, upper=bound, standardize=False)
            W[:, union], b = result.weights, np.asarray(result.bias, np.float32)
        return replace(students, weights=W, bias=b)
    for c, own in enumerate(selected):
        if len(own):
            result = fit(
                _standardized(students, X, own), T[:, [c]], lam=lam, link="sigmoid", standardize=False
            )
            W[c, own], b[c] = result.weights[0], result.bias[0]
    return replace(students, weights=W, bias=b)


def _standardized(
    students: Students, X: NDArray[np.float32], columns: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return columns in the units of the students, so that refitted weights have the same units."""
    return np.ascontiguousarray((X[:, columns] - students.mean[columns]) / students.scale[columns])
