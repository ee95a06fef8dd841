"""Fits students to a teacher's responses: arrays in, students out."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.students.student import Students

if TYPE_CHECKING:
    from inficond.core.solver import FitResult

LAM = 2.5e-3
"""λ on standardised columns; equals the paper's 1e-4 on raw concept vectors, whose spread is about 0.04."""
THRESHOLDS = ("half", "matched")


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
) -> tuple[Students, "FitResult"]:
    """Fit one student per class to the teacher's responses (response-based distillation).

    Parameters
    ----------
    X : array (N, K), float32
        Concept vectors of the training images.
    T : array (N, C)
        The teacher's probabilities on the same images.
    classes, concepts : sequence of str
        C and K names.
    lam : float
        λ on standardised columns.
    nec : float, optional
        Wanted mean number of effective concepts per class; λ is then found instead of given (`Students.lam`).
    link : {"sigmoid", "softmax"}
        Of the students.
    thresholds : {"half", "matched"}
        0.5, or where the student says yes as often as the teacher on these images.
    tol : float
        Relative accuracy that the solver certifies.
    encoder : str
        Name of the encoder, kept with the students.
    embeddings : array (K, D), optional
        The words' embeddings, kept with the students.
    penalty : array (C, K), optional
        Factors of λ, such as a name prior.
    relax : float
        Below 1, the concepts that the fit at λ selects are penalised by ``relax · λ`` in a second fit
        (`inficond.core.students.sparsity.relaxed_fit`).

    Returns
    -------
    students : Students
        Fitted; a constant teacher gives a student without concepts.
    fit : FitResult
        Objective and certified gap of each class.

    Raises
    ------
    InputError
        Fewer than two images, responses outside [0, 1], or shapes that do not fit.
    """
    from inficond.core.solver import fit, lambda_for_nec
    from inficond.core.students.sparsity import relaxed_fit

    X, T = np.asarray(X, np.float32), np.asarray(T, np.float32)
    if X.shape != (len(X), len(concepts)) or T.shape != (len(X), len(classes)):
        raise InputError(
            f"{len(classes)} classes over {len(concepts)} concepts need X (N, {len(concepts)}) and "
            f"T (N, {len(classes)}), not {X.shape} and {T.shape}"
        )
    if len(X) < 2:
        raise InputError(f"students cannot be fitted to {len(X)} training images; give more images")
    if not ((T >= 0) & (T <= 1)).all():  # NaN fails both
        raise InputError("the teacher's responses must be probabilities between 0 and 1")
    if thresholds not in THRESHOLDS:
        raise InputError(f"thresholds are {' or '.join(THRESHOLDS)}, not {thresholds!r:.40}")
    factors = None if penalty is None else np.asarray(penalty, np.float32)
    if nec is not None:
        result = lambda_for_nec(X, T, nec, link=link, penalty=factors, tol=tol)
        lam = float(result.lam)
    elif relax == 1.0:
        result = fit(X, T, lam=lam, link=link, penalty=factors, tol=tol)
    if relax != 1.0:
        result = relaxed_fit(X, T, lam, link, penalty=factors, relax=relax, tol=tol)
        lam = float(result.lam)
    words = None if embeddings is None else np.asarray(embeddings, np.float32)
    students = Students.from_fit(
        result, classes, concepts, link=link, lam=lam, encoder=encoder, embeddings=words
    )
    if thresholds == "matched":
        students = with_matched_thresholds(students, X, T)
    return students, result


def with_matched_thresholds(students: Students, X: ArrayLike, T: ArrayLike) -> Students:
    """The same students, each saying yes as often as the teacher.

    Parameters
    ----------
    students : Students
        The students.
    X : array (N, K)
        Concept vectors of the training images (never the validation ones: that would be tuning on them).
    T : array (N, C)
        The teacher's responses to them.

    Returns
    -------
    Students
        With new `thresholds`; 0.5 where the teacher never or always says yes.
    """
    from inficond.core.evaluation.metrics import matched_threshold

    S, T = students.predict(X), np.asarray(T)
    found = [matched_threshold(T[:, c], S[:, c]) for c in range(students.n_classes)]
    return replace(students, thresholds=np.array(found, np.float32))


def keep_largest(
    students: Students, X: ArrayLike, T: ArrayLike, n: int = 5, *, lam: float = 1e-4
) -> Students:
    """Students that may use only their `n` largest concepts, refitted: what ANEC-n is measured on.

    Parameters
    ----------
    students : Students
        The students.
    X : array (N, K)
        Concept vectors of the training images.
    T : array (N, C)
        The teacher's responses to them.
    n : int
        Concepts left per class; those of the largest |w| in standardised units.
    lam : float
        λ of the refit: small, for the choice is made and shrinkage would only hide what the concepts can do.

    Returns
    -------
    Students
        At most `n` non-zero weights per class; a class that already has no more is refitted too.

    Notes
    -----
    After VLG-CBM (Srivastava, Yan and Weng 2024), who compare models at an equal number of effective concepts
    because a wide enough linear layer predicts well even from random directions.
    """
    from inficond.core.solver import fit

    X, T = np.asarray(X, np.float32), np.asarray(T, np.float32)
    chosen = [np.sort(students.top(c, n)) for c in range(students.n_classes)]
    W, b = np.zeros_like(students.weights), students.bias.copy()
    if students.link == "softmax":
        # One fit of all classes on the union of their concepts, each class closed to those of the others.
        union = np.unique(np.concatenate([np.zeros(0, np.int64), *chosen]))
        if len(union):
            may = np.array([np.isin(union, own) for own in chosen])
            bound = np.where(may, np.inf, 0.0)
            Z = _standard(students, X, union)
            result = fit(Z, T, lam=lam, link="softmax", lower=-bound, upper=bound, standardize=False)
            W[:, union], b = result.weights, np.asarray(result.bias, np.float32)
        return _with(students, W, b)
    for c, own in enumerate(chosen):
        if len(own):
            result = fit(_standard(students, X, own), T[:, [c]], lam=lam, link="sigmoid", standardize=False)
            W[c, own], b[c] = result.weights[0], result.bias[0]
    return _with(students, W, b)


def predict_with(students: Students, X: ArrayLike, rows: Any = slice(None)) -> NDArray[np.float32]:
    """Probabilities of some rows of concept vectors, in pieces: a memory-mapped X is never held whole.

    Parameters
    ----------
    students : Students
        The students.
    X : array (N, K)
        Concept vectors; a memory map is fine.
    rows : index
        Which rows; all by default.

    Returns
    -------
    array (n, C), float32
        Probabilities.
    """
    wanted = np.arange(len(np.asarray(X)))[rows]
    out = np.empty((len(wanted), students.n_classes), np.float32)
    for start in range(0, len(wanted), 8192):
        piece = wanted[start : start + 8192]
        out[start : start + 8192] = students.predict(np.asarray(X)[piece])
    return out


def _standard(students: Students, X: NDArray[np.float32], columns: NDArray[np.int64]) -> NDArray[np.float32]:
    """The chosen columns in the students' own units, so that the refitted weights are too."""
    return np.ascontiguousarray((X[:, columns] - students.mean[columns]) / students.scale[columns])


def _with(students: Students, W: NDArray[np.float32], b: NDArray[np.float32]) -> Students:
    return replace(students, weights=W, bias=b)
