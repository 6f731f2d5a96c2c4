"""What a backbone promises: four stages of features, and the positions at which they can be tapped.

Shapes: b batch, c1..c4 channels of the stages, h1 w1 ... h4 w4 their grids, H W the image's grid. Stage 1 has stride 4,
stage 2 stride 8; stages 3 and 4 have 16 and 32 unless `output_stride` is smaller, when dilation takes the place of
stride so that every convolution still sees the field it was trained on.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

OutputStride = Literal[8, 16, 32]
STAGE_STRIDES = (4, 8, 16, 32)


def stage_dilations(output_stride: OutputStride) -> tuple[int, int, int, int]:
    """The dilation of each stage that keeps its field of view when the stride stops at `output_stride`.

    >>> stage_dilations(8)
    (1, 1, 2, 4)
    """
    first, second, third, fourth = (max(1, stride // output_stride) for stride in STAGE_STRIDES)
    return first, second, third, fourth


def set_dilation(module: nn.Module, dilation: int) -> None:
    """Give every 3x3 convolution in `module` this dilation, and the padding that keeps the map's size."""
    for convolution in module.modules():
        if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (3, 3):
            convolution.dilation = (dilation, dilation)
            convolution.padding = (dilation, dilation)


class Backbone(nn.Module, ABC):
    """An image classifier without its head.

    The state dict has the keys of the timm model it comes from, less the classifier's, so that weights load strictly.

    Attributes:
        channels: c1..c4.
        taps: alias to module path within the backbone, with the suffix `:in` for the input of that module. `layer1` to
            `layer4` are the stages' outputs; `backbone` is the last stage before its closing ReLU, where it has one.
    """

    channels: tuple[int, int, int, int]
    taps: Mapping[str, str]

    @abstractmethod
    def forward(
        self, image: Float[Tensor, "b c H W"]
    ) -> tuple[
        Float[Tensor, "b c1 h1 w1"],
        Float[Tensor, "b c2 h2 w2"],
        Float[Tensor, "b c3 h3 w3"],
        Float[Tensor, "b c4 h4 w4"],
    ]:
        """The outputs of the four stages."""


def prefixed(taps: Mapping[str, str], prefix: str = "backbone") -> dict[str, str]:
    """The same aliases, seen from the network that holds the backbone under the name `prefix`.

    >>> prefixed({"layer4": "layer4"})
    {'layer4': 'backbone.layer4'}
    """
    return {alias: f"{prefix}.{path}" for alias, path in taps.items()}
