"""A plain, small network that trains from scratch on a CPU.

    x1..x4 = four stages of 3x3 blocks at strides 2, 4, 8, 16
    f      = relu(sum over i = 2..4 of resize(lateral_i(x_i)) + context(mean of x4 over the grid))
    logits = classifier(dropout(block(f)))                            f: (b, channels, H/4, W/4)

No residuals, no depthwise convolutions, a stem at high resolution: without pretrained weights and within minutes on two
cores such a network ends above an ImageNet-style backbone of many times its size, and multiply-adds of depthwise
convolutions do not predict their time on a CPU. Own design; no paper. One dropout feeds the classifier, so that the
closed form of MC dropout is complete; nothing normalises a single value, so that a batch may hold one image. With 11
classes: 0.12 M (s), 0.65 M (m), 1.97 M (l) parameters; 0.053, 0.26 and 0.77 giga multiply-adds on 144 x 192 pixels.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foglight.errors import ConfigurationError
from foglight.models.conv_bn_relu import ConvBNReLU
from foglight.models.fcn_head import FCNHead, head_taps
from foglight.models.segmentation_module import SegmentationModule

# 3x3 blocks per stage: the coarser the grid, the cheaper a block.
_BLOCKS: Final = (1, 2, 2, 3)


@final
class Lateral(nn.Sequential):
    """A 1x1 convolution and BatchNorm that bring a stage to the width of the merged feature.

    Args:
        in_channels: of the stage.
        channels: of the merged feature.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(nn.Conv2d(in_channels, channels, kernel_size=1, bias=False), nn.BatchNorm2d(channels))


def stage(in_channels: int, channels: int, *, blocks: int) -> nn.Sequential:
    """3x3 blocks, the first of which halves the grid."""
    first = ConvBNReLU(in_channels, channels, kernel_size=3, stride=2)
    return nn.Sequential(first, *(ConvBNReLU(channels, channels, kernel_size=3) for _ in range(blocks - 1)))


@final
class Lite(SegmentationModule):
    """Four plain stages merged at stride 4.

    Args:
        num_classes: k.
        widths: channels of the stages at strides 2, 4, 8 and 16.
        channels: of the merged feature and of the head.
        dropout: rate before the classifier, elementwise.
        extra_channels: x, joined to the image at the stem; 0 for colour alone.
    """

    align_corners = True

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int],
        channels: int,
        dropout: float = 0.1,
        extra_channels: int = 0,
    ) -> None:
        super().__init__()
        if len(widths) != len(_BLOCKS):
            raise ValueError(f"expected {len(_BLOCKS)} widths, one per stage, got {len(widths)}")
        self.extra_channels = extra_channels
        inputs = pairwise((3 + extra_channels, *widths))
        self.stages = nn.ModuleList(
            stage(before, width, blocks=blocks) for (before, width), blocks in zip(inputs, _BLOCKS, strict=True)
        )
        self.laterals = nn.ModuleList(Lateral(width, channels) for width in widths[1:])
        self.context = nn.Conv2d(widths[-1], channels, kernel_size=1)
        self.merge = nn.ReLU(inplace=True)
        self.head = FCNHead(channels, channels, num_classes, dropout=dropout)
        numbered = {f"{name}{i}": f"stages.{i - 1}" for name in ("stage", "layer") for i in (1, 2, 3, 4)}
        self.tap_names = numbered | {"merge": "merge"} | head_taps("head")

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits at stride 4; there is no auxiliary head.

        Raises:
            ConfigurationError: if the network was built for extra channels and the batch has none, or another number.
        """
        feature = self._stem_input(image, extra)
        stages: list[Tensor] = []
        for block in self.stages:
            feature = block(feature)
            stages.append(feature)
        merged, *coarser = (lateral(x) for lateral, x in zip(self.laterals, stages[1:], strict=True))
        merged = merged + self.context(stages[-1].mean(dim=(2, 3), keepdim=True))
        for lateral in coarser:
            merged = merged + functional.interpolate(lateral, merged.shape[-2:], mode="bilinear", align_corners=True)
        return self.head(self.merge(merged)), ()

    def _stem_input(self, image: Tensor, extra: Tensor | None) -> Tensor:
        if self.extra_channels == 0:
            return image
        given = 0 if extra is None else extra.shape[1]
        if extra is None or given != self.extra_channels:
            raise ConfigurationError(
                f"expected {self.extra_channels} extra channels beside the image, got {given}",
                remedy=f"set extra_channels={given} in the network's options, or a data set that has them",
            )
        return torch.cat([image, extra.to(image.dtype)], dim=1)
