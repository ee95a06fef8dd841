"""Generated scenes of the demo's design, encoded."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from inficond.core.progress import Progress


@dataclass(frozen=True, eq=False)
class Population:
    """Scenes: N images, K concepts, C classes.

    Parameters
    ----------
    X : (N, K) float32
    T : (N, C) float32
    concepts, classes : tuple of str
    """

    X: NDArray[np.float32]
    T: NDArray[np.float32]
    concepts: tuple[str, ...]
    classes: tuple[str, ...]


def generated_scenes(folder: Path, seeds: int, progress: "Progress", first: int = 0) -> Population:
    """Return sets of 1,200 scenes of the demo's design, each of another seed.

    Parameters
    ----------
    folder : Path
        Encoded scenes; those that exist are reused.
    seeds : int
        Sets besides the first.
    progress : Progress
    first : int
        Number of the first set; set 0 is the demo's.
    """
    from inficond.core.concepts import concept_vectors
    from inficond.core.demo import demo_project
    from inficond.core.demo.build import TEMPERATURE, through_the_pipeline
    from inficond.core.facade import Project
    from inficond.core.models.class_sets import share_among

    demo = Project.open(demo_project())
    words = np.asarray(demo.concept_embeddings)

    def further(seed: int) -> tuple[Any, Any]:
        file = folder / f"scenes-{seed}.npz"
        if not file.exists():
            with tempfile.TemporaryDirectory(prefix="inficond-scenes-") as work:
                made = through_the_pipeline(Path(work), progress, seed)
                X = concept_vectors(np.asarray(made.region_embeddings), words)
                T = share_among(np.asarray(made.T), TEMPERATURE)
            folder.mkdir(parents=True, exist_ok=True)
            np.savez(file, X=X, T=T)
        with np.load(file, allow_pickle=False) as data:
            return data["X"], data["T"]

    found = [
        further(seed) if seed else (np.asarray(demo.X), np.asarray(demo.T))
        for seed in range(first, first + seeds + 1)
    ]
    return Population(
        np.concatenate([X for X, _ in found]).astype(np.float32),
        np.concatenate([T for _, T in found]).astype(np.float32),
        tuple(demo.concepts),
        tuple(demo.classes),
    )
