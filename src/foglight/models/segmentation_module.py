"""What is inside a Network: an nn.Module that turns a normalised image into logits and names its taps.

Shapes: b batch, c channels of the image, x extra channels, k classes, h w the head's grid, H W the image's grid.

A segmentation module knows nothing of normalisation, padding, dropout passes, losses or weights files:
`foglight.models.network.Network` wraps it and adds the first three, so that nothing else needs to be overridden.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType

from jaxtyping import Float
from torch import Tensor, nn


class SegmentationModule(nn.Module, ABC):
    """An architecture. Return the classifier's output itself: `Network` resizes, promotes and un-pads.

    Logits that a later operation touches (a resize, a softmax) cost the closed form of MC dropout, which needs the
    classifier's own output.

    Attributes:
        tap_names: alias to module path, for instance `{"head": "head.dropout:in"}`. A plain path is the output of that
            module; the suffix `:in` is its first input, such as a feature before ReLU or before dropout.
        tap_root: path of the submodule from which taps that are no alias are named; empty for this module itself.
        align_corners: how this family resizes its logits to the label.
        size_multiple: the image's height and width are padded to a multiple of this before `forward` sees them.
        extra_channels: x, how many channels beside the colour image `forward` expects; 0 for colour only.
    """

    tap_names: Mapping[str, str] = MappingProxyType({})
    tap_root: str = ""
    align_corners: bool = False
    size_multiple: int = 1
    extra_channels: int = 0

    @abstractmethod
    def forward(
        self, image: Float[Tensor, "b c H W"], extra: Float[Tensor, "b x H W"] | None, *, auxiliary: bool
    ) -> tuple[Float[Tensor, "b k *grid"], tuple[Float[Tensor, "b k *auxiliary_grid"], ...]]:
        """Logits on the head's own grid, and those of the auxiliary heads.

        Args:
            image: already normalised.
            extra: depth, normals or any further channels; None for a network of colour images only.
            auxiliary: whether to run the auxiliary heads at all; without them the tuple is empty.
        """
