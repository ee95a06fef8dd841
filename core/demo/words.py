"""Words of the demo's students: those of the built-in corpus that collages can show.

With all 580 words, students are harder to interpret: the scenes consist of few photographs, and words for
kitchens and offices get weights by chance. The demo therefore leaves out indoor words and some others, and
puts all words related to water into one group, which can be muted in one step. Any word can be added in the
app.
"""


def _listed(text: str) -> frozenset[str]:
    return frozenset(word.strip() for word in text.replace("\n", " ").split(","))


WATER = _listed(
    """water, sea, river, lake, waterfall, foam, swimming pool, beach, boat, sailboat, ship,
    oar, life buoy, dock, dolphin, whale, fish, goldfish, lobster, coral"""
)
GROUPS = _listed("animal, animal part and home, vehicle, vehicle part, plant, sky and land, building, street")
BESIDE = _listed("apple, banana, fruit, orange, vegetable, pumpkin, kite, balloon, ball, person")
ODD = _listed(
    """birdcage, bird feeder, fish tank, fishbowl, atrium, ceiling, tiled ceiling, escalator,
    exhibition booth, control booth, furnace, handrail, pipe, water pipe, platform, stage, telephone
    booth, tiled wall, wall panel, wooden wall, sewer, door, patio, court, meter box, security
    camera, pole, sign, parking meter, kart, soapbox car, drone, missile, rocket, BMX bike,
    motocross bike, sidecar, wheelchair, stroller, shopping cart, forklift, crane, flame, smoke,
    bone, straw, running track, swing, speed bump, monitor lizard, engine, saddle, tank, cart, sled,
    snowmobile, shell, seaplane"""
)


def group_of(word: str, group: str) -> str | None:
    """Return the group of a word in the demo; None if the demo does not use it.

    Parameters
    ----------
    word, group : str
        Word and group of the built-in corpus.
    """
    if word in WATER:
        return "water"
    if word in BESIDE or (group in GROUPS and word not in ODD):
        return group
    return None
