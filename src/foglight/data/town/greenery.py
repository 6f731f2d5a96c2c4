"""Trees along the street and in gardens."""

from typing import Final

import numpy as np

from foglight.data.town.canvas import Array, Paint
from foglight.data.town.classes import VEGETATION
from foglight.data.town.scene import Scene

BROADLEAF: Final = VEGETATION
CONIFER: Final = VEGETATION + 1
BARK: Final = np.array([0.25, 0.19, 0.14], np.float32)
SPACING: Final = (7.0, 14.0)
END: Final = 140.0


def plant_trees(scene: Scene) -> None:
    """Trees at the outer edge of both pavements."""
    for side in (-1, 1):
        depth = scene.rng.uniform(3, 10)
        while depth < END:
            if scene.rng.random() < scene.style.greenery:
                plant_tree(scene, side * (scene.front - scene.rng.uniform(0.0, 0.5)), depth)
            depth += scene.rng.uniform(*SPACING)


def plant_tree(scene: Scene, lateral: float, depth: float) -> None:
    """One tree, so far from the middle of the road, so far ahead."""
    rng = scene.rng
    kind = CONIFER if rng.random() < 0.25 else BROADLEAF
    height = rng.uniform(4, 9)
    width = height * (rng.uniform(0.35, 0.5) if kind == CONIFER else rng.uniform(0.55, 0.85))
    leaves = (scene.pick(scene.style.foliage) * scene.light).astype(np.float32)
    bark, phase, low = BARK * scene.light, rng.uniform(0, 60), rng.uniform(0.2, 0.35)

    def paint(s: Array, t: Array) -> Paint:
        edge = scene.noise(s * 3 + np.float32(phase), t * 6)
        if kind == CONIFER:
            crown = (np.abs(s) < (1 - t) * (0.85 + 0.3 * edge)) & (t > low / 2)
        else:
            middle = (1 + low) / 2
            crown = s**2 + ((t - middle) / (1 - middle)) ** 2 < 0.8 + 0.35 * edge
        trunk = (np.abs(s) < 0.07) & (t < 0.6)
        light = 0.75 + 0.35 * t + 0.35 * scene.noise(s * 9 + np.float32(phase), t * 15) - 0.15 * s * scene.sun
        colour = np.where(crown[..., None], leaves * light[..., None], bark)
        return crown | trunk, colour.astype(np.float32), kind

    scene.canvas.board(scene.x(lateral, depth), depth, width, height, paint)
