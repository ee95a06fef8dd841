"""Sizes and poses of the cut-outs, and the ground of each background.

Sizes are the length of a cut-out's longer side in pixels of a 256 px frame. Their order is that of nature (a
mouse is smaller than a capybara, a sedan smaller than a bus). Small subjects are shown as close-ups, low in
the frame and on a blurred background, so that they appear near and not giant.
"""

from dataclasses import dataclass
from typing import Literal

Pose = Literal["stand", "swim", "fly"]
Kind = Literal["water", "grass", "desert", "mountain", "forest", "city", "sky"]


@dataclass(frozen=True)
class CutoutStaging:
    """Size and pose of a cut-out.

    Attributes
    ----------
    size : tuple of int
        Smallest and largest length of the longer side, in pixels of a 256 px frame.
    pose : {'stand', 'swim', 'fly'}
        ``swim``: stands on land and floats on water; ``fly``: does not touch the ground.
    wade : float
        Fraction of the height that is under water on a water background.
    saturation : float
        Below 1 removes a colour cast of the photograph.
    exposure : float
        Above 1 brightens an underexposed photograph.
    """

    size: tuple[int, int]
    pose: Pose = "stand"
    wade: float = 0.16
    saturation: float = 1.0
    exposure: float = 1.0


@dataclass(frozen=True)
class BackgroundStaging:
    """Ground of a background, and how the photograph is prepared.

    Attributes
    ----------
    kind : str
        Habitat in the photograph.
    horizon : float
        Upper edge of the ground or water, as a fraction of the height from the top.
    stretch : tuple of float, optional
        ``(y, k)``: the part below the fraction ``y`` is stretched ``k`` times in height, which adds a
        foreground.
    close : bool
        Whether the photograph shows something small (moss, blades of grass), where only small subjects fit.
    soft : bool
        Whether the ground covers the lower edge of the subject.
    zoom : tuple of float
        Range of the crop's enlargement.
    left, right : float
        Part of the width that crops may use, as fractions.
    exposure : float
        Above 1 brightens a dark photograph.
    """

    kind: Kind
    horizon: float
    stretch: tuple[float, float] | None = None
    close: bool = False
    soft: bool = False
    zoom: tuple[float, float] = (1.0, 1.3)
    left: float = 0.0
    right: float = 1.0
    exposure: float = 1.0


BACKGROUNDS: dict[str, BackgroundStaging] = {
    "waves": BackgroundStaging("water", 0.52),
    "dusk_lake": BackgroundStaging("water", 0.62),
    "loch": BackgroundStaging("water", 0.70, stretch=(0.72, 1.4)),
    "chenonceau": BackgroundStaging("water", 0.70, stretch=(0.74, 1.4)),
    "temple_pool": BackgroundStaging("water", 0.68, stretch=(0.72, 1.4)),
    "meadow": BackgroundStaging("grass", 0.62, soft=True),
    "chambord": BackgroundStaging("grass", 0.62, soft=True),
    "victoria": BackgroundStaging("grass", 0.88, stretch=(0.91, 3.6), soft=True, right=0.7),
    "trier": BackgroundStaging("grass", 0.68, soft=True, left=0.12),
    "blades": BackgroundStaging("grass", 0.40, close=True, soft=True),
    "giza": BackgroundStaging("desert", 0.72),
    "bent_pyramid": BackgroundStaging("desert", 0.60),
    "red_pyramid": BackgroundStaging("desert", 0.62),
    "meidum": BackgroundStaging("desert", 0.72),
    "dune": BackgroundStaging("desert", 0.55, close=True, soft=True),
    "picos": BackgroundStaging("mountain", 0.62, soft=True),
    "machu": BackgroundStaging("mountain", 0.80, soft=True),
    "canyon": BackgroundStaging("mountain", 0.72, soft=True, left=0.3),
    "igloo": BackgroundStaging("mountain", 0.84, stretch=(0.88, 2.2)),
    "wall": BackgroundStaging("mountain", 0.70, soft=True, left=0.2),
    "path": BackgroundStaging("forest", 0.55, soft=True, exposure=1.45),
    "creek": BackgroundStaging("forest", 0.75),
    "moss": BackgroundStaging("forest", 0.60, close=True, soft=True),
    "leaves": BackgroundStaging("forest", 0.60, close=True, soft=True),
    "corn_maze": BackgroundStaging("forest", 0.75, close=True, soft=True, exposure=1.15),
    "arc": BackgroundStaging("city", 0.89, stretch=(0.955, 4.5)),
    "palais": BackgroundStaging("city", 0.89, stretch=(0.955, 4.5)),
    "gate": BackgroundStaging("city", 0.86, stretch=(0.93, 3.0)),
    "mysore": BackgroundStaging("city", 0.93, stretch=(0.955, 4.5)),
    "road": BackgroundStaging("city", 0.72, stretch=(0.70, 1.3)),
    "clouds": BackgroundStaging("sky", 1.0),
    "kite_sky": BackgroundStaging("sky", 1.0),
    "bridge_sky": BackgroundStaging("sky", 1.0),
    "storm_sky": BackgroundStaging("sky", 1.0),
}

CUTOUTS: dict[str, CutoutStaging] = {
    # water bird
    "duck": CutoutStaging((130, 170), "swim", 0.16),
    "drake": CutoutStaging((130, 165), "swim", 0.18),
    "gander": CutoutStaging((145, 185), "swim", 0.30),
    "pelican": CutoutStaging((150, 195), "swim", 0.14),
    "seagull": CutoutStaging((140, 185), "fly"),
    "crowned_crane": CutoutStaging((150, 190), "stand", 0.20),
    "penguin": CutoutStaging((130, 170), "stand", 0.12),
    # land bird
    "hen": CutoutStaging((100, 130)),
    "rooster": CutoutStaging((110, 145)),
    "chicken_profile": CutoutStaging((105, 135)),
    "turkey": CutoutStaging((120, 155)),
    "peacock": CutoutStaging((165, 205), exposure=1.4),
    "blackbird": CutoutStaging((90, 118), exposure=1.25),
    "crow": CutoutStaging((100, 130)),
    "magpie": CutoutStaging((90, 113)),
    "lark": CutoutStaging((90, 118)),
    "pigeon": CutoutStaging((92, 122)),
    "rainbow-lorikeet": CutoutStaging((92, 120)),
    "adelaide-rosella": CutoutStaging((86, 108)),
    "tucan": CutoutStaging((115, 145), "fly"),
    "owl": CutoutStaging((105, 140)),
    "nandou": CutoutStaging((150, 190)),
    # cattle
    "bison": CutoutStaging((145, 190), saturation=0.3),
    "bull": CutoutStaging((145, 190)),
    "cow": CutoutStaging((145, 190)),
    "zebu": CutoutStaging((145, 190)),
    "yak": CutoutStaging((145, 190), saturation=0.45, exposure=1.15),
    "gnu-sitting": CutoutStaging((130, 165), wade=0.2),
    "gnu-stand": CutoutStaging((140, 180), saturation=0.6),
    # sheep, goat or deer
    "ram": CutoutStaging((115, 150)),
    "sheep": CutoutStaging((115, 150), wade=0.12),
    "mountaingoat": CutoutStaging((115, 150)),
    "goat": CutoutStaging((115, 150)),
    "caribou": CutoutStaging((140, 175)),
    "deer": CutoutStaging((135, 170)),
    "doe": CutoutStaging((125, 160)),
    "wapiti": CutoutStaging((140, 175)),
    "indian_blackbuck": CutoutStaging((130, 165)),
    "gnu-baby": CutoutStaging((120, 155)),
    "kangaroo": CutoutStaging((100, 112)),
    # pig
    "pig": CutoutStaging((130, 165)),
    "pig_golden": CutoutStaging((125, 160)),
    "wildboar": CutoutStaging((125, 160)),
    # small furry animal
    "beaver": CutoutStaging((100, 130), wade=0.25),
    "marmot": CutoutStaging((85, 112)),
    "squirrel": CutoutStaging((78, 102)),
    "rabbit": CutoutStaging((92, 122)),
    "rabbit_little": CutoutStaging((85, 112)),
    "rat": CutoutStaging((84, 108), exposure=1.25),
    "otter": CutoutStaging((112, 145)),
    "badger": CutoutStaging((112, 145)),
    "ferret": CutoutStaging((85, 112)),
    "koala": CutoutStaging((95, 125)),
    "wombat": CutoutStaging((105, 135), saturation=0.25),
    # road vehicle
    "beetle": CutoutStaging((105, 128)),
    "sedan": CutoutStaging((140, 180)),
    "sportscar2": CutoutStaging((140, 180)),
    "truck": CutoutStaging((155, 195)),
    "garbagetruck": CutoutStaging((185, 226)),
    "green_korean_bus": CutoutStaging((190, 230)),
    "indycar": CutoutStaging((150, 190)),
    "dumper": CutoutStaging((125, 160)),
    "pink_tricycle": CutoutStaging((90, 112)),
    # aircraft
    "f22_raptor": CutoutStaging((140, 190), "fly"),
    "747": CutoutStaging((160, 215), "fly"),
    "balloon360": CutoutStaging((120, 175), "fly"),
    "paratrooper": CutoutStaging((120, 165), "fly"),
    # mushroom
    "cep": CutoutStaging((88, 122), wade=0.12),
    "cep-1": CutoutStaging((88, 122), wade=0.12),
    "cep-2": CutoutStaging((88, 122), wade=0.12),
    # fruit
    "cherimoya": CutoutStaging((85, 112), wade=0.25),
    "mandarine": CutoutStaging((72, 95), wade=0.25),
    "apple_green": CutoutStaging((52, 68), wade=0.25),
}
