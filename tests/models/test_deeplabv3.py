"""Is DeepLabV3 the network of the CIRKD family: strides, dilations, dropouts, taps, auxiliary head?"""

import pytest
import torch
from torch import nn

from foglight.errors import ConfigurationError
from foglight.models.registry import build_module
from foglight.models.segmentation_module import SegmentationModule
from foglight.models.taps import recorded


@pytest.fixture(scope="module")
def network() -> SegmentationModule:
    torch.manual_seed(0)
    return build_module("deeplabv3_r18", num_classes=5, options={}).eval()


def dilations(module: nn.Module) -> list[int]:
    return [c.dilation[0] for c in module.modules() if isinstance(c, nn.Conv2d) and c.kernel_size == (3, 3)]


def test_logits_lie_on_an_eighth_of_an_odd_image(network: SegmentationModule) -> None:
    logits, auxiliary = network(torch.rand(1, 3, 65, 97), None, auxiliary=True)
    assert logits.shape == (1, 5, 9, 13)
    assert [one.shape for one in auxiliary] == [(1, 5, 9, 13)]


def test_the_auxiliary_head_runs_only_when_asked_and_last(network: SegmentationModule) -> None:
    order: list[str] = []
    handles = [
        network.get_submodule(path).register_forward_hook(lambda *_, path=path: order.append(path))
        for path in ("head.classifier", "auxiliary.classifier")
    ]
    for asked in (False, True):
        network(torch.rand(1, 3, 33, 33), None, auxiliary=asked)
    for handle in handles:
        handle.remove()
    assert order == ["head.classifier", "head.classifier", "auxiliary.classifier"]


def test_without_an_auxiliary_head_there_are_no_auxiliary_logits() -> None:
    network = build_module("deeplabv3_r18", num_classes=2, options={"auxiliary": False, "channels": 8}).eval()
    assert network(torch.rand(1, 3, 33, 33), None, auxiliary=True)[1] == ()


def test_dilation_replaces_the_strides_of_stages_3_and_4(network: SegmentationModule) -> None:
    stages = [network.get_submodule(f"backbone.layer{i}") for i in (1, 2, 3, 4)]
    assert [dilations(stage) for stage in stages] == [[1] * 4, [1] * 4, [1, 2, 2, 2], [2, 4, 4, 4]]
    assert dilations(network.get_submodule("aspp")) == [12, 24, 36]


def test_output_stride_16_keeps_the_third_stages_stride() -> None:
    network = build_module("deeplabv3_r18", num_classes=2, options={"output_stride": 16, "channels": 8}).eval()
    assert network(torch.rand(1, 3, 65, 97), None, auxiliary=False)[0].shape == (1, 2, 5, 7)
    assert dilations(network.get_submodule("backbone.layer4")) == [1, 2, 2, 2]


def test_dropouts_are_elementwise_and_where_the_papers_have_them(network: SegmentationModule) -> None:
    found = {name: (type(m), m.p) for name, m in network.named_modules() if "Dropout" in type(m).__name__}
    assert found == {
        "aspp.dropout": (nn.Dropout, 0.5),
        "head.dropout": (nn.Dropout, 0.1),
        "auxiliary.dropout": (nn.Dropout, 0.1),
    }


def test_head_is_tapped_behind_dropout_and_head_clean_before_it() -> None:
    network = build_module("deeplabv3_r18", num_classes=2, options={"channels": 64, "head_dropout": 0.5}).train()
    with recorded(network, ["head", "head_clean"]) as features:
        logits, _ = network(torch.rand(2, 3, 33, 33), None, auxiliary=False)
    kept = features["head"] != 0
    assert torch.allclose(features["head"][kept], 2 * features["head_clean"][kept])
    assert (features["head_clean"][~kept] > 0).any()
    assert torch.equal(network.get_submodule("head.classifier")(features["head"]), logits)


def test_every_alias_is_a_position_that_fires(network: SegmentationModule) -> None:
    with recorded(network, list(network.tap_names)) as features:
        network(torch.rand(1, 3, 33, 33), None, auxiliary=False)
    assert set(features) == set(network.tap_names)
    assert {"layer1", "layer2", "layer3", "layer4", "aspp", "head", "head_clean"} <= set(features)
    for i in (1, 2, 3, 4):
        before, after = features[f"layer{i}_pre_relu"], features[f"layer{i}"]
        assert (before < 0).any()
        assert torch.equal(before.relu(), after)


def test_a_single_training_image_is_refused_in_plain_words() -> None:
    network = build_module("deeplabv3_r18", num_classes=2, options={"channels": 8}).train()
    with pytest.raises(ConfigurationError, match=r"at least 2 images.*batch_size=2"):
        network(torch.rand(1, 3, 33, 33), None, auxiliary=False)


def test_mobilenetv2_at_stride_8_has_graded_dilation_and_no_auxiliary_head() -> None:
    network = build_module("deeplabv3_mbv2", num_classes=3, options={"channels": 16}).eval()
    with recorded(network, list(network.tap_names)) as features:
        logits, auxiliary = network(torch.rand(1, 3, 65, 97), None, auxiliary=True)
    assert logits.shape == (1, 3, 9, 13)
    assert auxiliary == ()
    assert [features[f"layer{i}"].shape[1] for i in (1, 2, 3, 4)] == [24, 32, 96, 320]
    groups = network.get_submodule("backbone.blocks")
    assert [dilations(group) for group in groups.children()] == [
        [1], [1, 1], [1, 1, 1], [1, 2, 2, 2], [2, 2, 2], [2, 4, 4], [4],
    ]  # fmt: skip
