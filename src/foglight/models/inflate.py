"""A network of colour images that also reads extra channels, keeping its answer to the colours.

    W' = [W, fill(W)]        W: first convolution "o 3 kh kw", W': the same with 3 + x input channels

With the extra channels at 0 the response is exactly what it was; `zero_fill` keeps it whatever they are, until training
moves them. `mean_fill` starts a channel as brightness (what SNE-RoadSeg does for depth), `copy_fill` starts three as
red, green and blue (for normals).

Source: common practice, as in hlwang1124/SNE-RoadSeg (models/networks.py). What we changed: nothing is rescaled, so
that the colours' part stays what was pretrained. Cost: o x kh kw weights.
"""

import copy
from collections.abc import Callable
from typing import Final, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foglight.models.extra_input import required_extra
from foglight.models.segmentation_module import SegmentationModule

# From the colours' weights and the number of extra channels to the weights of those.
Fill = Callable[[Tensor, int], Tensor]
COLOURS: Final = 3


def zero_fill(weight: Float[Tensor, "o 3 kh kw"], channels: int) -> Float[Tensor, "o x kh kw"]:
    """Nothing is read at first."""
    return weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])


def mean_fill(weight: Float[Tensor, "o 3 kh kw"], channels: int) -> Float[Tensor, "o x kh kw"]:
    """Every channel as the mean of the colours.

    >>> mean_fill(torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1), 2).flatten().tolist()
    [3.0, 3.0]
    """
    return weight.mean(dim=1, keepdim=True).expand(-1, channels, -1, -1).clone()


def copy_fill(weight: Float[Tensor, "o 3 kh kw"], channels: int) -> Float[Tensor, "o x kh kw"]:
    """The colours by turns.

    >>> copy_fill(torch.tensor([1.0, 2.0, 6.0]).view(1, 3, 1, 1), 4).flatten().tolist()
    [1.0, 2.0, 6.0, 1.0]
    """
    return weight[:, [channel % COLOURS for channel in range(channels)]].clone()


def inflated_convolution(convolution: nn.Conv2d, channels: int, fill: Fill = mean_fill) -> nn.Conv2d:
    """A copy of a convolution of three channels that reads `channels` more.

    Raises:
        ValueError: if it does not read three channels at once.
    """
    if convolution.in_channels != COLOURS or convolution.groups != 1 or channels < 1:
        raise ValueError(
            f"expected a convolution of {COLOURS} channels and at least one to add, got {convolution} and {channels}"
        )
    wide = copy.deepcopy(convolution)
    wide.in_channels += channels
    weight = convolution.weight.detach()
    wide.weight = nn.Parameter(torch.cat([weight, fill(weight, channels)], dim=1))
    return wide


@final
class Inflated(SegmentationModule):
    """A network of colour images whose first convolution has been widened, in place.

    Args:
        inner: the network; its first convolution of three channels is replaced.
        extra_channels: x, how many it reads beside the colours from now on.
        fill: what the new channels start as.

    Raises:
        ValueError: if it already reads extra channels, or has no convolution of three channels.
    """

    def __init__(self, inner: SegmentationModule, extra_channels: int, fill: Fill = mean_fill) -> None:
        super().__init__()
        if inner.extra_channels:
            raise ValueError(f"expected a network of colour images, got one that reads {inner.extra_channels} more")
        first = next(
            (
                (name, part)
                for name, part in inner.named_modules()
                if isinstance(part, nn.Conv2d) and part.in_channels == COLOURS
            ),
            None,
        )
        if first is None:
            raise ValueError(f"expected a convolution of {COLOURS} channels in {type(inner).__name__}, found none")
        name, convolution = first
        inner.set_submodule(name, inflated_convolution(convolution, extra_channels, fill))
        self.inner = inner
        self.extra_channels = extra_channels
        self.align_corners = inner.align_corners
        self.size_multiple = inner.size_multiple
        self.tap_root = f"inner.{inner.tap_root}" if inner.tap_root else "inner"
        self.tap_names = {alias: f"inner.{path}" for alias, path in inner.tap_names.items()}

    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """The network's logits for the image with the extra channels behind it."""
        beside = required_extra(extra, self.extra_channels, name=type(self.inner).__name__)
        return self.inner(torch.cat([image, beside.to(image.dtype)], dim=1), None, auxiliary=auxiliary)
