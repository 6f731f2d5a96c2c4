"""SNE-RoadSeg: an image encoder and one for depth or normals, added stage by stage, under a densely connected decoder.

    e_1 = s_1(image) + t_1(extra),   e_i = s_i(e_{i-1}) + t_i(t_{i-1}),   i = 2..5 at strides 2, 4, 8, 16, 32
    x_{i,0} = e_i,   x_{i,j} = conv(conv([x_{i,0}, ..., x_{i,j-1}, up(x_{i+1,j-1})])),   i + j <= 5
    logits  = relu(bn(conv(dropout(up(x_{1,4})))))                                       on the image's own grid

s_i, t_i: stages of the two encoders; the first is the convolution before pooling. conv: 3x3, bias, BatchNorm, ReLU; up:
bilinear times two. Without extra channels the second encoder is left out: the student of LIX, which keeps every width.

Source: Fan et al., SNE-RoadSeg (ECCV 2020); hlwang1124/SNE-RoadSeg (models/networks.py), the network of LIX's
experiments. With 19 classes: 201.3 M parameters on two ResNet-152 (each 58.14 M, the decoder 85.05 M), 143.2 M with
one. What we changed: dropout before the last convolution, where the original has none (`dropout: 0`), because MC
dropout needs one; and the closing ReLU is an option. It makes every logit non-negative: a temperature or a decoupled
loss then compares clipped numbers, and a class whose logit is clipped has no gradient. As published the ReLU stays.
"""

from collections.abc import Sequence
from typing import Any, Final, final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.models.dense_decoder import STAGES, DenseDecoder, double, initialise
from foglight.models.extra_input import require_count, required_extra
from foglight.models.plain_trunk import PlainTrunk
from foglight.models.resnet import Depth, ResNetBackbone
from foglight.models.segmentation_module import SegmentationModule

_STEM_WIDTH: Final = 64


@final
class Fusion(nn.Module):
    """The image's feature with that of the extra channels added; a module of its own so that it can be tapped."""

    def forward(self, image: Float[Tensor, "b c h w"], extra: Float[Tensor, "b c h w"] | None) -> Tensor:
        """The sum, or the image's feature where there is nothing to add."""
        return image if extra is None else image + extra


@final
class SNERoadSeg(SegmentationModule):
    """Encoder or encoders, decoder, classifier.

    Args:
        backbone: of the image.
        extra_backbone: of the extra channels, with the same widths; None for colour alone.
        num_classes: k.
        channels: of the five stages.
        extra_channels: x; 0 for colour alone.
        dropout: rate before the last convolution.
        closing_relu: whether the logits pass a ReLU, as published.
    """

    align_corners = True
    size_multiple = 32

    def __init__(
        self,
        backbone: ResNetBackbone | PlainTrunk,
        extra_backbone: ResNetBackbone | PlainTrunk | None,
        num_classes: int,
        *,
        channels: Sequence[int],
        extra_channels: int,
        dropout: float,
        closing_relu: bool,
    ) -> None:
        super().__init__()
        if (extra_backbone is None) != (extra_channels == 0):
            raise ValueError(f"expected extra channels exactly where there is a second encoder, got {extra_channels}")
        self.extra_channels = extra_channels
        self.backbone = backbone
        self.extra_backbone = extra_backbone
        self.fusions = nn.ModuleList(Fusion() for _ in range(STAGES))
        self.decoder = DenseDecoder(channels)
        self.up = double()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels[0], num_classes, 3, padding=1)
        self.norm = nn.BatchNorm2d(num_classes)
        self.closing = nn.ReLU() if closing_relu else nn.Identity()
        initialise(self.classifier)
        stages = {f"stage{i + 1}": f"fusions.{i}" for i in range(STAGES)}
        # The other networks count their stages after the pooling; a loss asks all of them for layer1 to layer4.
        layers = {f"layer{i}": f"fusions.{i}" for i in range(1, STAGES)}
        self.tap_names = stages | layers | {"decoder": "decoder", "head": "dropout", "head_clean": "dropout:in"}

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits on the image's own grid; there is no auxiliary head."""
        beside = self._extra_stages(extra)
        feature, stages = image, list[Tensor]()
        for stage, fuse, other in zip(self.backbone.five_stages(), self.fusions, beside, strict=True):
            feature = fuse(stage(feature), other)
            stages.append(feature)
        logits = self.norm(self.classifier(self.dropout(self.up(self.decoder(stages)))))
        return self.closing(logits), ()

    def _extra_stages(self, extra: Tensor | None) -> Sequence[Tensor | None]:
        if self.extra_backbone is None:
            return [None] * STAGES
        feature, stages = required_extra(extra, self.extra_channels, name="SNE-RoadSeg"), list[Tensor]()
        for stage in self.extra_backbone.five_stages():
            feature = stage(feature)
            stages.append(feature)
        return stages


def sne_roadseg_resnet(
    num_classes: int,
    *,
    depth: Depth,
    extra_channels: int,
    dropout: float = 0.1,
    closing_relu: bool = True,
) -> SNERoadSeg:
    """SNE-RoadSeg on one ResNet, or two where there are extra channels; the arguments are those of the network."""
    require_count(extra_channels)
    options: dict[str, Any] = {"stem": "plain", "output_stride": 32}
    backbone = ResNetBackbone(depth, **options)
    second = ResNetBackbone(depth, **options, in_channels=extra_channels) if extra_channels else None
    return SNERoadSeg(
        backbone,
        second,
        num_classes,
        channels=(_STEM_WIDTH, *backbone.channels),
        extra_channels=extra_channels,
        dropout=dropout,
        closing_relu=closing_relu,
    )


def sne_roadseg_lite(
    num_classes: int,
    *,
    widths: Sequence[int],
    extra_channels: int,
    dropout: float = 0.1,
    closing_relu: bool = False,
) -> SNERoadSeg:
    """SNE-RoadSeg on plain encoders of five widths, for a CPU; logits are free to be negative unless asked."""
    require_count(extra_channels)
    second = PlainTrunk(widths, in_channels=extra_channels) if extra_channels else None
    return SNERoadSeg(
        PlainTrunk(widths),
        second,
        num_classes,
        channels=widths,
        extra_channels=extra_channels,
        dropout=dropout,
        closing_relu=closing_relu,
    )
