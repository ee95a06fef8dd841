"""Concepts by discovery: groups of training regions that explain what the concepts in force leave over.

The training regions are grouped by k-means. Each group is a candidate for a concept by example, as if a
person had shown the regions nearest to its centre. The candidates are ranked like missing words: by the
predicted decrease of the training objective of a class, among those that also reduce the loss on
validation images.
The crops define such a concept. Its name is a person's; words near the group are offered as suggestions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from inficond.core.concepts.clusters import cluster
from inficond.core.concepts.neutral import neutral_regions
from inficond.core.concepts.unit_length import unit_length
from inficond.core.errors import InputError
from inficond.core.progress import Progress, Silent
from inficond.core.sessions.shown_concepts import SUFFIX, ImageRegion, mean_region, vector_between
from inficond.core.tuning.missing import MissingConcept, missing_concepts

if TYPE_CHECKING:
    from inficond.core.sessions.session import Session

GROUPS = 48
"""Groups of regions; at most one for every `LEAST_IMAGES` images."""
LEAST_IMAGES = 6
"""Fewest images of a group."""
SEEN_IMAGES = 2000
"""Most training images whose regions are grouped."""
EXAMPLES = 24
"""Most regions that define a concept, each of another image."""
FOUND = 12
"""Concepts that are offered by default."""
PER_CLASS = 4
"""Most of one class, unless only this class is asked for."""
NAMES = 3
"""Suggested names of each."""


@dataclass(frozen=True)
class DiscoveredConcept:
    """A group of regions that would improve a class as a concept.

    Parameters
    ----------
    cls : str
        The class that it would improve most.
    examples : tuple of (image id, region)
        Regions that define it, the most typical first.
    images : int
        Training images with a region of the group.
    weight : float
        Predicted weight in the class, in standardised units.
    effect : str
        Predicted change of the class's log loss on validation images.
    names : tuple of str
        Suggested names: words near the group, nearest first.
    """

    cls: str
    examples: tuple[ImageRegion, ...]
    images: int
    weight: float
    effect: str
    names: tuple[str, ...]

    @property
    def measured(self) -> str:
        """One line of text without the suggested names."""
        return f"in {self.images} images; weight about {self.weight:+.2f}, {self.effect}"

    @property
    def text(self) -> str:
        """One line of text."""
        return self.measured + (f"; perhaps {', '.join(self.names)}" if self.names else "")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "class": self.cls,
            "examples": [list(pair) for pair in self.examples],
            "images": self.images,
            "weight": self.weight,
            "effect": self.effect,
            "names": list(self.names),
            "text": self.text,
        }


def discover_concepts(
    session: "Session", most: int = FOUND, cls: str | None = None, progress: Progress | None = None
) -> list[DiscoveredConcept]:
    """Return concepts without words that the students lack, class by class.

    The result depends on the project and the node only.

    Parameters
    ----------
    session : Session
    most : int
        Largest number of concepts.
    cls : str, optional
        Only what this class lacks.
    progress : Progress, optional

    Raises
    ------
    InputError
        The project stores no regions, or there is no such class.

    Examples
    --------
    >>> from inficond.core import Project
    >>> from inficond.core.demo import demo_project
    >>> from inficond.core.sessions.discovery import discover_concepts
    >>> session = Project.open(demo_project()).session()
    >>> found = discover_concepts(session, most=2, cls="mushroom")
    >>> [one.cls for one in found], len(found[0].examples) > 5
    (['mushroom', 'mushroom'], True)
    """
    if most < 1:
        raise InputError(f"at least 1 concept must be wanted, not {most}")
    classes = list(session.classes) if cls is None else [session.classes[session.class_index(cls)]]
    progress = progress or Silent()
    progress.start("grouping regions", len(classes) + 1)
    groups = _groups(session)
    progress.advance()
    if not groups:
        return []
    known = session.queries.required_embeddings()
    labels = [f"group {i}{SUFFIX}" for i in range(len(groups))]
    vectors = np.stack([one.vector for one in groups])
    each = most if cls is not None else min(most, PER_CLASS)
    regions = session.project.region_embeddings
    best: dict[str, MissingConcept] = {}
    for name in classes:
        for one in missing_concepts(
            session.workspace, session.state, name, labels, vectors, regions, known, count=each
        ):
            if one.word not in best or one.gain > best[one.word].gain:
                best[one.word] = one
        progress.advance()
    kept = sorted(best.values(), key=lambda one: -one.gain)[:most]
    named = _suggested_names(session, [groups[labels.index(one.word)] for one in kept])
    found = []
    for one, group, names in zip(kept, (groups[labels.index(k.word)] for k in kept), named):
        loss = one.fidelity["bce"]
        effect = f"log loss {loss.before:.3f} → {loss.after:.3f} ({loss.verdict})"
        found.append(
            DiscoveredConcept(one.cls, group.examples, group.images, one.weight, effect, tuple(names))
        )
    return sorted(found, key=lambda one: session.classes.index(one.cls))


@dataclass(frozen=True)
class _Group:
    examples: tuple[ImageRegion, ...]
    images: int
    mean: NDArray[np.float64]
    vector: NDArray[np.float32]


def _groups(session: "Session") -> list[_Group]:
    """Return groups of training regions that are large enough."""
    project = session.project
    rows = project.training_rows
    if len(rows) > SEEN_IMAGES:
        rows = rows[np.linspace(0, len(rows) - 1, SEEN_IMAGES).round().astype(int)]
    regions = np.asarray(project.region_embeddings[rows], np.float32)
    n, r, d = regions.shape
    flat = regions.reshape(n * r, d)
    centred = unit_length(flat - flat.mean(axis=0)).astype(np.float32)
    centres, group = cluster(centred, min(GROUPS, max(1, n // LEAST_IMAGES)))
    closeness = np.einsum("md,md->m", centred, centres[group])
    found, other = [], mean_region(project)
    for k in range(len(centres)):
        members = np.flatnonzero(group == k)
        members = members[np.argsort(-closeness[members], kind="stable")]
        images, first = np.unique(members // r, return_index=True)  # the best region of each image
        if len(images) < LEAST_IMAGES:
            continue
        typical = members[np.sort(first)][:EXAMPLES]
        examples = tuple((session.image_ids[int(rows[m // r])], m % r) for m in typical.tolist())
        mean = flat[members].mean(axis=0).astype(np.float64)
        vector = vector_between(flat[typical].astype(np.float64).mean(axis=0), other)
        found.append(_Group(examples, len(images), mean, vector))
    return found


def _suggested_names(session: "Session", groups: list[_Group]) -> list[list[str]]:
    """Return the words nearest to each group, corrected for hubness; none without a text tower."""
    if not groups:
        return []
    try:
        names, texts = session.context.words.vocabulary()
        own = [name for name in session.project.concepts if not name.endswith(SUFFIX)]
        columns = [session.project.concepts.index(name) for name in own]
        vectors = np.concatenate([session.context.words.project_texts()[columns], texts])
    except InputError:
        return [[] for _ in groups]
    spec = (session.project.config.get("encoder") or {}).get("spec")
    project = session.project
    sample = np.asarray(project.region_embeddings[project.training_rows[:SEEN_IMAGES]])
    hubness = neutral_regions(spec, sample).hubness(np.asarray(vectors, np.float32))
    words = [*own, *names]
    means = unit_length(np.stack([one.mean for one in groups]))
    scores = 2 * means @ vectors.T - hubness
    return [[words[k] for k in np.argsort(-row, kind="stable")[:NAMES]] for row in scores]
