"""Sky above the horizon and the street below it: road, markings, kerb, pavement and what lies beyond."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
from numpy.typing import NDArray

from foglight.data.town.canvas import FARTHEST, Array
from foglight.data.town.classes import MARKING, PAVEMENT, ROAD, SKY, VEGETATION
from foglight.data.town.scene import Scene

CENTRE_LINE, EDGE_LINE, CROSSING, STOP_LINE = range(MARKING, MARKING + 4)
KERB, GRAVEL, GRASS = PAVEMENT + 2, PAVEMENT + 3, VEGETATION + 3
REPAIRED: Final = ROAD + 3
KERB_WIDTH: Final = 0.22
SHADOW: Final = 0.55
TEXTURE_RANGE: Final = 12.0


@final
@dataclass(frozen=True)
class Footprint:
    """Where a car stands, for its shadow.

    Attributes:
        x: of its middle.
        near: depth of its rear.
        far: depth of its front.
        half: of its width.
    """

    x: float
    near: float
    far: float
    half: float


def paint_sky(scene: Scene) -> None:
    """The whole canvas; everything else is nearer."""
    canvas, rng = scene.canvas, scene.rng
    up = -canvas.rows[:, None] / np.float32(canvas.size[0])
    across = canvas.columns[None] / np.float32(canvas.size[1])
    blue = np.array([0.38, 0.58, 0.86], np.float32) * np.float32(rng.uniform(0.8, 1.1))
    grey = np.full(3, rng.uniform(0.62, 0.86), np.float32)
    grade = np.clip(up * 1.6, 0, 1)[..., None]
    texture = scene.noise(across * 7 + 3, up * 18) + 0.5 * scene.noise(across * 19, up * 41 + 9)
    if scene.sky in ("clear", "cloudy"):
        cloud = texture > (0.15 if scene.sky == "cloudy" else 0.95)
        canvas.image[:] = blue * grade + (0.5 * blue + 0.5) * (1 - grade)
        canvas.image[cloud] = grey + np.float32(0.1) * texture[cloud][:, None]
        canvas.label[:] = np.where(cloud, SKY + 1, SKY)
    else:
        canvas.image[:] = grey + np.float32(0.04) * texture[..., None] - np.float32(0.1) * grade
        haze = np.broadcast_to(up < 0.16, canvas.size) & (scene.sky == "hazy")
        canvas.label[:] = np.where(haze, SKY + 3, SKY + 2)
    canvas.image *= np.sqrt(scene.light)


def paint_ground(scene: Scene, footprints: Sequence[Footprint]) -> None:
    """Every pixel below the horizon."""
    canvas, camera = scene.canvas, scene.canvas.camera
    start = int(np.searchsorted(canvas.rows, camera.focal * camera.height / FARTHEST))
    column = np.float32(camera.focal * camera.height) / canvas.rows[start:, None]
    depth = np.broadcast_to(column, (len(column), canvas.size[1]))
    x = canvas.columns[None] * column / np.float32(camera.focal)
    lateral = x - np.float32(scene.offset) - np.float32(scene.curve) * column**2
    label, colour = _surfaces(scene, lateral, depth)
    grain = scene.noise(x * 5, depth * 5) / (1 + depth / np.float32(TEXTURE_RANGE))
    broad = scene.noise(x / 3 + 7, depth / 5)
    colour = colour * (1 + np.float32(0.12) * grain + np.float32(0.1) * broad)[..., None]
    canvas.image[start:] = colour * (scene.light * _shadows(scene, x, lateral, depth, footprints)[..., None])
    canvas.label[start:] = label
    canvas.depth[start:] = depth


def _surfaces(scene: Scene, lateral: Array, depth: Array) -> tuple[NDArray[np.uint8], Array]:
    """Class and colour of the ground at each point."""
    style, rng = scene.style, scene.rng
    side = np.abs(lateral)
    road = ROAD + (1 if rng.random() < style.cobbled else 2 if rng.random() < 0.2 else 0)
    paving = PAVEMENT + int(rng.integers(2))
    verge = GRASS if rng.random() < 0.65 else GRAVEL
    label = np.full(lateral.shape, verge, np.uint8)
    label[side < scene.front] = paving
    label[side < scene.kerb + KERB_WIDTH] = KERB
    label[side < scene.kerb] = road
    repaired = (scene.noise(lateral / 2, depth / 7) > 0.62) & (side < scene.kerb) & (rng.random() < 0.5)
    label[repaired] = REPAIRED
    _markings(scene, label, lateral, depth)
    colours = np.zeros((256, 3), np.float32)
    colours[ROAD : ROAD + 4] = style.asphalt * np.array([[1.0], [0.9], [1.35], [0.7]], np.float32)
    colours[MARKING : MARKING + 4] = np.float32(rng.uniform(0.65, 0.95))
    colours[PAVEMENT : PAVEMENT + 4] = style.paving * np.array([[1.0], [0.85], [1.25], [0.95]], np.float32)
    colours[PAVEMENT + 1] *= np.array([1.15, 0.9, 0.8], np.float32)
    colours[GRAVEL] = style.paving * np.array([1.05, 0.95, 0.75], np.float32)
    colours[GRASS] = scene.pick(style.foliage) * np.float32(1.2)
    colour = colours[label]
    joints = ((lateral / 0.6 % 1) < 0.1) | ((depth / 0.6 % 1) < 0.1)
    jointed = joints & (depth < TEXTURE_RANGE) & ((label == paving) | (label == ROAD + 1))
    colour[jointed] *= np.float32(0.8)
    return label, colour


def _markings(scene: Scene, label: NDArray[np.uint8], lateral: Array, depth: Array) -> None:
    rng, half = scene.rng, scene.kerb
    phase, dash, crossing = rng.uniform(0, 6), rng.uniform(0.4, 0.6), rng.uniform(6, 30)
    centred, edged, crossed = (bool(draw < share) for draw, share in zip(rng.random(3), (0.8, 0.4, 0.35), strict=True))
    if centred:
        label[(np.abs(lateral) < 0.1) & (((depth + phase) / 6 % 1) < dash)] = CENTRE_LINE
    if edged:
        label[np.abs(np.abs(lateral) - half + 0.35) < 0.09] = EDGE_LINE
    if crossed:
        on_road = np.abs(lateral) < half
        label[on_road & (np.abs(depth - crossing - 1.5) < 1.5) & ((lateral % 1) < 0.5)] = CROSSING
        own_lane = lateral * np.sign(scene.offset) < 0
        label[on_road & own_lane & (np.abs(depth - crossing + 1.2) < 0.25)] = STOP_LINE


def _shadows(scene: Scene, x: Array, lateral: Array, depth: Array, footprints: Sequence[Footprint]) -> Array:
    light = np.ones(lateral.shape, np.float32)
    if scene.sunny:
        edge = scene.rng.uniform(-0.5, 1.2) * scene.kerb
        jagged = edge + 1.5 * scene.noise(np.zeros_like(depth), np.floor(depth / 11) + np.float32(0.5))
        light[lateral * scene.sun > jagged] = SHADOW
    for foot in footprints:
        under = (np.abs(x - foot.x) < foot.half + 0.1) & (depth > foot.near - 0.3) & (depth < foot.far)
        light[under] *= np.float32(0.45)
    return light
