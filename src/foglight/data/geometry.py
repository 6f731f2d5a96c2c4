"""Affine maps between a moved frame and the stored one, as 2x3 matrices on (x, y, 1) in pixels.

Pixel centres are whole numbers, so resizing a frame by s maps the new x to (x + 1/2) / s - 1/2: the convention of
`align_corners=False`. A map always leads from the new frame back to the old one, which is the direction that sampling
needs.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def compose(outer: Float[Tensor, "2 3"], inner: Float[Tensor, "2 3"]) -> Float[Tensor, "2 3"]:
    """First `inner`, then `outer`."""
    linear = outer[:, :2] @ inner[:, :2]
    offset = outer[:, :2] @ inner[:, 2:] + outer[:, 2:]
    return torch.cat([linear, offset], dim=1)


def resized(old: tuple[int, int], new: tuple[int, int]) -> Float[Tensor, "2 3"]:
    """From a frame of size `new` (height, width) back to the frame of size `old` it was resized from.

    >>> resized((2, 4), (4, 8))[0].tolist()
    [0.5, 0.0, -0.25]
    """
    y, x = old[0] / new[0], old[1] / new[1]
    return torch.tensor([[x, 0.0, x / 2 - 0.5], [0.0, y, y / 2 - 0.5]])


def cropped(top: int, left: int) -> Float[Tensor, "2 3"]:
    """From a crop back to the frame it was cut from."""
    return torch.tensor([[1.0, 0.0, float(left)], [0.0, 1.0, float(top)]])


def flipped(width: int) -> Float[Tensor, "2 3"]:
    """From a left-right flipped frame back to the frame."""
    return torch.tensor([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]])


def warp_points(geometry: Float[Tensor, "2 3"], points: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Positions (x, y) of the new frame in the stored one.

    >>> warp_points(flipped(10), torch.tensor([[0.0, 3.0]])).tolist()
    [[9.0, 3.0]]
    """
    return points @ geometry[:, :2].T + geometry[:, 2]
