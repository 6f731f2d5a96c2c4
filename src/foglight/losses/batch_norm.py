"""Batch normalisation that a single value per channel does not stop.

y = weight * (x - mean) / sqrt(variance + eps) + bias, mean and variance of each channel over images and positions.

Shapes: b batch, c channels, h w any grid.
Changed: torch refuses to train on one value per channel (one image on a 1x1 grid), where no variance can be measured;
there the running statistics stand in, because a loss must not stop a run for a small last batch.
Cost: 2*c parameters, 2*c running statistics, one map of the input's size.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


@final
class BatchNorm(nn.Module):
    """Batch statistics in training, running ones in evaluation and for a single value per channel.

    Args:
        channels: c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(channels)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The normalised map."""
        inner = self.normalise
        if self.training and feature.numel() == feature.shape[1]:
            return F.batch_norm(
                feature, inner.running_mean, inner.running_var, inner.weight, inner.bias, training=False, eps=inner.eps
            )
        return inner(feature)
