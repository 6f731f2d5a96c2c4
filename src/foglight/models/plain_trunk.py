"""Five plain stages of 3x3 blocks, each at half the grid of the one before: an encoder small enough for a CPU.

    x_i = block(block_2(x_{i-1})),   i = 1..5 at strides 2, 4, 8, 16, 32; block_2 is a block of stride 2

Source: own design, the stages of `foglight.models.lite`. Cost: nine times the products of neighbouring widths.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import final

from torch import Tensor, nn

from foglight.models.conv_bn_relu import ConvBNReLU


@final
class PlainTrunk(nn.Module):
    """Five stages.

    Args:
        widths: channels of the stages.
        in_channels: of the image, or of what stands in its place.
    """

    def __init__(self, widths: Sequence[int], *, in_channels: int = 3) -> None:
        super().__init__()
        if len(widths) != 5:
            raise ValueError(f"expected 5 widths, one per stage, got {len(widths)}")
        self.stages = nn.ModuleList(
            nn.Sequential(ConvBNReLU(before, width, kernel_size=3, stride=2), ConvBNReLU(width, width, kernel_size=3))
            for before, width in pairwise((in_channels, *widths))
        )

    def five_stages(self) -> tuple[Callable[[Tensor], Tensor], ...]:
        """The stages one by one."""
        return tuple(self.stages)
