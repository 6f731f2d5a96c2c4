"""MobileNetV2 as a dilated backbone, built by timm.

Source: Sandler et al., MobileNetV2 (CVPR 2018); dilated as in winycg/CIRKD @ 2d8ad0f
(models/base_models/mobilenetv2.py) or, with `late_dilation`, as in AmirMansurian/AttnFD @ f090bbe
(modeling/backbone/mobilenet.py), where the stage that lost its stride keeps the dilation of the one before in all of
its blocks.

What we changed: AttnFD pads before a block's first 1x1 convolution, so that its border holds relu6(batch_norm(0)); here
the depthwise convolution pads with zeros, as everywhere else. Cost: 1.8 M parameters.
"""

from typing import Final, final

import timm
from jaxtyping import Float
from timm.models.efficientnet import EfficientNet
from torch import Tensor

from foglight.models.backbone import Backbone, OutputStride, set_dilation, stage_dilations

# timm has seven groups of blocks; stages 1 to 4 end after these.
_STAGE_ENDS: Final = (2, 3, 5, 7)
# Groups that begin with stride 2, and the index of the stage before.
_STRIDED_GROUPS: Final = {3: 1, 5: 2}


@final
class MobileNetV2Backbone(Backbone):
    """The stages of a MobileNetV2 of width one: 24, 32, 96 and 320 channels, each ending in a linear bottleneck.

    Args:
        output_stride: pixels of the image per position of the last stage.
        late_dilation: dilate only the groups after the one that lost its stride.
    """

    def __init__(self, *, output_stride: OutputStride, late_dilation: bool = False) -> None:
        super().__init__()
        trunk = timm.create_model("mobilenetv2_100", pretrained=False, num_classes=0, output_stride=output_stride)
        if not isinstance(trunk, EfficientNet):
            raise TypeError(f"expected timm's mobilenetv2_100 to be an EfficientNet, got {type(trunk).__name__}")
        self.conv_stem, self.bn1, self.blocks = trunk.conv_stem, trunk.bn1, trunk.blocks
        if late_dilation:
            dilations = stage_dilations(output_stride)
            for group, stage_before in _STRIDED_GROUPS.items():
                set_dilation(self.blocks.get_submodule(str(group)), dilations[stage_before])
        self.channels = (24, 32, 96, 320)
        taps = {f"layer{i}": f"blocks.{end - 1}" for i, end in enumerate(_STAGE_ENDS, start=1)}
        self.taps = taps | {"backbone": taps["layer4"]}

    def forward(
        self, image: Float[Tensor, "b c H W"]
    ) -> tuple[
        Float[Tensor, "b c1 h1 w1"],
        Float[Tensor, "b c2 h2 w2"],
        Float[Tensor, "b c3 h3 w3"],
        Float[Tensor, "b c4 h4 w4"],
    ]:
        """The outputs of the four stages, none of which ends in a ReLU."""
        feature = self.bn1(self.conv_stem(image))
        groups: list[Tensor] = []
        for group in self.blocks:
            feature = group(feature)
            groups.append(feature)
        stage1, stage2, stage3, stage4 = (groups[end - 1] for end in _STAGE_ENDS)
        return stage1, stage2, stage3, stage4
