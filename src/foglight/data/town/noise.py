"""Smooth random texture: bilinear interpolation in a periodic tile of random numbers."""

from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
TILE: Final = 64


@final
class Noise:
    """Values in [-1, 1] that vary smoothly over a plane.

    Args:
        rng: fills the tile.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.tile: Array = rng.uniform(-1, 1, (TILE, TILE)).astype(np.float32)

    def __call__(self, x: Array, y: Array) -> Array:
        """The texture at positions that may have any sign and size; one lattice cell is one unit."""
        left, low = np.floor(x), np.floor(y)
        fx, fy = x - left, y - low
        i, j = left.astype(np.int32) % TILE, low.astype(np.int32) % TILE
        i1, j1 = (i + 1) % TILE, (j + 1) % TILE
        upper = self.tile[j, i] * (1 - fx) + self.tile[j, i1] * fx
        lower = self.tile[j1, i] * (1 - fx) + self.tile[j1, i1] * fx
        return (upper * (1 - fy) + lower * fy).astype(np.float32)
