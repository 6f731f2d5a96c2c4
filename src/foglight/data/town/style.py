"""What makes a town: its colours, how wide its streets are, what stands in them. Whole towns are held out.

Every number is drawn once per town, so that a network that has learnt one town's bricks has not learnt the next one's.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Range = tuple[float, float]


@final
@dataclass(frozen=True)
class TownStyle:
    """Statistics of one town; lengths in metres, colours in [0, 1], densities as probabilities.

    Attributes:
        walls: colours of the house walls.
        foliage: colours of leaves.
        asphalt: colour of the road.
        paving: colour of the pavement.
        coats: colours of clothes.
        paints: colours of cars.
        road_half: half of the road's width.
        pavement_width: of each pavement.
        storeys: range of house heights in storeys.
        gap: probability that a plot has no house.
        greenery: probability of a tree at each possible place.
        traffic: probability of a car at each possible place.
        people: mean number of pedestrians.
        cobbled: probability of a cobbled street.
        brick: probability of a brick wall.
        warmth: how much redder than blue the light is.
        fog: range of the extinction coefficient in 1/metre.
    """

    walls: Array
    foliage: Array
    asphalt: Array
    paving: Array
    coats: Array
    paints: Array
    road_half: float
    pavement_width: float
    storeys: Range
    gap: float
    greenery: float
    traffic: float
    people: float
    cobbled: float
    brick: float
    warmth: float
    fog: Range


def draw_town(rng: np.random.Generator) -> TownStyle:
    """A town at random."""
    grey = rng.uniform(0.24, 0.42)
    tone = rng.uniform(0.38, 0.62)
    low = rng.uniform(1.0, 2.5)
    mist = rng.uniform(0.004, 0.012)
    return TownStyle(
        walls=_around(rng, rng.uniform((0.4, 0.34, 0.28), (0.72, 0.6, 0.52)), 5, 0.15),
        foliage=_around(rng, rng.uniform((0.1, 0.24, 0.05), (0.36, 0.42, 0.16)), 4, 0.06),
        asphalt=_around(rng, np.full(3, grey), 1, 0.02)[0],
        paving=_around(rng, np.full(3, tone), 1, 0.06)[0],
        coats=rng.uniform(0.04, 0.85, (8, 3)).astype(np.float32),
        paints=rng.uniform(0.05, 0.9, (6, 1)).astype(np.float32) * rng.uniform(0.5, 1.0, (6, 3)).astype(np.float32),
        road_half=rng.uniform(3.4, 5.6),
        pavement_width=rng.uniform(2.0, 4.2),
        storeys=(low, low + rng.uniform(0.8, 3.0)),
        gap=rng.uniform(0.2, 0.6),
        greenery=rng.uniform(0.1, 0.6),
        traffic=rng.uniform(0.25, 0.7),
        people=rng.uniform(3.0, 9.0),
        cobbled=rng.uniform(0.0, 0.4),
        brick=rng.uniform(0.1, 0.9),
        warmth=rng.uniform(-0.08, 0.12),
        fog=(mist, mist * rng.uniform(2.0, 4.0)),
    )


def _around(rng: np.random.Generator, colour: NDArray[np.float64], count: int, spread: float) -> Array:
    brightness, tint = rng.normal(0, spread, (count, 1)), rng.normal(0, spread / 3, (count, 3))
    return np.clip(colour + brightness + tint, 0.02, 0.98).astype(np.float32)
