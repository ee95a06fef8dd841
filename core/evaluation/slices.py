"""Slices: groups of misaligned images described by one or two concepts, with permutation tests.

A misaligned image is missed (teacher positive, student negative) or extra (the reverse). Missed images are
compared with the other positives of the teacher, extra images with its negatives; otherwise every slice would
only reflect that a class is rare.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inficond.core.errors import InputError
from inficond.core.evaluation import slice_kernels as kernels

ALPHA = 0.05
"""Probability of a false slice, over both kinds and all conditions tried."""
SHARE = 0.2
"""A concept is high in the fifth of the images with the largest values, low in that with the smallest."""
MIN_SIZE, MIN_WRONG = 8, 4
PERMUTATIONS = 199
BEAM = 16
_COVERED = 0.5
_MANY_SOURCES, _SMALL_SOURCE = 40, 5.0
Shuffle = Callable[[], NDArray[np.bool_]]


@dataclass(frozen=True)
class Condition:
    """Condition that one concept is high or low."""

    concept: str
    column: int
    high: bool

    def __str__(self) -> str:
        return f"{self.concept} {'high' if self.high else 'low'}"


@dataclass(frozen=True, eq=False)
class Slice:
    """Group of images that share one or two conditions and have lower agreement of student and teacher.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import find_slices
    >>> X = np.random.default_rng(0).random((400, 3))
    >>> s = np.where(X[:, 1] > 0.8, 0.2, 0.8)
    >>> one = find_slices(X, np.full(400, 0.9), s, ["fence", "grass", "sky"])[0]
    >>> one.kind, one.name, one.size, one.agreement
    ('missed', 'grass high', 80, 0.0)
    """

    kind: str
    """``"missed"`` or ``"extra"``: the misaligned subset."""
    conditions: tuple[Condition, ...]
    """One or two."""
    rows: NDArray[np.intp]
    """Rows of the images in the arguments of `find_slices`."""
    misaligned: NDArray[np.intp]
    """Rows of those on which teacher and student differ."""
    agreement: float
    """Agreement in the group."""
    elsewhere: float
    """Agreement on the other images of this kind."""
    p_value: float
    """Probability that noise gives a slice with this score or a larger one anywhere in the search."""

    @property
    def size(self) -> int:
        """Number of images in the group."""
        return len(self.rows)

    @property
    def gap(self) -> float:
        """Difference of the agreement elsewhere and in the group."""
        return self.elsewhere - self.agreement

    @property
    def score(self) -> float:
        """Size × gap, the excess of misaligned images, by which slices are ranked."""
        return self.size * self.gap

    @property
    def name(self) -> str:
        """``"grass high and fence high"``."""
        return " and ".join(map(str, self.conditions))

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.size} images, agreement {100 * self.agreement:.0f} % "
            f"against {100 * self.elsewhere:.0f} %"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "text": str(self),
            "conditions": [
                {"concept": c.concept, "level": "high" if c.high else "low"} for c in self.conditions
            ],
            "rows": self.rows.tolist(),
            "misaligned": self.misaligned.tolist(),
            "size": self.size,
            "agreement": self.agreement,
            "elsewhere": self.elsewhere,
            "gap": self.gap,
            "score": self.score,
            "p_value": self.p_value,
        }


def find_slices(
    X: ArrayLike,
    t: ArrayLike,
    s: ArrayLike,
    concepts: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    threshold: float = 0.5,
    teacher_threshold: float = 0.5,
    kinds: Sequence[str] = ("missed", "extra"),
    alpha: float = ALPHA,
    limit: int = 10,
    seed: int = 0,
) -> list[Slice]:
    """Find groups of misaligned images of a class that share conditions.

    Parameters
    ----------
    X : array (n, K)
        Concept vectors of the validation images.
    t, s : array (n,)
        Probabilities of teacher and student for the class.
    concepts : sequence of str
        K names.
    groups : array (n,), optional
        Images of equal value share a source; permutations respect sources.
    threshold, teacher_threshold : float
        Probabilities at or above it are positive.
    kinds : sequence of {"missed", "extra"}
        Misaligned subsets to describe.
    alpha : float
        Probability of a false slice if misalignment is independent of all concepts.
    limit : int
        Largest number of slices.
    seed : int
        Seed of the permutations.

    Returns
    -------
    list of Slice
        Ranked by size × gap, without slices whose misaligned images are mostly in higher-ranked ones.

    Raises
    ------
    InputError
        The lengths do not agree, or a kind is unknown.

    Notes
    -----
    The score of a condition is the log-likelihood ratio of its own rate of misalignment over the common rate.
    All single conditions are scored, and all pairs with one of the `BEAM` best. The same search over permuted
    misalignment gives the distribution of the largest score (Westfall and Young 1993), which corrects for all
    conditions tried and their correlation; `alpha` is divided among the kinds. If images share sources, whole
    sources are permuted when there are many small ones; otherwise images are permuted within their source, so
    that no slice is a source.

    Examples
    --------
    >>> import numpy as np
    >>> from inficond.core.evaluation import find_slices
    >>> X = np.random.default_rng(0).random((400, 3))
    >>> t = np.full(400, 0.9)
    >>> s = np.where(X[:, 1] > 0.8, 0.2, 0.8)  # the student misses images with much grass
    >>> [str(one) for one in find_slices(X, t, s, ["fence", "grass", "sky"])]
    ['grass high: 80 images, agreement 0 % against 97 %']
    """
    X = np.asarray(X)
    t, s = np.asarray(t), np.asarray(s)
    n, K = X.shape if X.ndim == 2 else (-1, -1)
    if t.shape != (n,) or s.shape != (n,) or len(concepts) != K:
        raise InputError(
            f"X, t and s must have one row per image and X one column per name: X {X.shape}, t {t.shape}, "
            f"s {s.shape}, {len(concepts)} names"
        )
    if n < 2 * MIN_SIZE or K == 0:
        return []
    member = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    predicted, positive = s >= threshold, t >= teacher_threshold
    level = alpha / max(1, len(kinds))
    flags: NDArray[np.uint8] | None = None
    found: list[Slice] = []
    for i, kind in enumerate(kinds):
        if kind not in ("missed", "extra"):
            raise InputError(f"kinds must be missed or extra, not {kind!r:.40}")
        population = np.flatnonzero(positive if kind == "missed" else ~positive)
        wrong = (predicted != positive)[population]
        M = int(wrong.sum())
        if M < MIN_WRONG or len(population) - M < MIN_WRONG or len(population) < 2 * MIN_SIZE:
            continue
        if flags is None:
            flags = _conditions(X)
        search = _Search(flags[population], wrong)
        rng = np.random.default_rng([seed, i])
        sources = None if member is None else member[population]
        for columns, p in search.significant(_shuffler(wrong, sources, rng), level):
            met = search.flags[:, columns].all(axis=1)
            inside, outside = wrong[met], wrong[~met]
            found.append(
                Slice(
                    kind=kind,
                    conditions=tuple(Condition(concepts[f % K], int(f % K), bool(f < K)) for f in columns),
                    rows=population[met],
                    misaligned=population[met & wrong],
                    agreement=1.0 - float(inside.mean()),
                    elsewhere=1.0 - float(outside.mean()),
                    p_value=min(1.0, p * len(kinds)),
                )
            )
    return _distinct(found, limit)


def _conditions(X: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (n, 2K) flags: concept k is high, then concept k is low; boundary values are neither."""
    n = len(X)
    columns = np.ascontiguousarray(X.T)
    rank = max(1, round(SHARE * n))
    parted = np.partition(columns, (rank, n - rank - 1), axis=1)
    # Strict comparisons: a value that most images have (such as 0) is neither high nor low.
    high, low = np.greater(X, parted[:, n - rank - 1]), np.less(X, parted[:, rank])
    return np.concatenate([high, low], axis=1).astype(np.uint8)


class _Search:
    """Conditions for one kind of misalignment, as bit sets."""

    def __init__(self, flags: NDArray[np.uint8], wrong: NDArray[np.bool_]) -> None:
        self.n, F = flags.shape
        self.M = int(wrong.sum())
        self.flags, self.wrong = flags, wrong
        self.bits = self._bits(np.arange(self.n))
        self.size = flags.sum(axis=0, dtype=np.int64)
        self.sizes, self.known = np.empty((F, F), np.uint16), np.zeros(F, np.uint8)
        counts = np.arange(self.n + 1, dtype=float)
        self.xlogx = counts * np.log(np.maximum(counts, 1.0))
        self.single, self.best = np.empty(F), np.empty(min(BEAM, F), np.int64)

    def _bits(self, images: NDArray[np.int64]) -> NDArray[np.uint64]:
        out = np.empty((-(-len(images) // 64), self.flags.shape[1]), np.uint64)
        kernels.pack(self.flags, images, out)
        return out

    def run(self, wrong: NDArray[np.bool_], pair: NDArray[np.float64]) -> float:
        """Return the largest score for misaligned images `wrong`; write `pair` if it has rows."""
        return kernels.search(
            self.bits, self._bits(np.flatnonzero(wrong)), self.size, self.sizes, self.known, self.M, self.n,
            self.xlogx, MIN_SIZE, MIN_WRONG, self.single, self.best, pair,
        )  # fmt: skip

    def significant(self, shuffle: Shuffle, level: float) -> list[tuple[list[int], float]]:
        """Return conditions with p-values of at most `level`: (columns, p)."""
        F = len(self.single)
        pair = np.empty((len(self.best), F))
        top = self.run(self.wrong, pair)
        if top <= 0:
            return []
        single, best = self.single.copy(), self.best.copy()
        null, no_pairs = np.empty(PERMUTATIONS), np.empty((0, F))
        allowed = math.floor(level * (PERMUTATIONS + 1) + 1e-9) - 1
        beaten = 0
        for b in range(PERMUTATIONS):
            null[b] = self.run(shuffle(), no_pairs)
            beaten += null[b] >= top
            if beaten > allowed:  # the best condition is not significant
                return []
        # At most `allowed` permutations reach a score above this one.
        critical = np.sort(null)[PERMUTATIONS - 1 - allowed]
        found = [(float(single[f]), [int(f)]) for f in np.flatnonzero(single > critical)]
        # A pair must exceed its better condition by more than the best of F noise conditions adds (upper tail
        # of half a chi-square variable with one degree of freedom, Bonferroni over F).
        extra = math.log(F / level) - 0.5 * math.log(4 * math.pi * 8)
        for b, f in zip(*np.nonzero(pair > critical)):
            a = best[b]
            if pair[b, f] >= max(single[a], single[f]) + extra:
                found.append((float(pair[b, f]), [int(a), int(f)]))
        return [(columns, (1 + int((null >= score).sum())) / (PERMUTATIONS + 1)) for score, columns in found]


def _shuffler(
    wrong: NDArray[np.bool_], sources: NDArray[np.intp] | None, rng: np.random.Generator
) -> Shuffle:
    """Return a function that permutes misalignment under the null hypothesis."""
    if sources is None:
        return lambda: rng.permutation(wrong)
    order = np.argsort(sources, kind="stable")
    _, starts, sizes = np.unique(sources[order], return_index=True, return_counts=True)
    ranked = wrong[order]
    if len(sizes) >= _MANY_SOURCES and len(wrong) / len(sizes) <= _SMALL_SOURCE:
        # Whole sources of equal size are permuted.
        blocks = [starts[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes)]

        def between() -> NDArray[np.bool_]:
            out = np.empty_like(wrong)
            for block in blocks:
                out[order[block]] = ranked[rng.permutation(block)]
            return out

        return between

    key = np.repeat(np.arange(len(sizes)), sizes)

    def within() -> NDArray[np.bool_]:
        out = np.empty_like(wrong)
        out[order] = ranked[np.lexsort((rng.random(len(wrong)), key))]
        return out

    return within


def _distinct(found: list[Slice], limit: int) -> list[Slice]:
    """Return the highest-ranked slices, without those covered by higher-ranked ones."""
    kept: list[Slice] = []
    covered: set[int] = set()
    for one in sorted(found, key=lambda x: (-x.score, len(x.conditions), x.name)):
        images = set(one.misaligned.tolist())
        if len(images & covered) <= _COVERED * len(images):
            kept.append(one)
            covered |= images
            if len(kept) == limit:
                break
    return kept
