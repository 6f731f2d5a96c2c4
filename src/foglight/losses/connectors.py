"""Bring a student's feature to the teacher's number of channels.

f' = W f at every position, W of shape (teacher channels, student channels); the identity where the channels agree.

Shapes: b batch, c and d channels of the two networks, *grid any grid (none for a vector).
Source: Romero et al. 2015 (FitNet's regressor) as CIRKD has it, `losses/fitnet.py` and `losses/cwd.py`: 1x1, no bias.
Changed: a vector is projected too; where the channels agree nothing is allocated (CIRKD's CWD keeps an unused layer).
Cost: c*d parameters where the channels differ.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn


@final
class Pointwise(nn.Module):
    """A 1x1 convolution on maps and vectors alike.

    Args:
        channels: of the input.
        projected: channels of the output.
        bias: whether a constant per channel is learned.
    """

    def __init__(self, channels: int, projected: int, *, bias: bool = False) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, projected, kernel_size=1, bias=bias)

    def forward(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b d *grid"]:
        """The projected feature, on the same grid."""
        if feature.ndim == 4:
            return self.convolution(feature)
        positions = feature.reshape(*feature.shape[:2], -1, 1)
        projected: Tensor = self.convolution(positions)
        return projected.reshape(feature.shape[0], -1, *feature.shape[2:])


def connector(student_channels: int, teacher_channels: int, *, bias: bool = False) -> nn.Module:
    """A learned `Pointwise` where the channels differ, the identity where they agree.

    >>> connector(8, 8)
    Identity()
    """
    if student_channels == teacher_channels:
        return nn.Identity()
    return Pointwise(student_channels, teacher_channels, bias=bias)
