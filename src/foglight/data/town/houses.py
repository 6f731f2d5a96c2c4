"""What lines the street: houses with windows, fences and hedges in the gaps, and a skyline at the end."""

from typing import Final

import numpy as np

from foglight.data.town.canvas import Array, Paint, Painter
from foglight.data.town.classes import BUILDING, FENCE, VEGETATION
from foglight.data.town.greenery import plant_tree
from foglight.data.town.scene import Scene

BRICK, PLASTER, WINDOW, ROOF_EDGE = range(BUILDING, BUILDING + 4)
WOOD, RAILING, STONE, BARRIER = range(FENCE, FENCE + 4)
HEDGE: Final = VEGETATION + 2
STOREY: Final = 3.0
END: Final = 150.0
SKYLINE: Final = 175.0


def line_street(scene: Scene) -> None:
    """Both sides, plot by plot, and the skyline."""
    for side in (-1, 1):
        depth = scene.rng.uniform(-6, 2)
        while depth < END:
            length = scene.rng.uniform(6, 18)
            if scene.rng.random() < scene.style.gap:
                _garden(scene, side, depth, length)
            else:
                _house(scene, side, depth, length)
            depth += length
    _skyline(scene)


def _house(scene: Scene, side: int, near: float, length: float) -> None:
    rng = scene.rng
    lateral = side * (scene.front + (rng.uniform(0, 3) if rng.random() < 0.4 else 0.0))
    x = scene.x(lateral, max(near, 0) + length / 2)
    height = STOREY * rng.uniform(*scene.style.storeys) + 0.6
    lit = 0.6 if side == scene.sun and scene.sunny else 1.0
    painter = wall_painter(scene, height)
    scene.canvas.wall(x, near, near + length, height, _lit(painter, lit))
    scene.canvas.board(
        x + side * 5,
        near,
        10.0,
        height,
        lambda s, t: _lit(painter, 0.8)((s + 1) * np.float32(5), t * np.float32(height)),
    )


def wall_painter(scene: Scene, height: float) -> Painter:
    """A house front: wall, rows of windows, and an edge under the roof."""
    rng = scene.rng
    colour = scene.pick(scene.style.walls) * scene.light
    wall = BRICK if rng.random() < scene.style.brick else PLASTER
    spacing, wide, tall = rng.uniform(1.8, 3.6), rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.62)
    glass = np.array([0.2, 0.24, 0.3], np.float32) * np.float32(rng.uniform(0.6, 1.8))
    edge = colour * np.float32(rng.uniform(0.55, 0.85))
    phase = rng.uniform(0, 50)

    def paint(along: Array, up: Array) -> Paint:
        across, upwards = along / np.float32(spacing), (up - np.float32(0.5)) / np.float32(STOREY)
        window = (np.abs(across % 1 - 0.5) < wide / 2) & (np.abs(upwards % 1 - 0.5) < tall / 2)
        window &= (up > 0.5) & (up < height - 0.9)
        roof = up > height - 0.5
        grain = scene.noise(along * 2 + phase, up * (9 if wall == BRICK else 2))
        shade = (1 + np.float32(0.14 if wall == BRICK else 0.07) * grain)[..., None]
        pane = scene.noise(np.floor(across) * 3 + phase, np.floor(upwards) * 5)[..., None]
        painted = np.where(window[..., None], glass * (1 + 0.6 * pane), colour * shade)
        painted = np.where(roof[..., None], edge, painted)
        label = np.where(roof, ROOF_EDGE, np.where(window, WINDOW, wall)).astype(np.uint8)
        return np.ones(up.shape, np.bool_), painted.astype(np.float32), label

    return paint


def _lit(painter: Painter, light: float) -> Painter:
    def paint(along: Array, up: Array) -> Paint:
        mask, colour, label = painter(along, up)
        return mask, colour * np.float32(light), label

    return paint


def _garden(scene: Scene, side: int, near: float, length: float) -> None:
    rng = scene.rng
    x = scene.x(side * scene.front, max(near, 0) + length / 2)
    kind = int(rng.choice([WOOD, RAILING, STONE, BARRIER, HEDGE], p=(0.24, 0.22, 0.18, 0.16, 0.2)))
    height = {WOOD: 1.7, RAILING: 1.2, STONE: 1.0, BARRIER: 0.8, HEDGE: 1.5}[kind] * rng.uniform(0.85, 1.2)
    scene.canvas.wall(x, near, near + length, height, fence_painter(scene, kind, height))
    for _ in range(int(rng.integers(0, 4))):
        plant_tree(scene, side * (scene.front + rng.uniform(2, 9)), near + rng.uniform(0, length))


def fence_painter(scene: Scene, kind: int, height: float) -> Painter:
    """A fence, a wall, a crash barrier or a hedge; one can look through railings and under barriers."""
    base = {
        WOOD: np.array([0.42, 0.3, 0.2], np.float32),
        RAILING: np.array([0.14, 0.16, 0.16], np.float32),
        STONE: np.array([0.5, 0.48, 0.44], np.float32),
        BARRIER: np.array([0.66, 0.67, 0.7], np.float32),
    }.get(kind, scene.pick(scene.style.foliage))
    colour = base * np.float32(scene.rng.uniform(0.7, 1.3)) * scene.light
    strength = {WOOD: 0.1, RAILING: 0.0, STONE: 0.35, BARRIER: 0.05}.get(kind, 0.45)

    def paint(along: Array, up: Array) -> Paint:
        mask = np.ones(up.shape, np.bool_)
        if kind == RAILING:
            mask = ((along / 0.3 % 1) < 0.3) | (up > height - 0.1) | (np.abs(up - 0.15) < 0.06)
        elif kind == BARRIER:
            mask = (up > height * 0.5) | ((along / 2 % 1) < 0.08)
        shade = 1 + np.float32(strength) * scene.noise(along * 4, up * 4)
        if kind == WOOD:
            shade = shade * np.where((along / 0.22 % 1) < 0.2, np.float32(0.6), np.float32(1))
        return mask, (colour * shade[..., None]).astype(np.float32), kind

    return paint


def _skyline(scene: Scene) -> None:
    wooded = scene.rng.random() < 0.5
    colour = (scene.pick(scene.style.foliage if wooded else scene.style.walls) * scene.light).astype(np.float32)
    phase, height = scene.rng.uniform(0, 60), scene.rng.uniform(10, 30)

    def paint(s: Array, t: Array) -> Paint:
        place = s * 60 if wooded else np.floor(s * 25) + np.float32(0.5)
        mask = t < 0.65 + 0.3 * scene.noise(place + np.float32(phase), np.zeros_like(s))
        return mask, colour, VEGETATION if wooded else PLASTER

    scene.canvas.board(scene.x(0.0, SKYLINE) / 2, SKYLINE, 600.0, height, paint)
