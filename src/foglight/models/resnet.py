"""ResNet as a dilated backbone, built by timm.

Source: He et al., Deep residual learning (CVPR 2016); the dilated form with a deep stem as in winycg/CIRKD @ 2d8ad0f
(models/base_models/resnetv1b.py, "v1s"), the form with multi-grid as in AmirMansurian/AttnFD @ f090bbe
(modeling/backbone/resnet.py).

Two stems: `deep`, three 3x3 convolutions of 64, 64, 128 channels, and `plain`, one 7x7 convolution of 64. Two ways to
dilate a stage whose stride was taken away:

    graded      the first block's first 3x3 convolution keeps the dilation of the stage before (timm, CIRKD)
    uniform     every block has the stage's dilation times its entry of `multi_grid` (AttnFD)

AttnFD writes blocks that begin with ReLU and end without; with the ReLU at the end the function is the same, and its
features before ReLU are the taps `layer1_pre_relu` to `layer4_pre_relu`. What we changed: nothing but names.
Cost: 11.2 M (18 layers) to 58.1 M (152 layers) parameters.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, final

from jaxtyping import Float
from timm.models.resnet import BasicBlock, Bottleneck, ResNet
from torch import Tensor, nn

from foglight.models.backbone import Backbone, OutputStride, set_dilation, stage_dilations

Depth = Literal[18, 34, 50, 101, 152]
Stem = Literal["deep", "plain"]

_STEM_WIDTH: Final = 64
_BLOCKS: Final[dict[Depth, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}


@final
class ResNetBackbone(Backbone):
    """The four stages of a ResNet.

    Args:
        depth: layers.
        stem: three 3x3 convolutions, or one 7x7.
        output_stride: pixels of the image per position of the last stage.
        uniform_dilation: dilate every block of a stage alike, rather than graded.
        multi_grid: factors on the dilation of the last stage's blocks, with `uniform_dilation`; empty for none.
        in_channels: of the image, or of what stands in its place.
    """

    def __init__(
        self,
        depth: Depth,
        *,
        stem: Stem,
        output_stride: OutputStride,
        uniform_dilation: bool = False,
        multi_grid: Sequence[int] = (),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        block, counts = _BLOCKS[depth]
        trunk = ResNet(
            block,  # pyright: ignore[reportArgumentType]  # timm annotates the instance where it takes the class
            counts,
            num_classes=0,
            in_chans=in_channels,
            output_stride=output_stride,
            stem_width=_STEM_WIDTH,
            stem_type="deep" if stem == "deep" else "",
            zero_init_last=False,
        )
        self.conv1, self.bn1, self.act1, self.maxpool = trunk.conv1, trunk.bn1, trunk.act1, trunk.maxpool
        # add_module is how timm itself names the stages.
        self.layer1, self.layer2, self.layer3, self.layer4 = (trunk.get_submodule(f"layer{i}") for i in (1, 2, 3, 4))
        stages = [self.layer1, self.layer2, self.layer3, self.layer4]
        if uniform_dilation:
            _dilate_uniformly(stages, output_stride, multi_grid)
        closing = "act2" if block is BasicBlock else "act3"
        self.channels = (64 * block.expansion, 128 * block.expansion, 256 * block.expansion, 512 * block.expansion)
        taps = {f"layer{i}": f"layer{i}" for i in (1, 2, 3, 4)}
        for i, count in enumerate(counts, start=1):
            taps[f"layer{i}_pre_relu"] = f"layer{i}.{count - 1}.{closing}:in"
        self.taps = taps | {"backbone": taps["layer4_pre_relu"]}

    def forward(
        self, image: Float[Tensor, "b c H W"]
    ) -> tuple[
        Float[Tensor, "b c1 h1 w1"],
        Float[Tensor, "b c2 h2 w2"],
        Float[Tensor, "b c3 h3 w3"],
        Float[Tensor, "b c4 h4 w4"],
    ]:
        """The outputs of the four stages, after ReLU."""
        stage1 = self.layer1(self.maxpool(self.stem(image)))
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        return stage1, stage2, stage3, self.layer4(stage3)

    def stem(self, image: Float[Tensor, "b c H W"]) -> Float[Tensor, "b c0 h0 w0"]:
        """What comes before the first pooling, at stride 2 and after ReLU."""
        return self.act1(self.bn1(self.conv1(image)))

    def five_stages(self) -> tuple[Callable[[Tensor], Tensor], ...]:
        """The stem and the four stages one by one, for networks that add to a stage before the next one reads it."""
        return self.stem, lambda image: self.layer1(self.maxpool(image)), self.layer2, self.layer3, self.layer4


def _dilate_uniformly(stages: Sequence[nn.Module], output_stride: OutputStride, multi_grid: Sequence[int]) -> None:
    for stage, dilation in zip(stages, stage_dilations(output_stride), strict=True):
        set_dilation(stage, dilation)
    last = list(stages[-1].children())
    if multi_grid and len(multi_grid) != len(last):
        raise ValueError(f"expected one multi-grid factor for each of {len(last)} blocks, got {len(multi_grid)}")
    for block, factor in zip(last, multi_grid, strict=False):
        set_dilation(block, factor * stage_dilations(output_stride)[-1])
