"""Convolutional block attention: which channels matter, then which positions.

A'  = A  * sigmoid(f(mean_i A) + f(max_i A))                             per channel
A'' = A' * sigmoid(BN(conv7x7([max_c A', mean_c A'])))                   per position

Symbols: A (b c h w); i positions, c channels; f(z) = W1 relu(W0 z + b0) + b1 with c//reduction hidden units.
Source: Woo et al. 2018 (CBAM), eq. 2-3; AmirMansurian/AttnFD @ f090bbe `cbam.py`, which puts the maximum first.
Changed: at least 8 hidden units. Of maps narrower than 128 channels the published width leaves fewer, and a single ReLU
unit is dead at birth about every second time; the maps of the paper are wider. A 1x1 map of one image is normalised by
the running statistics where torch raises.
Cost: 2*c*d + c + d + 100 parameters with d = max(c//r, 8) hidden units, two maps of the size of A.
"""

from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def gate_channels(
    feature: Float[Tensor, "b c h w"], logits: Callable[[Float[Tensor, "b c"]], Float[Tensor, "b c"]]
) -> Float[Tensor, "b c h w"]:
    """Scale every channel by a gate between 0 and 1, read off its mean and its maximum over positions.

    >>> gate_channels(torch.tensor([[[[1.0, -1.0]]]]), lambda pooled: 0 * pooled)
    tensor([[[[ 0.5000, -0.5000]]]])
    """
    positions = feature.flatten(2)
    # max(), not amax(): where entries tie, one of them gets the gradient, as in the published pooling.
    gate = torch.sigmoid(logits(positions.mean(2)) + logits(positions.max(2).values))
    return feature * gate[:, :, None, None]


def gate_positions(
    feature: Float[Tensor, "b c h w"], logits: Callable[[Float[Tensor, "b 2 h w"]], Float[Tensor, "b 1 h w"]]
) -> Float[Tensor, "b c h w"]:
    """Scale every position by a gate between 0 and 1, read off the maximum and the mean over channels around it."""
    summary = torch.stack([feature.max(1).values, feature.mean(1)], dim=1)
    return feature * torch.sigmoid(logits(summary))


@final
class CBAM(nn.Module):
    """Channel attention, then spatial attention.

    Args:
        channels: c.
        reduction: channels per hidden unit.
        fewest_hidden: units of the perceptron where `reduction` would leave fewer; 1 is published.
        momentum: of the BatchNorm's running statistics.
        open_logit: by how much both gates' logits start above the usual initialisation, whose gates are half shut.

    Raises:
        ValueError: if `reduction` or `fewest_hidden` is not positive.
    """

    def __init__(
        self,
        channels: int,
        *,
        reduction: int = 16,
        fewest_hidden: int = 8,
        momentum: float = 0.01,
        open_logit: float = 0.0,
    ) -> None:
        super().__init__()
        if min(reduction, fewest_hidden) < 1:
            raise ValueError(f"expected reduction and fewest_hidden of at least 1, got {reduction} and {fewest_hidden}")
        hidden = max(channels // reduction, fewest_hidden)
        leave = nn.Linear(hidden, channels)
        self.perceptron = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), leave)
        self.convolution = nn.Conv2d(2, 1, kernel_size=7, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=momentum)
        nn.init.kaiming_normal_(self.convolution.weight)
        with torch.no_grad():
            # The gate adds the perceptron's answers to mean and maximum, so that its bias counts twice.
            leave.bias.add_(open_logit / 2)
            self.norm.bias.add_(open_logit)

    def forward(self, feature: Float[Tensor, "b c h w"], *, running: bool = False) -> Float[Tensor, "b c h w"]:
        """The refined feature; `running` takes the BatchNorm's running statistics even in training mode."""
        gated = gate_channels(feature, self.perceptron)
        return gate_positions(gated, lambda summary: self._normalised(self.convolution(summary), running=running))

    def _normalised(self, logits: Float[Tensor, "b 1 h w"], *, running: bool) -> Float[Tensor, "b 1 h w"]:
        if self.training and not running and logits.numel() > 1:
            return self.norm(logits)
        norm = self.norm
        return F.batch_norm(logits, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


@final
class ParameterFreeAttention(nn.Module):
    """The same with f the identity, and the sum of maximum and mean in the place of convolution and BatchNorm."""

    def forward(self, feature: Float[Tensor, "b c h w"], *, running: bool = False) -> Float[Tensor, "b c h w"]:
        """The refined feature; there are no statistics, so that `running` says nothing."""
        gated = gate_channels(feature, lambda pooled: pooled)
        return gate_positions(gated, lambda summary: summary.sum(1, keepdim=True))


Attention = CBAM | ParameterFreeAttention
