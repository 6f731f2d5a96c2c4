"""DeepLabV3 as the uncertainty-weighted distillation paper (FOTF) and its baselines used it.

    logits = classifier(dropout(relu(bn(conv3x3(aspp(stage4(image)))))))       on the grid of stage 4, stride 8

Source: Chen et al., Rethinking atrous convolution for semantic image segmentation (2017); widths, dropouts and
auxiliary head of winycg/CIRKD @ 2d8ad0f (models/deeplabv3.py), the state that FOTF's parameter counts belong to. With
19 classes and the auxiliary head: 13.61 M parameters on ResNet-18, 61.12 M on ResNet-101. Two dropouts lie in the path
to the logits: 0.5 behind ASPP and 0.1 before the classifier. What we changed: nothing but names.
"""

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from foglight.models.aspp import ASPP
from foglight.models.backbone import Backbone, OutputStride, prefixed
from foglight.models.fcn_head import FCNHead, auxiliary_head, head_taps
from foglight.models.mobilenetv2 import MobileNetV2Backbone
from foglight.models.resnet import Depth, ResNetBackbone, Stem
from foglight.models.segmentation_module import SegmentationModule


@final
class DeepLabV3(SegmentationModule):
    """A dilated backbone, ASPP and one 3x3 block.

    Args:
        backbone: whose fourth stage feeds ASPP and whose third feeds the auxiliary head.
        num_classes: k.
        channels: of ASPP and of the head.
        atrous_rates: of ASPP.
        aspp_dropout: rate behind ASPP.
        head_dropout: rate before the classifier.
        auxiliary: whether there is an auxiliary head.
        auxiliary_dropout: its rate.
    """

    align_corners = True

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        channels: int,
        atrous_rates: Sequence[int] = (12, 24, 36),
        aspp_dropout: float = 0.5,
        head_dropout: float = 0.1,
        auxiliary: bool = True,
        auxiliary_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _, _, third, fourth = backbone.channels
        self.backbone = backbone
        self.aspp = ASPP(fourth, channels, atrous_rates=atrous_rates, dropout=aspp_dropout)
        self.head = FCNHead(channels, channels, num_classes, dropout=head_dropout)
        self.auxiliary = auxiliary_head(third, num_classes, dropout=auxiliary_dropout) if auxiliary else None
        self.tap_names = prefixed(backbone.taps) | {"aspp": "aspp"} | head_taps("head")

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits at stride 8 and those of the auxiliary head; `extra` is not looked at."""
        _, _, stage3, stage4 = self.backbone(image)
        logits = self.head(self.aspp(stage4))
        if self.auxiliary is None or not auxiliary:
            return logits, ()
        return logits, (self.auxiliary(stage3),)


def deeplabv3_resnet(
    num_classes: int,
    *,
    depth: Depth,
    stem: Stem,
    channels: int,
    output_stride: OutputStride = 8,
    atrous_rates: Sequence[int] = (12, 24, 36),
    aspp_dropout: float = 0.5,
    head_dropout: float = 0.1,
    auxiliary: bool = True,
    auxiliary_dropout: float = 0.1,
) -> DeepLabV3:
    """DeepLabV3 on a ResNet; the arguments are those of the backbone and of the network."""
    return DeepLabV3(
        ResNetBackbone(depth, stem=stem, output_stride=output_stride),
        num_classes,
        channels=channels,
        atrous_rates=atrous_rates,
        aspp_dropout=aspp_dropout,
        head_dropout=head_dropout,
        auxiliary=auxiliary,
        auxiliary_dropout=auxiliary_dropout,
    )


def deeplabv3_mobilenetv2(
    num_classes: int,
    *,
    channels: int,
    output_stride: OutputStride = 8,
    atrous_rates: Sequence[int] = (12, 24, 36),
    aspp_dropout: float = 0.5,
    head_dropout: float = 0.1,
) -> DeepLabV3:
    """DeepLabV3 on MobileNetV2, which has no auxiliary head."""
    return DeepLabV3(
        MobileNetV2Backbone(output_stride=output_stride),
        num_classes,
        channels=channels,
        atrous_rates=atrous_rates,
        aspp_dropout=aspp_dropout,
        head_dropout=head_dropout,
        auxiliary=False,
    )
