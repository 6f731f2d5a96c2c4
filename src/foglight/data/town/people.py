"""Pedestrians on the pavements and crossings, and people on two wheels at the edge of the road."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from foglight.data.town.canvas import Array, Paint
from foglight.data.town.classes import BICYCLIST, PEDESTRIAN
from foglight.data.town.scene import Scene

ADULT, CHILD, WORKER, UMBRELLA = range(PEDESTRIAN, PEDESTRIAN + 4)
CYCLIST, MOTORCYCLIST, SCOOTER, CARGO = range(BICYCLIST, BICYCLIST + 4)
SKIN: Final = np.array([0.62, 0.45, 0.36], np.float32)
SAFETY: Final = np.array([0.95, 0.5, 0.08], np.float32)
METAL: Final = np.array([0.1, 0.1, 0.11], np.float32)
RIDERS: Final = 3.0
NEAREST_PERSON: Final = 4.0
REACH: Final = 55.0

Mask = NDArray[np.bool_]


def paint_people(scene: Scene) -> None:
    """Everybody in the street."""
    rng = scene.rng
    for _ in range(int(rng.poisson(scene.style.people))):
        lateral = rng.choice([-1, 1]) * rng.uniform(scene.kerb + 0.5, scene.front - 0.2)
        if rng.random() < 0.12:
            lateral = rng.uniform(-scene.kerb, scene.kerb)
        _pedestrian(scene, float(lateral), NEAREST_PERSON + REACH * rng.random() ** 1.6)
    for _ in range(int(rng.poisson(RIDERS))):
        lateral = rng.choice([-1, 1]) * scene.kerb * rng.uniform(0.35, 0.8)
        _rider(scene, float(lateral), NEAREST_PERSON + 1 + REACH * rng.random() ** 1.6)


def _pedestrian(scene: Scene, lateral: float, depth: float) -> None:
    rng = scene.rng
    kind = int(rng.choice([ADULT, CHILD, WORKER, UMBRELLA], p=(0.58, 0.17, 0.13, 0.12)))
    height = {ADULT: 1.72, CHILD: 1.15, WORKER: 1.78, UMBRELLA: 2.0}[kind] * rng.uniform(0.94, 1.06)
    coat = SAFETY if kind == WORKER else scene.pick(scene.style.coats)
    trousers, canopy, stride = (
        scene.pick(scene.style.coats) * np.float32(0.6),
        scene.pick(scene.style.coats),
        rng.uniform(0.05, 0.3),
    )

    def paint(s: Array, t: Array) -> Paint:
        top = 0.86 if kind == UMBRELLA else 1.0
        wide = s * np.float32(2.0 if kind == UMBRELLA else 1.0)
        mask, colour = body(wide, t / np.float32(top), coat, trousers, stride)
        if kind == UMBRELLA:
            dome = (s**2 + ((t - 0.82) / 0.18) ** 2 < 1) & (t > 0.82)
            colour = np.where(dome[..., None], canopy, colour)
            mask = mask | dome
        if kind == WORKER:
            colour = np.where((np.abs(t - 0.62) < 0.03)[..., None], np.float32(0.95), colour)
        return mask, (colour * scene.light).astype(np.float32), kind

    width = height * (0.62 if kind == UMBRELLA else 0.36)
    scene.canvas.board(scene.x(lateral, depth), depth, width, height, paint)


def body(s: Array, t: Array, coat: Array, trousers: Array, stride: float) -> tuple[Mask, Array]:
    """A person in a box of s in [-1, 1] and t in [0, 1]: head, coat and two legs."""
    head = (s / 0.36) ** 2 + ((t - 0.92) / 0.08) ** 2 < 1
    torso = (np.abs(s) < 0.78 - 0.3 * np.abs(t - 0.62)) & (t > 0.44) & (t < 0.85)
    legs = (t <= 0.46) & (np.abs(np.abs(s) - stride * (1 - t)) < 0.28)
    colour = np.where(torso[..., None], coat, np.where(head[..., None], SKIN, trousers))
    return head | torso | legs, colour.astype(np.float32)


def _rider(scene: Scene, lateral: float, depth: float) -> None:
    rng = scene.rng
    kind = int(rng.choice([CYCLIST, MOTORCYCLIST, SCOOTER, CARGO], p=(0.55, 0.2, 0.15, 0.1)))
    coat, trousers = scene.pick(scene.style.coats), scene.pick(scene.style.coats) * np.float32(0.5)
    crossing = rng.random() < 0.35
    length = {CYCLIST: 1.75, MOTORCYCLIST: 2.0, SCOOTER: 1.2, CARGO: 2.4}[kind]
    thick = {CYCLIST: 0.1, MOTORCYCLIST: 0.3, SCOOTER: 0.12, CARGO: 0.55}[kind]

    def paint(s: Array, t: Array) -> Paint:
        lift = 0.05 if kind == SCOOTER else 0.22
        reach = np.float32(length / 0.62 if crossing else 1.0)
        mask, colour = body(s * reach, (t - np.float32(lift)) / np.float32(1 - lift), coat, trousers, 0.12)
        mask = mask & (t > (0.1 if kind == SCOOTER else 0.3))
        machine = _wheels(s, t) if crossing else (np.abs(s) < thick * 2) & (t < 0.4)
        if kind == MOTORCYCLIST:
            colour = np.where((t > 0.86)[..., None], METAL, colour)
        elif kind == CARGO and crossing:
            machine = machine | ((s > 0.3) & (s < 0.9) & (np.abs(t - 0.34) < 0.12))
        colour = np.where((machine & ~mask)[..., None], METAL, colour)
        return mask | machine, (colour * scene.light).astype(np.float32), kind

    scene.canvas.board(scene.x(lateral, depth), depth, length if crossing else 0.75, 1.75, paint)


def _wheels(s: Array, t: Array) -> Mask:
    """Two wheels seen from the side and the frame between them."""
    radius = ((np.abs(s) - 0.62) / 0.36) ** 2 + ((t - 0.19) / 0.19) ** 2
    frame = (np.abs(s) < 0.62) & (np.abs(t - 0.3) < 0.035)
    return ((radius < 1) & (radius > 0.5)) | frame
