"""One street: a town's style, a camera, a course and a sky, drawn once per frame."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from foglight.data.town.canvas import Array, Camera, Canvas
from foglight.data.town.noise import Noise
from foglight.data.town.style import TownStyle

Sky = Literal["clear", "cloudy", "overcast", "hazy"]
SKIES: tuple[Sky, ...] = ("clear", "cloudy", "overcast", "hazy")


@final
@dataclass(frozen=True)
class Scene:
    """What every part of the renderer needs; lengths in metres.

    Attributes:
        style: of the town.
        canvas: what is painted on.
        rng: draws everything in the frame, in a fixed order.
        noise: the frame's texture.
        offset: of the middle of the road from the camera.
        curve: the road's middle is at offset + curve * depth^2.
        sky: its kind.
        light: colour and strength of the light.
        sun: -1 where the sun stands on the left, 1 on the right.
    """

    style: TownStyle
    canvas: Canvas
    rng: np.random.Generator
    noise: Noise
    offset: float
    curve: float
    sky: Sky
    light: Array
    sun: int

    @property
    def sunny(self) -> bool:
        """Whether there are shadows."""
        return self.sky in ("clear", "cloudy")

    @property
    def kerb(self) -> float:
        """Distance of the kerb from the middle of the road."""
        return self.style.road_half

    @property
    def front(self) -> float:
        """Distance of the house fronts from the middle of the road."""
        return self.style.road_half + self.style.pavement_width

    def x(self, lateral: float, depth: float) -> float:
        """X of a point so far from the middle of the road, so far ahead."""
        return lateral + self.offset + self.curve * depth**2

    def pick(self, colours: Array) -> Array:
        """One of the colours, slightly varied."""
        colour = colours[int(self.rng.integers(len(colours)))]
        return np.clip(colour * np.float32(self.rng.uniform(0.85, 1.15)), 0, 1)


def draw_scene(style: TownStyle, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """An empty street in a town."""
    height, width = size
    focal = width * rng.uniform(0.55, 0.75)
    centre = (width * rng.uniform(0.42, 0.58), height * rng.uniform(0.36, 0.5))
    camera = Camera(focal, rng.uniform(1.2, 2.0), centre)
    sky = SKIES[int(rng.choice(len(SKIES), p=(0.3, 0.35, 0.2, 0.15)))]
    strength = rng.uniform(0.75, 1.15) if sky in ("clear", "cloudy") else rng.uniform(0.5, 0.85)
    warmth = style.warmth + rng.normal(0, 0.03)
    return Scene(
        style=style,
        canvas=Canvas(size, camera),
        rng=rng,
        noise=Noise(rng),
        offset=style.road_half * rng.uniform(0.2, 0.6) * (1 if rng.random() < 0.8 else -1),
        curve=rng.normal(0, 0.0012),
        sky=sky,
        light=(strength * np.array([1 + warmth, 1.0, 1 - warmth])).astype(np.float32),
        sun=1 if rng.random() < 0.5 else -1,
    )
