"""Students of a project, one linear model per class over standardized concept vectors, and their file."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError, unknown
from inficond.core.html_table import html_table
from inficond.core.students import safetensors_io
from inficond.core.students.arguments import check_finite, float32_array

if TYPE_CHECKING:
    from inficond.core.solver import FitResult

FORMAT = "inficond-students"
FORMAT_VERSION = 1
LINKS = ("sigmoid", "softmax")
SHOWN = 6
"""Weights of a class that a notebook shows."""
Float32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Students:
    """Linear students, ``S[n, c] = σ(w_c · (x_n − μ)/s + b_c)``, one per class; immutable.

    With the softmax link, one softmax over the classes replaces the sigmoids.

    Parameters
    ----------
    classes : sequence of str
        C names.
    concepts : sequence of str
        K names, the columns of a concept vector.
    weights : array (C, K)
        In standardized units: change of the logit per standard deviation of the concept.
    bias : array (C,)
        Intercepts, in logits, at the mean concept vector.
    mean, scale : array (K,)
        Standardization of a concept vector; `scale` is positive.
    link : {"sigmoid", "softmax"}
        Conversion of logits to probabilities.
    lam : float
        λ of the fit, on standardized columns.
    thresholds : array (C,), optional
        Probabilities at or above it are positive; 0.5 by default.
    encoder : str
        Encoder of the concept vectors, if known.
    embeddings : array (K, D), optional
        Unit embeddings of the words; with them the student needs no text encoder.
    penalty : array (C, K), optional
        Factors of λ in the fit, finite and not negative; 1 everywhere by default.

    Raises
    ------
    InputError
        Shapes do not agree, names are repeated, or numbers are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.students import Students
    >>> students = Students(
    ...     classes=["boat"], concepts=["water", "grass"],
    ...     weights=[[2.0, -1.0]], bias=[0.0], mean=[0.5, 0.5], scale=[0.1, 0.1],
    ... )
    >>> print(students.predict([[0.6, 0.5], [0.5, 0.6]]).round(2))
    [[0.88]
     [0.27]]
    """

    classes: Sequence[str]
    concepts: Sequence[str]
    weights: Float32
    bias: Float32
    mean: Float32
    scale: Float32
    link: str = "sigmoid"
    lam: float = 2.5e-3
    thresholds: Float32 = None  # type: ignore[assignment]  # becomes an array at once
    encoder: str = ""
    embeddings: Float32 | None = None
    penalty: Float32 | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "classes", _names("class", self.classes))
        put(self, "concepts", _names("concept", self.concepts))
        C, K = len(self.classes), len(self.concepts)
        if self.thresholds is None:
            put(self, "thresholds", np.full(C, 0.5, np.float32))
        shapes = {"weights": (C, K), "bias": (C,), "mean": (K,), "scale": (K,), "thresholds": (C,)}
        for name, shape in shapes.items():
            put(self, name, _array(name, getattr(self, name), shape))
        if self.embeddings is not None:
            array = np.asarray(self.embeddings)
            width = array.shape[1] if array.ndim == 2 else 0
            put(self, "embeddings", _array("embeddings", array, (K, width)))
        if self.penalty is not None:
            put(self, "penalty", _array("penalty", self.penalty, (C, K)))
            if not (self.penalty >= 0).all():
                raise InputError("the factors of the students' penalty must not be negative")
        if not (self.scale > 0).all():
            raise InputError("the students' scale must be positive in every column")
        if self.link not in LINKS:
            raise unknown("link", str(self.link), LINKS)
        put(self, "lam", float(self.lam))
        if not (np.isfinite(self.lam) and self.lam >= 0):
            raise InputError(f"λ must be a finite number of at least 0, not {self.lam!r}")

    def _repr_html_(self) -> str:
        """Show the largest weights of each class in a notebook."""
        rows = []
        for c, name in enumerate(self.classes):
            order = np.argsort(-np.abs(self.weights[c]), kind="stable")[:SHOWN]
            shown = [f"{self.concepts[k]} {self.weights[c, k]:+.2f}" for k in order if self.weights[c, k]]
            rows.append((name, int(np.count_nonzero(self.weights[c])), ", ".join(shown)))
        title = f"{len(self.classes)} students over {len(self.concepts)} concepts, {self.link}"
        return html_table(title, ("class", "concepts", "largest weights"), rows)

    @classmethod
    def from_fit(
        cls, fit: "FitResult", classes: Sequence[str], concepts: Sequence[str], **rest: Any
    ) -> "Students":
        """Make students of the result of a fit.

        Parameters
        ----------
        fit : FitResult
            With `weights` (C, K), `bias` (C,), `mean` (K,) and `scale` (K,).
        classes, concepts : sequence of str
            C and K names.
        **rest
            Other fields of `Students`: `link`, `lam`, `thresholds`, `encoder`, `embeddings`.

        Returns
        -------
        Students
            Constant columns get scale 1.

        Examples
        --------
        >>> from inficond.core.solver import fit
        >>> X = np.random.default_rng(0).random((200, 2), np.float32)
        >>> Students.from_fit(fit(X, X[:, :1], lam=0.01), ["boat"], ["water", "grass"]).nec().tolist()
        [1]
        """
        scale = np.asarray(fit.scale, np.float32)
        return cls(
            classes, concepts, fit.weights, fit.bias, fit.mean, np.where(scale > 0, scale, 1.0),
            penalty=fit.penalty, **rest,
        )  # fmt: skip

    @property
    def n_classes(self) -> int:
        """C."""
        return len(self.classes)

    @property
    def n_concepts(self) -> int:
        """K."""
        return len(self.concepts)

    def class_index(self, name: str) -> int:
        """Return the row of a class; raise `InputError` with similar names if there is none."""
        if name not in self._class_rows:
            raise unknown("class", name, self.classes)
        return self._class_rows[name]

    def concept_index(self, name: str) -> int:
        """Return the column of a concept; raise `InputError` with similar names if there is none."""
        if name not in self._concept_columns:
            raise unknown("concept", name, self.concepts)
        return self._concept_columns[name]

    @cached_property
    def _class_rows(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.classes)}

    @cached_property
    def _concept_columns(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.concepts)}

    @cached_property
    def raw_weights(self) -> Float32:
        """Weights on raw concept vectors, (C, K): `weights / scale`."""
        return _frozen(self.weights / self.scale)

    @cached_property
    def raw_bias(self) -> Float32:
        """Intercepts on raw concept vectors, (C,); computed in float64 because large terms cancel."""
        shift = (self.weights.astype(np.float64) / self.scale) @ self.mean.astype(np.float64)
        return _frozen((self.bias - shift).astype(np.float32))

    def logits(self, X: ArrayLike, classes: Sequence[int] | int | None = None) -> Float32:
        """Return the logits of concept vectors.

        Parameters
        ----------
        X : array (N, K)
            Concept vectors, not standardized.
        classes : int or sequence of int, optional
            Only these rows; an int drops the axis.

        Returns
        -------
        array (N, C), float32
            Or (N,) for one class.

        Raises
        ------
        InputError
            X has another number of columns, or entries that are not finite.
        """
        X = float32_array("X", X)
        if X.ndim != 2 or X.shape[1] != self.n_concepts:
            raise InputError(
                f"the students read {self.n_concepts} concepts, the vectors have shape {X.shape}; "
                "make them with the same corpus"
            )
        rows: Any = slice(None) if classes is None else classes
        with np.errstate(invalid="ignore", over="ignore"):
            out: Float32 = X @ self.raw_weights[rows].T + self.raw_bias[rows]
        if not np.isfinite(out).all():  # cheaper than a look at X
            check_finite("X", X)
        return out

    def predict(self, X: ArrayLike) -> Float32:
        """Return the probabilities of concept vectors.

        Parameters
        ----------
        X : array (N, K)
            Concept vectors, not standardized.

        Returns
        -------
        array (N, C), float32
            In [0, 1]; rows sum to one under the softmax link.

        Examples
        --------
        >>> students.predict([[0.5, 0.5]]).tolist()
        [[0.5]]
        """
        return probabilities(self.logits(X), self.link)

    def predict_regions(self, regions: ArrayLike) -> Float32:
        """Return probabilities from region embeddings, with the word embeddings of the students.

        Parameters
        ----------
        regions : array (n, R, D)
            Unit region embeddings of n images by the encoder of the students.

        Returns
        -------
        array (n, C), float32
            As `predict`.

        Raises
        ------
        InputError
            There are no word embeddings, or they have another size.
        """
        from inficond.core.concepts import concept_vectors

        if self.embeddings is None:
            raise InputError("the student has no word embeddings; save it again from its project")
        regions = float32_array("regions", regions).astype(np.float16)
        if regions.ndim != 3 or regions.shape[2] != self.embeddings.shape[1]:
            raise InputError(
                f"the student reads embeddings of {self.embeddings.shape[1]} numbers, the regions have "
                f"shape {regions.shape}; use its encoder ({self.encoder or 'not recorded'})"
            )
        return self.predict(concept_vectors(regions, np.array(self.embeddings)))

    def nec(self) -> NDArray[np.int64]:
        """Number of effective concepts: non-zero weights per class, (C,)."""
        return np.count_nonzero(self.weights, axis=1)

    def top(self, cls: int, n: int = 10) -> NDArray[np.int64]:
        """Return the columns of the `n` largest non-zero |weights| of a class, in descending order.

        Examples
        --------
        >>> [students.concepts[k] for k in students.top(0, 1)]
        ['water']
        """
        w = np.abs(self.weights[cls])
        order = np.argsort(-w, kind="stable")[:n]
        return order[w[order] > 0]

    def save(self, path: str | Path) -> None:
        """Write the students as one safetensors file, which contains arrays and JSON only.

        Parameters
        ----------
        path : str or Path
            Name of the file, which is replaced atomically. Equal students give equal bytes.

        Raises
        ------
        InputError
            The file cannot be written.

        Examples
        --------
        >>> students.save("students.safetensors")
        >>> Students.load("students.safetensors").classes
        ('boat',)
        """
        tensors: dict[str, np.ndarray] = {
            name: getattr(self, name) for name in ("weights", "bias", "mean", "scale", "thresholds")
        }
        if self.embeddings is not None:
            tensors["embeddings"] = self.embeddings
        if self.penalty is not None:
            tensors["penalty"] = self.penalty
        metadata = {
            "format": FORMAT,
            "format_version": str(FORMAT_VERSION),
            "classes": json.dumps(list(self.classes), ensure_ascii=False),
            "concepts": json.dumps(list(self.concepts), ensure_ascii=False),
            "link": self.link,
            "lam": repr(self.lam),
            "encoder": self.encoder,
        }
        safetensors_io.write(Path(path), tensors, safetensors_io.with_checksum(tensors, metadata))

    @classmethod
    def load(cls, path: str | Path) -> "Students":
        """Read students written by `save`.

        Parameters
        ----------
        path : str or Path
            Name of the file.

        Returns
        -------
        Students
            Identical to the saved students, bit for bit.

        Raises
        ------
        InputError
            The file is missing, invalid, of an unknown version, or has inconsistent contents.

        Examples
        --------
        >>> students.save("students.safetensors")
        >>> Students.load("students.safetensors").concepts
        ('water', 'grass')
        """
        tensors, metadata = safetensors_io.read(Path(path))
        # Files of early versions have no checksum.
        stored = metadata.get(safetensors_io.CHECKSUM)
        if stored is not None and stored != safetensors_io.checksum(tensors, metadata):
            raise InputError(
                f"{path} is damaged (its checksum does not match its contents): copy it again, or save the "
                "student again from its project"
            )
        if metadata.get("format") != FORMAT:
            raise InputError(
                f"{path} is not a file of students (its format is {metadata.get('format', 'unknown')!r:.60})"
            )
        if metadata.get("format_version") != str(FORMAT_VERSION):
            raise InputError(
                f"{path} has format version {metadata.get('format_version', '?')!r:.20}, this program reads "
                f"{FORMAT_VERSION}; use the version of inficond that wrote it"
            )
        missing = [k for k in ("weights", "bias", "mean", "scale", "thresholds") if k not in tensors]
        missing += [k for k in ("classes", "concepts", "link", "lam") if k not in metadata]
        if missing:
            raise InputError(f"{path} is incomplete: {missing[0]!r} is missing")
        try:
            return cls(
                classes=json.loads(metadata["classes"]),
                concepts=json.loads(metadata["concepts"]),
                link=metadata["link"],
                lam=float(metadata["lam"]),
                encoder=metadata.get("encoder", ""),
                embeddings=tensors.get("embeddings"),
                penalty=tensors.get("penalty"),
                **{k: tensors[k] for k in ("weights", "bias", "mean", "scale", "thresholds")},
            )
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"{path} cannot be used: {error}") from None


def probabilities(logits: ArrayLike, link: str = "sigmoid") -> Float32:
    """Convert logits to probabilities without overflow.

    Parameters
    ----------
    logits : array (..., C)
        Finite logits.
    link : {"sigmoid", "softmax"}
        Per entry, or over the last axis.

    Returns
    -------
    array, float32
        Of the same shape.
    """
    z = np.asarray(logits, np.float32)
    if link == "softmax":
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float32)
    # e^-|z| never overflows; σ(z) = 1/(1+e^-|z|) for z ≥ 0, and 1 minus that for z < 0.
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, e) / (1.0 + e), np.float32)


def _names(kind: str, names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Sequence) or not names:
        raise InputError(f"the {kind} names must be a non-empty list of strings")
    for name in names:
        if not isinstance(name, str) or not name.strip() or len(name) > 500 or not name.isprintable():
            raise InputError(f"invalid {kind} name {name!r:.60}: use 1 to 500 printable characters")
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise InputError(f"the {kind} {twice!r} occurs twice; list every {kind} once")
    return tuple(names)


def _array(name: str, value: Any, shape: tuple[int, ...]) -> Float32:
    array = np.array(value, np.float32, order="C")  # a copy, so that callers cannot change it
    if array.shape != shape:
        raise InputError(f"the students' {name} must have shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(f"the students' {name} must be finite numbers")
    return _frozen(array)


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
