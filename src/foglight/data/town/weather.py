"""Light and fog: I = J t + A (1 - t) with t = exp(-beta * depth).

J is the clear picture, A the airlight, beta the extinction coefficient in 1/metre, depth in metres (Koschmieder, 1924).
Sensor noise comes after the fog, so that what the fog has taken cannot be stretched back out of the picture.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

NOISE: Final = (0.008, 0.03)
BLUR: Final = 0.2


def add_fog(
    image: Float32[np.ndarray, "h w 3"],
    depth: Float32[np.ndarray, "h w"],
    beta: float,
    airlight: Float32[np.ndarray, " 3"],
) -> Float32[np.ndarray, "h w 3"]:
    """The picture seen through fog of extinction coefficient `beta`.

    >>> white, black = np.ones((1, 1, 3), np.float32), np.zeros(3, np.float32)
    >>> ten_metres = np.full((1, 1), 10, np.float32)
    >>> round(float(add_fog(white, ten_metres, 0.1, black)[0, 0, 0]), 4)
    0.3679
    """
    transmission = np.exp(-np.float32(beta) * depth)[..., None]
    return image * transmission + airlight * (1 - transmission)


def expose(image: Float32[np.ndarray, "h w 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """What the sensor stores: a slightly soft, noisy picture in bytes."""
    soft = image.copy()
    soft[:, 1:-1] += np.float32(BLUR) * (image[:, :-2] + image[:, 2:] - 2 * image[:, 1:-1])
    sharp = soft.copy()
    soft[1:-1] += np.float32(BLUR) * (sharp[:-2] + sharp[2:] - 2 * sharp[1:-1])
    noise = rng.standard_normal(image.shape, dtype=np.float32) * np.float32(rng.uniform(*NOISE))
    return (np.clip(soft + noise, 0, 1) * 255 + 0.5).astype(np.uint8)
