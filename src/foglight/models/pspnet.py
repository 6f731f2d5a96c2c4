"""PSPNet as the uncertainty-weighted distillation paper (FOTF) and its baselines used it.

    logits = classifier(dropout(relu(bn(conv3x3(pyramid_pooling(stage4(image)))))))       stride 8

Source: Zhao et al., Pyramid scene parsing network (CVPR 2017); widths, dropouts and auxiliary head of winycg/CIRKD
@ 2d8ad0f (models/pspnet.py): 12.92 M parameters on ResNet-18 with 19 classes and the auxiliary head. One dropout lies
in the path to the logits and feeds the classifier, so that the closed form of MC dropout is complete here. What we
changed: nothing but names.
"""

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor

from foglight.models.backbone import Backbone, OutputStride, prefixed
from foglight.models.fcn_head import FCNHead, auxiliary_head, head_taps
from foglight.models.pyramid_pooling import PyramidPooling
from foglight.models.resnet import Depth, ResNetBackbone, Stem
from foglight.models.segmentation_module import SegmentationModule


@final
class PSPNet(SegmentationModule):
    """A dilated backbone, pyramid pooling and one 3x3 block.

    Args:
        backbone: whose fourth stage is pooled and whose third feeds the auxiliary head.
        num_classes: k.
        channels: of the head.
        bins: sides of the pooled grids.
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
        bins: Sequence[int] = (1, 2, 3, 6),
        head_dropout: float = 0.1,
        auxiliary: bool = True,
        auxiliary_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _, _, third, fourth = backbone.channels
        self.backbone = backbone
        self.ppm = PyramidPooling(fourth, bins=bins)
        self.head = FCNHead(self.ppm.channels, channels, num_classes, dropout=head_dropout)
        self.auxiliary = auxiliary_head(third, num_classes, dropout=auxiliary_dropout) if auxiliary else None
        self.tap_names = prefixed(backbone.taps) | {"ppm": "ppm"} | head_taps("head")

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits at stride 8 and those of the auxiliary head; `extra` is not looked at."""
        _, _, stage3, stage4 = self.backbone(image)
        logits = self.head(self.ppm(stage4))
        if self.auxiliary is None or not auxiliary:
            return logits, ()
        return logits, (self.auxiliary(stage3),)


def pspnet_resnet(
    num_classes: int,
    *,
    depth: Depth,
    stem: Stem,
    channels: int,
    output_stride: OutputStride = 8,
    bins: Sequence[int] = (1, 2, 3, 6),
    head_dropout: float = 0.1,
    auxiliary: bool = True,
    auxiliary_dropout: float = 0.1,
) -> PSPNet:
    """PSPNet on a ResNet; the arguments are those of the backbone and of the network."""
    return PSPNet(
        ResNetBackbone(depth, stem=stem, output_stride=output_stride),
        num_classes,
        channels=channels,
        bins=bins,
        head_dropout=head_dropout,
        auxiliary=auxiliary,
        auxiliary_dropout=auxiliary_dropout,
    )
