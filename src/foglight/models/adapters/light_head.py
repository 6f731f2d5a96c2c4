"""Our heads on a backbone of another library.

    light:  f = relu(sum_i resize(lateral_i(x_i))),  logits = classifier(dropout(block(f)))
    linear: logits = classifier(dropout(batch_norm(x_last)))

Symbols: x_i (b, c_i, h_i, w_i) the stages from stride 4 on; f on the finest one's grid, or on twice that where it is
coarser than stride 8 (a vision transformer's patches). Own design after `lite`; the linear head as in Oquab et al.,
DINOv2 (2023), section 7.4. Every dropout feeds the classifier, so that the closed form of MC dropout is complete where
the backbone has none. Cost: n 1x1 convolutions and one 3x3 convolution on the finest grid.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.errors import ConfigurationError
from foglight.models.adapters.foreign import looked_at, stage_names, stage_taps
from foglight.models.fcn_head import FCNHead, head_taps
from foglight.models.lite import Lateral
from foglight.models.segmentation_module import SegmentationModule

Head = Literal["light", "linear"]


@final
class LightHead(nn.Module):
    """The stages merged on one grid.

    Args:
        in_channels: c_i of the coarsest stages, from fine to coarse.
        num_classes: k.
        channels: of the merged feature.
        dropout: rate before the classifier.
        upsample: the finest stage's grid is multiplied by this.
    """

    def __init__(
        self, in_channels: Sequence[int], num_classes: int, *, channels: int, dropout: float, upsample: int
    ) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(Lateral(count, channels) for count in in_channels)
        self.upsample = upsample
        self.merge = nn.ReLU(inplace=True)
        self.out = FCNHead(channels, channels, num_classes, dropout=dropout)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "b k h w"]:
        """Logits."""
        features = features[-len(self.laterals) :]
        height, width = features[0].shape[2] * self.upsample, features[0].shape[3] * self.upsample
        resized = [
            F.interpolate(lateral(feature), (height, width), mode="bilinear", align_corners=False)
            for lateral, feature in zip(self.laterals, features, strict=True)
        ]
        return self.out(self.merge(torch.stack(resized).sum(0)))


@final
class LinearHead(nn.Module):
    """A 1x1 classifier on the last stage.

    Args:
        in_channels: of the last stage.
        num_classes: k.
        dropout: rate before the classifier.
    """

    def __init__(self, in_channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(in_channels, num_classes, kernel_size=1)

    def forward(self, features: Sequence[Tensor]) -> Float[Tensor, "b k h w"]:
        """Logits."""
        return self.classifier(self.dropout(self.norm(features[-1])))


@final
class BackboneNetwork(SegmentationModule):
    """A backbone and our head; taps that are no alias are paths of this module.

    Args:
        backbone: returns its stages, from fine to coarse, each "b c h w".
        num_classes: k.
        channels: c of every stage.
        strides: of every stage.
        size_multiple: what the image's sides must be divisible by.
        head: which.
        head_channels: of the light head.
        dropout: rate before the classifier.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        channels: Sequence[int],
        strides: Sequence[int],
        size_multiple: int,
        head: Head = "light",
        head_channels: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.size_multiple = size_multiple
        names = stage_names(len(channels))
        self.stages = nn.ModuleList(nn.Identity() for _ in names)
        self.head: LightHead | LinearHead
        if head == "light":
            upsample = 2 if min(strides) > 8 else 1
            # A stage at stride 2 would cost more than all others together.
            merged = [count for count, stride in zip(channels, strides, strict=True) if stride > 2]
            self.head = LightHead(merged, num_classes, channels=head_channels, dropout=dropout, upsample=upsample)
            taps = {"merge": "head.merge", **head_taps("head.out")}
        else:
            self.head = LinearHead(channels[-1], num_classes, dropout=dropout)
            taps = head_taps("head")
        self.tap_names = stage_taps(names) | taps

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits; there is no auxiliary head."""
        return self.head(looked_at(self.stages, self.backbone(image))), ()


def checked_head(options: Mapping[str, Any]) -> dict[str, Any]:
    """The head's options, as a recipe gives them.

    Raises:
        ConfigurationError: for a head that there is not, or a rate that is none.
    """
    head, rate, channels = options.get("head", "light"), options.get("dropout", 0.1), options.get("head_channels", 64)
    if head not in get_args(Head):
        raise ConfigurationError(f"options.head: got {head!r}", remedy=f"take {' or '.join(get_args(Head))}")
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
        raise ConfigurationError(f"options.dropout: got {rate!r}", remedy="give a rate in [0, 1)")
    if not isinstance(channels, int) or channels < 1:
        raise ConfigurationError(f"options.head_channels: got {channels!r}", remedy="give a count such as 64")
    return {"head": head, "dropout": float(rate), "head_channels": channels}
