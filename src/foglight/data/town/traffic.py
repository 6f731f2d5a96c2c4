"""Cars, vans, lorries and buses: a rear or front towards the camera and a side along the street."""

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from foglight.data.town.canvas import Array, Paint
from foglight.data.town.classes import CAR
from foglight.data.town.ground import Footprint
from foglight.data.town.scene import Scene

# Width, height, length, height of the bonnet and share of each kind, in metres.
KINDS: Final = ((1.8, 1.45, 4.3, 0.85), (1.95, 2.1, 5.0, 1.2), (2.4, 3.3, 8.0, 3.3), (2.5, 3.1, 11.0, 3.1))
SHARES: Final = (0.68, 0.17, 0.08, 0.07)
GLASS: Final = np.array([0.14, 0.17, 0.2], np.float32)
TYRE: Final = np.array([0.05, 0.05, 0.05], np.float32)
TAIL_LIGHT: Final = np.array([0.8, 0.08, 0.06], np.float32)
HEAD_LIGHT: Final = np.array([0.98, 0.96, 0.85], np.float32)
END: Final = 120.0


@final
@dataclass(frozen=True)
class Vehicle:
    """One vehicle.

    Attributes:
        kind: 0 car, 1 van, 2 lorry, 3 bus.
        x: of its middle.
        depth: of the end towards the camera.
        colour: of its paint.
        oncoming: whether its front is what one sees.
    """

    kind: int
    x: float
    depth: float
    colour: Array
    oncoming: bool

    @property
    def footprint(self) -> Footprint:
        """Where it stands."""
        width, _, length, _ = KINDS[self.kind]
        return Footprint(self.x, self.depth, self.depth + length, width / 2)


def draw_traffic(scene: Scene) -> list[Vehicle]:
    """Parked cars at both kerbs and moving ones in both lanes."""
    rng, vehicles = scene.rng, list[Vehicle]()
    own = -float(np.sign(scene.offset))
    lanes = [(side * (scene.kerb - 1.15), 0.9, 3.0) for side in (-1, 1)]
    lanes += [(own * scene.kerb * 0.4, 0.35, 10.0), (-own * scene.kerb * 0.4, 0.45, 7.0)]
    for lateral, share, first in lanes:
        depth = rng.uniform(first, first + 9)
        while depth < END:
            kind = int(rng.choice(len(KINDS), p=SHARES))
            colour, stands = scene.pick(scene.style.paints), rng.random() < scene.style.traffic * share
            if stands:
                x = scene.x(lateral + rng.normal(0, 0.12), depth + 2)
                vehicles.append(Vehicle(kind, x, depth, colour, oncoming=lateral * own < 0))
            depth += KINDS[kind][2] + rng.uniform(1.2, 10)
    return vehicles


def paint_vehicle(scene: Scene, vehicle: Vehicle) -> None:
    """The end that faces the camera, and the side that can be seen."""
    width, height, length, bonnet = KINDS[vehicle.kind]
    paint = (vehicle.colour * scene.light).astype(np.float32)
    lamp = HEAD_LIGHT if vehicle.oncoming else TAIL_LIGHT
    label = CAR + vehicle.kind
    taper = 0.4 if vehicle.kind == 0 else 0.08

    def end(s: Array, t: Array) -> Paint:
        mask = (np.abs(s) < 1 - taper * np.clip((t - 0.55) / 0.45, 0, 1)) & ((t > 0.12) | (np.abs(s) > 0.6))
        glass = (np.abs(s) < 0.78 - taper * 0.6) & (t > 0.58) & (t < 0.9)
        lamps = (np.abs(s) > 0.68) & (np.abs(t - 0.42) < 0.07)
        colour = np.where(glass[..., None], GLASS, paint * (0.8 + 0.3 * t)[..., None])
        colour = np.where(lamps[..., None], lamp, np.where((t < 0.17)[..., None], TYRE, colour))
        return mask, colour.astype(np.float32), label

    def flank(along: Array, up: Array) -> Paint:
        cabin = (along > 0.14 * length) & (along < 0.78 * length)
        mask = (up < np.where(cabin, height, bonnet)) & (up > 0.2)
        glass = (np.abs(up / height - 0.76) < 0.13) & cabin & ((along / 1.3 % 1) > 0.12)
        wheels = (np.minimum(np.abs(along - 0.2 * length), np.abs(along - 0.8 * length)) ** 2 + (up - 0.33) ** 2) < 0.11
        colour = np.where(glass[..., None], GLASS, paint * np.float32(0.72))
        return mask | wheels, np.where(wheels[..., None], TYRE, colour).astype(np.float32), label

    scene.canvas.board(vehicle.x, vehicle.depth, width, height, end)
    inner = vehicle.x - np.sign(vehicle.x) * width / 2
    if abs(vehicle.x) > width / 2:
        scene.canvas.wall(float(inner), vehicle.depth, vehicle.depth + length, height, flank)
