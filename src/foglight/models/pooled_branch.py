"""Context at one scale: pool the feature to n x n bins, project it, and lay it back over the map.

    y = resize(relu(batch_norm(conv1x1(adaptive_average_pool(x, n)))))      x: (b, c, h, w), y: (b, channels, h, w)

Source: Zhao et al., PSPNet (CVPR 2017), n in {1, 2, 3, 6}; Chen et al., DeepLabV3 (2017), n = 1. Resized bilinearly
with corners aligned, as in winycg/CIRKD @ 2d8ad0f.
"""

from typing import final

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foglight.errors import ConfigurationError
from foglight.models.conv_bn_relu import ConvBNReLU


@final
class PooledBranch(nn.Module):
    """Pool, project, resize.

    Args:
        in_channels: c of the input.
        channels: c of the output.
        bins: n.
    """

    def __init__(self, in_channels: int, channels: int, *, bins: int) -> None:
        super().__init__()
        self.bins = bins
        self.project = ConvBNReLU(in_channels, channels, kernel_size=1)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b channels h w"]:
        """The context on the feature's grid.

        Raises:
            ConfigurationError: in training on one image with n = 1, where a batch has no variance.
        """
        if self.training and self.bins == 1 and feature.shape[0] == 1:
            raise ConfigurationError(
                "expected at least 2 images in a training batch, got 1: BatchNorm after global pooling sees one value",
                remedy="set data.batch_size=2 or more, or take a network without global pooling such as lite_m",
            )
        pooled = self.project(functional.adaptive_avg_pool2d(feature, self.bins))
        return functional.interpolate(pooled, feature.shape[-2:], mode="bilinear", align_corners=True)
