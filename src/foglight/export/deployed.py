"""The student as one function of an image, with what surrounds it baked in.

    z = resize(module(pad((x - mean) / std))) / T

Symbols: x image (b 3 H W), z logits (b k H W), or on the head's grid (b k h w) without the resize; T temperature.
Changed: padding is part of the arithmetic of sizes, so that a graph traced once takes images of any size. The logits of
a network that needs padding are resized to the padded image and cut, where `Network` cuts first: the same at sizes that
need none.
"""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from foglight.functional.binary import at_least_two_classes
from foglight.models.network import Network


@final
class Deployed(nn.Module):
    """What is exported; in eval mode.

    Args:
        network: the student, of colour images only.
        normalise: take images in [0, 1]; without it the caller normalises.
        resize: give logits on the image's grid; without it on the head's own.
        temperature: T; 1 changes nothing.

    Raises:
        ValueError: for a network that reads further channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: Network, *, normalise: bool = True, resize: bool = True, temperature: float = 1.0
    ) -> None:
        super().__init__()
        if network.extra_channels:
            raise ValueError(f"expected a network of colour images, got one that reads {network.extra_channels} more")
        self.module = network.module
        self.register_buffer("mean", network.mean.clone())
        self.register_buffer("std", network.std.clone())
        self.normalise = normalise
        self.resize = resize
        self.temperature = temperature
        self.eval()

    def forward(self, image: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b k *grid"]:
        """Logits."""
        height, width = image.shape[-2:]
        multiple = self.module.size_multiple
        seen = (image - self.mean) / self.std if self.normalise else image
        if multiple > 1:
            seen = F.pad(seen, (0, -width % multiple, 0, -height % multiple), mode="replicate")
        logits = at_least_two_classes(self.module(seen, None, auxiliary=False)[0])
        if self.resize:
            corners = self.module.align_corners
            logits = F.interpolate(logits, seen.shape[-2:], mode="bilinear", align_corners=corners)
            logits = logits[..., :height, :width]
        return logits / self.temperature if self.temperature != 1 else logits


def example(size: tuple[int, int], *, images: int = 2) -> Float[Tensor, "b 3 H W"]:
    """An image to trace and compare with, the same one every time; brighter towards one corner.

    Noise alone is the same everywhere on average, so that pooling over the wrong places would go unseen.
    """
    noise = torch.rand((images, 3, *size), generator=torch.Generator().manual_seed(0))
    down, right = (torch.linspace(0.0, 1.0, side) for side in size)
    return noise * down[:, None] * right
