"""Atrous spatial pyramid pooling: one feature seen at several dilations and as a whole.

    y = dropout(project(concat(conv1x1(x), conv3x3_r(x) for each rate r, image_pooling(x))))

x: (b, c, h, w), y: (b, channels, h, w); every convolution is followed by BatchNorm and ReLU.
Source: Chen et al., Rethinking atrous convolution (2017), section 3.3; as winycg/CIRKD @ 2d8ad0f (models/deeplabv3.py)
and AmirMansurian/AttnFD @ f090bbe (modeling/aspp.py). Cost: c * channels * (2 + 9 * rates) + 5 * channels^2 weights.
"""

from collections.abc import Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.models.conv_bn_relu import ConvBNReLU
from foglight.models.pooled_branch import PooledBranch


@final
class ASPP(nn.Module):
    """Parallel dilated convolutions and image pooling, fused by a 1x1 convolution.

    Args:
        in_channels: c of the input.
        channels: c of every branch and of the output.
        atrous_rates: dilations of the 3x3 branches.
        dropout: rate, elementwise, on the output.
    """

    def __init__(self, in_channels: int, channels: int, *, atrous_rates: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvBNReLU(in_channels, channels, kernel_size=1),
                *(ConvBNReLU(in_channels, channels, kernel_size=3, dilation=rate) for rate in atrous_rates),
                PooledBranch(in_channels, channels, bins=1),
            ]
        )
        self.project = ConvBNReLU(len(self.branches) * channels, channels, kernel_size=1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels h w"]:
        """The fused feature on the same grid."""
        return self.dropout(self.project(torch.cat([branch(feature) for branch in self.branches], dim=1)))
