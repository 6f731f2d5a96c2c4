"""Is DeepLabV3+ the network of AttnFD: stride 16, multi-grid, a decoder at stride 4, taps before and after ReLU?"""

import pytest
import torch
from torch import nn

from foglight.errors import ConfigurationError
from foglight.models.registry import build_module
from foglight.models.taps import recorded


def dilations(module: nn.Module) -> list[int]:
    return [c.dilation[0] for c in module.modules() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]


@pytest.mark.parametrize(("name", "channels"), [("deeplabv3plus_r18", 512), ("deeplabv3plus_mbv2", 320)])
def test_shapes_and_taps_on_an_odd_image(name: str, channels: int) -> None:
    torch.manual_seed(0)
    network = build_module(name, num_classes=5, options={}).eval()
    with recorded(network, list(network.tap_names)) as features:
        logits, auxiliary = network(torch.rand(1, 3, 65, 97), None, auxiliary=True)
    assert logits.shape == (1, 5, 17, 25)
    assert auxiliary == ()
    assert set(features) == set(network.tap_names)
    assert features["backbone"].shape == (1, channels, 5, 7)
    assert features["encoder"].shape == (1, 256, 5, 7)
    assert features["decoder"].shape == (1, 256, 17, 25)
    assert (features["backbone"] < 0).any()
    for tap in ("encoder", "decoder"):
        assert (features[f"{tap}_pre_relu"] < 0).any()
        assert torch.equal(features[f"{tap}_pre_relu"].relu(), features[tap])


def test_backbone_is_the_last_stage_before_its_relu() -> None:
    network = build_module("deeplabv3plus_r18", num_classes=2, options={}).eval()
    with recorded(network, ["backbone", "layer4"]) as features:
        network(torch.rand(1, 3, 33, 33), None, auxiliary=False)
    assert torch.equal(features["backbone"].relu(), features["layer4"])


@pytest.mark.parametrize(
    ("name", "stride", "expected"),
    [
        ("deeplabv3plus_r101", 16, {"layer3": [1] * 23, "layer4": [2, 4, 8]}),
        ("deeplabv3plus_r101", 8, {"layer3": [2] * 23, "layer4": [4, 8, 16]}),
        ("deeplabv3plus_r18", 16, {"layer3": [1] * 4, "layer4": [2] * 4}),
        ("deeplabv3plus_mbv2", 16, {"blocks.5": [1] * 3, "blocks.6": [2]}),
        ("deeplabv3plus_mbv2", 8, {"blocks.3": [1] * 4, "blocks.4": [2] * 3, "blocks.5": [2] * 3, "blocks.6": [4]}),
    ],
)
def test_dilations_are_those_of_the_public_code(name: str, stride: int, expected: dict[str, list[int]]) -> None:
    with torch.device("meta"):
        network = build_module(name, num_classes=2, options={"output_stride": stride})
    assert {stage: dilations(network.get_submodule(f"backbone.{stage}")) for stage in expected} == expected


def test_dilated_convolutions_keep_the_grid() -> None:
    with torch.device("meta"):
        network = build_module("deeplabv3plus_r101", num_classes=2, options={})
    for convolution in network.get_submodule("backbone.layer4").modules():
        if isinstance(convolution, nn.Conv2d) and convolution.kernel_size == (3, 3):
            assert convolution.padding == convolution.dilation


def test_dropouts_and_atrous_rates() -> None:
    with torch.device("meta"):
        network = build_module("deeplabv3plus_r18", num_classes=2, options={})
    found = {name: module.p for name, module in network.named_modules() if isinstance(module, nn.Dropout)}
    assert found == {"aspp.dropout": 0.5, "decoder.fuse_dropout": 0.5, "decoder.head.dropout": 0.1}
    assert dilations(network.get_submodule("aspp")) == [6, 12, 18]


def test_multi_grid_of_the_wrong_length_is_refused() -> None:
    with torch.device("meta"), pytest.raises(ConfigurationError, match=r"each of 2 blocks, got 3"):
        build_module("deeplabv3plus_r18", num_classes=2, options={"multi_grid": [1, 2, 4]})
