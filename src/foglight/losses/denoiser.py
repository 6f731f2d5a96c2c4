"""The networks of DiffKD: one that tells the noise in a map, and one that tells how much noise a map needs.

denoiser: eps = A(x + E[t]);  adapter: gamma = first entry of softmax(W mean_i (A' x)[i]), one number per image

Shapes: x (b c h w), t steps of the diffusion (b), E a table of steps (steps c), A and A' small stacks of convolutions
with batch normalisation: two residual bottlenecks of width c/4 (one of c/8 in the adapter) on feature maps, where
neighbours help; 1x1 layers of width 4c (2c) on logits.
Source: Huang et al. 2023, "Knowledge diffusion for distillation", NeurIPS; hunto/image_classification_sota, DiffKD.
Changed: the adapter on logits averages over positions, so that it takes maps, not only vectors.
Cost: of the denoiser with 3x3 kernels 25/8*c^2 + 1280*c parameters and about 12*b*c*h*w numbers kept per evaluation, of
the adapter 2/5*c^2 and 4*b*c*h*w.
"""

from typing import Final, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foglight.losses.batch_norm import BatchNorm

KernelSize = Literal[1, 3]

# Rows of the table of steps: more than the 1000 that are used; the published number.
TABLE: Final = 1280


def narrow(channels: int, reduction: int) -> int:
    """Channels inside a bottleneck, never none.

    >>> narrow(64, 8), narrow(4, 8)
    (8, 1)
    """
    return max(channels // reduction, 1)


@final
class Bottleneck(nn.Module):
    """x + conv1x1(conv3x3(conv1x1(x))), batch-normalised after each, no ReLU after the sum.

    Args:
        channels: of input and output.
        reduction: how many times narrower the middle is.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        width = narrow(channels, reduction)
        self.block = nn.Sequential(
            nn.Conv2d(channels, width, 1),
            BatchNorm(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            BatchNorm(width),
            nn.ReLU(),
            nn.Conv2d(width, channels, 1),
            BatchNorm(channels),
        )

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The sum of input and block."""
        return self.block(values) + values


@final
class Denoiser(nn.Module):
    """Tells the noise in a map of which the step of the diffusion is known.

    Args:
        channels: of the map.
        kernel_size: 3 for feature maps, 1 for logits.
    """

    def __init__(self, channels: int, *, kernel_size: KernelSize) -> None:
        super().__init__()
        self.time_embedding = nn.Embedding(TABLE, channels)
        if kernel_size == 3:
            self.pred = nn.Sequential(
                Bottleneck(channels, 4), Bottleneck(channels, 4), nn.Conv2d(channels, channels, 1), BatchNorm(channels)
            )
        else:
            self.pred = nn.Sequential(*pointwise_pair(channels, 4), *pointwise_pair(channels, 4)[:-1])

    def forward(self, noisy: Float[Tensor, "b c h w"], step: Int[Tensor, " b"]) -> Float[Tensor, "b c h w"]:
        """The noise, as far as it can be told."""
        return self.pred(noisy + self.time_embedding(step)[:, :, None, None])


@final
class NoiseAdapter(nn.Module):
    """Tells what share of a student's map to keep when noise is mixed in.

    Args:
        channels: of the map.
        kernel_size: 3 for feature maps, 1 for logits.
    """

    def __init__(self, channels: int, *, kernel_size: KernelSize) -> None:
        super().__init__()
        layers = [Bottleneck(channels, 8)] if kernel_size == 3 else pointwise_pair(channels, 2)
        self.feat = nn.Sequential(*layers)
        self.pred = nn.Linear(channels, 2)

    def forward(self, values: Float[Tensor, "b c h w"]) -> Float[Tensor, "b 1 1 1"]:
        """gamma, in (0, 1)."""
        choice = torch.softmax(self.pred(self.feat(values).mean((2, 3))), dim=1)
        return choice[:, 0, None, None, None]


def pointwise_pair(channels: int, expansion: int) -> list[nn.Module]:
    """Two 1x1 layers, wider in between: conv, BN, ReLU, conv, BN."""
    width = expansion * channels
    return [
        nn.Conv2d(channels, width, 1),
        BatchNorm(width),
        nn.ReLU(),
        nn.Conv2d(width, channels, 1),
        BatchNorm(channels),
    ]
