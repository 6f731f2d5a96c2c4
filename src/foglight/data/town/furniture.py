"""Poles and signs at the kerb: the thin things that a segmentation network finds hardest."""

from typing import Final

import numpy as np

from foglight.data.town.canvas import Array, Paint
from foglight.data.town.classes import POLE, SIGN
from foglight.data.town.scene import Scene

LAMP_POST, UTILITY_POLE, BOLLARD, LIGHT_POLE = range(POLE, POLE + 4)
ROUND, TRIANGLE, SQUARE, TRAFFIC_LIGHT = range(SIGN, SIGN + 4)
RED: Final = np.array([0.75, 0.1, 0.1], np.float32)
BLUE: Final = np.array([0.1, 0.25, 0.65], np.float32)
WHITE: Final = np.array([0.88, 0.88, 0.86], np.float32)
DARK: Final = np.array([0.12, 0.12, 0.13], np.float32)
LAMPS: Final = np.array([[0.95, 0.15, 0.1], [0.95, 0.7, 0.1], [0.15, 0.85, 0.35]], np.float32)
END: Final = 110.0
PLATE: Final = 0.85


def furnish(scene: Scene) -> None:
    """Both kerbs."""
    rng = scene.rng
    tall = UTILITY_POLE if rng.random() < 0.3 else LAMP_POST
    for side in (-1, 1):
        depth = rng.uniform(4, 14)
        while depth < END:
            lateral = side * (scene.kerb + rng.uniform(0.35, 0.7))
            draw = rng.random()
            if draw < 0.4:
                _tall_pole(scene, lateral, depth, tall, side)
            elif draw < 0.7:
                _sign(scene, lateral, depth)
            elif draw < 0.82:
                _traffic_light(scene, lateral, depth)
            else:
                for step in range(4):
                    _pole(scene, lateral, depth + 1.5 * step, 0.22, 0.9, BOLLARD)
            depth += rng.uniform(6, 16)


def _pole(scene: Scene, lateral: float, depth: float, width: float, height: float, kind: int) -> None:
    colour = np.full(3, scene.rng.uniform(0.2, 0.55), np.float32) * scene.light

    def paint(s: Array, t: Array) -> Paint:
        return np.ones(s.shape, np.bool_), colour * (1 - np.float32(0.25) * s[..., None] * scene.sun), kind

    scene.canvas.board(scene.x(lateral, depth), depth, width, height, paint)


def _tall_pole(scene: Scene, lateral: float, depth: float, kind: int, side: int) -> None:
    height, reach = scene.rng.uniform(5, 8), 1.8
    _pole(scene, lateral, depth, 0.3 if kind == UTILITY_POLE else 0.2, height, kind)
    colour = np.full(3, 0.3, np.float32) * scene.light
    middle = scene.x(lateral, depth) - (0 if kind == UTILITY_POLE else side * reach / 2)
    base = height * (0.9 if kind == UTILITY_POLE else 0.98)
    scene.canvas.board(middle, depth, reach, 0.18, lambda s, t: (np.abs(s) <= 1, colour, kind), base=base)


def _sign(scene: Scene, lateral: float, depth: float) -> None:
    rng = scene.rng
    kind = int(rng.choice([ROUND, TRIANGLE, SQUARE]))
    base, blue = rng.uniform(1.9, 2.4), rng.random() < 0.4
    _pole(scene, lateral, depth, 0.13, base + 0.3, LAMP_POST)

    def paint(s: Array, t: Array) -> Paint:
        if kind == SQUARE:
            edge = np.maximum(np.abs(s), np.abs(2 * t - 1))
        elif kind == ROUND:
            edge = np.sqrt(s**2 + (2 * t - 1) ** 2)
        else:
            edge = np.maximum(np.abs(s) + t, 1 - t)
        inner = WHITE if not blue and kind != SQUARE else BLUE
        outer = RED if not blue and kind != SQUARE else WHITE
        colour = np.where((edge < (0.9 if kind == TRIANGLE else 0.7))[..., None], inner, outer) * scene.light
        return edge <= 1, colour.astype(np.float32), kind

    scene.canvas.board(scene.x(lateral, depth), depth - 0.05, PLATE, PLATE, paint, base=base)


def _traffic_light(scene: Scene, lateral: float, depth: float) -> None:
    lit = int(scene.rng.integers(3))
    _pole(scene, lateral, depth, 0.16, 2.8, LIGHT_POLE)

    def paint(s: Array, t: Array) -> Paint:
        lamp = s**2 + ((t - (5 - 2 * lit) / 6) * 6) ** 2 < 0.8
        return np.ones(s.shape, np.bool_), np.where(lamp[..., None], LAMPS[lit], DARK * scene.light), TRAFFIC_LIGHT

    scene.canvas.board(scene.x(lateral, depth), depth - 0.05, 0.42, 1.1, paint, base=2.4)
