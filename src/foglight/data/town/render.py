"""A frame of fogtown as a pure function of (seed, town, index)."""

from dataclasses import dataclass
from typing import Final, final

import numpy as np
from jaxtyping import Float32, UInt8

from foglight.data.town.canvas import Camera
from foglight.data.town.furniture import furnish
from foglight.data.town.greenery import plant_trees
from foglight.data.town.ground import paint_ground, paint_sky
from foglight.data.town.houses import line_street
from foglight.data.town.people import paint_people
from foglight.data.town.scene import draw_scene
from foglight.data.town.style import TownStyle, draw_town
from foglight.data.town.traffic import draw_traffic, paint_vehicle
from foglight.data.town.weather import add_fog, expose
from foglight.types import derive_seed

SMALLEST: Final = 16


@final
@dataclass(frozen=True)
class TownFrame:
    """One rendered frame.

    Attributes:
        image: red, green, blue bytes, through fog and sensor.
        depth: metres; 200 for the sky and whatever is further.
        label: finer class, 0..47.
        beta: extinction coefficient of the fog in 1/metre.
        camera: that it was seen with; the canvas counts pixel centres at halves.
    """

    image: UInt8[np.ndarray, "h w 3"]
    depth: Float32[np.ndarray, "h w"]
    label: UInt8[np.ndarray, "h w"]
    beta: float
    camera: Camera


def town_style(seed: int, town: int) -> TownStyle:
    """The style of a town."""
    return draw_town(np.random.default_rng(derive_seed(seed, "town", town)))


def render(seed: int, town: int, index: int, *, size: tuple[int, int], fog: float = 1.0) -> TownFrame:
    """One frame; `fog` multiplies the fog's density and changes nothing else.

    Raises:
        ValueError: if the size is below 16x16 or the fog is negative.
    """
    if min(size) < SMALLEST or fog < 0:
        raise ValueError(f"expected a size of at least {SMALLEST}x{SMALLEST} and fog >= 0, got {size} and {fog}")
    style = town_style(seed, town)
    rng = np.random.default_rng(derive_seed(seed, "frame", town, index))
    beta = rng.uniform(*style.fog) * fog
    scene = draw_scene(style, size, rng)
    traffic = draw_traffic(scene)
    paint_sky(scene)
    airlight = (rng.uniform(0.62, 0.85) * np.sqrt(scene.light)).astype(np.float32)
    paint_ground(scene, [vehicle.footprint for vehicle in traffic])
    line_street(scene)
    plant_trees(scene)
    furnish(scene)
    for vehicle in traffic:
        paint_vehicle(scene, vehicle)
    paint_people(scene)
    canvas = scene.canvas
    image = expose(add_fog(canvas.image, canvas.depth, beta, airlight), rng)
    return TownFrame(image, canvas.depth, canvas.label, beta, canvas.camera)
