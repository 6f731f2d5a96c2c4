"""The 12 classes of fogtown, the 48 finer ones, and which belongs to which.

A finer class 4 c + j is variety j of class c. The renderer always paints finer classes; coarse labels are a division.
"""

from typing import Final

import numpy as np
from jaxtyping import UInt8

Colour = tuple[int, int, int]
VARIETIES: Final = 4

COARSE: Final[dict[str, Colour]] = {
    "road": (128, 64, 128),
    "lane marking": (235, 235, 235),
    "pavement": (244, 35, 232),
    "building": (70, 70, 70),
    "fence": (190, 153, 153),
    "pole": (153, 153, 90),
    "sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "sky": (70, 130, 180),
    "car": (0, 0, 142),
    "pedestrian": (220, 20, 60),
    "bicyclist": (119, 11, 32),
}
ROAD, MARKING, PAVEMENT, BUILDING, FENCE, POLE, SIGN, VEGETATION, SKY, CAR, PEDESTRIAN, BICYCLIST = range(
    0, VARIETIES * len(COARSE), VARIETIES
)
FINE_NAMES: Final = (
    *("asphalt", "cobbles", "concrete", "repaired asphalt"),
    *("centre line", "edge line", "crossing", "stop line"),
    *("slabs", "brick pavement", "kerb", "gravel"),
    *("brick wall", "plaster wall", "window", "roof edge"),
    *("wooden fence", "railing", "stone wall", "crash barrier"),
    *("lamp post", "utility pole", "bollard", "traffic-light pole"),
    *("round sign", "triangular sign", "square sign", "traffic light"),
    *("broadleaf tree", "conifer", "hedge", "grass"),
    *("clear sky", "cloud", "overcast sky", "haze"),
    *("car", "van", "lorry", "bus"),
    *("adult", "child", "worker", "person with umbrella"),
    *("cyclist", "motorcyclist", "scooter rider", "cargo bicycle"),
)
# How far each variety's colour is moved from its class's, towards white where positive and black where negative.
SHADES: Final = (0.0, 0.3, -0.3, 0.55)
FINE_TO_COARSE: Final = tuple(fine // VARIETIES for fine in range(len(FINE_NAMES)))


def shade(colour: Colour, amount: float) -> Colour:
    """A colour moved towards white or black.

    >>> shade((100, 0, 200), -0.5)
    (50, 0, 100)
    """
    target = 255 if amount > 0 else 0
    red, green, blue = (round(channel + abs(amount) * (target - channel)) for channel in colour)
    return red, green, blue


def fine_palette() -> tuple[Colour, ...]:
    """One colour per finer class: shades of the class's colour."""
    return tuple(shade(colour, amount) for colour in COARSE.values() for amount in SHADES)


def to_coarse(fine: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """The class of each finer class."""
    return fine // np.uint8(VARIETIES)
