"""What a flip and a resize do to the values of extra channels, so that depth, disparity and normals stay true.

    flip     n_x -> -n_x                          everything else keeps its value
    resize   d -> s d,  s = new width / width     disparity d is counted in pixels; metres and 1/metres are not touched

Pixels move by nearest neighbour: between a near and a far surface, or beside a hole marked 0, a mean is a depth that
is nowhere in the scene. Shapes: x channels, h w and H W grids. Source: own derivation, from d = f b / Z with focal
length f in pixels, baseline b and depth Z in metres: a resize changes f alone. Cost: one gather.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foglight.types import ChannelKind


def flip_extra(extra: Float[Tensor, "*b x h w"], kinds: Sequence[ChannelKind]) -> Float[Tensor, "*b x h w"]:
    """Left and right exchanged; channels without a kind only move.

    >>> flip_extra(torch.tensor([[[0.6, -0.8]]]), ("normal_x",)).tolist()
    [[[0.800000011920929, -0.6000000238418579]]]
    """
    return _scaled(extra.flip(-1), [-1.0 if kind == "normal_x" else 1.0 for kind in kinds])


def resize_extra(
    extra: Float[Tensor, "*b x h w"], kinds: Sequence[ChannelKind], size: tuple[int, int]
) -> Float[Tensor, "*b x H W"]:
    """Every channel at another height and width; channels without a kind only move.

    >>> resize_extra(torch.full((1, 1, 2), 3.0), ("disparity",), (1, 4)).tolist()
    [[[6.0, 6.0, 6.0, 6.0]]]
    """
    if extra.shape[-2:] == size:
        return extra
    batched = extra if extra.ndim == 4 else extra[None]
    moved = functional.interpolate(batched, size, mode="nearest-exact")
    stretch = size[1] / extra.shape[-1]
    moved = _scaled(moved, [stretch if kind == "disparity" else 1.0 for kind in kinds])
    return moved if extra.ndim == 4 else moved[0]


def _scaled(extra: Tensor, factors: Sequence[float]) -> Tensor:
    if all(factor == 1.0 for factor in factors):
        return extra
    return extra * torch.tensor(factors, dtype=extra.dtype, device=extra.device).view(-1, 1, 1)
