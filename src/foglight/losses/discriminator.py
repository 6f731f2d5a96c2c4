"""A critic of segmentation maps: are these logits the teacher's?

D = score . attend . down4 . attend . down3 . down2 . down1 . BatchNorm

Symbols: logits (b k h w); down1..4 spectrally normalised 4x4 convolutions of stride 2 to 64, 128, 256 and 512 channels
with leaky ReLU (slope 0.1); score a 4x4 convolution to one channel, without padding: 64 x 64 logits give one score.
Source: Zhang et al. 2019 (SAGAN); Liu et al. 2019 (structured knowledge distillation), its holistic term; CIRKD
`utils/sagan.py::Discriminator`, preprocess mode 1 @ 2d8ad0f. Neither conditions on the image.
Changed: nothing but the width, which published code fixes to 64.
Cost: 2.8 M parameters at 64; 0.1 G multiply-adds per 64 x 64 logits.
"""

from typing import Final, final

from jaxtyping import Float
from torch import Tensor, nn

from foglight.losses.self_attention import REDUCTION, SelfAttention
from foglight.losses.spectral_convolution import SpectralConv2d

# Four halvings down to the 4 x 4 that the last convolution reads.
SMALLEST: Final = 64
SLOPE: Final = 0.1


@final
class Discriminator(nn.Module):
    """Scores of overlapping regions of a map of logits.

    Args:
        channels: k, classes of the logits.
        width: channels after the first convolution.

    Raises:
        ValueError: if the attention would have no channel.
    """

    def __init__(self, channels: int, *, width: int = 64) -> None:
        super().__init__()
        if 4 * width < REDUCTION:
            raise ValueError(f"expected a width of at least {-(-REDUCTION // 4)}, got {width}")
        self.standardise = nn.BatchNorm2d(channels)
        self.down1 = SpectralConv2d(channels, width)
        self.down2 = SpectralConv2d(width, 2 * width)
        self.down3 = SpectralConv2d(2 * width, 4 * width)
        self.attention3 = SelfAttention(4 * width)
        self.down4 = SpectralConv2d(4 * width, 8 * width)
        self.attention4 = SelfAttention(8 * width)
        self.score = nn.Conv2d(8 * width, 1, kernel_size=4)
        self.activation = nn.LeakyReLU(SLOPE)

    def forward(self, logits: Float[Tensor, "b k h w"]) -> Float[Tensor, "b 1 rows columns"]:
        """One score per region; larger means the teacher's.

        Raises:
            ValueError: if a side is shorter than 64.
        """
        if min(logits.shape[2:]) < SMALLEST:
            raise ValueError(
                f"expected logits of at least {SMALLEST} positions along each side, got {tuple(logits.shape[2:])}; "
                "resize them first"
            )
        values = self.activation(self.down1(self.standardise(logits)))
        values = self.activation(self.down2(values))
        values = self.attention3(self.activation(self.down3(values)))
        values = self.attention4(self.activation(self.down4(values)))
        scores: Tensor = self.score(values)
        return scores
