"""A densely connected decoder over five stages: every node reads all before it on its level, and what lies below.

    x_{i,0} = e_i,   x_{i,j} = conv(conv([x_{i,0}, ..., x_{i,j-1}, up(x_{i+1,j-1})])),   i + j <= 5

e_i: stage i at stride 2^i; conv: 3x3, bias, BatchNorm, ReLU; up: bilinear times two and one conv to the level's width.
Source: Zhou et al., UNet++ (2018), as in hlwang1124/SNE-RoadSeg (models/networks.py). What we changed: nothing but
names. Cost: 6.1 M parameters on the widths of ResNet-18, 85.0 M on those of ResNet-50 and deeper.
"""

from collections.abc import Sequence
from typing import Final, final

import torch
from torch import Tensor, nn

STAGES: Final = 5


@final
class Block(nn.Sequential):
    """3x3 convolution with bias, BatchNorm and ReLU.

    Args:
        in_channels: c of the input.
        channels: c of the output.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU())


@final
class Node(nn.Module):
    """x_{i,j}: everything before it on its own level, and what lies below, brought up.

    Args:
        below: channels of the level below.
        channels: of its own level.
        inputs: number of features of its own level that it reads, j.
    """

    def __init__(self, below: int, channels: int, *, inputs: int) -> None:
        super().__init__()
        self.up = nn.Sequential(double(), Block(below, channels))
        self.merge = nn.Sequential(Block((inputs + 1) * channels, channels), Block(channels, channels))

    def forward(self, level: Sequence[Tensor], below: Tensor) -> Tensor:
        """The node's feature, on the grid of `level`."""
        return self.merge(torch.cat([*level, self.up(below)], dim=1))


@final
class DenseDecoder(nn.Module):
    """The triangle of nodes over five stages.

    Args:
        channels: of the five stages.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(
            nn.ModuleList(Node(channels[i + 1], channels[i], inputs=j) for i in range(STAGES - j))
            for j in range(1, STAGES)
        )
        self.apply(initialise)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """x_{1,4}, at stride 2."""
        levels = [[stage] for stage in stages]
        for column in self.nodes:
            assert isinstance(column, nn.ModuleList)
            # From the bottom of the last column to its top: each node reads what the column before made.
            made = [node(levels[i], levels[i + 1][-1]) for i, node in enumerate(column)]
            for level, feature in zip(levels, made, strict=False):
                level.append(feature)
        return levels[0][-1]


def double() -> nn.Upsample:
    """Twice the grid, bilinear."""
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


def initialise(module: nn.Module) -> None:
    """Kaiming's normal weights and no bias, for a convolution that has one; anything else is left alone."""
    if isinstance(module, nn.Conv2d) and module.bias is not None:
        nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(module.bias)
