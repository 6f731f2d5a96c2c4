"""A pinhole camera over flat ground, and a canvas with a depth buffer.

World: X to the right, Y up from the ground, Z ahead, in metres; the camera looks along Z from height h. A point falls
on column u = u0 + f X / Z and row v = v0 + f (h - Y) / Z, so a vertical plane X = x has one depth f x / (u - u0) per
column.
A painter says, for two surface coordinates, where it paints, in which colour and which class.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Paint = tuple[NDArray[np.bool_], Array, NDArray[np.uint8] | int]
Painter = Callable[[Array, Array], Paint]

FARTHEST: Final = 200.0
NEAREST: Final = 0.8


@final
@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from.

    Attributes:
        focal: f in pixels.
        height: h in metres.
        centre: u0, v0 in pixels; v0 is the horizon.
    """

    focal: float
    height: float
    centre: tuple[float, float]


@final
class Canvas:
    """Colour, depth and class per pixel; nearer surfaces win.

    Args:
        size: height and width in pixels.
        camera: where the picture is taken from.
    """

    def __init__(self, size: tuple[int, int], camera: Camera) -> None:
        self.camera = camera
        self.size = size
        self.image: Array = np.zeros((*size, 3), np.float32)
        self.depth: Array = np.full(size, FARTHEST, np.float32)
        self.label: NDArray[np.uint8] = np.zeros(size, np.uint8)
        self.columns: Array = np.arange(size[1], dtype=np.float32) + np.float32(0.5 - camera.centre[0])
        self.rows: Array = np.arange(size[0], dtype=np.float32) + np.float32(0.5 - camera.centre[1])

    def wall(self, x: float, near: float, far: float, height: float, painter: Painter) -> None:
        """A vertical plane along the street at X = x from Z = near to far; painted by (Z - near, Y)."""
        near, far = max(near, NEAREST), min(far, FARTHEST)
        if near >= far or x == 0:
            return
        focal = self.camera.focal
        left, right = self._span(*sorted((focal * x / near, focal * x / far)), along=1)
        top, bottom = self._vertical(near, 0.0, height)
        if left >= right or top >= bottom:
            return
        depth = np.float32(focal * x) / self.columns[left:right]
        up = np.float32(self.camera.height) - self.rows[top:bottom, None] * depth / np.float32(focal)
        along = np.broadcast_to(depth - np.float32(near), up.shape)
        inside = (up >= 0) & (up <= height) & (along >= 0) & (depth <= far)
        self._paint(
            slice(top, bottom), slice(left, right), inside, np.broadcast_to(depth, up.shape), painter(along, up)
        )

    def board(
        self, x: float, depth: float, width: float, height: float, painter: Painter, *, base: float = 0.0
    ) -> None:
        """An upright rectangle facing the camera; painted by s in [-1, 1] across and t in [0, 1] upwards."""
        if not NEAREST < depth < FARTHEST:
            return
        scale = self.camera.focal / depth
        left, right = self._span((x - width / 2) * scale, (x + width / 2) * scale, along=1)
        top, bottom = self._vertical(depth, base, base + height)
        if left >= right or top >= bottom:
            return
        s = (self.columns[left:right] / np.float32(scale) - np.float32(x)) * np.float32(2 / width)
        t = (np.float32(self.camera.height - base) - self.rows[top:bottom] / np.float32(scale)) / np.float32(height)
        shape = (bottom - top, right - left)
        s, t = np.broadcast_to(s, shape), np.broadcast_to(t[:, None], shape)
        inside = (np.abs(s) <= 1) & (t >= 0) & (t <= 1)
        self._paint(slice(top, bottom), slice(left, right), inside, np.full(shape, depth, np.float32), painter(s, t))

    def _vertical(self, depth: float, low: float, high: float) -> tuple[int, int]:
        scale = self.camera.focal / depth
        return self._span((self.camera.height - high) * scale, (self.camera.height - low) * scale, along=0)

    def _span(self, low: float, high: float, *, along: int) -> tuple[int, int]:
        """Pixels that may lie between two offsets from the centre, clipped to the picture."""
        offset = self.camera.centre[1 - along]
        first, last = int(np.floor(low + offset)), int(np.ceil(high + offset))
        return max(first, 0), min(last, self.size[along])

    def _paint(self, rows: slice, columns: slice, inside: NDArray[np.bool_], depth: Array, paint: Paint) -> None:
        mask, colour, label = paint
        mask = mask & inside & (depth < self.depth[rows, columns])
        self.depth[rows, columns][mask] = depth[mask]
        self.image[rows, columns][mask] = np.broadcast_to(colour, (*mask.shape, 3))[mask]
        self.label[rows, columns][mask] = label if isinstance(label, int) else label[mask]
