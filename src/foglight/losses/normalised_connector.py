"""Bring a student's feature to the teacher's channels and scale: a 1x1 convolution, then BatchNorm.

f' = gamma * (W f - mean) / sqrt(variance + 1e-5) + beta at every position, mean and variance over batch and positions

Symbols: f (b c *grid), W (d c) without bias, gamma and beta (d); c and d channels of student and teacher.
Source: Heo et al. 2019 (overhaul of feature distillation), section 3.1; clovaai/overhaul-distillation @ 76344a8.
Changed: a vector is projected too. It stands there even where the channels agree, as in the published code.
Cost: c*d + 2*d parameters and two maps of d channels.
"""

from math import sqrt
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.losses.batch_norm import BatchNorm
from foglight.losses.connectors import Pointwise


@final
class NormalisedConnector(nn.Module):
    """A 1x1 convolution without bias and a BatchNorm.

    Args:
        channels: of the student.
        projected: of the teacher.
    """

    def __init__(self, channels: int, projected: int) -> None:
        super().__init__()
        self.projection = Pointwise(channels, projected)
        self.norm = BatchNorm(projected)
        nn.init.normal_(self.projection.convolution.weight, std=sqrt(2 / projected))

    def forward(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b d *grid"]:
        """The projected feature, on the same grid."""
        return self.norm(self.projection(feature))
