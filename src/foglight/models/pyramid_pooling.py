"""Pyramid pooling: a feature joined by its averages over coarser and coarser grids.

    y = concat(x, pooled_n(x) for each n in bins)       x: (b, c, h, w), y: (b, c + bins * (c / bins), h, w)

Source: Zhao et al., PSPNet (CVPR 2017), section 3.2; as winycg/CIRKD @ 2d8ad0f (models/pspnet.py).
Cost: c^2 weights, whatever the number of bins.
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.models.pooled_branch import PooledBranch


@final
class PyramidPooling(nn.Module):
    """The input beside its pooled branches, each of c / len(bins) channels.

    Args:
        in_channels: c.
        bins: sides of the pooled grids.
    """

    def __init__(self, in_channels: int, *, bins: Sequence[int]) -> None:
        super().__init__()
        width = in_channels // len(bins)
        self.branches = nn.ModuleList(PooledBranch(in_channels, width, bins=side) for side in bins)
        self.channels = in_channels + width * len(bins)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels h w"]:
        """The joined feature on the same grid."""
        return torch.cat([feature, *(branch(feature) for branch in self.branches)], dim=1)
