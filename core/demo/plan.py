"""Plan of the demo's 1,200 scenes: cut-out, background, position and size of each, from one seed.

Training scenes show each class in its habitat only, so a student may learn the habitat instead of the class.
Half of the validation scenes break this pairing. No cut-out occurs in both parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal, TypeVar

from inficond.core.demo.staging import BACKGROUNDS, CUTOUTS, Kind

SEED = 2406_17838
FRAME = 256
TRAINING, VALIDATION = 72, 48  # scenes per class

# Backgrounds of the habitat of each class.
HABITAT: dict[str, tuple[str, ...]] = {
    "water bird": ("waves", "loch", "chenonceau", "temple_pool"),
    "land bird": ("path", "moss", "leaves", "corn_maze", "blades"),
    "cattle": ("meadow", "chambord", "victoria", "trier"),
    "sheep, goat or deer": ("picos", "machu", "canyon", "igloo"),
    "pig": ("giza", "bent_pyramid", "red_pyramid", "meidum"),
    "small furry animal": ("path", "moss", "leaves", "corn_maze"),
    "road vehicle": ("arc", "palais", "gate", "mysore", "road"),
    "aircraft": ("clouds", "kite_sky", "bridge_sky", "storm_sky"),
    "mushroom": ("path", "moss", "leaves"),
    "fruit": ("leaves", "blades", "dune", "moss"),
}

# Kinds of background of the scenes that break the pairing, by class.
BROKEN: dict[str, tuple[Kind, ...]] = {"water bird": ("grass", "desert", "mountain", "forest")}
ELSEWHERE: tuple[Kind, ...] = ("water",)
UNUSED = ("wall", "creek", "dusk_lake")  # no ground to stand on; water in a wood; hardly any water

# Cut-outs that are only in validation.
HELD_OUT: dict[str, tuple[str, ...]] = {
    "water bird": ("duck", "gander", "crowned_crane"),
    "land bird": ("rooster", "crow", "turkey", "hen"),
    "cattle": ("cow", "yak", "bison"),
    "sheep, goat or deer": ("sheep", "deer", "mountaingoat"),
    "pig": ("pig",),
    "small furry animal": ("beaver", "squirrel", "wombat", "otter"),
    "road vehicle": ("sportscar2", "truck", "dumper"),
    "aircraft": ("f22_raptor", "balloon360"),
    "mushroom": ("cep-1",),
    "fruit": ("mandarine",),
}

Item = TypeVar("Item")


@dataclass(frozen=True)
class Scene:
    """Plan of one collage.

    Attributes
    ----------
    id : str
        File name.
    klass, cutout, background : str
        Class, cut-out and background.
    split : {'train', 'val'}
        Part of the data; each cut-out is in one part only.
    broken : bool
        Whether the background is outside the class's habitat.
    zoom, shift : float
        Enlargement of the background's crop, and its position in the possible range.
    size : int
        Length of the subject's longer side, in pixels.
    x, y : float
        Centre and lower edge of the subject (the centre, if it flies), as fractions of the free range.
    flip : bool
        Mirrored subject.
    mirror : bool
        Mirrored background.
    """

    id: str
    klass: str
    cutout: str
    background: str
    split: Literal["train", "val"]
    broken: bool
    zoom: float
    shift: float
    size: int
    x: float
    y: float
    flip: bool
    mirror: bool


def _pick(random: Random, items: Sequence[Item]) -> Item:
    """Return one of `items`; only ``Random.random`` is reproducible across Python versions."""
    return items[int(random.random() * len(items))]


def _shuffled(random: Random, items: Sequence[Item]) -> list[Item]:
    keys = [random.random() for _ in items]
    return [item for _, item in sorted(zip(keys, items), key=lambda pair: pair[0])]


def _fits(cutout: str, background: str) -> bool:
    """Return whether a background has the scale of a cut-out."""
    return not BACKGROUNDS[background].close or CUTOUTS[cutout].size[1] <= 145


@cache
def scenes(seed: int = SEED) -> tuple[Scene, ...]:
    """Return the scenes of the demo, in the order of the project's images.

    Parameters
    ----------
    seed : int
        Another seed gives other scenes of the same design.

    Returns
    -------
    tuple of Scene
        ``len(HABITAT) * (TRAINING + VALIDATION)`` of them, shuffled.
    """
    from inficond.core.demo.material import manifest

    members: dict[str, list[str]] = {klass: [] for klass in HABITAT}
    for name, entry in manifest()["cutouts"].items():
        members[entry["class"]].append(name)

    random = Random(f"scenes {seed}")
    found: list[Scene] = []
    for klass, habitat in HABITAT.items():
        held = HELD_OUT[klass]
        kept = [name for name in members[klass] if name not in held]
        habitat_kinds = {BACKGROUNDS[name].kind for name in habitat}
        kinds = [kind for kind in BROKEN.get(klass, ELSEWHERE) if kind not in habitat_kinds]
        for split, names, count in (("train", kept, TRAINING), ("val", list(held), VALIDATION)):
            for i in range(count):
                name = names[i % len(names)]
                broken = split == "val" and (i // len(names)) % 2 == 1
                if broken:
                    kind = _pick(random, kinds)
                    stages = [b for b, s in BACKGROUNDS.items() if s.kind == kind and b not in UNUSED]
                else:
                    stages = list(habitat)
                stage = _pick(random, [b for b in stages if _fits(name, b)])
                found.append(_scene(random, klass, name, stage, split, broken))  # type: ignore[arg-type]
    order = _shuffled(random, found)
    return tuple(
        Scene(**{**scene.__dict__, "id": f"{i:04d}_{_slug(scene)}.jpg"}) for i, scene in enumerate(order)
    )


def _scene(
    random: Random, klass: str, name: str, stage: str, split: Literal["train", "val"], broken: bool
) -> Scene:
    low, high = CUTOUTS[name].size
    near, far = BACKGROUNDS[stage].zoom
    return Scene(
        id="",
        klass=klass,
        cutout=name,
        background=stage,
        split=split,
        broken=broken,
        zoom=near + (far - near) * random.random(),
        shift=random.random(),
        size=low + int((high - low + 1) * random.random()),
        x=random.random(),
        y=random.random(),
        flip=random.random() < 0.5,
        mirror=random.random() < 0.5,
    )


def _slug(scene: Scene) -> str:
    return f"{scene.cutout}_{scene.background}".replace("_", "-")
