"""Batch normalisation of maps and vectors alike, which one image of one position does not stop.

y = w (x - mean) / sqrt(var + 1e-5) + a, mean and biased variance per channel over images and positions.

Shapes: x (b c *grid), w and a (c).
Source: Ioffe & Szegedy 2015, as torch has it. A batch of a single value per channel has no variance: there the running
statistics stand in, where torch raises, because a loss never raises for few images.
Cost: 2*c parameters where affine, 2*c numbers of running statistics.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@final
class BatchNorm(nn.Module):
    """Batch normalisation over images and positions.

    Args:
        channels: of the input.
        affine: whether a scale and a shift per channel are learned.

    >>> import torch
    >>> BatchNorm(1, affine=False)(torch.tensor([[5.0]])).round().item()
    5.0
    """

    def __init__(self, channels: int, *, affine: bool = True) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels, affine=affine)

    def forward(self, values: Float[Tensor, "b c *grid"]) -> Float[Tensor, "b c *grid"]:
        """The normalised values."""
        norm, flat = self.norm, values.flatten(2) if values.ndim > 2 else values
        if self.training and values.numel() > values.shape[1]:
            normalised: Tensor = norm(flat)
        else:
            normalised = F.batch_norm(flat, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)
        return normalised.view_as(values)
