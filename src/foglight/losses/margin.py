"""How negative a silent channel of the teacher is on average: the margin of a partial L2.

m = E[f | f < 0].  From the affine map gamma, beta of the BatchNorm before the ReLU, with g = |gamma| and
p = Phi(-beta/g): m = beta - g*phi(beta/g)/p where p > 0.001, else -3g. From data: sum of min(f, 0) / count of f < 0.

Symbols: f a channel before ReLU, normal under BatchNorm; phi and Phi the standard normal density and distribution.
Source: Heo et al. 2019 (overhaul), section 3; clovaai/overhaul-distillation `get_margin_from_BN` @ 76344a8, in float32.
Changed: g is at least 1e-6, published code divides by zero; the precision is that of the BatchNorm.
Cost: one or two numbers per channel.
"""

from math import pi, sqrt
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

# A dead channel's BatchNorm has gamma = 0, and there is no beta / 0.
SMALLEST_GAMMA: Final = 1e-6
# The mean over a rarer tail is all rounding; published code takes three standard deviations below zero instead.
RAREST_NEGATIVE: Final = 1e-3


def margin_from_batch_norm(weight: Float[Tensor, " c"], bias: Float[Tensor, " c"]) -> Float[Tensor, " c"]:
    """Mean of a normal response with this spread and mean, given that it is negative.

    >>> margin_from_batch_norm(torch.ones(1), torch.zeros(1))
    tensor([-0.7979])
    """
    spread = weight.abs().clamp(min=SMALLEST_GAMMA)
    ratio = bias / spread
    negative = torch.special.ndtr(-ratio)
    density = torch.exp(-ratio.square() / 2) / sqrt(2 * pi)
    mean = bias - spread * density / negative.clamp(min=RAREST_NEGATIVE)
    return torch.where(negative > RAREST_NEGATIVE, mean, -3 * spread)


@final
class BatchNormMargin(nn.Module):
    """The margin that a closing BatchNorm implies.

    Args:
        weight: of that BatchNorm, (c).
        bias: of that BatchNorm, (c).
    """

    margin: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("margin", margin_from_batch_norm(weight, bias))

    def forward(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, " c"]:
        """The same for every feature."""
        return self.margin.to(feature.dtype)


@final
class EmpiricalMargin(nn.Module):
    """The mean of the negative responses seen in training so far; zero for a channel without any.

    Args:
        channels: of the teacher.
    """

    total: Tensor
    count: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(channels))
        self.register_buffer("count", torch.zeros(channels))

    @torch.no_grad()
    def forward(self, feature: Float[Tensor, "b c *grid"]) -> Float[Tensor, " c"]:
        """The margin after this feature was counted; in eval mode nothing is counted."""
        if self.training:
            others = tuple(axis for axis in range(feature.ndim) if axis != 1)
            self.total += feature.clamp(max=0).sum(others)
            self.count += (feature < 0).sum(others)
        return (self.total / self.count.clamp(min=1)).to(feature.dtype)
