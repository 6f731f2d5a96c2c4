"""The head that turns a feature into logits: a 3x3 block, dropout and a 1x1 classifier.

    logits = W * dropout(relu(batch_norm(conv3x3(x)))) + bias       x: (b, c, h, w), logits: (b, k, h, w)

Source: Long et al., Fully convolutional networks (CVPR 2015); as the last layers and as the auxiliary head of
winycg/CIRKD @ 2d8ad0f. Dropout is elementwise and feeds the classifier directly, which is what the closed form of MC
dropout needs.
"""

from typing import Final, final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.models.conv_bn_relu import ConvBNReLU

# An auxiliary head on c channels has c / 4 of its own.
AUXILIARY_REDUCTION: Final = 4


@final
class FCNHead(nn.Module):
    """3x3 convolution, BatchNorm, ReLU, dropout, classifier.

    Args:
        in_channels: c of the feature.
        channels: c before the classifier.
        num_classes: k.
        dropout: rate.
    """

    def __init__(self, in_channels: int, channels: int, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.block = ConvBNReLU(in_channels, channels, kernel_size=3)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, kernel_size=1)

    def forward(self, feature: Float[Tensor, "b c h w"]) -> Float[Tensor, "b k h w"]:
        """Logits on the feature's grid."""
        return self.classifier(self.dropout(self.block(feature)))


def auxiliary_head(in_channels: int, num_classes: int, *, dropout: float) -> FCNHead:
    """A head of a quarter of the channels, for deep supervision of an inner stage."""
    return FCNHead(in_channels, in_channels // AUXILIARY_REDUCTION, num_classes, dropout=dropout)


def head_taps(path: str) -> dict[str, str]:
    """The aliases of a head at `path`: `head` is what the classifier reads, `head_clean` the same before dropout.

    >>> head_taps("decoder.head")["head_clean"]
    'decoder.head.dropout:in'
    """
    return {"head": f"{path}.dropout", "head_clean": f"{path}.dropout:in"}
