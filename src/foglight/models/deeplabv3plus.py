"""DeepLabV3+ as the attention-refined feature distillation paper (AttnFD) used it.

    e = aspp(stage4(image))                                            the encoder, stride 16
    d = block(dropout_0.5(block(concat(resize(e), project(stage1)))))  the decoder, stride 4
    logits = classifier(dropout_0.1(d))

Source: Chen et al., Encoder-decoder with atrous separable convolution (ECCV 2018); as AmirMansurian/AttnFD @ f090bbe
(modeling/deeplab.py, aspp.py, decoder.py): plain 3x3 convolutions, multi-grid (1, 2, 4) on ResNet-101. With 21 classes:
59,344,309 parameters on ResNet-101, 16,608,181 on ResNet-18, 5,816,053 on MobileNetV2, no attention module counted.
Taps: `backbone` before ReLU, `encoder` and `decoder` after it and before their dropouts; `*_pre_relu` for the others.
What we changed: ASPP's dropout also acts while distilling (the public code leaves it out there and only there), and see
`foglight.models.mobilenetv2`.
"""

from collections.abc import Sequence
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foglight.models.aspp import ASPP
from foglight.models.backbone import Backbone, OutputStride, prefixed
from foglight.models.conv_bn_relu import ConvBNReLU
from foglight.models.fcn_head import FCNHead, head_taps
from foglight.models.mobilenetv2 import MobileNetV2Backbone
from foglight.models.resnet import Depth, ResNetBackbone
from foglight.models.segmentation_module import SegmentationModule

_TAPS: Final = {
    "aspp": "aspp",
    "encoder": "aspp.dropout:in",
    "encoder_pre_relu": "aspp.project.2:in",
    "decoder": "decoder.head.dropout:in",
    "decoder_pre_relu": "decoder.head.block.2:in",
}


@final
class Decoder(nn.Module):
    """Joins the encoder's feature with the first stage's and classifies at stride 4.

    Args:
        channels: of the encoder's feature and of the decoder.
        low_level_channels: of the first stage.
        num_classes: k.
        projection: channels to which the first stage is reduced.
        fuse_dropout: rate between the two 3x3 blocks.
        head_dropout: rate before the classifier.
    """

    def __init__(
        self,
        channels: int,
        low_level_channels: int,
        num_classes: int,
        *,
        projection: int,
        fuse_dropout: float,
        head_dropout: float,
    ) -> None:
        super().__init__()
        self.project = ConvBNReLU(low_level_channels, projection, kernel_size=1)
        self.fuse = ConvBNReLU(channels + projection, channels, kernel_size=3)
        self.fuse_dropout = nn.Dropout(fuse_dropout)
        self.head = FCNHead(channels, channels, num_classes, dropout=head_dropout)

    def forward(
        self, encoded: Float[Tensor, "b c h w"], low_level: Float[Tensor, "b c1 h1 w1"]
    ) -> Float[Tensor, "b k h1 w1"]:
        """Logits on the grid of the first stage."""
        resized = functional.interpolate(encoded, low_level.shape[-2:], mode="bilinear", align_corners=True)
        fused = self.fuse(torch.cat([resized, self.project(low_level)], dim=1))
        return self.head(self.fuse_dropout(fused))


@final
class DeepLabV3Plus(SegmentationModule):
    """A dilated backbone, ASPP and a decoder.

    Args:
        backbone: whose fourth stage feeds ASPP and whose first feeds the decoder.
        num_classes: k.
        channels: of ASPP and of the decoder.
        low_level_channels: to which the first stage is reduced.
        atrous_rates: of ASPP.
        aspp_dropout: rate behind ASPP.
        fuse_dropout: rate between the decoder's blocks.
        head_dropout: rate before the classifier.
    """

    align_corners = True

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        *,
        channels: int = 256,
        low_level_channels: int = 48,
        atrous_rates: Sequence[int] = (6, 12, 18),
        aspp_dropout: float = 0.5,
        fuse_dropout: float = 0.5,
        head_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.aspp = ASPP(backbone.channels[3], channels, atrous_rates=atrous_rates, dropout=aspp_dropout)
        self.decoder = Decoder(
            channels,
            backbone.channels[0],
            num_classes,
            projection=low_level_channels,
            fuse_dropout=fuse_dropout,
            head_dropout=head_dropout,
        )
        for module in (*self.aspp.modules(), *self.decoder.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        self.tap_names = prefixed(backbone.taps) | _TAPS | head_taps("decoder.head")

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits at stride 4; there is no auxiliary head, and `extra` is not looked at."""
        stage1, _, _, stage4 = self.backbone(image)
        return self.decoder(self.aspp(stage4), stage1), ()


def deeplabv3plus_resnet(
    num_classes: int,
    *,
    depth: Depth,
    multi_grid: Sequence[int],
    output_stride: OutputStride = 16,
    channels: int = 256,
    low_level_channels: int = 48,
    atrous_rates: Sequence[int] = (6, 12, 18),
    aspp_dropout: float = 0.5,
    fuse_dropout: float = 0.5,
    head_dropout: float = 0.1,
) -> DeepLabV3Plus:
    """DeepLabV3+ on a ResNet with a 7x7 stem, every block of a dilated stage dilated alike."""
    return DeepLabV3Plus(
        ResNetBackbone(depth, stem="plain", output_stride=output_stride, uniform_dilation=True, multi_grid=multi_grid),
        num_classes,
        channels=channels,
        low_level_channels=low_level_channels,
        atrous_rates=atrous_rates,
        aspp_dropout=aspp_dropout,
        fuse_dropout=fuse_dropout,
        head_dropout=head_dropout,
    )


def deeplabv3plus_mobilenetv2(
    num_classes: int,
    *,
    output_stride: OutputStride = 16,
    channels: int = 256,
    low_level_channels: int = 48,
    atrous_rates: Sequence[int] = (6, 12, 18),
    aspp_dropout: float = 0.5,
    fuse_dropout: float = 0.5,
    head_dropout: float = 0.1,
) -> DeepLabV3Plus:
    """DeepLabV3+ on MobileNetV2."""
    return DeepLabV3Plus(
        MobileNetV2Backbone(output_stride=output_stride, late_dilation=True),
        num_classes,
        channels=channels,
        low_level_channels=low_level_channels,
        atrous_rates=atrous_rates,
        aspp_dropout=aspp_dropout,
        fuse_dropout=fuse_dropout,
        head_dropout=head_dropout,
    )
