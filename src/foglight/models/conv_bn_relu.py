"""The block that every head is made of: a convolution, BatchNorm and ReLU that keep the map's size.

    y = relu(batch_norm(conv(x)))        x: (b, c, h, w), y: (b, channels, h, w)

The convolution has no bias, because BatchNorm removes it.
"""

from typing import final

from torch import nn


@final
class ConvBNReLU(nn.Sequential):
    """Convolution, BatchNorm, ReLU.

    Args:
        in_channels: c of the input.
        channels: c of the output.
        kernel_size: odd.
        stride: of the convolution; 1 keeps the map's size, 2 halves it, rounding up.
        dilation: of the convolution.
    """

    def __init__(
        self, in_channels: int, channels: int, *, kernel_size: int, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(
            nn.Conv2d(
                in_channels, channels, kernel_size, stride=stride, padding=padding, dilation=dilation, bias=False
            ),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )
