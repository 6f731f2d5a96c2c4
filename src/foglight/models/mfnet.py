"""MFNet: a small encoder for the image, a smaller one for a further channel, joined at the bottleneck and the skips.

    r_1..r_5, t_1..t_5 = encoders of image and extra       strides 1, 2, 4, 8, 16; max-pooling between the stages
    j_i    = [r_i, t_i],   i = 2..5                        concatenated channels
    d_4    = conv(up(j_5) + j_4),   d_3 = conv(up(d_4) + j_3),   d_2 = conv(up(d_3) + j_2)
    logits = leaky(bn(conv(dropout(up(d_2)))))             on the image's own grid

conv: 3x3, bias, BatchNorm, leaky ReLU of slope 0.2; stages 4 and 5 are three mini-inceptions, two 3x3 branches of half
the width with dilation 1 and 2 side by side; up: nearest, times two. Without extra channels j_i = r_i and the decoder
has the image's widths alone: the student of LIX, whose features then have fewer channels than the teacher's.

Source: Ha et al., MFNet (IROS 2017); widths of the public haqishen/MFNet-pytorch, described, not copied: it has no
licence. Encoders of 528,096 and 73,752 parameters, 739,185 in all with 19 classes. What we changed: dropout before the
last convolution, where the original has none (`dropout: 0`), because MC dropout needs one; the closing norm's leaky
ReLU is an option; the student's decoder is inferred, the paper does not print it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foglight.models.extra_input import require_count, required_extra
from foglight.models.segmentation_module import SegmentationModule

SLOPE: Final = 0.2
_STAGES: Final = 5


@final
class Block(nn.Sequential):
    """3x3 convolution with bias, BatchNorm and leaky ReLU.

    Args:
        in_channels: c of the input.
        channels: c of the output.
        dilation: of the convolution.
    """

    def __init__(self, in_channels: int, channels: int, *, dilation: int = 1) -> None:
        super().__init__(
            nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation),
            nn.BatchNorm2d(channels),
            nn.LeakyReLU(SLOPE),
        )


@final
class MiniInception(nn.Module):
    """A plain and a dilated block side by side, half of the channels each.

    Args:
        in_channels: c of the input.
        channels: c of the output; even.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.near = Block(in_channels, channels // 2)
        self.wide = Block(in_channels, channels // 2, dilation=2)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Both branches, one after the other."""
        return torch.cat([self.near(feature), self.wide(feature)], dim=1)


@final
class Encoder(nn.Module):
    """Five stages with pooling between them.

    Args:
        in_channels: of the image, or of what stands in its place.
        widths: channels of the stages; the last two even.
    """

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        if len(widths) != _STAGES or any(width % 2 for width in widths[3:]):
            raise ValueError(f"expected {_STAGES} widths, the last two even, got {tuple(widths)}")
        first, second, third, fourth, fifth = widths
        self.stages = nn.ModuleList(
            [
                Block(in_channels, first),
                nn.Sequential(Block(first, second), Block(second, second)),
                nn.Sequential(Block(second, third), Block(third, third)),
                _inceptions(third, fourth),
                _inceptions(fourth, fifth),
            ]
        )

    def forward(self, image: Float[Tensor, "b c H W"]) -> list[Tensor]:
        """The outputs of stages 2 to 5, before pooling."""
        feature = self.stages[0](image)
        features: list[Tensor] = []
        for stage in self.stages[1:]:
            feature = stage(functional.max_pool2d(feature, 2))
            features.append(feature)
        return features


@final
class Join(nn.Module):
    """Both encoders' features side by side; a module of its own so that it can be tapped."""

    def forward(self, image: Float[Tensor, "b c h w"], extra: Float[Tensor, "b d h w"] | None) -> Tensor:
        """Their channels, the image's first."""
        return image if extra is None else torch.cat([image, extra], dim=1)


@final
class MFNet(SegmentationModule):
    """One encoder or two, and a decoder that adds the skips.

    Args:
        num_classes: k.
        widths: channels of the image encoder's stages; the second and third, and the last two, must agree.
        extra_widths: the same of the other encoder.
        extra_channels: x; 0 for colour alone.
        dropout: rate before the last convolution.
        closing_relu: whether the logits pass a leaky ReLU, as published.

    Raises:
        ValueError: for widths that the decoder cannot add, or a negative number of extra channels.
    """

    align_corners = True
    size_multiple = 16

    def __init__(
        self,
        num_classes: int,
        *,
        widths: Sequence[int] = (16, 48, 48, 96, 96),
        extra_widths: Sequence[int] = (16, 16, 16, 36, 36),
        extra_channels: int,
        dropout: float = 0.1,
        closing_relu: bool = True,
    ) -> None:
        super().__init__()
        require_count(extra_channels)
        for given in (widths, extra_widths):
            if len(given) != _STAGES or given[1] != given[2] or given[3] != given[4]:
                raise ValueError(f"expected widths (a, b, b, c, c), because the decoder adds skips, got {tuple(given)}")
        self.extra_channels = extra_channels
        self.backbone = Encoder(3, widths)
        self.extra_backbone = Encoder(extra_channels, extra_widths) if extra_channels else None
        joined = [a + b for a, b in zip(widths, extra_widths, strict=True)] if extra_channels else list(widths)
        # The last block before the classifier has half of the second stage's channels, or the first stage's alone.
        narrow = joined[1] // 2 if extra_channels else widths[0]
        self.joins = nn.ModuleList(Join() for _ in range(_STAGES - 1))
        self.decoder = nn.ModuleList(Block(a, b) for a, b in pairwise((joined[4], joined[2], joined[1], narrow)))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(narrow, num_classes, 3, padding=1)
        self.norm = nn.BatchNorm2d(num_classes)
        self.closing = nn.LeakyReLU(SLOPE) if closing_relu else nn.Identity()
        stages = {f"{name}{i + shift}": f"joins.{i}" for name, shift in (("stage", 2), ("layer", 1)) for i in range(4)}
        self.tap_names = stages | {"head": "dropout", "head_clean": "dropout:in"}

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits on the image's own grid; there is no auxiliary head."""
        beside: Sequence[Tensor | None] = [None] * len(self.joins)
        if self.extra_backbone is not None:
            beside = self.extra_backbone(required_extra(extra, self.extra_channels, name="MFNet"))
        *skips, feature = (
            join(one, other) for join, one, other in zip(self.joins, self.backbone(image), beside, strict=True)
        )
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            feature = block(_double(feature) + skip)
        return self.closing(self.norm(self.classifier(self.dropout(_double(feature))))), ()


def _inceptions(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(*(MiniInception(before, channels) for before in (in_channels, channels, channels)))


def _double(feature: Tensor) -> Tensor:
    return functional.interpolate(feature, scale_factor=2, mode="nearest")
