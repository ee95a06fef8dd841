"""The demo with fresh exam scenes: the same design and cut-outs as its held-out scenes, other seeds."""

from collections.abc import Iterator

import numpy as np

from inficond.core.bench.planted import Planted
from inficond.core.concepts import concept_vectors
from inficond.core.demo.plan import SEED, scenes
from inficond.core.demo.project import demo_project
from inficond.core.demo.render import render
from inficond.core.facade import Project
from inficond.core.models.encoder import load_encoder

CLASS = "water bird"
_BATCH = 4


def demo_exams(count: int) -> Iterator[Planted]:
    """Yield the demo project with the exam scenes of `count` seeds; the attribute is the broken pairing.

    The pairing with the habitat makes water the shortcut: an image has the attribute if a water bird is in
    its habitat, or if another class is outside it, which is on water.
    """
    encoder = load_encoder("embedded")
    for exam in range(1, count + 1):
        project = Project.open(demo_project())
        by_id = {scene.id: scene for scene in scenes()}
        attribute = np.array([_on_water(by_id[i].klass, by_id[i].broken) for i in project.image_ids])
        plan = [scene for scene in scenes(SEED + exam) if scene.split == "val"]
        regions = []
        for start in range(0, len(plan), _BATCH):
            some = plan[start : start + _BATCH]
            pixels = np.zeros((_BATCH, *encoder.size, 3), np.uint8)
            for at, scene in enumerate(some):
                pixels[at] = encoder.preprocess(render(scene))
            regions.append(encoder.encode(pixels).regions[: len(some)].astype(np.float16))
        words = project.concept_embeddings
        assert words is not None
        yield Planted(
            project,
            CLASS,
            attribute,
            concept_vectors(np.concatenate(regions), np.asarray(words, np.float32)),
            np.array([scene.klass == CLASS for scene in plan]),
            np.array([_on_water(scene.klass, scene.broken) for scene in plan]),
        )


def _on_water(klass: str, broken: bool) -> bool:
    return broken != (klass == CLASS)
